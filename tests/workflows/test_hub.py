"""Networks to and from a model hub, against a stand-in server on loopback."""

from __future__ import annotations

import builtins
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import upscore
from hub_server import TOKEN, HubServer
from upscore.cli import main
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.model_folder import CONFIG, WEIGHTS
from upscore.errors import (
    MissingExtraError,
    NotFoundError,
    OutputError,
    RunError,
    SettingsError,
    WorkError,
)
from upscore.metrics.confusion import Confusion
from upscore.metrics.evaluate import Evaluation
from upscore.metrics.score_files import write_results
from upscore.models.checkpoint import load_model, save_model
from upscore.models.factory import create_model
from upscore.models.pretrained import initialise
from upscore.workflows.hub import CARD, PIN, parse_source, pull, push

REPO = "jane/cows"

# of huggingface_hub's uploads
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a tiny network, a manifest and one evaluation."""
    folder = tmp_path / "run"
    torch.manual_seed(0)
    model = create_model("fcn8s", num_classes=2, width=1 / 32, batch_norm=True, score_init="normal")
    labels = Labels.of(("ground", "cow"))
    save_model(folder / "model", model, labels=labels, input_spec=InputSpec.named("imagenet"))
    data = {"path": "/home/jane/cows"}
    (folder / "manifest.json").write_text(json.dumps({"format_version": 1, "data": data}))
    confusion = Confusion.from_json([[6, 2], [0, 8]])
    evaluation = Evaluation("val", labels, confusion, (), (), 1.0, 1.0)
    write_results(evaluation, folder / "evaluation" / "val", about={"data": data})
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The stand-in, an empty cache, and a token."""
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in speaks git LFS
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with HubServer() as server:
        template = f"{server.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)  # as by HF_ENDPOINT
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- push


def test_push_makes_one_commit_of_model_and_card(run: Path, hub: HubServer) -> None:
    result = push(run, repo=REPO, license="cc-by-nc-4.0")
    (commit,) = hub.repos[REPO]
    assert result.commit == commit.hash
    assert result.to_dict() == {"repo": REPO, "commit": commit.hash, "endpoint": hub.endpoint}
    assert set(commit.files) == {CONFIG, WEIGHTS, CARD}
    for name in (CONFIG, WEIGHTS):
        assert commit.files[name] == (run / "model" / name).read_bytes()
    card = commit.files[CARD].decode()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "cc-by-nc-4.0"
    assert "| 1 | cow | 0.800 |" in card
    assert "Data set: cows." in card
    assert "/home" not in card
    assert hub.private == set()


def test_push_again_adds_a_commit(run: Path, hub: HubServer) -> None:
    first = push(run, repo=REPO)
    second = push(run, repo=REPO, license="mit")
    assert [commit.hash for commit in hub.repos[REPO]] == [first.commit, second.commit]


def test_push_of_a_model_folder_and_a_private_repository(run: Path, hub: HubServer) -> None:
    push(run / "model", repo=REPO, private=True)
    assert hub.private == {REPO}
    assert "has not scored this network" in hub.repos[REPO][0].files[CARD].decode()


