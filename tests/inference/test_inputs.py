from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from upscore.errors import NotFoundError, SettingsError
from upscore.inference.inputs import find_inputs


@pytest.fixture
def tree(tmp_path):
    """Empty files: finding does not open them."""
    for name in (
        "photos/b.jpg", "photos/a.PNG", "photos/sub/a.jpg", "photos/.hidden.jpg",
        "photos/.git/x.jpg", "photos/notes.txt", "photos/clip.mp4", "photos/[x].jpg",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(*inputs, out=Path("/nowhere")):
    return [job.name for job in find_inputs([str(item) for item in inputs], out).files]


def test_a_folder_is_searched_sorted_with_its_subfolders(tree):
    assert names(tree / "photos") == ["[x]", "a", "b", "sub/a"]


def test_a_file_is_named_by_its_stem(tree):
    assert names(tree / "photos" / "sub" / "a.jpg") == ["a"]
    assert names(tree / "photos" / "[x].jpg") == ["[x]"]  # a file first, a pattern second


def test_patterns(tree):
    assert names(tree / "photos" / "*.jpg") == ["[x]", "b"]
    assert names(tree / "photos" / "**" / "*.jpg") == ["[x]", "b", "sub/a"]
    assert names(tree / "ph*" / "b.jpg") == ["photos/b"]
    assert names(tree / "photos" / "*") == ["[x]", "a", "b", "clip"]


def test_relative_patterns(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert names("photos/b.*") == ["b"]
    assert names("*/b.jpg") == ["photos/b"]


def test_a_file_named_twice_is_done_once(tree):
    assert names(tree / "photos", tree / "photos" / "*.jpg", tree / "photos" / "b.jpg") == [
        "[x]", "a", "b", "sub/a",
    ]  # fmt: skip


def test_results_of_an_earlier_call_are_no_inputs(tree):
    out = tree / "photos" / "out"
    for product in ("labels", "overlay"):
        (out / product).mkdir(parents=True)
        (out / product / "b.png").touch()
    assert names(tree / "photos", out=out) == ["[x]", "a", "b", "sub/a"]
    assert names(tree / "photos" / "**" / "*.[pP][nN][gG]", out=out) == ["a"]
    assert names(out / "overlay", out=out) == ["b"]  # unless they are asked for
    assert names(out / "overlay" / "*", out=out) == ["b"]


def test_equal_names_are_refused_before_anything_is_done(tree):
    (tree / "a.jpg").touch()
    with pytest.raises(
        SettingsError, match=r"a\.jpg and .*sub/a\.jpg would both be written as 'a\.jpg'"
    ):
        names(tree / "a.jpg", tree / "photos" / "sub" / "a.jpg")


def test_names_that_differ_only_in_suffix_or_case(tree, caplog):
    caplog.set_level("INFO", "upscore")
    for name in ("b.png", "B.jpg", "b.JPG"):
        (tree / "photos" / name).touch()
    assert names(tree / "photos") == ["B", "[x]", "a", "b.JPG", "b.jpg", "b.png", "sub/a"]
    assert "3 files differ from others only in the suffix" in caplog.text


def test_photos_among_the_frames_of_a_video_are_refused(tree):
    (tree / "photos" / "clip").mkdir()
    (tree / "photos" / "clip" / "000001.jpg").touch()
    with pytest.raises(SettingsError, match=r"000001\.jpg would be .* the frames of .*clip\.mp4"):
        names(tree / "photos" / "**" / "*")


def test_a_linked_loop_ends(tree):
    (tree / "photos" / "sub" / "loop").symlink_to(tree / "photos", target_is_directory=True)
    assert names(tree / "photos") == ["[x]", "a", "b", "sub/a"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("missing.jpg", r"missing\.jpg: no such file or folder"),
        ("*.gif", r"\*\.gif: the pattern matches no photo or video \(jpg, "),
        ("empty", "no photo in this folder or below"),
        ("videos", r"name its 1 videos, or give a pattern \('.*videos/\*'\)"),
    ],
)
def test_nothing_to_label_names_what_was_looked_for(tree, item, message):
    (tree / "empty").mkdir()
    (tree / "videos").mkdir()
    (tree / "videos" / "a.mov").touch()
    with pytest.raises(NotFoundError, match=message):
        names(tree / item)


def test_no_input_at_all():
    with pytest.raises(SettingsError, match="no input; name photos"):
        names()


def found(*inputs, out=Path("/nowhere")):
    return find_inputs([str(item) for item in inputs], out)


def test_what_is_no_image_is_passed_over_and_named(tree):
    (tree / "photos/Thumbs.db").touch()
    Image.new("RGB", (2, 2)).save(tree / "photos/scan", format="PNG")
    inputs = found(tree / "photos")
    assert [file.name for file in inputs.files] == ["[x]", "a", "b", "scan", "sub/a"]
    assert [path.name for path in inputs.passed_over] == ["clip.mp4", "notes.txt"]
    inputs = found(tree / "photos/*")  # patterns are for videos too
    assert [path.name for path in inputs.passed_over] == ["notes.txt"]


def test_links_give_results_of_their_own(tree):
    (tree / "photos/second.jpg").symlink_to(tree / "photos/b.jpg")
    (tree / "elsewhere").mkdir()
    (tree / "elsewhere/c.jpg").touch()
    for name in ("linked", "again"):
        (tree / "photos" / name).symlink_to(tree / "elsewhere", target_is_directory=True)
    expected = ["[x]", "a", "again/c", "b", "linked/c", "second", "sub/a"]
    assert sorted(names(tree / "photos")) == expected
    matched = names(tree / "photos/**/*.jpg")
    assert sorted(matched) == [name for name in expected if name != "a"]  # a.PNG
    assert names(tree / "photos/linked") == ["c"]
    # by another way to the same file, with the same name for its results: once
    assert names(tree / "photos/linked/c.jpg", tree / "elsewhere/c.jpg") == ["c"]


@pytest.mark.parametrize("item", ["photos", "photos/**/*.[jP]*"])
def test_circles_of_links_end(tree, item):
    (tree / "photos/sub/up").symlink_to(tree / "photos", target_is_directory=True)
    (tree / "photos/sub/out").symlink_to(tree, target_is_directory=True)
    (tree / "photos/self").symlink_to(tree / "photos/self")
    assert [name for name in names(tree / item) if "/" not in name] == ["[x]", "a", "b"]


def test_links_that_lead_nowhere_are_named(tree):
    (tree / "photos/gone.jpg").symlink_to(tree / "nothing.jpg")
    assert "gone" in names(tree / "photos")  # fails by name when it is read
    with pytest.raises(
        NotFoundError, match=r"gone\.jpg: is a link to .*nothing\.jpg, which is not"
    ):
        names(tree / "photos/gone.jpg")


def test_folders_that_link_to_each_other_end(tmp_path):
    folders = [tmp_path / f"all/{number}" for number in range(6)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "a.jpg").touch()
    for folder in folders:
        for other in folders:
            (folder / f"to{other.name}").symlink_to(other, target_is_directory=True)
    inputs = found(tmp_path / "all/0")
    assert {file.name for file in inputs.files} >= {"a", "to1/a", "to5/to3/a"}
    assert len(inputs.files) == 1 + 5 + 5 * 4 + 5 * 4 * 3 + 5 * 4 * 3 * 2
    assert all(path.is_dir() for path in inputs.passed_over)
    assert inputs.passed_over
