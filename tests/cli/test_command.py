"""The command itself: light help, truthful docs, and the README's five commands in one go."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from upscore.cli.main import main
from upscore.cli.verbs import GROUPS, VERBS

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch",
    "numpy",
    "matplotlib",
    "scipy",
    "lightning_fabric",
    "pydantic",
    "PIL",
    "numba",
    "pyarrow",
)


@pytest.mark.parametrize(
    "verb",
    [
        "",
        "train",
        "sweep",
        "predict",
        "refine",
        "data stats",
        "weights get",
        "reproduce fcn-report",
    ],
)
def test_help_imports_nothing_heavy(verb: str) -> None:
    code = (
        "import sys\nfrom upscore.cli import main\n"
        f"try: main({[*verb.split(), '--help']!r})\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", [*(verb.name for verb in VERBS), *GROUPS])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([*verb.split(), "--help"])
    assert f"usage: upscore {verb}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert re.fullmatch(r"upscore \S+\n", capsys.readouterr().out)


def test_doctor_prints_device_precision_rate_and_extras(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    out = capsys.readouterr().out
    for words in (
        "torch",
        "device chosen",
        "precision chosen",
        "TFLOP/s measured",
    ):
        assert words in out
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for words in (
        f"extra {name} " for name in project["optional-dependencies"].keys() - {"all", "dev"}
    ):
        assert words in out


def test_recipes_lists_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main(["recipes"])
    assert "fcn8s-quick" in capsys.readouterr().out
    main(["recipes", "fcn8s-exp1"])
    assert "weight_decay: 1.0e-06" in capsys.readouterr().out


def test_generated_docs_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "docs" / "generate.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_in_the_docs_lead_somewhere() -> None:
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def commands_under(heading: str) -> list[str]:
    """The commands of upscore in a section of the README."""
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    section = f"\n{readme}".split(
        f"\n# {heading}\n" if heading == "upscore" else f"\n## {heading}"
    )[1]
    section = section.split("\n## ")[0]
    return re.findall(r"^    (upscore [^#\n]+)", section, re.MULTILINE)


def test_the_readmes_first_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Predictions without a training."""
    lines = [line for line in commands_under("upscore") if line.startswith("upscore predict ")]
    lines.append("upscore predict street.jpg --model roads")
    monkeypatch.chdir(tmp_path)
    for name in ("photo", "street"):
        Image.new("RGB", (80, 60), "gray").save(f"{name}.jpg")
    for line in (line for line in lines if "RUN" not in line):
        main(shlex.split(line)[1:])
    assert capsys.readouterr().out.count("with the classes") == 2
    assert {path.name for path in Path("predictions/labels").iterdir()} == {
        "photo.png",
        "street.png",
    }


def test_the_readmes_five_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = commands_under("The five commands")
    assert len(lines) == 5
    monkeypatch.chdir(tmp_path)
    main(["data", "toy", "--out", "PHOTOS", "--num", "6"])
    (tmp_path / "new").mkdir()
    first = sorted((tmp_path / "PHOTOS" / "JPEGImages").glob("*.jpg"))[0]
    (tmp_path / "new" / "a.jpg").write_bytes(first.read_bytes())
    tiny = "--set budget.iterations=2 augment.crop=[64,64] average=0 init.head.crops=8"
    for line in lines:
        more = shlex.split(tiny) if " train " in line else []
        main([*shlex.split(line)[1:], *more])
    capsys.readouterr()
    assert (tmp_path / "RUN" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "LABELLED" / "labels" / "a.png").exists()
    scores = json.loads((tmp_path / "RUN" / "evaluation" / "val" / "scores.json").read_text())
    assert scores["scores"]["classes_averaged"] > 0

    import upscore

    result = upscore.load("RUN").segment("new/a.jpg")
    result.overlay().save("overlay.png")
    assert (tmp_path / "overlay.png").exists()
