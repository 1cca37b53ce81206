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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from upscore.core.extras import missing_extra
from upscore.core.files import checksum, explain_os_error
from upscore.core.runtime import installed_version
from upscore.errors import NotFoundError, RunError, SettingsError, WorkError

COMMIT = re.compile(r"[0-9a-f]{40}")
"""A full commit hash."""

PUSH = "push"
LOG_IN = "log in with: hf auth login (or set HF_TOKEN)"
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
            with self._explained(repo, f"ask for {revision}"):
                url = self._hub.hf_hub_url(repo, file, revision=revision, endpoint=self.endpoint)
                found = self._hub.get_hf_file_metadata(url, endpoint=self.endpoint, **self._about)
        except _UnreachableError:
            path = self._cached(repo, file, revision)
            if path is None:
                raise
            return path.parent.name, False
        commit = found.commit_hash or ""
        if not COMMIT.fullmatch(commit):
            raise WorkError(
                f"{self.endpoint}: answered without the commit of {repo} at {revision}; is it a "
                "model hub? Look at HF_ENDPOINT"
            )
        with self._explained(repo, f"fetch {file}"):  # by name, so that the cache learns its commit
            path = Path(self._download(repo, file, revision))
        return path.parent.name, True

    def fetch(self, repo: str, commit: str, file: str) -> Path | None:
        """The path in the cache of a file of a commit; None if the commit has no such file.

        Files in the cache are not downloaded again. The cache names contents by their hash (SHA-256
        for large files, git's for others); the file must have this hash.

        Raises:
            NotFoundError: no such repository or commit, or a private one.
            WorkError: the hub cannot be reached, it refused, or a file does not have its hash.
            OutputError: the cache cannot be written.
        """
        known = self._hub.try_to_load_from_cache(repo, file, revision=commit)
        if known is self._hub._CACHED_NO_EXIST:
            return None
        try:
            with self._explained(repo, f"fetch {file}"):
                path = Path(self._download(repo, file, commit))
        except _MissingFileError:
            return None
        content = path.resolve()
        if not _has_its_hash(content):
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
            api.create_repo(repo, private=private or None, exist_ok=True)
            operations = [
                self._hub.CommitOperationAdd(
                    path_in_repo=name, path_or_fileobj=str(f) if isinstance(f, Path) else f
                )
                for name, f in files.items()
            ]
            return str(api.create_commit(repo, operations, commit_message=message).oid)

    def _download(self, repo: str, file: str, revision: str) -> str:
        return str(
            self._hub.hf_hub_download(
                repo, file, revision=revision, endpoint=self.endpoint, **self._about
            )
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
            return _UnreachableError(
                f"{where}: cannot be reached to {what} ({self._text(error)}){cache}; try again "
                "when you are online"
            )
        return WorkError(f"{where}: cannot {what} ({type(error).__name__}: {self._text(error)})")

    def _text(self, error: Exception) -> str:
        """The message in one line, without the token if a server quoted it."""
        text = " ".join(str(error).split()) or type(error).__name__
        token = self._hub.get_token()
        return text.replace(token, "***") if token else text


class _UnreachableError(WorkError):
    """No answer, or an answer that reports a server error."""


class _MissingFileError(RunError):
    """The commit has no such file."""


def _has_its_hash(content: Path) -> bool:
    """Whether a file of the cache has the hash in its name; true for other names."""
    name = content.name
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return checksum(content, "sha256") == name
    if COMMIT.fullmatch(name):
        data = content.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == name
    return True
