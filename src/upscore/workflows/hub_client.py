"""Calls to a model hub, huggingface.co or a compatible one, and errors that name the fix.

``huggingface_hub`` is imported when a :class:`Hub` is made. Its telemetry is switched off, and
it manages the tokens: they come from ``hf auth login`` or HF_TOKEN, never from an option.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from upscore.core.extras import missing_extra
from upscore.core.files import LARGEST_DOWNLOAD, checksum, explain_os_error
from upscore.core.quoting import quote, shorten
from upscore.core.runtime import installed_version
from upscore.errors import NotFoundError, RunError, SettingsError, WorkError

COMMIT = re.compile(r"[0-9a-f]{40}")
"""A full commit hash."""

HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""Of a file: git's, or SHA-256 for large ones."""

PUSH = "push"
LOG_IN = "log in with: hf auth login (or set HF_TOKEN)"
ANSWERED = ("TooManyRedirects", "RemoteProtocolError", "DecodingError", "OSError")
"""Errors that tell of an answer, by name: of the HTTP library, and of a file of another size."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class Hub:
    """A model hub, https://huggingface.co or HF_ENDPOINT, and the local cache of its files.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
    """

    def __init__(self) -> None:
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        try:
            import huggingface_hub
            from huggingface_hub import constants, errors
        except ImportError as error:
            raise missing_extra("upscore hub", "hub") from error
        constants.HF_HUB_DISABLE_TELEMETRY = True  # where a program imported it before
        self._hub: Any = huggingface_hub
        self._errors: Any = errors
        self._cache = Path(constants.HF_HUB_CACHE)
        self.endpoint = str(constants.ENDPOINT)
        if not _is_address(self.endpoint):
            raise SettingsError(
                f"HF_ENDPOINT is {quote(self.endpoint)}; expected the address of a model hub, such "
                "as https://huggingface.co"
            )
        self._about = {"library_name": "upscore", "library_version": installed_version("upscore")}

    def resolve(self, repo: str, revision: str, file: str) -> tuple[str, bool]:
        """The commit of a branch or tag, and whether the hub said so.

        If the hub cannot be reached, a commit in the cache is used.

        Args:
            file: a file that the repository must have.

        Raises:
            NotFoundError: no such repository or revision, or a private one.
            RunError: the repository has no such file.
            WorkError: the hub cannot be reached and the cache does not help, or it refused.
        """
        try:
            path = self._download(repo, file, revision)  # by name: the cache learns its commit
        except _UnreachableError:
            cached = self._cached(repo, file, revision)
            if cached is None:
                raise
            return cached.parent.name, False
        return path.parent.name, True

    def fetch(self, repo: str, commit: str, file: str) -> Path | None:
        """The path in the cache of a file of a commit; None if the commit has no such file.

        Files in the cache are not downloaded again. What is downloaded must have the hash that the
        hub lists, by which the cache names it (where the system has links; elsewhere it has its own
        name there).

        Raises:
            NotFoundError: no such repository or commit, or a private one.
            WorkError: the hub cannot be reached, it refused, or a file does not have its hash.
            OutputError: the cache cannot be written.
        """
        known = self._hub.try_to_load_from_cache(repo, file, revision=commit)
        if known is self._hub._CACHED_NO_EXIST:
            return None
        path = self._cached(repo, file, commit)
        if path is None:
            try:
                return self._download(repo, file, commit)
            except _MissingFileError:
                return None
        content = path.resolve()
        if content.name != file and not _has_hash(content, content.name):
            raise WorkError(
                f"{content}: is not what {repo} has as {file} (its hash differs); delete this file "
                "and pull again"
            )
        return path

    def commit(
        self, repo: str, files: Mapping[str, Path | bytes], *, message: str, private: bool
    ) -> str:
        """Upload files in one commit; returns its hash. The repository is created if needed.

        Args:
            files: paths or contents by name in the repository.
            private: make a new repository private; an existing one stays as it is.

        Raises:
            NotFoundError, WorkError: refused, or the hub cannot be reached.
            SettingsError: the hub refuses the head of README.md, e.g. for an unknown licence.
        """
        api = self._hub.HfApi(endpoint=self.endpoint, **self._about)
        with self._explained(repo, PUSH):
            operations = [
                self._hub.CommitOperationAdd(
                    path_in_repo=name, path_or_fileobj=str(f) if isinstance(f, Path) else f
                )
                for name, f in files.items()
            ]
            try:  # first of all the hub looks at README.md: nothing is created for a refused one
                done = api.create_commit(repo, operations, commit_message=message)
            except self._errors.RepositoryNotFoundError:
                api.create_repo(repo, private=private or None, exist_ok=True)
                done = api.create_commit(repo, operations, commit_message=message)
            return str(done.oid)

    def _download(self, repo: str, file: str, revision: str) -> Path:
        """The path in the cache of a file that has the hash that the hub lists.

        What the hub says is checked before, as huggingface_hub makes paths of it.

        Raises as :meth:`fetch`, and so does a missing file, which the cache notes.
        """
        with self._explained(repo, f"ask for {revision}"):
            url = self._hub.hf_hub_url(repo, file, revision=revision, endpoint=self.endpoint)
            try:
                found = self._hub.get_hf_file_metadata(url, endpoint=self.endpoint, **self._about)
                commit = found.commit_hash
            except self._errors.RemoteEntryNotFoundError as error:
                found, commit = None, error.response.headers.get("X-Repo-Commit", revision)
        self._check_commit(repo, revision, commit or "")
        if found is not None:
            self._check_file(repo, file, found.etag or "", found.size or 0)
        with self._explained(repo, f"fetch {file}"):
            path = Path(
                self._hub.hf_hub_download(
                    repo, file, revision=revision, endpoint=self.endpoint, **self._about
                )
            )
        if path.parent.name != commit:
            raise WorkError(
                f"{self.endpoint}: {repo} at {revision} changed while {file} was downloaded; pull "
                "again"
            )
        if found is None or not _has_hash(path.resolve(), found.etag):
            with self._explained(repo, f"delete {path}"):
                path.resolve().unlink()
            raise WorkError(
                f"{path.resolve()}: is not what {repo} has as {file} (its hash differs) and was "
                "deleted; pull again"
            )
        return path

    def _check_commit(self, repo: str, revision: str, commit: str) -> None:
        if not COMMIT.fullmatch(commit):
            raise WorkError(
                f"{self.endpoint}: answered without the commit of {repo} at {revision}; is it a "
                "model hub? Look at HF_ENDPOINT"
            )
        if COMMIT.fullmatch(revision) and commit != revision:
            raise WorkError(
                f"{self.endpoint}: asked for {repo} at {revision}, but sent {commit}; is it "
                "a model hub? Look at HF_ENDPOINT"
            )

    def _check_file(self, repo: str, file: str, listed: str, size: int) -> None:
        if not HASH.fullmatch(listed):
            raise WorkError(
                f"{self.endpoint}: lists no hash of {file} of {repo} (ETag {quote(listed, 80)}), "
                "so a download could not be checked; is it a model hub? Look at HF_ENDPOINT"
            )
        if size > LARGEST_DOWNLOAD:
            raise WorkError(
                f"{self.endpoint}: {file} of {repo} has {size / 2**30:.1f} GiB, expected at most "
                f"{LARGEST_DOWNLOAD / 2**30:.1f}; is it a network of upscore?"
            )

    def _cached(self, repo: str, file: str, revision: str) -> Path | None:
        found = self._hub.try_to_load_from_cache(repo, file, revision=revision)
        return Path(found) if isinstance(found, str) else None

    @contextlib.contextmanager
    def _explained(self, repo: str, what: str) -> Iterator[None]:
        """Turn the errors of huggingface_hub into those of upscore.

        ``from None``: the original might quote what was sent.
        """
        try:
            yield
        except Exception as error:
            raise self._explain(error, repo, what) from None

    def _explain(self, error: Exception, repo: str, what: str) -> Exception:
        known, where = self._errors, f"{repo} on {self.endpoint}"
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, known.RevisionNotFoundError):
            return NotFoundError(f"{where}: cannot {what}, there is no such revision")
        if isinstance(error, known.RepositoryNotFoundError):
            return NotFoundError(
                f"{where}: no such repository, or a private or gated one that this account cannot "
                f"see; check the name, or {LOG_IN}"
            )
        if isinstance(error, known.EntryNotFoundError) and not isinstance(error, FileNotFoundError):
            return _MissingFileError(f"{where}: cannot {what}, there is no such file")
        if isinstance(error, known.LocalTokenNotFoundError) or status in (401, 403):
            return WorkError(f"{where}: no permission to {what}; {LOG_IN}")
        if isinstance(error, OSError) and error.errno in DISK:
            return explain_os_error(error, self._cache)
        if isinstance(error, ValueError) and "metadata in README.md" in str(error):
            return SettingsError(
                f"{where}: refused the head of README.md ({self._text(error)}); is --license an "
                "identifier such as apache-2.0, mit, cc-by-nc-4.0 or other?"
            )
        if status is not None and status < 500:
            return WorkError(f"{where}: refused to {what} ({self._text(error)})")
        # bases of the errors of the HTTP library, which differs by version of huggingface_hub
        if isinstance(error, (OSError, *known.HfHubHTTPError.__bases__)):
            cache = "" if what == PUSH else f", and it is not in the cache {self._cache}"
            if status is not None or type(error).__name__ in ANSWERED:
                return _UnreachableError(
                    f"{where}: failed to {what} ({self._text(error)}){cache}; try again later, and "
                    "look at HF_ENDPOINT if it is set"
                )
            return _UnreachableError(
                f"{where}: cannot be reached to {what} ({self._text(error)}){cache}; try again "
                "when you are online"
            )
        return WorkError(f"{where}: cannot {what} ({type(error).__name__}: {self._text(error)})")

    def _text(self, error: Exception) -> str:
        """The message in one line, without the token if a server quoted it."""
        text = " ".join(str(error).split()) or type(error).__name__
        token = self._hub.get_token()
        return shorten(text.replace(token, "***") if token else text)


class _UnreachableError(WorkError):
    """No answer, or none that can be used."""


class _MissingFileError(RunError):
    """The commit has no such file."""


def _has_hash(content: Path, listed: str) -> bool:
    if len(listed) == 64:
        return checksum(content, "sha256") == listed
    digest = hashlib.sha1(b"blob %d\0" % content.stat().st_size)  # as git does
    with content.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest() == listed


def _is_address(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
