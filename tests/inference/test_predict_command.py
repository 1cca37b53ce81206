from __future__ import annotations

import pytest

from inference.support import random_photo, save_photo
from new_process import run_python
from upscore.cli import predict as verb
from upscore.cli.segmenter_options import SegmenterOptions
from upscore.errors import NotFoundError, SettingsError, WorkError


def test_labels_a_folder_and_prints_where(model_folder, tmp_path, capsys):
    save_photo(tmp_path / "photos/a.png", random_photo(40, 50))
    save_photo(tmp_path / "photos/b.png", random_photo(300, 140))
    options = {"out": tmp_path / "out", "save": "labels, overlay,probabilities"}
    options["options"] = SegmenterOptions(tile=128)
    verb.predict((str(model_folder), str(tmp_path / "photos")), **options)
    told = capsys.readouterr().out
    assert "Segmented 2 images in" in told
    assert "images/s" in told
    assert str(tmp_path / "out/labels") in told
    assert (tmp_path / "out/probabilities/b.npz").exists()
    verb.predict((str(model_folder), str(tmp_path / "photos")), resume=True, **options)
    assert "Skipped 2 files" in capsys.readouterr().out


def test_what_was_passed_over_is_counted(model_folder, tmp_path, capsys):
    save_photo(tmp_path / "in/a.png", random_photo(40, 50))
    for name in (*(f"{i}.csv" for i in range(10)), ".hidden", "Thumbs.db"):
        (tmp_path / "in" / name).touch()
    verb.predict((str(model_folder), str(tmp_path / "in")), out=tmp_path / "out")
    told = " ".join(capsys.readouterr().out.split())
    assert "Ignored 10 files that are not images:" in told
    assert " more labels:" in told  # counted, not named
    assert "9.csv" not in told
    assert "Thumbs" not in told
    assert "HEIC" not in told
    (tmp_path / "in/IMG_1.HEIC").write_bytes(b"x")
    verb.predict((str(model_folder), str(tmp_path / "in")), out=tmp_path / "out")
    assert "HEIC and PDF files cannot be read; export them" in capsys.readouterr().out
    with pytest.raises(WorkError, match="not an image that can be read; export it as JPEG or PNG"):
        verb.predict((str(model_folder), str(tmp_path / "in/IMG_1.HEIC")), out=tmp_path / "out")


def test_a_bad_file_is_reported_after_the_summary(model_folder, tmp_path, capsys):
    save_photo(tmp_path / "a.png", random_photo(40, 50))
    (tmp_path / "bad.jpg").touch()
    with pytest.raises(WorkError, match=r"1 file could not be segmented.*\n.*bad\.jpg: is empty"):
        verb.predict((str(model_folder), str(tmp_path)), out=tmp_path / "out")
    assert "Segmented 1 image in" in capsys.readouterr().out


def test_no_others_and_no_folders_are_named_where_nothing_was_labelled(
    model_folder, tmp_path, capsys
):
    (tmp_path / "bad.jpg").touch()
    with pytest.raises(WorkError, match=r"^1 file could not be segmented:\n.*bad\.jpg: is empty"):
        verb.predict((str(model_folder), str(tmp_path / "bad.jpg")), out=tmp_path / "out")
    assert "labels" not in capsys.readouterr().out


def test_wrong_usage(model_folder, tmp_path):
    photo = str(save_photo(tmp_path / "a.png", random_photo(9, 9)))
    with pytest.raises(SettingsError, match=r"^save has no 'masks'"):
        verb.predict((str(model_folder), photo), out=tmp_path / "out", save="labels,masks")
    with pytest.raises(SettingsError, match="save is empty"):
        verb.predict((str(model_folder), photo), out=tmp_path / "out", save=",")
    with pytest.raises(SettingsError, match="tile is 33"):
        verb.predict(
            (str(model_folder), photo), out=tmp_path / "out", options=SegmenterOptions(tile=33)
        )
    with pytest.raises(NotFoundError, match="no such file or folder"):
        verb.predict((str(model_folder), "nowhere"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_module_imports_nothing_heavy():
    code = (
        "import sys, upscore.cli.predict; "
        "heavy = {'torch', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    run_python(code)
