from __future__ import annotations

import shutil

import pytest

from upscore.cli.report import report
from upscore.errors import NotFoundError, OutputError, RunError, SettingsError


def test_report_of_one_run(run, capsys):
    report((run.path,))
    assert "first run" in run.report.read_text(encoding="utf-8")
    assert str(run.report) in capsys.readouterr().out


def test_report_of_two_runs(run, tmp_path):
    other = shutil.copytree(run.path, tmp_path / "second run")
    out = tmp_path / "deep" / "comparison.html"
    report((run.path, other), out=out)
    assert "Comparison of 2 runs" in out.read_text(encoding="utf-8")
    assert not run.report.exists()


def test_moved_run_reports_alike(run, tmp_path):
    report((run.path,))
    moved = tmp_path / "elsewhere" / "first run"
    moved.parent.mkdir()
    shutil.move(run.path, moved)
    report((moved,), out=tmp_path / "again.html")
    sizes = [len(p.read_text("utf-8")) for p in (moved / "report.html", tmp_path / "again.html")]
    assert abs(sizes[0] - sizes[1]) < 500


def test_wrong_arguments(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "other")
    with pytest.raises(NotFoundError, match="no run is named, and there is none in runs/"):
        report(())
    with pytest.raises(SettingsError, match="add --out"):
        report((run.path, tmp_path / "other"))
    with pytest.raises(SettingsError, match="the same run twice; its own page: upscore report"):
        report((run.path, tmp_path / "." / run.path.name), out=tmp_path / "page.html")
    with pytest.raises(SettingsError, match="the same run twice; name each once"):
        report((run.path, tmp_path / "other", run.path))
    with pytest.raises(SettingsError, match="is a folder; name a file"):
        report((run.path,), out=tmp_path)
    with pytest.raises(NotFoundError, match="no such run folder"):
        report((tmp_path / "none",))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        report((run.path,), out=tmp_path / "file" / "page.html")


def test_run_from_a_newer_upscore(run):
    run.manifest.write_text('{"format_version": 99}')
    with pytest.raises(RunError, match="newer upscore"):
        report((run.path,))
