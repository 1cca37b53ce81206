"""``upscore hub``: networks on huggingface.co or another hub of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result


def push(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    *,
    repo: Annotated[str, arg(metavar="OWNER/NAME")],
    license: Annotated[str | None, arg(metavar="ID")] = None,
    private: bool = False,
) -> None:
    """Upload a network and its card (classes, scores, data set, recipe) in one commit.

    Log in once with: hf auth login (or set HF_TOKEN). Set HF_ENDPOINT to use another hub.

    Args:
        run: Run folder or model folder.
        repo: The repository. It is created if it does not exist; its README.md is replaced.
        license: Licence of the weights, for example apache-2.0, mit, cc-by-nc-4.0 or other.
            Without it the card says that no licence is stated.
        private: Make a new repository private.
    """
    from upscore.workflows.hub import push as push_network

    result = push_network(run, repo=repo, license=license, private=private)
    keep_result(result)
    console.print(f"Pushed: {result.endpoint}/{result.repo} at {result.commit}")
    if license is None:
        console.print("The card states no licence; choose one with --license")
    console.print(f"Next: upscore hub pull {result.repo}@{result.commit} --out DIR")


def pull(
    source: Annotated[Positional[str], arg(metavar="OWNER/NAME[@REVISION]")],
    /,
    *,
    out: Annotated[Path, arg(metavar="DIR")],
) -> None:
    """Download a network at one commit, which is recorded in DIR/hub.json; no code is run.

    Repeating the same pull keeps that commit and needs no connection. Set HF_ENDPOINT to use
    another hub, HF_HUB_CACHE to use another cache.

    Args:
        source: The repository, with a branch, tag or commit after @; by default the branch main.
        out: Output folder, a model folder for predict, evaluate and init.weights.
    """
    from upscore.workflows.hub import pull as pull_network

    result = pull_network(source, out=out)
    keep_result(result)
    if not result.is_from_hub and result.revision != result.commit:
        where = "the cache" if result.written else str(out)
        console.print(f"The hub was not asked: {result.revision} is the commit that {where} has")
    console.print(f"{result.repo} at {result.commit}: {result.folder}")
    console.print(f"Next: upscore predict {result.folder} PHOTO")
