from __future__ import annotations

import errno
import importlib.util
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.support import ByColor, random_photo, save_photo
from upscore.errors import MissingExtraError, OutputError
from upscore.inference import video as video_module
from upscore.inference.predict_files import predict_files

av = pytest.importorskip("av", reason="needs PyAV (extra video)")


def make_video(
    path: Path,
    *,
    frames: int = 7,
    size: tuple[int, int] = (48, 64),
    times: list[int] | None = None,
    sound: str | None = None,
) -> Path:
    """Frames at ``times``, in tenths of a second, and a second of silence as ``sound``."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        silence = None
        if sound:
            silence = container.add_stream(sound, rate=48000)
            silence.layout = "mono"
        for number, time in enumerate(times or range(frames)):
            frame = av.VideoFrame.from_ndarray(random_photo(*size, seed=number), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 10)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
        if silence is not None:
            for number in range(47):
                frame = av.AudioFrame(silence.format.name, "mono", 1024)
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                frame.sample_rate, frame.pts = 48000, 1024 * number
                for packet in silence.encode(frame):
                    container.mux(packet)
            for packet in silence.encode():
                container.mux(packet)
    return path


def frame_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def sound_packets(path: Path) -> tuple[str, list[tuple[float, bytes]]]:
    """The codec, and time and content of every packet."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        codec = stream.codec_context.codec.canonical_name
        return codec, [(float(p.pts * p.time_base), bytes(p)) for p in packets]


