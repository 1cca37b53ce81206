"""Index of photos: finds the photo of a result by its name below a folder, or by its stem."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from upscore.core.choices import near_path
from upscore.core.image_files import is_image
from upscore.errors import DataError, NotFoundError
from upscore.inference.inputs import name_below, walk


class PhotoIndex:
    """All photos of a folder and below, by name (``sub/photo``) and by stem (``photo``).

    Hidden files, and those in the folder ``out``, are skipped.

    Raises:
        NotFoundError: no such folder, or no photo in it.
        DataError: a file.
    """

    def __init__(self, folder: Path, *, out: Path) -> None:
        if not folder.exists():
            raise NotFoundError(
                f"{folder}: no such folder{near_path(folder)}; name the one of the photos"
            )
        if not folder.is_dir():
            raise DataError(f"{folder}: is a file; name the folder of the photos")
        self.folder = folder
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in walk(folder, out.resolve()):
            if is_image(path):
                self._by_name.setdefault(name_below(path, folder), []).append(path)
                self._by_stem.setdefault(path.stem, []).append(path)
        if not self._by_name:
            raise NotFoundError(f"{folder}: no photo in this folder or below")

    def find(self, name: str) -> Path:
        """The photo of that name, or else the only one of that stem.

        Raises:
            NotFoundError: none.
            DataError: several, such as ``a.jpg`` and ``a.png``.
        """
        stem = PurePosixPath(name).name
        found = self._by_name.get(name) or self._by_stem.get(stem, [])
        if len(found) == 1:
            return found[0]
        if not found:
            raise NotFoundError(
                f"no photo {name!r} in {self.folder}, nor {stem!r} below; results and photos are "
                "matched by name without the suffix"
            )
        some = ", ".join(str(path) for path in found[:3]) + (", ..." if len(found) > 3 else "")
        raise DataError(
            f"{len(found)} photos could be {name!r}: {some}; name the folder that holds just one"
        )
