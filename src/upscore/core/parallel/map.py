"""Work on many items, here or in several processes, where a bad item does not stop the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from upscore.core.failures import Failure, failure_message
from upscore.core.option_values import require_at_least
from upscore.core.parallel.processes import in_processes, num_cores, torch_on_one_core
from upscore.errors import DataError, UpscoreError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_items(
    work: Callable[[Item], Result | Failure],
    items: Iterable[Item],
    *,
    name: Callable[[Item], str],
    doing: str,
    processes: int = 1,
    one_core: bool = False,
    item_errors: tuple[type[UpscoreError], ...] = (DataError,),
    if_died: str = "try fewer --workers",
) -> Generator[tuple[Item, Result | Failure], None, None]:
    """(item, ``work(item)``) as they are finished, or a ``Failure`` in place of a result.

    With several processes the first item is still done in this one: it shows at once if the work
    cannot be done at all, and compiles (and logs that it does) what each of the others would
    compile for itself. The others are spawned (see :func:`in_processes`); results then come in no
    fixed order. Close the generator to drop what has not started.

    Args:
        work: must pickle if there are several processes, and so must ``name``, items and results.
            It may return a ``Failure`` of its own.
        name: of an item; failures and their messages begin with it.
        doing: what fails, for messages: "find its boxes".
        processes: how many work at the same time.
        one_core: each computes on one core, this process too, so that sums, and with them results,
            do not depend on the number of processes.
        item_errors: errors that concern one item, beside those that are no ``UpscoreError``. Other
            ``UpscoreError``s end the whole.
        if_died: what to do when a process died, for the message.

    Raises:
        UpscoreError: none of ``item_errors``, such as MissingExtraError.
        WorkError: a process died, or the disk, the memory or the like is used up.
    """
    guarded = _Guarded(work, name, doing, item_errors)
    numbered = enumerate(items)
    for place, item in numbered:
        with torch_on_one_core() if one_core else contextlib.nullcontext():
            result = guarded((place, item))
        yield item, result
        if processes > 1:
            break
    if processes == 1:
        return
    several = in_processes(
        guarded, numbered, processes=processes, one_core=one_core, if_died=if_died
    )
    with contextlib.closing(several):
        for (_, item), result in several:
            yield item, result


def num_processes(workers: int | None, num_items: int, *, worth: int) -> int:
    """How many processes to use: ``workers``, or one a core but fewer for few items.

    Args:
        worth: items that a further process must get, as its start takes the time of so many.

    Raises:
        SettingsError: ``workers`` below 1.
    """
    require_at_least(1, workers=workers)
    most = num_items if workers else num_items // worth
    return max(1, min(workers or num_cores(), most))


@dataclass(frozen=True)
class _Guarded(Generic[Item, Result]):
    """``work`` whose errors that concern one item come back as a ``Failure``."""

    work: Callable[[Item], Result | Failure]
    name: Callable[[Item], str]
    doing: str
    item_errors: tuple[type[UpscoreError], ...]

    def __call__(self, numbered: tuple[int, Item]) -> Result | Failure:
        place, item = numbered
        try:
            return self.work(item)
        except Exception as error:  # of one item or a fault of ours: either way the rest is done
            if isinstance(error, UpscoreError) and not isinstance(error, self.item_errors):
                raise
            name = self.name(item)
            hint = "try --workers 1"
            message = failure_message(name, error, doing=self.doing, memory_hint=hint)
            return Failure(place, name, message)
