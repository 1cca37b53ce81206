"""``upscore cite``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from upscore import __version__
from upscore.cli.console import console, keep_result


def cite(run: Annotated[Positional[Path | None], arg(metavar="[RUN]")] = None, /) -> None:
    """Print BibTeX entries of upscore and of the papers that a run used.

    Args:
        run: Run folder or network; without it, all papers that upscore implements.
    """
    from upscore.core.papers import entries, papers_of_network, papers_of_recipe

    known = entries()
    keys = list(known)
    if run is not None:
        from upscore.core.files import read_json
        from upscore.core.model_folder import CONFIG, find_model
        from upscore.core.run_folder import RunFolder
        from upscore.core.settings import load_yaml

        model = find_model(run)
        recipe = RunFolder(run).recipe
        if recipe.exists():
            keys = papers_of_recipe(load_yaml(recipe))
        else:
            config = read_json(model / CONFIG)
            keys = papers_of_network(str(config.get("architecture")), config.get("options", {}))
    keep_result({"entries": {key: known[key] for key in keys}})
    console.print("\n\n".join([own_entry(), *(known[key] for key in keys)]))


def own_entry() -> str:
    """That of upscore, with its version."""
    return OWN.replace("VERSION", __version__)


OWN = """\
@software{upscore,
  author  = {{The upscore authors}},
  title   = {upscore: semantic segmentation with FCN, DeconvNet and related networks},
  version = {VERSION},
  url     = {https://github.com/upscore/upscore},
  license = {Apache-2.0},
  year    = {2026}
}"""