def test_telemetry_is_off(run: Path, hub: HubServer, tmp_path: Path) -> None:
    push(run, repo=REPO)
    pull(REPO, out=tmp_path / "pulled")
    from huggingface_hub import constants

    assert constants.HF_HUB_DISABLE_TELEMETRY
    agents = [agent for agent in hub.agents if "hf_hub/" in agent]  # storage is not told who asks
    assert all(agent.startswith("upscore/") and "torch" not in agent for agent in agents)
    assert agents
    assert not any("telemetry" in asked or "agent" in asked for asked in hub.asked)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"repo": "cows"}, "'cows' is not a name on a hub; expected OWNER/NAME"),
        ({"repo": "jane/cows@v1"}, "expected OWNER/NAME without a revision"),
        ({"repo": "jane/../cows"}, "is not a name on a hub"),
        ({"repo": REPO, "license": "MIT License"}, "expected an identifier in lower case"),
        ({"repo": REPO, "license": "unheard-of"}, r"must be one of \[apache-2.0.*--license"),
    ],
)
def test_push_refuses_wrong_names(
    run: Path, hub: HubServer, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        push(run, **arguments)
    assert hub.repos == {}


@pytest.mark.parametrize("number", ["many", None, [1], 1.5])
def test_a_number_of_parameters_that_is_none(run: Path, hub: HubServer, number: object) -> None:
    path = run / "model" / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_parameters": number}))
    push(run, repo=REPO)
    card = hub.repos[REPO][0].files[CARD].decode()
    assert "`fcn8s`, 2 classes, made with upscore" in card


def test_a_damaged_network_is_not_sent(run: Path, hub: HubServer) -> None:
    path = run / "model" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(RunError, match="damaged or truncated"):
        push(run, repo=REPO)
    assert hub.asked == []


@pytest.mark.usefixtures("hub")
def test_push_without_a_login(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(WorkError, match=r"no permission to push; log in with: hf auth login"):
        push(run, repo=REPO)


def test_push_to_a_hub_that_refuses_or_fails(run: Path, hub: HubServer) -> None:
    hub.fault = 418
    with pytest.raises(WorkError, match=r"jane/cows on http.*: refused to push \(.*418"):
        push(run, repo=REPO)
    hub.stop()
    with pytest.raises(
        WorkError, match=r"cannot be reached to push \(.*\); try again when you are"
    ):
        push(run, repo=REPO)


def test_no_token_is_printed(run: Path, hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even where the server quotes it and the traceback is shown."""
    main(["hub", "push", str(run), "--repo", REPO])
    hub.fault = 418
    with pytest.raises(SystemExit) as stop:
        main(["hub", "push", str(run), "--repo", REPO, "--debug"])
    assert stop.value.code == 1
    printed = capsys.readouterr()
    assert "fault after Bearer ***" in printed.err
    assert TOKEN not in printed.out + printed.err


# ---- pull


def test_what_was_pushed_comes_back(run: Path, hub: HubServer, tmp_path: Path) -> None:
    commit = push(run, repo=REPO).commit
    out = tmp_path / "pulled"
    result = pull(REPO, out=out)
    assert result.to_dict() == {
        "folder": str(out), "repo": REPO, "revision": "main", "commit": commit,
        "written": [WEIGHTS, CARD, CONFIG], "is_from_hub": True,
    }  # fmt: skip
    files = contents(out)
    pin = json.loads(files.pop(PIN))
    assert files == hub.repos[REPO][0].files
    assert pin == {
        "format_version": 1, "endpoint": hub.endpoint, "repo": REPO, "revision": "main",
        "commit": commit,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }  # fmt: skip
    assert not any(path.is_symlink() for path in out.iterdir())


def test_the_same_pull_again_is_offline_and_equal(
    run: Path, hub: HubServer, tmp_path: Path
) -> None:
    push(run, repo=REPO)
    out = tmp_path / "pulled"
    first = pull(REPO, out=out)
    before = contents(out)
    hub.add(REPO, {CARD: b"# changed"})  # main is another commit now
    hub.stop()
    again = pull(REPO, out=out)
    assert (again.commit, again.written, again.is_from_hub) == (first.commit, (), False)
    (out / WEIGHTS).write_bytes(b"damaged")
    (out / CONFIG).unlink()
    restored = pull(f"{REPO}@{first.commit}", out=out)
    assert restored.written == (WEIGHTS, CONFIG)
    assert contents(out) == before


def test_another_folder_is_filled_from_the_cache(run: Path, hub: HubServer, tmp_path: Path) -> None:
    push(run, repo=REPO)
    commit = pull(REPO, out=tmp_path / "a").commit
    hub.asked.clear()
    pull(f"{REPO}@{commit}", out=tmp_path / "b")
    assert hub.asked == []
    hub.stop()
    offline = pull(REPO, out=tmp_path / "c")
    assert (offline.commit, offline.is_from_hub) == (commit, False)
    for name in (CONFIG, WEIGHTS, CARD):
        assert contents(tmp_path / "b")[name] == contents(tmp_path / "a")[name]
        assert contents(tmp_path / "c")[name] == contents(tmp_path / "a")[name]


def test_a_pull_into_another_folder_follows_the_branch(
    run: Path, hub: HubServer, tmp_path: Path
) -> None:
    first = push(run, repo=REPO).commit
    hub.refs[REPO, "v1"] = first
    pull(REPO, out=tmp_path / "a")
    second = push(run, repo=REPO, license="mit").commit
    assert pull(REPO, out=tmp_path / "b").commit == second
    assert pull(f"{REPO}@v1", out=tmp_path / "c").commit == first
    assert pull(f"{REPO}@{first}", out=tmp_path / "d").commit == first
    with pytest.raises(SettingsError, match=rf"holds {REPO} at {first} \(main\); choose another"):
        pull(f"{REPO}@{second}", out=tmp_path / "a")
    with pytest.raises(SettingsError, match=f"holds {REPO} at"):
        pull("john/cows", out=tmp_path / "a")


@pytest.mark.usefixtures("hub")
def test_a_pull_that_stopped_half_way_can_be_repeated(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(run, repo=REPO)
    out = tmp_path / "pulled"
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            pull(REPO, out=out)
    assert set(contents(out)) == {PIN}
    pull(REPO, out=out)
    load_model(out)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_repository_without_a_card(run: Path, hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add(REPO, contents(run / "model"))
    assert pull(REPO, out=tmp_path / "a").written == (WEIGHTS, CONFIG)
    hub.stop()
    pull(f"{REPO}@{commit}", out=tmp_path / "b")
    assert set(contents(tmp_path / "b")) == {WEIGHTS, CONFIG, PIN}


@pytest.mark.usefixtures("hub")
def test_the_folder_is_a_network_for_predict_and_training(run: Path, tmp_path: Path) -> None:
    push(run, repo=REPO)
    out = tmp_path / "pulled"
    main(["hub", "pull", REPO, "--out", str(out)])
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.png")
    ours, theirs = (upscore.load(path).segment(photo).probabilities for path in (out, run))
    assert np.array_equal(ours, theirs)
    upscore.predict(out, [tmp_path / "a.png"], out=tmp_path / "labels")
    folder = tmp_path / "set"
    for kind, content in (("images", photo), ("masks", photo[..., 0] % 2)):
        (folder / kind / "val").mkdir(parents=True)
        Image.fromarray(content).save(folder / kind / "val" / "a.png")
    (folder / "classes.txt").write_text("ground\ncow\n")
    scored = upscore.evaluate(out, data=folder)
    assert scored.folder == out / "evaluation" / "val"
    assert pull(REPO, out=out).written == ()  # scores beside the network are no change of it
    fresh = create_model("fcn8s", num_classes=2, width=1 / 32, batch_norm=True)
    initialise(fresh, str(out), input_spec=InputSpec.named("imagenet"))
    saved = load_model(run / "model").model.state_dict()
    assert all(torch.equal(value, saved[key]) for key, value in fresh.state_dict().items())


def test_what_the_command_says(
    run: Path, hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["hub", "push", str(run), "--repo", REPO])
    commit = hub.repos[REPO][0].hash
    out = tmp_path / "a"
    printed = capsys.readouterr().out
    assert f"Pushed: {hub.endpoint}/{REPO} at {commit}\n" in printed
    assert "The card states no licence; choose one with --license" in printed
    assert f"Next: upscore hub pull {REPO}@{commit} --out DIR" in printed
    main(["hub", "pull", REPO, "--out", str(out)])
    assert capsys.readouterr().out.startswith(f"{REPO} at {commit}: {out}\n")
    main(["hub", "pull", REPO, "--out", str(out)])
    assert f"The hub was not asked: main is the commit that {out} has" in capsys.readouterr().out
    hub.stop()
    main(["hub", "pull", REPO, "--out", str(tmp_path / "b")])
    assert "not asked: main is the commit that the cache has" in capsys.readouterr().out


# ---- what cannot be pulled


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("jane/goats", "no such repository, or a private or gated one .* log in with"),
        (f"{REPO}@v9", "there is no such revision"),
        (f"{REPO}@{'0' * 40}", "there is no such revision"),
    ],
)
def test_no_such_repository_or_revision(
    run: Path, tmp_path: Path, source: str, message: str
) -> None:
    push(run, repo=REPO)
    with pytest.raises(NotFoundError, match=message):
        pull(source, out=tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


@pytest.mark.usefixtures("hub")
def test_a_private_repository_wants_a_login(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(run, repo=REPO, private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(NotFoundError, match="log in with: hf auth login"):
        pull(REPO, out=tmp_path / "pulled")


def test_offline_and_not_in_the_cache(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the tries of huggingface_hub
    hub.stop()
    for source in (REPO, f"{REPO}@{'0' * 40}"):
        with pytest.raises(WorkError, match=r"cannot be reached .* not in the cache"):
            pull(source, out=tmp_path / "pulled")


def test_a_server_that_is_no_hub(run: Path, hub: HubServer, tmp_path: Path) -> None:
    push(run, repo=REPO)
    hub.names_commits = False
    with pytest.raises(WorkError, match="is it a model hub\\? Look at HF_ENDPOINT"):
        pull(REPO, out=tmp_path / "pulled")
    hub.fault = 418
    with pytest.raises(WorkError, match="refused to ask for main"):
        pull(REPO, out=tmp_path / "pulled")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"pytorch_model.bin": b"\x80\x04."}, "no such file"),
        ({CONFIG: b"{}", "pytorch_model.bin": b"\x80\x04."}, "has no model.safetensors, so it was"),
        (
            {CONFIG: b"{}", WEIGHTS: b"x"},
            "not a network that .* can read; .*format_version",
        ),
        ({CONFIG: b'{"format_version": 1}', WEIGHTS: b"x"}, "no entry"),
        ({CONFIG: b'{"format_version": 9}', WEIGHTS: b"x"}, "written by a newer upscore"),
    ],
)
def test_repositories_of_other_programs(
    hub: HubServer, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    hub.add(REPO, files)
    with pytest.raises(RunError, match=message):
        pull(REPO, out=tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    assert not any("pytorch_model.bin" in asked for asked in hub.asked)


def test_weights_must_fit_their_config(run: Path, hub: HubServer, tmp_path: Path) -> None:
    files = contents(run / "model")
    config = json.loads(files[CONFIG])
    config["options"]["width"] = 1 / 16
    hub.add(REPO, {**files, CONFIG: json.dumps(config).encode()})
    with pytest.raises(RunError, match="belong to different networks"):
        pull(REPO, out=tmp_path / "pulled")


def test_contents_must_have_their_hashes(run: Path, hub: HubServer, tmp_path: Path) -> None:
    push(run, repo=REPO)
    hub.corrupt = True
    for _ in range(2):
        with pytest.raises(WorkError, match=r"its hash differs\) and was deleted; pull again"):
            pull(REPO, out=tmp_path / "pulled")
    hub.corrupt = False
    pull(REPO, out=tmp_path / "pulled")
    blob = tmp_path / "cache" / "models--jane--cows" / "blobs"
    blob /= hashlib.sha256((tmp_path / "pulled" / WEIGHTS).read_bytes()).hexdigest()
    blob.write_bytes(b"damaged")
    with pytest.raises(WorkError, match=r"its hash differs\); delete this file and pull again"):
        pull(REPO, out=tmp_path / "b")


def test_a_cache_without_links(
    run: Path, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, files do not have their hashes as names."""
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda *_: False)
    push(run, repo=REPO)
    hub.corrupt = True
    for _ in range(2):
        with pytest.raises(WorkError, match=r"its hash differs\) and was deleted; pull again"):
            pull(REPO, out=tmp_path / "a")
    hub.corrupt = False
    pull(REPO, out=tmp_path / "a")
    hub.stop()
    pull(REPO, out=tmp_path / "b")
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X_Repo_Commit": "b" * 40}, "but sent b{40}; is it a model hub"),
        ({"X_Repo_Commit": "../../../../../evil"}, "answered without the commit"),
        ({"ETag": '"EVIL"'}, r"lists no hash of .*/evil'\), so a download could not be checked"),
        ({"ETag": '"../../../../../evil"'}, "lists no hash of "),
        ({"ETag": '"v1"'}, r"lists no hash of .*ETag 'v1'\)"),
        ({"ETag": ""}, r"lists no hash of .*ETag ''\)"),
        ({"X_Linked_Size": str(9 << 30)}, "has 9.0 GiB, expected at most 8.0; is it a network"),
    ],
)
def test_a_hub_that_answers_what_no_hub_does(
    run: Path, hub: HubServer, tmp_path: Path, headers: dict[str, str], message: str
) -> None:
    """The cache would make paths of its words, and a pin would name another commit."""
    commit = push(run, repo=REPO).commit
    hub.headers = {k: v.replace("EVIL", f"{tmp_path}/evil") for k, v in headers.items()}
    before = set(tmp_path.iterdir())
    with pytest.raises(WorkError, match=message):
        pull(f"{REPO}@{commit}", out=tmp_path / "pulled")
    assert set(tmp_path.iterdir()) == before


