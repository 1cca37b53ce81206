"""Files of released weights that are known: where they are, how large, under which licence.

What is not known is said to be unknown: upscore's authors had none of these files, so that no
checksum here is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

from upscore.core.choices import unknown_choice
from upscore.errors import SettingsError

CLASSIFIER = "vgg16"
"""VGG16 as a classifier of whole photos, which :mod:`~upscore.models.classifier_files` reads."""

BERKELEY = "http://dl.caffe.berkeleyvision.org"
POSTECH = "http://cvlab.postech.ac.kr/research/deconvnet/model"


@dataclass(frozen=True)
class Licence:
    """Terms of use.

    Attributes:
        name: in two or three words.
        terms: what to keep in mind.
    """

    name: str
    terms: str

    def __str__(self) -> str:
        return f"{self.name}; {self.terms}"


UNKNOWN = Licence("unknown", "ask its authors before you share or sell what is made of it")
FORK = Licence("unknown", "converted from the authors' files, whose terms apply as well")
RESEARCH = Licence("research only", "not for commercial use: the LICENSE of DeconvNet's authors")


@dataclass(frozen=True)
class ReleasedFile:
    """A file of weights.

    Attributes:
        name: as typed in ``upscore weights get NAME``.
        file: its name where it was published.
        network: what :func:`~upscore.models.released.load_released` reads it as; None for VGG16,
            an ImageNet classifier, from which a training can start.
        address: its URL, or where to find it in a browser.
        licence: its terms of use.
        checksum: ``algorithm:hex``, None if unknown.
        megabytes: about; None if unknown.
        note: where checksum and size come from, and what else to know.
    """

    name: str
    file: str
    network: str | None
    address: str
    licence: Licence
    checksum: str | None = None
    megabytes: int | None = None
    note: str = ""

    @property
    def can_be_fetched(self) -> bool:
        """Whether a program can download it; files on Google Drive need a browser."""
        return self.address.startswith("http")


def _berkeley(name: str, network: str, checksum: str | None, megabytes: int | None) -> ReleasedFile:
    return ReleasedFile(
        name,
        f"{name}-pascal.caffemodel",
        network,
        f"{BERKELEY}/{name}-pascal.caffemodel",
        UNKNOWN,
        checksum,
        megabytes,
        "checksum from a list of third parties, not verified" if checksum else "",
    )


def _drive(name: str, network: str | None, drive: str, md5: str) -> ReleasedFile:
    note = "checksum from the code of pytorch-fcn, not verified"
    return ReleasedFile(
        f"{name}-pytorch-fcn",
        f"{name}_from_caffe.pth",
        network,
        f"Google Drive, id {drive}",
        FORK,
        f"md5:{md5}",
        note=note,
    )


def _deconvnet(name: str, network: str | None, path: str, megabytes: int | None) -> ReleasedFile:
    file = path.rpartition("/")[2]
    return ReleasedFile(name, file, network, f"{POSTECH}/{path}", RESEARCH, None, megabytes)


_ALL = (
    _berkeley("fcn32s-heavy", "fcn32s", "sha1:05eb922d7829c39448f57e5ab9d8cd75d6c0be6d", None),
    _berkeley("fcn16s-heavy", "fcn16s", None, None),
    _berkeley("fcn8s-heavy", "fcn8s", "sha1:c449ea74dd7d83751d1357d6a8c323fcf4038962", 513),
    _berkeley("fcn8s-atonce", "fcn8s-atonce", None, None),
    ReleasedFile(
        "fcn8s-cvpr",
        "fcn-8s-pascal.caffemodel",
        "fcn8s-cvpr",
        f"{BERKELEY}/fcn-8s-pascal.caffemodel",
        UNKNOWN,
        note="the FCN-8s of CVPR 2015, DeconvNet's partner",
    ),
    _deconvnet("deconvnet", "deconvnet", "DeconvNet/DeconvNet_trainval_inference.caffemodel", 1007),
    _deconvnet(
        "deconvnet-stage1",
        "deconvnet-train",
        "stage_1_train_result/stage_1_train_result.caffemodel",
        1007,
    ),
    _deconvnet(
        "deconvnet-stage2",
        "deconvnet-train",
        "stage_2_train_result/stage_2_train_result.caffemodel",
        1007,
    ),
    _drive(
        "fcn32s", "fcn32s", "11k2Q0bvRQgQbT6-jYWeh6nmAsWlSCY3f", "d3eb467a80e7da0468a20dfcbc13e6c8"
    ),
    _drive(
        "fcn16s", "fcn16s", "1bctu58B6YH9bu6lBBSBB2rUeGlGhYLoP", "a2d4035f669f09483b39c9a14a0d6670"
    ),
    _drive(
        "fcn8s", "fcn8s", "1ieXWyoG68xqoHJPWdyrDyaIaaWlfmUxI", "de93e540ec79512f8770033849c8ae89"
    ),
    _drive(
        "fcn8s-atonce",
        "fcn8s-atonce",
        "0B9P1L--7Wd2vblE1VUIxV1o2d2M",
        "bfed4437e941fef58932891217fe6464",
    ),
    ReleasedFile(
        "vgg16-caffe",
        "VGG_ILSVRC_16_layers.caffemodel",
        None,
        "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/VGG_ILSVRC_16_layers.caffemodel",
        Licence("CC BY 4.0?", "it is commonly said to be this one; not verified"),
        "sha1:9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24",
        527,
        "checksum as documented by third parties, not verified",
    ),
    _deconvnet("vgg16-conv", None, "VGG_conv/VGG_ILSVRC_16_layers_conv.caffemodel", None),
)

RELEASED_FILES = {one.name: one for one in _ALL}
"""By name."""


def find_released(name: str) -> ReleasedFile:
    """A known file by name. Raises SettingsError that lists all."""
    if name not in RELEASED_FILES:
        raise SettingsError(unknown_choice("released file", name, RELEASED_FILES))
    return RELEASED_FILES[name]
