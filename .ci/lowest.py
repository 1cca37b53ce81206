"""Print the lowest versions that pyproject.toml allows, one pin a line.

Those of the core dependencies and of the extra ``all``: ``python .ci/lowest.py``.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def requirements(listed: list[str]) -> Iterator[str]:
    """The requirements of a list, those of the extras that it names included."""
    for requirement in listed:
        if extras := re.fullmatch(r"upscore\[([\w,]+)\]", requirement):
            for extra in extras[1].split(","):
                yield from requirements(PROJECT["optional-dependencies"][extra])
        else:
            yield requirement


def pin(requirement: str) -> str:
    """``name>=version`` as ``name==version``."""
    pinned, number = re.subn(r"^([\w-]+)>=([\d.]+)$", r"\1==\2", requirement)
    if not number:
        raise SystemExit(
            f"{requirement!r} in pyproject.toml has no lower bound of the form name>=version"
        )
    return pinned


if __name__ == "__main__":
    both = [*requirements(PROJECT["dependencies"]), *requirements(["upscore[all]"])]
    print("\n".join(dict.fromkeys(map(pin, both))))
