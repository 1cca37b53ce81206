"""Segmentation of video files, frame by frame (extra ``video``: PyAV)."""

from __future__ import annotations

import contextlib
import itertools
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np

from upscore.core.draw import legend, overlay, painted
from upscore.core.extras import require_extras
from upscore.core.files import atomic_path, explain_os_error, make_folder
from upscore.core.labels import Labels, RGBImage
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.writer import Writer
from upscore.core.system_errors import WRITE_REASONS
from upscore.core.tables import write_csv
from upscore.core.temporary import temporary_folder
from upscore.errors import DataError, OutputError
from upscore.inference.inputs import InputFile
from upscore.inference.outputs import FORMATS, LabelledImage

logger = logging.getLogger(__name__)

DEPTH = 4
"""Frames that wait decoded, and as many to be encoded."""

ENCODERS = ("libx264", "mpeg4")
"""In order of preference; every FFmpeg has the second."""

TICK = Fraction(1, 60000)
"""Unit of frame times in films: fine, exact for the usual rates, and allowed by both encoders."""

TIMES = "times"
"""Folder of the times of frames that are saved as files."""


@dataclass(frozen=True)
class Frame:
    """An upright frame (H, W, 3) uint8, and its time in seconds from the start of the file."""

    image: RGBImage
    seconds: Fraction


@dataclass(frozen=True)
class Source:
    """An open video.

    Attributes:
        rate: mean frames per second.
        start: its first time, which is 0 in results.
    """

    path: Path
    frames: Iterator[Frame]
    rate: Fraction
    start: Fraction


def require_video() -> None:
    """Raises MissingExtraError without PyAV."""
    require_extras("a video file", "video")


def video_path(out: Path, output_format: str, name: str) -> Path:
    """``out/overlay/NAME.mp4``, or ``out/labels/NAME`` and the like: folders of frames."""
    is_film = FORMATS[output_format].is_film
    return out / output_format / (f"{name}.mp4" if is_film else name)


def frame_name(video: str, number: int) -> str:
    """The name of a frame of a video, from 1."""
    return f"{video}/{number:06d}"


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

    ``overlay`` is a video with the times of the original's frames, its sound where MP4 can hold
    that, and a legend of all classes below. The other formats are folders of one file a frame, as
    ``000001.png``, whose times are in ``out/times/NAME.csv``.

    Args:
        network: labels a frame (H, W, 3) uint8, with probabilities if a format needs them.

    Raises:
        DataError: not a video, damaged, frames over ``max_pixels`` or of changing size.
        OutputError: cannot write.
    """
    times: list[Fraction] = []
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_open_source(file.source, max_pixels))
        folders: dict[str, Path] = {}
        films: list[Callable[[Frame, LabelledImage], None]] = []
        for name in formats:
            path = video_path(out, name, file.name)
            if FORMATS[name].is_film:
                films.append(stack.enter_context(_film(path, source, label_set)))
            else:
                folders[name] = stack.enter_context(_whole_folder(path))
        stack.callback(writer.drain)  # after an error, before the folders are removed
        for frame in source.frames:
            item = network(frame.image)
            times.append(frame.seconds)
            for name, folder in folders.items():
                path = folder / f"{len(times):06d}{FORMATS[name].suffix}"
                writer.put(FORMATS[name].write, path, item)
            for film in films:
                film(frame, item)
        if not times:
            raise DataError(f"{file.source}: holds no frame that can be decoded; remove the file")
        writer.flush()
        if folders:
            rows = [(number, f"{float(time):.6f}") for number, time in enumerate(times, start=1)]
            make_folder(out / TIMES)
            write_csv(out / TIMES / f"{file.name}.csv", ("frame", "seconds"), rows)
    return len(times)


@contextlib.contextmanager
def _open_source(path: Path, max_pixels: int) -> Iterator[Source]:
    """A video whose frames are decoded ahead in a thread."""
    import av

    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{path}: is not a video that can be read ({_reason(error)})") from error
    with container:
        stream = _video_stream(container, path)
        _require_frame_size(path, stream.width, stream.height, max_pixels)
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        start = Fraction(container.start_time or 0, av.time_base)
        decoded = _decode(container, stream, path, rate, start, max_pixels)
        # one thread, since frames are decoded in order; it works ahead of the network
        ahead = prefetch(
            lambda _: next(decoded, None), itertools.repeat(None), workers=1, depth=DEPTH
        )
        with contextlib.closing(ahead):
            frames = itertools.takewhile(lambda frame: frame is not None, ahead)
            yield Source(path, cast("Iterator[Frame]", frames), rate, start)


def _video_stream(container: Any, path: Path) -> Any:
    """The first stream of moving pictures that can be decoded. Raises DataError."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise DataError(f"{path}: holds no video; remove the file")
    for stream in streams:
        if stream.codec_context is not None:
            return stream
    raise DataError(
        f"{path}: holds a video that cannot be decoded: the file is cut off, or FFmpeg here has no "
        "decoder for it; copy the file again, or convert it to H.264 (ffmpeg -i FILE NEW.mp4)"
    )


def _require_frame_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise DataError(
            f"{path}: frames of {width}x{height}, over the limit of {max_pixels / 1e6:.1f} "
            f"megapixels; raise it with --max-pixels {width * height}"
        )


