"""What a person should know about a data set before work on it starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from upscore.core.images import image_size, photo_turn
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.processes import num_cores
from upscore.core.plural import plural
from upscore.core.quoting import join
from upscore.data.dataset import DataSet
from upscore.data.mask_survey import disagreements, some_masks, survey
from upscore.data.masks import read_stored_mask
from upscore.data.pair import Pair
from upscore.data.turns import TurnedPhoto, fit_of, turn_problems
from upscore.errors import DataError, NotFoundError

logger = logging.getLogger(__name__)

SHOWN = 3  # how many files a line names


def tell_listing(dataset: DataSet) -> None:
    """Warn of what was found wrong when the files were listed, a line for each kind."""
    if dataset.unlabelled:
        logger.info("%s: %s", dataset.root, unlabelled(dataset))
    alone = []
    for problem in dataset.problems:
        if problem.kind == "missing partner":
            alone.append(problem.path.name)
        else:
            logger.warning("%s", problem.message)
    if alone:
        pairs = {pair.mask for pairs in dataset.splits.values() for pair in pairs}
        have = "has no photo" if len(alone) == 1 else "have no photo"
        logger.warning(
            "%s: %d of %s %s and %s left out (%s); `upscore data check` lists all",
            dataset.root,
            len(alone),
            plural(len(pairs) + len(alone), "mask"),
            have,
            "is" if len(alone) == 1 else "are",
            join(alone, most=SHOWN),
        )


def unlabelled(dataset: DataSet) -> str:
    """One line about the photos that have no mask and are not used."""
    num = len(dataset.unlabelled)
    pairs = {pair.image for pairs in dataset.splits.values() for pair in pairs}
    names = join([path.name for path in dataset.unlabelled], most=SHOWN)
    have = "has no mask and is" if num == 1 else "have no mask and are"
    return f"{num} of {plural(num + len(pairs), 'photo')} {have} not used ({names})"


def tell_meaning(
    dataset: DataSet, pairs: Sequence[Pair], *, told: Mapping[str, str] | None = None
) -> None:
    """Say what mask values were taken to mean, and look for masks that do not fit each other.

    Args:
        pairs: those that will be worked on; some of their masks and the headers of their photos are
            read.
        told: the guessed meaning that a person knows from the training; the same one is a line.

    Raises:
        DataError: masks disagree about what a value means and no dataset.yaml names the values one
            by one, or masks lie on the pixels of photos as stored, which EXIF turns.
    """
    if dataset.guess is not None and dataset.guess.meaning() != told:
        logger.info("%s", dataset.guess.text())
        if naming := dataset.guess.naming(dataset.root):
            logger.info("%s", naming)
    elif dataset.guess is not None:
        names = join(f"{value} {name}" for value, name in dataset.guess.meaning().items())
        logger.info(
            "%s: classes guessed as in the training: %s; -v shows details", dataset.root, names
        )
        logger.debug("%s", dataset.guess.text())
    facts = survey(some_masks([pairs]), max_pixels=dataset.max_pixels)
    for problem in disagreements(facts, dataset.root, dataset.table, is_stated=dataset.is_stated):
        if not dataset.is_stated:
            raise DataError(problem.message)
        logger.warning("%s", problem.message)
    if dataset.drawn_on is not None:
        return
    turned = _turned(pairs, dataset.max_pixels)
    for problem in turn_problems(dataset.root, turned, len(pairs)):
        if any(photo.fit == "stored" for photo in turned):
            raise DataError(problem.message)
        logger.warning("%s", problem.message)


def _turned(pairs: Sequence[Pair], max_pixels: int) -> list[TurnedPhoto]:
    """The photos that EXIF turns. Files that cannot be read are reported where they are used."""

    def look(pair: Pair) -> TurnedPhoto | None:
        try:
            turn = photo_turn(pair.image, max_pixels=max_pixels)
            if turn == 1:
                return None
            upright = image_size(pair.image, max_pixels=max_pixels)
            mask = read_stored_mask(pair.mask, max_pixels=max_pixels).values.shape[:2]
        except (DataError, NotFoundError):
            return None
        return TurnedPhoto(pair.image, turn, fit_of(turn, upright, mask))

    return [one for one in prefetch(look, pairs, workers=num_cores()) if one is not None]
