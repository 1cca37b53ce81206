"""Mistakes on the command line: one or two lines, and what they tell to type is a command."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from upscore.cli.habits import OPTION_HABITS, VERB_HABITS
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
    "train --data x --name first": "type --out FOLDER",
    "train --dat x": "did you mean --data?",
    "train -data x": "options have two dashes: type --data",
    "train --data x --model unet": "the recipe as the first word",
    "train --data x --lr": "type --set optim.lr=0.001",
    "train . --iterations 5": "--data is missing; type: upscore train --data .",
    "data check --data x": "the folder alone, as in upscore data check PHOTOS",
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


@pytest.mark.parametrize("words", ["help data", "data --help"])
def test_help_of_a_group(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(words.split())
    out = capsys.readouterr().out
    assert "usage: upscore data" in out
    for name in ("check", "stats", "toy", "get"):
        assert name in out


def test_words_after_two_dashes_are_no_options() -> None:
    assert callable(parse(["predict", "--", "--lr.jpg"]))


@pytest.mark.parametrize(
    "words",
    [
        "train nosuch --data {data}",
        "train quick --data {data} --set optim.lrr=1",
        "train quick --data nowhere",
        "evaluate nosuchrun --data nowhere",
        "trian",
        "train --data {data} --epochs many",
        "recipes nosuch",
    ],
)
def test_mistakes_are_found_before_torch_is_imported(words: str, tmp_path: object) -> None:
    code = (
        "import sys\nfrom upscore.cli import main\n"
        f"try: main({words.format(data=tmp_path).split()!r})\nexcept SystemExit as end: "
        "assert end.code == 2, end.code\n"
        "print([m for m in ('torch', 'numba', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_usage_error_names_its_verb() -> None:
    with pytest.raises(UsageError) as wrong:
        parse(["predict", "--alpha"])
    assert wrong.value.verb == "predict"
