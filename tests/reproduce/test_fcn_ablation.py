"""``fcn-report --ablate --seeds``, tiny: all networks, all seeds, and what the page says."""

from __future__ import annotations

import json
from statistics import fmean, stdev

import numpy as np
import pytest
import torch

from reproduce.support import Recorder, run
from upscore.core.runtime import Runtime
from upscore.data import open_dataset
from upscore.errors import SettingsError
from upscore.inference.load import load_segmenter
from upscore.metrics.confusion import Confusion
from upscore.models.checkpoint import load_model
from upscore.reproduce.skip_shares import skip_shares

REPORTED = ("exp1", "exp2", "exp3", "conv-vgg-bilinear")
PARTS = {
    "fcn32s-learned": ("fcn32s", "learned", False),
    "fcn8s-fixed": ("fcn8s", "fixed", False),
    "fcn8s-fixed-factors": ("fcn8s", "fixed", True),
    "fcn8s-learned": ("fcn8s", "learned", False),
    "exp1": ("fcn8s", "learned", True),
}


@pytest.fixture(scope="module")
def out(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation") / "out"
    recorder = Recorder()
    run("fcn-report", toy, folder, on_progress=recorder, budget="iterations=1000",
        seeds=[0, 3], ablate=True, assignments=["optim.lr=0.05"])  # fmt: skip
    assert len(recorder.trainings) == 16
    return folder


@pytest.fixture(scope="module")
def content(out):
    return json.loads((out / "results.json").read_text("utf-8"))


def table(content, name):
    (found,) = [one for one in content["tables"] if one["name"] == name]
    return [dict(zip(found["header"], row, strict=False)) for row in found["rows"]]


def test_networks_differ_by_what_their_names_say(content):
    for name, (network, upsampling, factors) in PARTS.items():
        for seed in (0, 3):
            recipe = content["manifest"]["recipes"][f"{name}-seed{seed}"]
            options = recipe["model"]["options"]
            assert recipe["seed"] == seed
            assert (recipe["model"]["name"], options["upsampling"], options["at_once"]) == (
                network, upsampling, factors,
            )  # fmt: skip
            exp1 = content["manifest"]["recipes"][f"exp1-seed{seed}"]
            for key in recipe:
                if key not in ("model", "description"):
                    assert recipe[key] == exp1[key], key


def miou(out, name, toy):
    split = open_dataset(toy).split("val")
    confusion = Confusion(len(split.labels))
    segmenter = load_segmenter(out / "runs" / name / "state" / "last", device="cpu",
                               precision="fp32")  # fmt: skip
    for place in range(len(split)):
        sample = split.read(place)
        confusion.update(sample.labels, segmenter.predict(sample.image))
    return confusion.scores().miou


def test_means_and_deviations_are_those_of_the_seeds(out, content, toy):
    header = next(t["header"] for t in content["tables"] if t["name"] == "table2-scores")
    final = header.index("mIoU, final weights")
    rows = next(t["rows"] for t in content["tables"] if t["name"] == "table2-scores")
    assert header[final + 1] == "deviation"
    for row, name in zip(rows, REPORTED, strict=True):
        values = [miou(out, f"{name}-seed{seed}", toy) for seed in (0, 3)]
        assert row[final] == pytest.approx(fmean(values))
        assert row[final + 1] == pytest.approx(stdev(values))


def test_differences_tell_of_photos_and_trainings(out, content, toy):
    values = [
        miou(out, f"fcn8s-fixed-seed{seed}", toy) - miou(out, f"conv-vgg-bilinear-seed{seed}", toy)
        for seed in (0, 3)
    ]
    reach = 12.7062 * stdev(values) / 2**0.5
    (found,) = [
        one["miou"] for one in content["scores"]["differences"]
        if (one["of"], one["to"]) == ("fcn8s-fixed", "conv-vgg-bilinear")
    ]  # fmt: skip
    assert found["miou"] == pytest.approx(fmean(values))
    assert found["trainings"] == pytest.approx([fmean(values) - reach, fmean(values) + reach],
                                               abs=1e-4)  # fmt: skip
    row = next(r for r in table(content, "ablation") if r["network"] == "FCN-8s, fixed upsampling")
    assert "between trainings" in row["difference"]


def test_every_network_has_its_row(content):
    assert len(table(content, "ablation")) == 6
    assert len(table(content, "ablation-changes")) == 8
    assert {row["says"] for row in table(content, "ablation-changes")} <= {
        "better", "worse", "cannot be told",
    }  # fmt: skip
    sentences = [check["sentence"] for check in content["checks"]]
    assert "Skips are why FCN-8s is better." in sentences
    assert "Learned upsampling is why FCN-8s is better." in sentences


def test_shares_are_those_of_the_weights(out, toy):
    """pool3 is silenced in a copy: its root mean square is that of the difference of scores."""
    folder = out / "runs" / "fcn8s-learned-seed0" / "state" / "last"
    photos = [open_dataset(toy).split("val").read(place).image for place in range(2)]
    found = skip_shares(folder, photos, Runtime("cpu", "fp32"))
    saved = load_model(folder)
    total, changed, count = 0.0, 0, 0
    for photo in photos:
        image = saved.input_spec.apply(torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None])
        with torch.inference_mode():
            whole = saved.model(image)
            kept = saved.model.scores["pool3"].weight.clone()
            saved.model.scores["pool3"].weight.zero_()
            without = saved.model(image)
            saved.model.scores["pool3"].weight.copy_(kept)
        part = (whole - without)[0].numpy().astype(np.float64)
        total += ((part - part.mean(axis=0)) ** 2).mean(axis=0).sum()
        changed += int((whole.argmax(1) != without.argmax(1)).sum())
        count += photo.shape[0] * photo.shape[1]
    assert found["pool3"]["rms"] == pytest.approx((total / count) ** 0.5, rel=1e-3)
    assert found["pool3"]["changed"] == pytest.approx(changed / count, abs=2e-3)
    assert sum(part["share"] for part in found.values()) == pytest.approx(1)


def test_the_factors_make_the_skips_small(content):
    skips = content["scores"]["skips"]
    for plain, scaled in (("fcn8s-fixed", "fcn8s-fixed-factors"), ("fcn8s-learned", "exp1")):
        assert skips[scaled]["pool3"]["rms"] < 0.01 * skips[plain]["pool3"]["rms"]
        assert skips[scaled]["pool4"]["rms"] < 0.5 * skips[plain]["pool4"]["rms"]
    rows = {row["network"]: row for row in table(content, "ablation-skips")}
    assert (
        rows["FCN-8s, fixed upsampling"]["share of pool3"] == skips["fcn8s-fixed"]["pool3"]["share"]
    )


def test_seeds_twice(toy, tmp_path):
    with pytest.raises(SettingsError, match=r"--set seed and --seeds"):
        run("fcn-report", toy, tmp_path / "out", seeds=[0, 1], assignments=["seed=3"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "a", "0,0", "1,-2", "1;2", "0,1,"])
def test_seeds_that_are_none(text):
    from upscore.cli.reproduce import parse_seeds

    with pytest.raises(SettingsError, match=r"--seeds is .*for example --seeds 0,1,2"):
        parse_seeds(text)
    assert parse_seeds("0, 2,1") == (0, 2, 1)
    assert parse_seeds(None) == ()
