"""Licences and vulnerabilities of the pinned packages: unknown ones are told."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

CI = Path(__file__).resolve().parents[1] / ".ci"
ALL = ("evaluate", "train", "report", "crf", "proposals", "tune", "video", "hub")
"""The extras that the extra ``all`` brings."""


@pytest.fixture
def packages() -> Any:
    spec = importlib.util.spec_from_file_location("packages", CI / "packages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def about(**fields: str) -> Message:
    message = Message()
    message["Name"] = "one"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"License_Expression": "Apache-2.0 WITH LLVM-exception AND (MIT OR BSD-3-Clause)"}, False),
        ({"License_Expression": "MIT AND GPL-3.0-only"}, True),
        ({"Classifier": "License :: OSI Approved :: MIT License"}, False),
        ({"Classifier": "License :: OSI Approved :: GNU General Public License (GPL)"}, True),
        ({"License": "BSD 2-Clause License"}, False),
        ({"License": "see the web page"}, True),
        ({}, True),
    ],
)
def test_unknown_licences_are_found(
    packages: Any, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], wrong: bool
) -> None:
    monkeypatch.setattr(packages.metadata, "metadata", lambda _: about(**fields))
    pins = packages.pinned("# lines\none==1.0 ; python_version > '3'\n")
    assert pins == {"one": "1.0"}
    assert bool(packages.check_licences(pins)) == wrong


def test_without_pip_audit_vulnerabilities_are_not_checked(
    packages: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    packages.list_vulnerabilities(CI / "none.txt")
    assert capsys.readouterr().out.startswith("vulnerabilities: not checked (")


def test_packages_that_pip_audit_skipped_do_not_count_as_looked_up(packages: Any) -> None:
    skipped = {"name": "one", "skip_reason": "Dependency not found on PyPI"}
    found = {"id": "CVE-1", "fix_versions": ["2.1"]}
    known = {"name": "two", "version": "2.0", "vulns": [found]}
    safe = {"name": "three", "version": "3.0", "vulns": []}
    assert packages.vulnerability_lines([skipped]) == [
        "vulnerabilities: none of 1 packages looked up",
        "NOT looked up: all (Dependency not found on PyPI)",
    ]
    assert packages.vulnerability_lines([skipped, known, safe]) == [
        "vulnerabilities: 2 of 3 packages looked up",
        "NOT looked up: one (Dependency not found on PyPI)",
        "two 2.0: CVE-1, fixed in 2.1",
    ]


def test_the_lock_has_the_tested_versions_with_hashes_and_no_address(packages: Any) -> None:
    """``make lock`` writes it again after a change of pyproject.toml or constraints.txt."""
    text = (CI.parent / "requirements.lock").read_text()
    assert "://" not in text
    entries = re.findall(r"^(\S+)==(\S+).*((?:\n    --hash=sha256:[0-9a-f]{64}.*)*)", text, re.M)
    assert all(hashes for _, _, hashes in entries)
    locked = {plain(name): version for name, version, _ in entries}
    tested = packages.pinned((CI.parent / "constraints.txt").read_text())
    tested = {plain(name): version for name, version in tested.items()}
    # the first is for Windows, the second for a browser, the third comes with Python or torch
    assert locked.keys() - tested.keys() == {"colorama", "httpx2-jsfetch", "setuptools"}
    assert all(tested.get(name, version) == version for name, version in locked.items())
    project = tomllib.loads((CI.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *(one for name in ALL for one in extras[name])]
    names = {plain(re.split(r"[\[>]", one)[0]) for one in listed}
    assert names - {"upscore"} <= locked.keys()


def plain(name: str) -> str:
    """The name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
