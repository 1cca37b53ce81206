"""``--json``, ``--quiet`` and ``--log json``, the same for every command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from upscore.cli.main import main


def test_json_is_one_object_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "toy", "--out", str(tmp_path / "toy"), "--num", "24", "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "status": 0,
        "error": None,
        "result": {"folder": str(tmp_path / "toy"), "photos": 24},
    }
    main(["data", "check", str(tmp_path / "toy"), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["result"]["pairs"] == 24
    assert said["status"] == 0


def test_json_of_a_mistake_has_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["data", "check", "nowhere", "--json"])
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert (
        json.loads(said.out)["error"]
        == "nowhere: no such data set; give a folder or a dataset.yaml"
    )
    assert json.loads(said.out)["status"] == 2
    assert "nowhere" in said.err


def test_json_of_problems_has_the_result_and_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["data", "toy", "--out", str(tmp_path), "--num", "24", "--quiet"])
    next((tmp_path / "SegmentationClass").iterdir()).write_bytes(b"no mask")
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["--json", "data", "check", str(tmp_path)])
    assert stop.value.code == 1
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == 1
    assert len(said["result"]["problems"]) == 1


def test_quiet_prints_nothing_but_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["data", "toy", "--out", str(tmp_path), "--num", "4", "-q"])
    assert capsys.readouterr() == ("", "")
    with pytest.raises(SystemExit):
        main(["data", "check", "nowhere", "-q"])
    assert "nowhere" in capsys.readouterr().err


def test_the_next_command_prints_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "toy", "--out", str(tmp_path / "a"), "--num", "4", "-q"])
    main(["data", "toy", "--out", str(tmp_path / "b"), "--num", "4"])
    assert "4 photos" in capsys.readouterr().out


def test_log_json_has_the_beginning_and_the_end_of_short_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["data", "toy", "--out", str(tmp_path), "--num", "24", "--log", "json"])
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    stages = [event for event in events if "stage" in event]
    assert len(stages) == 2
    assert stages[0]["stage"] == stages[1]["stage"]
    assert stages[0]["done"] < stages[1]["done"] == stages[1]["total"] == 24


def test_log_json_has_errors_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "check", "nowhere", "--log", "json", "--quiet"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["level"] == "error"
    assert json.loads(line)["message"].startswith("nowhere: ")


@pytest.mark.parametrize("words", [["doctor"], ["info", "objects"]])
def test_keys_are_snake_case(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*words, "--json"])
    result = json.loads(capsys.readouterr().out)["result"]
    assert result
    assert [key for key in result if not re.fullmatch("[a-z0-9_]+", key)] == []