def test_a_missing_file_of_another_commit(hub: HubServer, tmp_path: Path) -> None:
    """The cache notes missing files, too."""
    commit = hub.add(REPO, {"a.txt": b""})
    for sent, message in (("../../../../../evil", "without the commit"), ("b" * 40, "but sent")):
        hub.headers = {"X_Repo_Commit": sent}
        with pytest.raises(WorkError, match=message):
            pull(f"{REPO}@{commit}", out=tmp_path / "pulled")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [302, 500])
def test_a_hub_that_answers_is_not_offline(hub: HubServer, tmp_path: Path, status: int) -> None:
    """302 leads to the same address again."""
    hub.fault = status
    with pytest.raises(WorkError, match=r"failed to ask for main .*look at HF_ENDPOINT") as error:
        pull(REPO, out=tmp_path / "pulled")
    assert "online" not in str(error.value)


def test_a_file_of_another_size_than_listed(run: Path, hub: HubServer, tmp_path: Path) -> None:
    push(run, repo=REPO)
    hub.headers = {"X_Linked_Size": "5"}
    with pytest.raises(WorkError, match=r"failed to fetch config.json .*should be of size 5"):
        pull(REPO, out=tmp_path / "pulled")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://127.0.0.1", "http://[bad", "https://"])
def test_an_address_that_is_none(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    for work in (lambda: push(run, repo=REPO), lambda: pull(REPO, out=tmp_path / "pulled")):
        with pytest.raises(SettingsError, match=r"HF_ENDPOINT is '.*expected the address of a"):
            work()


@pytest.mark.usefixtures("hub")
def test_a_pin_of_other_contents(run: Path, tmp_path: Path) -> None:
    push(run, repo=REPO)
    out = tmp_path / "pulled"
    pull(REPO, out=out)
    pin = json.loads((out / PIN).read_text())
    pin["files"][WEIGHTS] = "0" * 64
    (out / PIN).write_text(json.dumps(pin))
    with pytest.raises(WorkError, match="lists other contents than jane/cows has"):
        pull(REPO, out=out)


def test_folders_that_are_taken(run: Path, hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="was not made by `upscore hub pull`"):
        pull(REPO, out=run)
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="was not made by `upscore hub pull`"):
        pull(REPO, out=tmp_path / "file")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"not JSON \(.*\); delete the folder .* and pull again"),
        ("[]", "expected a JSON object, found list; delete the folder"),
        (
            '{"repo": "a/b", "revision": "x", "commit": "../../../x", "files": '
            '{"config.json": "", "model.safetensors": ""}}',
            r"hub.json: damaged, its commit is '../../../x'; delete the folder",
        ),
        ("{}", "damaged; delete the folder"),
        ('{"repo": "a/b", "revision": "x", "commit": 3, "files": {}}', "damaged; delete"),
        (
            '{"repo": "a/b", "revision": "x", "commit": "y", "files": '
            '{"config.json": "", "model.safetensors": "", "../evil": ""}}',
            "damaged; delete",
        ),
        ('{"format_version": 2}', "written by a newer upscore"),
    ],
)
def test_a_damaged_pin(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / PIN).write_text(content)
    with pytest.raises(RunError, match=message):
        pull(REPO, out=tmp_path)