def _decode(
    container: Any, stream: Any, path: Path, rate: Fraction, start: Fraction, max_pixels: int
) -> Iterator[Frame]:
    import av

    first: tuple[int, ...] | None = None
    seconds: Fraction | None = None
    number = 0
    try:
        for frame in container.decode(stream):
            _require_frame_size(path, frame.width, frame.height, max_pixels)
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
            seconds = _time(frame, seconds, rate, start)
            yield Frame(image, seconds)
    except av.error.FFmpegError as error:
        raise DataError(
            f"{path}: damaged after frame {number} ({_reason(error)}); cut it there or remove it"
        ) from error
    if number < stream.frames:
        told = f"{stream.frames} frames"
    elif seconds is not None and not stream.frames and _ends_early(container, seconds):
        told = f"{container.duration / av.time_base:.1f} s"
    else:
        return
    logger.warning(
        "%s: %d frames could be decoded, but the file says that it has %s; its end may be cut off",
        path, number, told,
    )  # fmt: skip


def _ends_early(container: Any, seconds: Fraction) -> bool:
    """Whether the last frame lies well before the end that the file says. (Sound may be longer.)"""
    import av

    return (container.duration or 0) / av.time_base > 1.1 * float(seconds) + 0.5


def _time(frame: Any, before: Fraction | None, rate: Fraction, start: Fraction) -> Fraction:
    """The time of a frame; without one, or with one that runs backwards, at the mean rate."""
    if frame.pts is not None and frame.time_base:
        seconds: Fraction = frame.pts * Fraction(frame.time_base) - start
        if before is None or seconds > before:
            return seconds
    return Fraction(0) if before is None else before + 1 / rate


class _Film:
    """An overlay video with a legend of all classes below, and the sound of its source."""

    def __init__(self, container: Any, source: Source, label_set: Labels) -> None:
        self._container = container
        self._source = source
        self._label_set = label_set
        self._stream: Any = None
        self._sheet: RGBImage | None = None
        self._sound: _Sound | None = None
        self._tick = -1

    def add(self, frame: Frame, item: LabelledImage) -> None:
        import av

        height, width, _ = frame.image.shape
        if self._sheet is None:
            self._sheet = self._begin(height, width)
        self._sheet[:height, :width] = overlay(
            item.image, item.labels, self._label_set, alpha=item.alpha
        )
        picture = av.VideoFrame.from_ndarray(self._sheet, format="rgb24")
        self._tick = max(round(frame.seconds / TICK), self._tick + 1)
        picture.pts, picture.time_base = self._tick, TICK
        if self._sound is not None:
            self._sound.copy(until=frame.seconds)
        self._mux(picture)

    def finish(self) -> None:
        if self._stream is not None:
            self._mux(None)
        if self._sound is not None:
            self._sound.copy()

    def close(self) -> None:
        if self._sound is not None:
            self._sound.close()

    def _mux(self, picture: Any) -> None:
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def _begin(self, height: int, width: int) -> RGBImage:
        """A frame above the legend, on white. Both sides are even, as the encoders require."""
        import av

        strip = legend(self._label_set, painted(self._label_set), width=width)
        rows, columns = height + strip.shape[0], strip.shape[1]
        sheet = np.full((rows + rows % 2, columns + columns % 2, 3), 255, dtype=np.uint8)
        sheet[height : height + strip.shape[0], :columns] = strip
        encoder = next(name for name in ENCODERS if name in av.codecs_available)
        self._stream = self._container.add_stream(encoder, rate=self._source.rate)
        self._stream.height, self._stream.width = sheet.shape[:2]
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = TICK
        if encoder == "mpeg4":
            self._stream.bit_rate = 4_000_000
        self._sound = _Sound.of(self._source, self._container)
        return sheet


class _Sound:
    """Copies the packets of the first sound stream of a video into a film, unchanged."""

    def __init__(self, source: Any, stream: Any, film: Any, start: Fraction) -> None:
        self._source = source
        self._packets = source.demux(stream)
        self._film = film
        self._target = film.add_stream_from_template(stream)
        self._shift = round(start / stream.time_base)
        self._next: Any = None

    @classmethod
    def of(cls, source: Source, film: Any) -> _Sound | None:
        """None for a video without sound, or with sound that the film cannot hold."""
        import av

        container = av.open(str(source.path))  # again, for its own place in the file
        for stream in container.streams.audio:
            context = stream.codec_context
            if context is not None and context.codec.canonical_name in film.supported_codecs:
                return cls(container, stream, film, source.start)
        container.close()
        return None

    def copy(self, until: Fraction | None = None) -> None:
        """Copy what comes before a time, or all that is left."""
        import av

        while True:
            if self._next is None:
                try:
                    self._next = next(self._packets, None)
                except av.error.FFmpegError:  # a damaged end; the frames' decoder names it
                    return
            packet = self._next
            if packet is None or packet.dts is None:  # the end
                return
            if until is not None and packet.dts * packet.time_base > until:
                return
            self._next = None
            packet.dts -= self._shift
            packet.pts = None if packet.pts is None else packet.pts - self._shift
            packet.stream = self._target
            self._film.mux(packet)

    def close(self) -> None:
        self._source.close()


@contextlib.contextmanager
def _film(
    path: Path, source: Source, label_set: Labels
) -> Iterator[Callable[[Frame, LabelledImage], None]]:
    """A function that adds a frame to an mp4, which appears at ``path`` when the block succeeds."""
    import av

    with atomic_path(path) as temporary:
        try:
            with av.open(str(temporary), "w", format="mp4") as container:
                film = _Film(container, source, label_set)
                with contextlib.closing(film):
                    with Writer(workers=1, depth=DEPTH) as writer:
                        yield lambda frame, item: writer.put(film.add, frame, item)
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
    try:
        with temporary_folder(path) as temporary:
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise explain_os_error(error, path) from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
