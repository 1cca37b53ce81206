"""Segmentation of video files, frame by frame (extra ``video``: PyAV)."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np

from upscore.core.draw import legend, overlay
from upscore.core.files import atomic_path, explain_os_error, make_folder, temporary_name
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.writer import Writer
from upscore.core.system_errors import WRITE_REASONS
from upscore.errors import DataError, MissingExtraError, OutputError
from upscore.inference.inputs import InputFile
from upscore.inference.outputs import FORMATS, LabelledImage

DEPTH = 4
"""Frames that wait decoded, and as many to be encoded."""

ENCODERS = ("libx264", "mpeg4")
"""In order of preference; every FFmpeg has the second."""


def require_video() -> None:
    """Raises MissingExtraError without PyAV."""
    if importlib.util.find_spec("av") is None:
        raise MissingExtraError(
            'video files need PyAV, which is not installed; run: pip install "upscore[video]"'
        )


def video_path(out: Path, output_format: str, name: str) -> Path:
    """``out/overlay/NAME.mp4``, or ``out/labels/NAME`` and the like: folders of frames."""
    is_film = FORMATS[output_format].is_film
    return out / output_format / (f"{name}.mp4" if is_film else name)


def label_video(
    file: InputFile,
    network: Callable[[RGBImage], LabelledImage],
    label_set: Labels,
    out: Path,
    formats: Sequence[str],
    *,
    max_pixels: int,
    writer: Writer,
) -> int:
    """Label every frame; returns their number. Each result appears when all frames are done.

    ``overlay`` is a video at the original's average frame rate, without sound, with a legend of
    all classes below. The other formats are folders of one file a frame, as ``000001.png``.

    Args:
        network: labels a frame (H, W, 3) uint8, with probabilities if a format needs them.

    Raises:
        DataError: not a video, damaged, frames over ``max_pixels`` or of changing size.
        OutputError: cannot write.
    """
    count = 0
    with contextlib.ExitStack() as stack:
        frames, rate = stack.enter_context(_open_frames(file.source, max_pixels))
        folders: dict[str, Path] = {}
        films: list[Callable[[RGBImage, LabelMap], None]] = []
        for name in formats:
            path = video_path(out, name, file.name)
            if FORMATS[name].is_film:
                films.append(stack.enter_context(_film(path, rate, label_set)))
            else:
                folders[name] = stack.enter_context(_whole_folder(path))
        stack.callback(writer.drain)  # after an error, before the folders are removed
        for frame in frames:
            item = network(frame)
            count += 1
            for name, folder in folders.items():
                path = folder / f"{count:06d}{FORMATS[name].suffix}"
                writer.put(FORMATS[name].write, path, item)
            for film in films:
                film(frame, item.labels)
        if not count:
            raise DataError(f"{file.source}: holds no frame that can be decoded; remove the file")
        writer.flush()
    return count


@contextlib.contextmanager
def _open_frames(path: Path, max_pixels: int) -> Iterator[tuple[Iterator[RGBImage], Fraction]]:
    """The frames of a video as (H, W, 3) uint8, decoded ahead in a thread, and their rate."""
    import av

    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(f"{path}: is not a video that can be read ({_reason(error)})") from error
    with container:
        if not container.streams.video:
            raise DataError(f"{path}: holds no video; remove the file")
        stream = container.streams.video[0]
        pixels = stream.width * stream.height
        if pixels > max_pixels:
            raise DataError(
                f"{path}: frames of {stream.width}x{stream.height}, over the limit of "
                f"{max_pixels / 1e6:.1f} megapixels; raise it with --max-pixels {pixels}"
            )
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        decoded = _decode(container, stream, path)
        # one thread, since frames are decoded in order; it works ahead of the network
        ahead = prefetch(
            lambda _: next(decoded, None), itertools.repeat(None), workers=1, depth=DEPTH
        )
        with contextlib.closing(ahead):
            frames = itertools.takewhile(lambda frame: frame is not None, ahead)
            yield cast("Iterator[RGBImage]", frames), rate


def _decode(container: Any, stream: Any, path: Path) -> Iterator[RGBImage]:
    import av

    first: tuple[int, ...] | None = None
    number = 0
    try:
        for frame in container.decode(stream):
            image: RGBImage = frame.to_ndarray(format="rgb24")
            # phones store the sensor's frame and an angle (counter-clockwise, as for rot90)
            turns = round(getattr(frame, "rotation", 0) / 90) % 4
            image = np.ascontiguousarray(np.rot90(image, turns))
            first = first or image.shape
            number += 1
            if image.shape != first:
                raise DataError(
                    f"{path}: frame {number} is {image.shape[1]}x{image.shape[0]}, earlier ones "
                    f"{first[1]}x{first[0]}; split the video where its size changes"
                )
            yield image
    except av.error.FFmpegError as error:
        raise DataError(
            f"{path}: damaged after frame {number} ({_reason(error)}); cut it there or remove it"
        ) from error


class _Film:
    """An overlay video with a legend of all classes below."""

    def __init__(self, container: Any, rate: Fraction, label_set: Labels) -> None:
        self._container = container
        self._rate = rate
        self._label_set = label_set
        self._stream: Any = None
        self._sheet: RGBImage | None = None

    def add(self, frame: RGBImage, labels: LabelMap) -> None:
        import av

        height, width, _ = frame.shape
        if self._sheet is None:
            self._sheet = self._begin(height, width)
        self._sheet[:height, :width] = overlay(frame, labels, self._label_set)
        self._mux(av.VideoFrame.from_ndarray(self._sheet, format="rgb24"))

    def finish(self) -> None:
        if self._stream is not None:
            self._mux(None)

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _begin(self, height: int, width: int) -> RGBImage:
        """A frame above the legend, on white. Both sides are even, as the encoders require."""
        import av

        strip = legend(self._label_set, width=width)
        rows, columns = height + strip.shape[0], strip.shape[1]
        sheet = np.full((rows + rows % 2, columns + columns % 2, 3), 255, dtype=np.uint8)
        sheet[height : height + strip.shape[0], :columns] = strip
        encoder = next(name for name in ENCODERS if name in av.codecs_available)
        self._stream = self._container.add_stream(encoder, rate=self._rate)
        self._stream.height, self._stream.width = sheet.shape[:2]
        self._stream.pix_fmt = "yuv420p"
        if encoder == "mpeg4":
            self._stream.bit_rate = 4_000_000
        return sheet


@contextlib.contextmanager
def _film(
    path: Path, rate: Fraction, label_set: Labels
) -> Iterator[Callable[[RGBImage, LabelMap], None]]:
    """A function that adds a frame to an mp4, which appears at ``path`` when the block succeeds."""
    import av

    with atomic_path(path) as temporary:
        try:
            with av.open(str(temporary), "w", format="mp4") as container:
                film = _Film(container, rate, label_set)
                with Writer(workers=1, depth=DEPTH) as writer:
                    yield lambda frame, labels: writer.put(film.add, frame, labels)
                film.finish()
        except av.error.FFmpegError as error:
            if error.errno in WRITE_REASONS:
                raise explain_os_error(OSError(error.errno, error.strerror), path) from error
            text = f"{path}: cannot be encoded ({_reason(error)}); leave overlay out of --save"
            raise DataError(text) from error


@contextlib.contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that replaces ``path`` when the block succeeds."""
    make_folder(path.parent)
    temporary = temporary_name(path)
    try:
        temporary.mkdir()  # not mkdtemp, whose folders are private
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise explain_os_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