def test_a_pin_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / PIN).mkdir()
    with pytest.raises(RunError, match=r"hub.json: damaged, a folder; delete the folder"):
        pull(REPO, out=tmp_path)


@pytest.mark.usefixtures("hub")
def test_a_cache_that_cannot_be_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(run, repo=REPO)
    import huggingface_hub

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(OutputError, match=r"cannot write .*cache: the disk is full"):
        pull(REPO, out=tmp_path / "pulled")


@pytest.mark.usefixtures("hub")
def test_an_unforeseen_error_is_told(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(run, repo=REPO)
    import huggingface_hub

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    with pytest.raises(WorkError, match=r"cannot fetch config.json \(RuntimeError: out of luck\)"):
        pull(REPO, out=tmp_path / "pulled")


@pytest.mark.parametrize(
    ("source", "parsed"),
    [
        ("jane/cows", (REPO, "main")),
        ("jane/cows@v1.2", (REPO, "v1.2")),
        ("jane/cows@refs/pr/3", (REPO, "refs/pr/3")),
    ],
)
def test_names_on_a_hub(source: str, parsed: tuple[str, str]) -> None:
    assert parse_source(source) == parsed


@pytest.mark.parametrize(
    "source",
    [
        "cows", "jane/cows/x", "jane/", "../cows", "jane/cows@", "jane/cows@../x", "a/b@/x",
        "a/b--c", "a/b.", "a./b", "a/b-", "a/-b", "a/b.git", f"a/{'b' * 97}", f"{'a' * 97}/b",
        f"a/{'b' * 5000}", f"a/b@{'r' * 5000}",
    ],
    ids=lambda source: source[:20],
)  # fmt: skip
def test_names_that_are_none(source: str) -> None:
    with pytest.raises(
        SettingsError, match=r"jane/street-scenes@v1|expected a branch, a tag"
    ) as error:
        parse_source(source)
    assert len(str(error.value)) < 1000


def test_every_name_that_is_accepted_is_one_for_huggingface_hub() -> None:
    validators = pytest.importorskip("huggingface_hub.utils")
    for repo in (f"a/{'b' * 96}", f"{'a' * 96}/b", "_a/b_", "a.b-c_d/1", "0/0", "a/b.gits"):
        assert parse_source(repo) == (repo, "main")
        validators.validate_repo_id(repo)


def test_without_the_extra(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_ = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return import_(name, *rest)

    for name in [name for name in sys.modules if name.startswith("huggingface_hub")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")  # restored after the test
    monkeypatch.setattr(builtins, "__import__", without)
    for work in (lambda: push(run, repo=REPO), lambda: pull(REPO, out=tmp_path / "pulled")):
        with pytest.raises(MissingExtraError, match=r'type: pip install "upscore\[hub\]"'):
            work()
