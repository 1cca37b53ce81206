"""Print the lowest version of each core dependency that pyproject.toml allows, one pin a line."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for requirement in project["dependencies"]:
    pin, number = re.subn(r"^([\w-]+)>=([\d.]+)$", r"\1==\2", requirement)
    if not number:
        raise SystemExit(
            f"{requirement!r} in pyproject.toml has no lower bound of the form name>=version"
        )
    print(pin)
