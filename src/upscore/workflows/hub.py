"""Networks on a model hub: push the network of a run with its card, pull one at a fixed commit."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscore.core.files import (
    atomic_path,
    checksum,
    make_folder,
    read_json,
    refuse_newer,
    write_json,
)
from upscore.core.lock import files_in
from upscore.core.model_folder import CONFIG, WEIGHTS, find_model
from upscore.core.quoting import quote
from upscore.core.run_folder import RunFolder
from upscore.errors import OptionError, RunError, SettingsError, WorkError
from upscore.models.checkpoint import load_model
from upscore.report.model_card import model_card
from upscore.report.run_data import read_model_folder, read_run
from upscore.workflows.hub_client import COMMIT, Hub

PIN = "hub.json"
"""File beside a pulled network: repository, revision, commit and SHA-256 of its files."""

CARD = "README.md"
FILES = (WEIGHTS, CARD, CONFIG)
"""What is pulled, in the order of writing: a folder without config.json is no model yet."""

FORMAT_VERSION = 1
MAIN = "main"
LONGEST_REVISION = 255


@dataclass(frozen=True)
class PushResult:
    """Where the network was uploaded to.

    Attributes:
        repo: OWNER/NAME.
        commit: hash of the commit that holds it.
        endpoint: address of the hub.
    """

    repo: str
    commit: str
    endpoint: str

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class PullResult:
    """A network that was pulled.

    Attributes:
        folder: a model folder.
        repo, revision: as asked for.
        commit: hash of the commit that ``folder`` holds.
        written: files that were written; empty if all of them were there.
        is_from_hub: whether the hub was asked what ``revision`` is now. If not, the commit comes
            from ``folder`` or the cache, or it was given.
    """

    folder: Path
    repo: str
    revision: str
    commit: str
    written: tuple[str, ...]
    is_from_hub: bool

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return {**vars(self), "folder": str(self.folder), "written": list(self.written)}


def push(
    run: str | Path,
    *,
    repo: str,
    license: str | None = None,
    private: bool = False,
) -> PushResult:
    """Upload a network with its card in one commit; the repository is created if needed.

    The card (README.md, replaces an existing one) has the classes, the scores of the run's
    evaluations, the name of the data set and the recipe; only the last part of paths is shown.

    Args:
        run: a run folder or a model folder.
        repo: OWNER/NAME.
        license: identifier of the licence, such as apache-2.0, mit, other; None: the card says
            that no licence is stated.
        private: make a new repository private. An existing one stays as it is.

    Raises:
        SettingsError: invalid name of a repository or licence, or the hub refuses the licence.
        NotFoundError, RunError: no network, or a damaged one; nothing is uploaded.
        MissingExtraError: huggingface_hub is not installed.
        WorkError: not logged in, refused, or the hub cannot be reached.
    """
    if parse_source(repo) != (repo, MAIN):
        raise OptionError("repo", f"is {repo!r}; expected OWNER/NAME without a revision")
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise OptionError(
            "license",
            f"is {license!r}; expected an identifier in lower case, such as apache-2.0, mit, "
            "cc-by-nc-4.0 or other",
        )
    run = Path(run)
    folder = find_model(run)
    load_model(folder)  # whatever is damaged is refused before anything is sent
    is_run = folder == RunFolder(run).model
    card = model_card(
        read_run(run) if is_run else read_model_folder(folder), repo=repo, license=license
    )
    hub = Hub()
    commit = hub.commit(
        repo,
        {CONFIG: folder / CONFIG, WEIGHTS: folder / WEIGHTS, CARD: card.encode()},
        message="Push a network with upscore",
        private=private,
    )
    return PushResult(repo, commit, hub.endpoint)


def pull(source: str, *, out: str | Path) -> PullResult:
    """Download a network into the model folder ``out``, at one commit.

    The commit and the SHA-256 of every file are written to ``out/hub.json``. A second pull of the
    same revision into the same folder keeps that commit and does not contact the hub; it only
    restores files that are missing or changed. A pull into another folder gets the current commit.
    Files are taken from the local cache of huggingface_hub if it has them.

    Only config.json, model.safetensors and README.md are downloaded, the network is loaded strictly
    before anything is written, and no code of the repository is run.

    Args:
        source: OWNER/NAME (branch ``main``), or OWNER/NAME@REVISION with a branch, tag or commit.
        out: output folder; it may already hold this network.

    Raises:
        SettingsError: the name is invalid, or ``out`` holds something else.
        NotFoundError: no such repository or revision, or a private one.
        RunError: the repository holds no network that this upscore can read.
        MissingExtraError: huggingface_hub is not installed.
        WorkError: the hub cannot be reached and the cache does not help, it refused, or a file has
            changed.
        OutputError: ``out`` or the cache cannot be written.
    """
    repo, revision = parse_source(source)
    out = Path(out)
    pin = read_pin(out)
    is_asked = False
    if pin is not None:
        commit = pin.commit
        if pin.repo != repo or revision not in (pin.revision, pin.commit):
            raise SettingsError(
                f"{out}: holds {pin.repo} at {pin.commit} ({pin.revision}); choose another --out"
            )
        wrong = [name for name, digest in pin.files.items() if not _has(out / name, digest)]
        if not wrong:
            return PullResult(out, repo, revision, commit, (), False)
        hub = Hub()
    else:
        hub = Hub()
        if COMMIT.fullmatch(revision):
            commit = revision
        else:
            commit, is_asked = hub.resolve(repo, revision, CONFIG)
    paths = {name: hub.fetch(repo, commit, name) for name in FILES}
    cached = {name: path for name, path in paths.items() if path is not None}
    _check_network(repo, commit, cached)
    files = {name: checksum(path, "sha256") for name, path in cached.items()}
    if pin is not None and pin.files != files:
        raise WorkError(
            f"{out / PIN}: lists other contents than {repo} has at {commit}; choose another --out"
        )
    make_folder(out)
    write_json(
        out / PIN,  # first: a pull that is interrupted from here on can be repeated
        {
            "format_version": FORMAT_VERSION,
            "endpoint": hub.endpoint,
            "repo": repo,
            "revision": revision if pin is None else pin.revision,
            "commit": commit,
            "files": files,
        },
    )
    written = tuple(name for name in cached if not _has(out / name, files[name]))
    for name in written:
        with atomic_path(out / name) as temporary:
            shutil.copyfile(cached[name], temporary)
    return PullResult(out, repo, revision, commit, written, is_asked)


def _check_network(repo: str, commit: str, cached: Mapping[str, Path]) -> None:
    """Load the downloaded network strictly. Raises RunError."""
    missing = [name for name in (CONFIG, WEIGHTS) if name not in cached]
    if missing:
        raise RunError(
            f"{repo} at {commit}: has no {' and no '.join(missing)}, so it was not pushed by "
            "`upscore hub push`; weights in other files (.bin, .pth) are not opened"
        )
    try:
        load_model(cached[CONFIG].parent)
    except RunError as error:
        raise RunError(
            f"{repo} at {commit}: not a network that this upscore can read; {error}"
        ) from error


@dataclass(frozen=True)
class Pin:
    """The content of hub.json; ``files`` are SHA-256 in hex by name."""

    repo: str
    revision: str
    commit: str
    files: Mapping[str, str]


def read_pin(folder: Path) -> Pin | None:
    """What was pulled into ``folder``; None if the folder is missing or empty.

    Raises:
        SettingsError: the folder holds something else.
        RunError: hub.json is damaged or from a newer upscore.
    """
    path = folder / PIN
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(files_in(folder))):
            raise SettingsError(
                f"{folder}: exists and was not made by `upscore hub pull` (no {PIN} in it); choose "
                "another --out"
            )
        return None
    fix = f"delete the folder {folder} and pull again"
    if path.is_dir():
        raise RunError(f"{path}: damaged, a folder; {fix}")
    try:
        content = read_json(path)
    except RunError as error:
        raise RunError(f"{error}; {fix}") from error
    refuse_newer(path, content, FORMAT_VERSION)
    files = content.get("files")
    named = [content.get(key) for key in ("repo", "revision", "commit")]
    if (
        not isinstance(files, dict)
        or not {CONFIG, WEIGHTS} <= set(files) <= set(FILES)
        or not all(isinstance(value, str) for value in [*named, *files.values()])
    ):
        raise RunError(f"{path}: damaged; {fix}")
    repo, revision, commit = map(str, named)
    if not COMMIT.fullmatch(commit):
        raise RunError(f"{path}: damaged, its commit is {quote(commit)}; {fix}")
    return Pin(repo, revision, commit, files)


def parse_source(source: str) -> tuple[str, str]:
    """OWNER/NAME[@REVISION] -> (OWNER/NAME, REVISION); the default is ``main``.

    Raises:
        SettingsError: the text has another form.
    """
    repo, at, revision = source.partition("@")
    name = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
    is_known = re.fullmatch(f"{name}/{name}", repo) and not re.search(r"\.\.|--|\.git$", repo)
    if not is_known:
        raise SettingsError(
            f"{quote(source)} is not a name on a hub; expected OWNER/NAME or OWNER/NAME@REVISION, "
            "such as jane/street-scenes or jane/street-scenes@v1. OWNER and NAME have up to 96 "
            "letters, digits, _ - and . each; the first and the last is none of - and ., and -- "
            "and .. are not allowed, nor .git at the end"
        )
    name = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
    is_ref = re.fullmatch(f"{name}(/{name})*", revision) and ".." not in revision
    if at and not (is_ref and len(revision) <= LONGEST_REVISION):
        raise SettingsError(
            f"{quote(source)}: expected a branch, a tag or a commit hash after @, of up to "
            f"{LONGEST_REVISION} characters, found {quote(revision, 80)}"
        )
    return repo, revision or MAIN


def _has(path: Path, digest: str) -> bool:
    return path.is_file() and checksum(path, "sha256") == digest
