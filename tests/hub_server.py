"""A stand-in for huggingface.co on loopback: the routes of pushing and pulling, and no other."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_secretOfTheTests"
LARGE = ".safetensors"


@dataclass
class Commit:
    """A state of a repository: contents by name."""

    hash: str
    message: str
    files: dict[str, bytes]


@dataclass
class HubServer:
    """Repositories in memory; ``with HubServer() as hub`` serves them.

    Attributes:
        asked: methods and paths of the requests so far.
        agents: their user agents.
        corrupt: serve contents that are not those of their hashes.
        names_commits: whether answers say which commit they are of, as a hub's do.
        fault: answer everything with this status, and the same address.
        headers: of answers that serve files, in place of others; none for empty ones.
    """

    repos: dict[str, list[Commit]] = field(default_factory=dict)
    refs: dict[tuple[str, str], str] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    uploads: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    corrupt: bool = False
    names_commits: bool = True
    fault: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> HubServer:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def stop(self) -> None:
        """Serve no more; a second call does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self, repo: str, files: dict[str, bytes], message: str = "by hand") -> str:
        """A commit on top of the last, which ``main`` is from now on; returns its hash."""
        commits = self.repos.setdefault(repo, [])
        merged = {**(commits[-1].files if commits else {}), **files}
        digest = hashlib.sha1(f"{repo} {len(commits)} {sorted(merged.items())}".encode())
        commits.append(Commit(digest.hexdigest(), message, merged))
        self.refs[repo, "main"] = commits[-1].hash
        return commits[-1].hash

    def find(self, repo: str, revision: str) -> Commit | None:
        wanted = self.refs.get((repo, revision), revision)
        return next((c for c in self.repos[repo] if c.hash == wanted), None)


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.0"  # no connection outlives its answer, nor the server

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _begin(self) -> bool:
        """Note the request; False where it is answered already."""
        self.hub.asked.append(f"{self.command} {self.path}")
        self.hub.agents.append(self.headers.get("User-Agent", ""))
        if self.hub.fault is not None:
            quoted = self.headers.get("Authorization", "nothing")
            self._send(self.hub.fault, {"error": f"fault after {quoted}"}, Location=self.path)
        return self.hub.fault is None

    def _send(self, status: int, content: Any = None, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _error(self, status: int, code: str) -> None:
        self._send(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if not self._begin():
            return
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        if found is None:
            self._send(501, {"error": f"the stand-in has no {self.path}"})
            return
        repo, revision, name = found.groups()
        if repo not in self.hub.repos or (repo in self.hub.private and not self._is_known()):
            self._error(404 if self._is_known() else 401, "RepoNotFound")
            return
        commit = self.hub.find(repo, revision)
        if commit is None:
            self._error(404, "RevisionNotFound")
            return
        headers = {"X_Repo_Commit": commit.hash} if self.hub.names_commits else {}
        if name not in commit.files:
            headers = {**headers, **self.hub.headers}
            self._send(404, {}, X_Error_Code="EntryNotFound", **headers)
            return
        data = commit.files[name]
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        etag = hashlib.sha256(data).hexdigest() if name.endswith(LARGE) else git
        if self.hub.corrupt:
            data = bytes([data[0] ^ 1]) + data[1:]
        self._send(200, data, **{"ETag": f'"{etag}"', **headers, **self.hub.headers})

    def _is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def do_PUT(self) -> None:
        data = self._body()
        if self._begin():
            assert hashlib.sha256(data).hexdigest() == self.path.rpartition("/")[2]
            self.hub.uploads[self.path.rpartition("/")[2]] = data
            self._send(200)

    def do_POST(self) -> None:
        body = self._body()
        if not self._begin():
            return
        if self.path == "/api/validate-yaml":
            if "license: unheard-of" in json.loads(body)["content"]:
                message = '"license" must be one of [apache-2.0, ...]'
                self._send(400, {"errors": [{"message": message}], "warnings": []})
            else:
                self._send(200, {"errors": [], "warnings": []})
        elif not self._is_known():
            self._send(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif (found := re.match(r"/api/models/([^/]+/[^/]+)/", self.path)) and (
            found[1] not in self.hub.repos
        ):
            self._error(404, "RepoNotFound")
        elif self.path.endswith("/preupload/main"):
            self._send(200, {"files": [
                {
                    "path": file["path"], "shouldIgnore": False,
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                }
                for file in json.loads(body)["files"]
            ]})  # fmt: skip
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            target = f"{self.hub.endpoint}/upload"
            self._send(200, {"transfer": "basic", "objects": [
                {**item, "actions": {"upload": {"href": f"{target}/{item['oid']}"}}}
                for item in json.loads(body)["objects"]
            ]})  # fmt: skip
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._send(501, {"error": f"the stand-in has no {self.path}"})

    def _create(self, wanted: dict[str, Any]) -> None:
        repo = f"{wanted['organization']}/{wanted['name']}"
        url = f"{self.hub.endpoint}/{repo}"
        if repo in self.hub.repos:
            self._send(409, {"url": url, "error": "You already created this model repo"})
            return
        self.hub.repos[repo] = []
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.hub.private.add(repo)
        self._send(200, {"url": url})

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        files, message = {}, ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert line["key"] == "lfsFile"
                files[value["path"]] = self.hub.uploads[value["oid"]]
        commit = self.hub.add(repo, files, message)
        url = f"{self.hub.endpoint}/{repo}/commit/{commit}"
        self._send(200, {"commitUrl": url, "commitOid": commit, "success": True})