def test_every_frame_is_labelled(by_color, tmp_path):
    video = make_video(tmp_path / "clip.mp4")
    out = tmp_path / "out"
    save = ("labels", "overlay", "probabilities")
    summary = predict_files(by_color, [video], out, save=save)
    summary.check()
    assert summary.images == 7
    names = [f"{n:06d}" for n in range(1, 8)]
    assert sorted(path.name for path in (out / "labels/clip").iterdir()) == [
        f"{name}.png" for name in names
    ]
    assert len(list((out / "probabilities/clip").iterdir())) == 7
    with Image.open(out / "labels/clip/000003.png") as picture:
        assert picture.size == (64, 48)
        with av.open(str(video)) as container:
            frame = list(container.decode(video=0))[2].to_ndarray(format="rgb24")
        assert np.array_equal(np.asarray(picture), by_color.predict(frame))
    with av.open(str(out / "overlay/clip.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 10
        decoded = list(container.decode(stream))
        assert len(decoded) == 7
        assert decoded[0].height > 48
        assert decoded[0].height % 2 == decoded[0].width % 2 == 0
    hidden = [path for path in out.rglob("*") if path.name.startswith(".")]
    assert hidden == []


def test_frames_keep_their_times(by_color, tmp_path):
    video = make_video(tmp_path / "clip.mp4", times=[0, 1, 2, 5, 9, 10])
    out = tmp_path / "out"
    predict_files(by_color, [video], out).check()
    assert frame_times(out / "overlay/clip.mp4") == [0, 0.1, 0.2, 0.5, 0.9, 1]
    lines = (out / "times/clip.csv").read_text().splitlines()
    assert lines[0] == "frame,seconds"
    assert lines[4:] == ["4,0.500000", "5,0.900000", "6,1.000000"]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mts"])
def test_sound_is_copied(by_color, tmp_path, suffix):
    video = make_video(tmp_path / f"clip.{suffix}", frames=10, sound="aac")
    predict_files(by_color, [video], tmp_path / "out", save=["overlay"]).check()
    film = tmp_path / "out/overlay/clip.mp4"
    codec, packets = sound_packets(film)
    assert codec == "aac"
    before = sound_packets(video)[1]
    assert len(packets) == len(before) >= 47
    if suffix != "mts":  # its packets begin with a header each
        assert [content for _, content in packets] == [content for _, content in before]
    lag = before[9][0] - frame_times(video)[5]
    assert packets[9][0] - frame_times(film)[5] == pytest.approx(lag, abs=0.002)


def test_sound_that_mp4_cannot_hold_is_left_out(by_color, tmp_path):
    video = make_video(tmp_path / "clip.avi", sound="adpcm_ms")
    predict_files(by_color, [video], tmp_path / "out", save=["overlay"]).check()
    with av.open(str(tmp_path / "out/overlay/clip.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_a_video_without_a_decoder_is_named(by_color, tmp_path):
    whole = make_video(tmp_path / "whole.mkv")
    strange = tmp_path / "strange.mkv"
    codec = b"V_MPEG4/ISO/ASP"
    strange.write_bytes(whole.read_bytes().replace(codec, b"V_FUTURE/CODEC1"))
    summary = predict_files(by_color, [strange, whole], tmp_path / "out", save=["labels"])
    assert summary.images == 7
    assert "strange.mkv: holds a video that cannot be decoded" in summary.failures[0][1]


@pytest.mark.parametrize(
    ("suffix", "told"), [("avi", "says that it has 60 frames"), ("mkv", "says that it has 6.0 s")]
)
def test_a_video_that_is_cut_off_is_named(by_color, tmp_path, caplog, suffix, told):
    video = make_video(tmp_path / f"clip.{suffix}", frames=60)
    content = video.read_bytes()
    with caplog.at_level("WARNING", "upscore"):
        predict_files(by_color, [video], tmp_path / "out", save=["labels"]).check()
        assert not caplog.text
        video.write_bytes(content[: len(content) * 2 // 3])
        summary = predict_files(by_color, [video], tmp_path / "out", save=["labels"])
    assert 20 < summary.images < 50
    assert f"clip.{suffix}: {summary.images} frames could be decoded" in caplog.text
    assert told in caplog.text


def test_folders_of_frames_have_ordinary_permissions(by_color, tmp_path):
    video = make_video(tmp_path / "clip.mp4", frames=1)
    before = os.umask(0o027)
    try:
        predict_files(by_color, [video], tmp_path / "out", save=["labels"]).check()
    finally:
        os.umask(before)
    assert (tmp_path / "out/labels/clip").stat().st_mode & 0o777 == 0o750


def test_photos_and_videos_together_and_resumed(by_color, tmp_path):
    make_video(tmp_path / "in.mp4", frames=3)
    save_photo(tmp_path / "b.png", random_photo(9, 9))
    inputs = [tmp_path / "in.mp4", tmp_path / "b.png"]
    assert predict_files(by_color, inputs, tmp_path / "out").images == 4
    assert predict_files(by_color, inputs, tmp_path / "out", resume=True).skipped == 2
    (tmp_path / "out/overlay/in.mp4").unlink()
    again = predict_files(by_color, inputs, tmp_path / "out", resume=True)
    assert (again.images, again.skipped) == (3, 1)


def test_a_bad_video_leaves_nothing_and_does_not_stop_the_rest(by_color, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video at all" * 100)
    whole = make_video(tmp_path / "good.avi", frames=12)
    save_photo(tmp_path / "b.png", random_photo(9, 9))
    summary = predict_files(by_color, [bad, tmp_path / "b.png", whole], tmp_path / "out")
    assert summary.images == 13
    assert len(summary.failures) == 1
    assert "bad.mp4: is not a video that can be read" in summary.failures[0][1]
    assert not list((tmp_path / "out").rglob("*bad*"))


def test_a_network_that_fails_halfway_leaves_nothing(tmp_path):
    class Fragile(ByColor):
        def predict(self, image):
            if len(self.sizes) == 4:
                raise RuntimeError("odd")
            return super().predict(image)

    video = make_video(tmp_path / "clip.mp4")
    summary = predict_files(Fragile(), [video], tmp_path / "out")
    assert summary.images == 0
    assert "clip.mp4: cannot segment it (RuntimeError: odd; at upscore/" in summary.failures[0][1]
    assert [path for path in (tmp_path / "out").rglob("*/*") if path.is_file()] == []
    assert len((tmp_path / "out/summary.csv").read_text().splitlines()) == 1  # the header


def test_frames_over_the_limit(by_color, tmp_path):
    video = make_video(tmp_path / "clip.mp4")
    summary = predict_files(by_color, [video], tmp_path / "out", max_pixels=1000)
    assert "frames of 64x48" in summary.failures[0][1]
    assert "--max-pixels 3072" in summary.failures[0][1]


def test_a_sound_file_holds_no_video(by_color, tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    summary = predict_files(by_color, [path], tmp_path / "out")
    assert "holds no video" in summary.failures[0][1]


def test_without_pyav_the_error_names_what_to_install(by_color, tmp_path, monkeypatch):
    video = make_video(tmp_path / "clip.mp4", frames=1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'pip install "upscore\[video\]"'):
        predict_files(by_color, [video], tmp_path / "out")


def test_a_film_that_cannot_be_encoded_is_that_videos_trouble(by_color, tmp_path, monkeypatch):
    def refuse(*_):
        raise av.error.ArgumentError(errno.EINVAL, "Invalid argument")

    bad, good = make_video(tmp_path / "bad.mp4"), random_photo(20, 30)
    save_photo(tmp_path / "good.png", good)
    monkeypatch.setattr(video_module._Film, "add", refuse)
    summary = predict_files(by_color, [bad, tmp_path / "good.png"], tmp_path / "out")
    ((path, message),) = summary.failures
    assert (path, summary.images) == (bad, 1)
    assert "bad.mp4: cannot be encoded (Invalid argument); leave overlay out of --save" in message


def test_a_full_disk_ends_the_work_on_a_video_too(by_color, tmp_path, monkeypatch):
    def refuse(*_):
        raise av.error.OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(video_module._Film, "add", refuse)
    with pytest.raises(OutputError, match=r"clip.mp4: the disk is full; free some space"):
        predict_files(by_color, [make_video(tmp_path / "clip.mp4")], tmp_path / "out")
