"""Mistakes on the command line: one or two lines, and what they tell to type is a command."""

from __future__ import annotations

import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from upscore.cli.habits import MISSING_VERBS, OPTION_HABITS, VERB_HABITS
from upscore.cli.main import main
from upscore.cli.parsing import UsageError, flags_of, parse
from upscore.cli.verbs import GROUPS, SECTIONS, VERBS, Verb

MISTAKES = {
    "trian --data x": "no command 'trian'; did you mean upscore train?",
    "val RUN": "no command 'val'; did you mean upscore evaluate?",
    "check PHOTOS": "no command 'check'; did you mean upscore data check?",
    "data chek x": "did you mean upscore data check?",
    "data xyzzy": "data has no command 'xyzzy'; it has check, stats",
    "data": "name one of check, stats, toy, get; see upscore help data",
    "--data x": "options come after a command",
    "xyzzy": "see upscore --help",
    "train": "--data is missing",
    "train --data x --lr 0.1": "type --set optim.lr=0.1",
    "train --data x --batch-size 8": "type --set batch.size=8",
    "train --data x --imgsz 320": "type --set 'augment.crop=[320,320]'",
    "train --data x --imgsz 320x240": "type --set 'augment.crop=[240,320]' (height, width)",
    "sweep quick --data x --out y --seed 0,1": "type --set seed=0,1",
    "export RUN --format onnx": "there is no command 'export'; networks are used from Python",
    "serve RUN": "load the network once in your own service",
    "train --data x --name first": "type --out FOLDER",
    "train --dat x": "did you mean --data?",
    "train -data x": "options have two dashes: type --data",
    "train --data x --model unet": "the recipe as the first word",
    "train --data x --lr": "type --set optim.lr=0.001",
    "train . --iterations 5": "--data is missing; type: upscore train --data .",
    "data check --data x": "the folder alone, for example upscore data check PHOTOS",
    "train --data x --iterations 5 --minutes 1": "--minutes and --iterations: the length",
    "train --data x --epochs 5 --set budget.minutes=1": "--epochs and budget.minutes=1",
    "train --data x --gpu 0": "type --device cuda",
    "train --data x --minutes soon": "--minutes: expected a number, found 'soon'",
    "train --data x --iterations 2.5": "--iterations: expected a whole number",
    "train --data": "--data needs a value after it",
    "train --data x --device gpu": "--device is 'gpu'; allowed: 'recipe', 'auto', 'cpu', 'cuda'",
    "predict --source x": "the photos without an option",
    "predict x --alpha much": "--alpha: expected a number, found 'much'",
    "predict x --device gpu": "--device is 'gpu'; allowed: 'auto', 'cpu', 'cuda'",
    "compare": "--data is missing",
    "data get voc --to x": "name is 'voc'; allowed: 'voc2012', 'sbd', 'camvid'",
    "refine x --out y": "--images is missing",
    "reproduce fcn-report --data x": "--out is missing",
    "proposals make": "--data and --out are missing",
    "evaluate a b --data x": "unexpected b: there are more words than it takes",
    "data check x --json out.json": "--json prints to stdout: type --json > out.json",
    "evaluate --xyzzy": "it has --data, --split",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_has_a_line_and_says_what_to_type(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert MISTAKES[words] in said.err
    assert said.out == "" or "--json" in words
    assert len(said.err.splitlines()) <= 2
    assert re.match(r"upscore( [a-z-]+)*: ", said.err)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_examples_are_commands(verb: Verb) -> None:
    assert verb.examples
    for example in verb.examples:
        program, *words = shlex.split(example)
        assert program == "upscore"
        assert callable(parse(words))
        assert example.startswith(f"upscore {verb.name}")


def test_habits_lead_to_commands_and_options() -> None:
    names = {verb.name: verb for verb in VERBS}
    assert set(VERB_HABITS.values()) <= set(names)
    assert not set(VERB_HABITS) & (set(names) | set(GROUPS))
    for name, answers in OPTION_HABITS.items():
        verbs = [names[name]] if name else [names["train"]]
        for verb in verbs:
            flags = flags_of(verb)
            for option, answer in answers.items():
                assert option not in flags, f"{name} has --{option} itself"
                if answer.startswith("--"):
                    assert answer[2:].split()[0] in flags, f"{name}: {answer}"


def test_settings_in_habits_are_there() -> None:
    from upscore.training.recipe import load_recipe

    for answer in OPTION_HABITS["train"].values():
        if answer.startswith("--set "):
            typed = re.sub(r"\{(.*?)\}", r"\1", answer).replace("RUN", "none")
            assignment = shlex.split(typed)[1]
            load_recipe("quick", [assignment])


def test_the_overview_shows_every_command() -> None:
    shown = [name for names in SECTIONS.values() for name in names]
    assert sorted(shown) == sorted({verb.group or verb.name for verb in VERBS})


@pytest.mark.parametrize("words", [["help", "train"], ["train", "--help"], ["train", "-h"]])
def test_help_has_options_and_examples(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(words)
    out = capsys.readouterr().out
    assert "usage: upscore train" in out
    assert "--minutes" in out
    assert "upscore train --data PHOTOS" in out
    assert "(default: None)" not in out
    assert "(required)" not in out


@pytest.mark.parametrize("name", ["", *GROUPS, *(verb.name for verb in VERBS)])
def test_help_fits_a_terminal(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main([*name.split(), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if re.search(r"(default:|--(set|scales|seeds|data))$", line)]
    assert "{None}" not in " ".join(lines)
    if verb := next((verb for verb in VERBS if verb.name == name), None):
        text = " ".join(" ".join(lines).split())
        assert all(f"--{flag}" in text for flag in flags_of(verb))


def test_help_keeps_the_texts_of_options(capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--scales [FLOAT [FLOAT ...]] Average over these sizes of the photo, for" in text
    assert "--count-objects PIXELS In summary.csv, also count the connected regions of" in text
    assert "--alpha FLOAT Opacity of the colours in overlays" in text
    assert "(default: 0.5)" in text


@pytest.mark.parametrize("words", ["help data", "data --help"])
def test_help_of_a_group(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(words.split())
    out = capsys.readouterr().out
    assert "usage: upscore data" in out
    for name in ("check", "stats", "toy", "get"):
        assert name in out


def test_words_after_two_dashes_are_no_options() -> None:
    assert callable(parse(["predict", "--", "--lr.jpg"]))


EARLY = {
    "train nosuch --data {data}": "no shipped recipe 'nosuch'",
    "train quick --data {data} --set optim.lrr=1": "did you mean optim.lr?",
    "train quick --data {data} --set lr=1": "unknown setting 'lr'; did you mean optim.lr?",
    "train quick --data {data} --set momentun=1": "did you mean optim.momentum?",
    "train quick --data {data} --set batch=8": "batch is a group of settings (found 8); name one",
    "train quick --data {data}/phots": "no such data set (did you mean {data}/photos?)",
    "train quick --data {data} --iterations 0": "--iterations is 0; allowed: 1 or more",
    "train quick --data {data} --minutes 0": "--minutes is 0; allowed: over 0",
    "train --data {data} --seed -1": "--seed is -1; allowed: 0 or more",
    "train --data {data} --epochs many": "expected a number, found 'many'",
    "sweep quick --data {data} --out o --set lr=1,2": "did you mean optim.lr?",
    "sweep quick --data {data} --out o --set seed=1,2 --processes 0": "--processes is 0",
    "evaluate nosuchrun --data {data}": "nosuchrun: no such run folder, pipeline file",
    "evaluate {data}/photoz --data {data}": "(did you mean {data}/photos?)",
    "evaluate {data}/photos --data {data} --tile 100": "--tile is 100; allowed: 0 (never)",
    "evaluate {data}/photos --data {data} --crf deconvnett": "did you mean 'deconvnet'",
    "evaluate {data}/photos --data {data} --figures pfd": "--figures has no 'pfd'; did you mean",
    "evaluate {data}/photos --data {data} --workers 0": "--workers is 0; allowed: 1 or more",
    "compare {data} --data {data}": "a comparison needs two or more runs",
    "compare {data} {data} --data {data} --pictures -1": "--pictures is -1; allowed: 0",
    "compare {data} {data} --data {data} --scales 9": "--scales hold 9.0; allowed: one or more",
    "predict {photo} --alpha 3": "--alpha is 3.0; allowed: 0 (photo alone) to 1",
    "predict {photo} --tile 100": "--tile is 100; allowed: 0 (never) or a multiple of 32",
    "predict {photo} --save overlays": "--save has no 'overlays'; did you mean 'overlay'?",
    "predict {photo} --count-objects 0": "--count-objects is 0; allowed: 1 or more",
    "predict {photo} --mm-per-pixel 0": "--mm-per-pixel is 0.0; allowed: over 0",
    "predict {photo} --max-pixels 0": "--max-pixels is 0; allowed: 1 or more",
    "classify {photo} --top 0": "--top is 0; allowed: 1 or more",
    "data toy --out {data}/toy --size 8 8": "--size is 8 8; allowed: 16 or more pixels a side",
    "predict {photo} --crf no.yaml": "no.yaml: no such file of CRF settings",
    "predict {photo} --model rads": "rads: no such run folder (did you mean roads?)",
    "predict {photo} --model no.yaml": "no.yaml: no such pipeline file",
    "predict {data}/photos/phto.jpg": "no such file or folder (did you mean {photo}?)",
    "predict {data}/photos/phto.jpg {photo}": "no such file or folder (did you mean {photo}?)",
    "predict rads {photo}": "rads: no such run folder (did you mean roads?)",
    "predict {photo} --save-proposal-steps 0": "--save-proposal-steps is '0'",
    "refine {data}/phots --images {data} --out o": "(did you mean {data}/photos?)",
    "refine {data} --images {data}/phots --out o": "(did you mean {data}/photos?)",
    "refine {data} --images {data} --out o --confidence 2": "--confidence is 2.0; allowed: over 0",
    "tune-crf {data} --data {data} --trials 0": "--trials is 0; allowed: 1 or more",
    "tune-crf objcts --data {data}": "objcts: no such run folder (did you mean objects?)",
    "report {data}/phots": "no such run folder (did you mean {data}/photos?)",
    "info rads": "rads: no such run folder (did you mean roads?)",
    "recipes quikc": "did you mean 'quick'?",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A folder to work in, with a photo; what stands for {data} and {photo}."""
    monkeypatch.chdir(tmp_path)
    photo = tmp_path / "photos" / "photo.jpg"
    photo.parent.mkdir()
    photo.touch()
    return {"data": str(tmp_path), "photo": str(photo)}


@pytest.mark.skipif(sys.platform == "win32", reason="paths with slashes")
@pytest.mark.parametrize("words", EARLY)
def test_a_wrong_value_is_named_with_what_is_allowed(
    words: str, here: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([word.format(**here) for word in words.split()])
    assert stop.value.code == 2
    assert EARLY[words].format(**here) in capsys.readouterr().err
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["photos"]


def test_mistakes_are_found_before_torch_is_imported(here: dict[str, str]) -> None:
    lines = [[word.format(**here) for word in words.split()] for words in (*EARLY, "trian")]
    code = (
        "import sys\nfrom upscore.cli import main\n"
        f"for words in {lines!r}:\n"
        "    try: main(words)\n"
        "    except SystemExit as end: assert end.code == 2, (words, end.code)\n"
        "    heavy = [m for m in ('torch', 'numba', 'scipy', 'matplotlib') if m in sys.modules]\n"
        "    assert not heavy, (words, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_usage_error_names_its_verb() -> None:
    with pytest.raises(UsageError) as wrong:
        parse(["predict", "--alpha"])
    assert wrong.value.verb == "predict"


def test_functions_that_are_named_instead_of_commands_are_there() -> None:
    named = {
        name for text in MISSING_VERBS.values() for name in re.findall(r"(upscore\.\S+)\(", text)
    }
    assert len(named) == 2
    for name in named:
        assert callable(pkgutil.resolve_name(name)), name
