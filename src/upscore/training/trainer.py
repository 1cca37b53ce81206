"""The training loop. It reads like the papers': zero_grad, forward, backward, step."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from upscore.core.damage import reading
from upscore.core.files import make_folder, write_json
from upscore.core.plural import plural
from upscore.core.progress import Notice
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import peak_memory_bytes
from upscore.errors import RunError, WorkError
from upscore.training.expected import Documented, Rate, counted, timed
from upscore.training.graceful_stop import GracefulStop
from upscore.training.log import RunLog
from upscore.training.log_hooks import LogName
from upscore.training.optim import make_optimizers, schedule_factor, set_learning_rate
from upscore.training.recipe import ValidateSettings
from upscore.training.sample_stream import Batch
from upscore.training.state import Clock, Position, load_state, save_state
from upscore.training.task import BatchSource, Task, TrainerSettings
from upscore.training.weight_average import WeightAverage

if TYPE_CHECKING:
    from lightning_fabric import Fabric

logger = logging.getLogger(__name__)

VALIDATIONS = 5  # over the budget, where the recipe does not say
VALIDATED_SHARE = 0.1  # of a budget in minutes that validations may take, all together
BEST = "best-"  # folder below the state, with the number of the iteration
LOG_ROWS, LOGGED_EVERY = 20, 100  # rows of a short training; most iterations of one
SMOOTHING = 0.9  # of the loss that is shown
LOOK_EVERY = 10  # iterations between two looks at the loss on a GPU
SANITY_IMAGES = 2  # of the validation, before the first step: a broken validation fails at once


@dataclass(frozen=True)
class Validation:
    """Scores of one validation, each in [0, 1] or None where nothing was valid."""

    miou: float | None
    pixel_accuracy: float | None
    seconds: float
    images: int


Validate = Callable[[nn.Module, int | None], Validation]
"""(network, use only so many photos) -> scores. Given from outside: training imports no metric."""


@dataclass(frozen=True)
class ValidationPlan:
    """How a training is validated: the scores of the network on ``num_images`` photos."""

    validate: Validate
    num_images: int
    settings: ValidateSettings
    """How often, and on how many of the photos."""


@dataclass(frozen=True)
class Status:
    """What a display shows."""

    iteration: int
    fraction: float
    loss: float | None
    lr: float
    images_per_second: float
    seconds_left: float | None
    memory_mib: int
    best: float | None
    stage: str = ""
    notices: tuple[Notice, ...] = ()
    """Shown once, such as the number of samples that the budget allows."""


@dataclass(frozen=True)
class Outcome:
    """How a session of training ended.

    ``stages`` holds name and iterations of each stage that has begun, where a recipe has several;
    all else but ``seconds`` is of the last of them.
    """

    iteration: int
    seconds: float
    """Wall time of all sessions, with validations and the warm-up of the head."""
    best: float | None
    best_iteration: int
    last: float | None
    interrupted: bool
    stages: tuple[tuple[str, int], ...] = ()


class Training:
    """One run: network, data, optimiser, and their state in a run folder.

    Args:
        settings: optimiser, schedule, budget and so on.
        task: loss of a batch, and how weights are saved.
        source: where batches come from.
        model_folder: of the weights to use: the best on validation, or the last without one.
        validation: None: the training is not validated.
        documented: the score that the budget is compared with.
        finish: called with the network to keep at the end, before the last validation.
        note: called with the position and the used fraction of the budget before each state is
            written.
        log_to: what gets the rows of log.csv too; None: TensorBoard where it is installed.
        prepared: seconds that were spent before, which count in the reported time only.
        show: called with the progress after each step.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        *,
        run: RunFolder,
        fabric: Fabric,
        model: nn.Module,
        task: Task,
        source: BatchSource,
        model_folder: Path,
        validation: ValidationPlan | None = None,
        finish: Callable[[nn.Module], None] | None = None,
        note: Callable[[Position, float], None] = lambda _position, _fraction: None,
        log_to: Sequence[LogName] | None = None,
        documented: Documented = Documented(),  # noqa: B008 - frozen
        prepared: float = 0.0,
        show: Callable[[Status], None] = lambda _: None,
    ) -> None:
        self.settings, self.run, self.fabric, self.show = settings, run, fabric, show
        self.task, self.source, self.model_folder = task, source, model_folder
        self.validation, self._finish, self.documented = validation, finish, documented
        self._note, self._log_to = note, log_to
        self.device = fabric.device
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = WeightAverage(self.model, settings.average) if settings.average else None
        optimizers = make_optimizers(model, settings.optim)
        self.network, *self.optimizers = fabric.setup(self.model, *optimizers)
        self._scaler = getattr(fabric.strategy.precision, "scaler", None)  # of fp16
        self.position = Position(prepared=prepared)
        self.fraction, self.lr = 0.0, 0.0  # used part of the budget; rate of the last step
        self._clock = Clock(0.0)
        self._log: RunLog | None = None
        self._first = bool(fabric.is_global_zero)  # of the processes
        self._rate = None if settings.budget.minutes is None else Rate()  # until it is known
        self.validation_seconds = 0.0  # what one takes, as far as is known
        self.bad_iteration = torch.full((), -1, dtype=torch.int64, device=self.device)
        self.last_score: float | None = None
        self._window: Tensor | None = None  # sum of losses that the position does not hold yet
        self._running: Tensor | None = None  # mean of the losses, the last ones count most
        self._shown_loss: float | None = None
        self._stop = GracefulStop()

    # -- budget ---------------------------------------------------------------------------------

    def _used_fraction(self) -> float:
        """Used part of the budget, in [0, 1]. Every process gets that of the first."""
        budget = self.settings.budget
        total = budget.num_iterations(epoch=self.source.num_samples, step=self.source.step_size)
        if total is not None:
            return min(1.0, self.position.iteration / total)
        assert budget.minutes is not None
        whole = 60.0 * budget.minutes  # of which the last validation is kept back
        usable = max(1.0, whole - min(self.validation_seconds, VALIDATED_SHARE * whole))
        seconds = self._clock.seconds
        if self.fabric.world_size > 1:
            seconds = float(self.fabric.broadcast(seconds))
        return min(1.0, seconds / usable)

    # -- the loop -------------------------------------------------------------------------------

    def fit(self) -> Outcome:
        """Train to the end of the budget, or until Ctrl-C; resumes from the folder's state.

        Raises:
            WorkError: the loss is not finite; names the iteration and the files of the batch.
        """
        self._restore()
        at = self.position
        self._clock = Clock(at.seconds)
        if at.finished and (self._used_fraction() >= 1.0 or self._out_of_patience):
            return self._outcome()  # killed before its last files were in place
        if self._first:
            self._log = RunLog(self.run.log, after_iteration=at.iteration, log_to=self._log_to)
        self._sanity_check()
        self.fraction = self._used_fraction()
        steps = self.source.steps(at.iteration)
        session_start, session_iteration = self._clock.seconds, at.iteration
        notices = counted(
            self.settings.budget,
            self.documented,
            step=self.source.step_size,
            epoch=self.source.num_samples,
        )
        self._display(0.0, notices)
        rate, notices = 0.0, []  # images in a second
        try:
            with self._stop.listening(), closing(steps):
                while self.fraction < 1.0 and not self._out_of_patience and not self._stopping():
                    begin = self._clock.seconds
                    batches = next(steps)
                    factor = schedule_factor(self.settings.schedule, self.fraction, at.cuts)
                    self.lr = self.settings.optim.lr * factor
                    set_learning_rate(self.optimizers, factor)
                    loss = self._step(batches).double()
                    at.iteration += 1
                    if self.average is not None:
                        self.average.update(self.model, at.iteration)
                    self._window = loss if self._window is None else self._window + loss
                    self._note_loss(loss)
                    at.window_count += 1
                    self.fraction = self._used_fraction()
                    notices = self._expect(begin)
                    if self._log_due:
                        self._log_loss()
                    if self.fraction < 1.0:  # else all is done and saved below
                        if self._validation_due():
                            self._validate_and_keep()
                        elif at.iteration % self.settings.save_every == 0:
                            self._save()
                    images = (at.iteration - session_iteration) * self.source.step_size
                    seconds = self._clock.seconds - session_start
                    rate = images / seconds if seconds > 0 else 0.0
                    if self.fraction < 1.0:
                        self._display(rate, notices)
                used_up = self.fraction >= 1.0
                at.finished = used_up or self._out_of_patience
                if at.finished and not used_up and self._first:
                    logger.info(
                        "%s without a better score (validate.patience): the training ends at "
                        "iteration %s; the best weights are those of iteration %s",
                        plural(at.worse, "validation"),
                        f"{at.iteration:,}",
                        f"{at.best_iteration:,}",
                    )
                if used_up or (at.finished and self._finish is not None):
                    self._keep_last()
                    self._display(rate, notices if used_up else [])  # with the last score
                else:
                    self._save()
        finally:
            if self._log is not None:
                self._log.close()
        return self._outcome()

    @property
    def _seconds(self) -> float:
        """Wall time so far, as it is reported."""
        return self.position.prepared + self._clock.seconds

    def _outcome(self) -> Outcome:
        at = self.position
        return Outcome(
            at.iteration,
            self._seconds,
            at.best,
            at.best_iteration,
            self.last_score,
            not at.finished,
        )

    def _step(self, batches: list[Batch]) -> Tensor:
        """One optimiser step over all batches; returns its loss (detached, on the device)."""
        iteration = self.position.iteration
        # dropout, too, is a function of (seed, iteration): there is no random state to save
        torch.manual_seed(hash((self.settings.seed, iteration, self.fabric.global_rank)) % 2**63)
        targets = sum(self.task.num_targets(batch) for batch in batches)
        processes = self.fabric.world_size
        if processes > 1:
            targets = int(self._sum_over_processes(torch.tensor(targets)))
        divisor = max(1, targets)

        self.network.train()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        for number, batch in enumerate(batches, 1):
            waiting = number < len(batches)
            with self.fabric.no_backward_sync(self.network, enabled=waiting and processes > 1):
                loss = self.task.loss(self.network, batch.to(self.device)) / divisor
                # data-parallel gradients are averaged over processes; the loss is a sum over them
                self.fabric.backward(loss * processes)
            total += loss.detach()
        if processes > 1:
            total = self._sum_over_processes(total)
        self._check_finite(total, iteration, batches)
        if self.settings.optim.clip is not None:
            (optimizer,) = self.optimizers  # muon, which has two, takes no clip
            self.fabric.clip_gradients(self.network, optimizer, max_norm=self.settings.optim.clip)
        self._step_optimizers()
        return total

    def _step_optimizers(self) -> None:
        if self._scaler is None:
            for optimizer in self.optimizers:
                optimizer.step()
            return
        # Fabric would change the scale after the first of two optimisers
        for optimizer in self.optimizers:
            self._scaler.step(optimizer.optimizer)
        self._scaler.update()

    def _sum_over_processes(self, value: Tensor) -> Tensor:
        total = self.fabric.all_reduce(value, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    # -- losses that are not finite ---------------------------------------------------------------

    def _check_finite(self, loss: Tensor, iteration: int, batches: list[Batch]) -> None:
        if self.device.type != "cpu":  # a look would wait for the GPU: note it, look when logging
            bad = ~torch.isfinite(loss) & (self.bad_iteration < 0)
            self.bad_iteration = torch.where(
                bad, torch.full_like(self.bad_iteration, iteration), self.bad_iteration
            )
        elif not bool(torch.isfinite(loss)):
            if self._first:  # the weights are still those before the bad step: keep them
                self._write_state()
            self._fail(iteration, [name for batch in batches for name in batch.names])

    def _look_for_bad_loss(self) -> None:
        if self.device.type != "cpu" and (bad := int(self.bad_iteration)) >= 0:
            self._fail(bad, self.source.names(bad))

    def _fail(self, iteration: int, names: list[str]) -> None:
        report = self.run.state / "not-finite.json"
        if self._first:
            write_json(report, {"iteration": iteration, "files": names})
        raise WorkError(
            f"the loss is not finite at iteration {iteration}; files of the batch: "
            f"{', '.join(names)}. The last good state is kept in {self.run.state}; try a lower "
            f"rate: --set optim.lr={self.settings.optim.lr / 10:g}, or --set precision=fp32"
        )

    # -- log, validation, state -------------------------------------------------------------------

    def _window_sum(self) -> float:
        """Sum of the losses since the last row; waits for the device."""
        if self._window is not None:
            self.position.window_loss += float(self._window)
            self._window = None
        return self.position.window_loss

    def _log_loss(self) -> None:
        """A row with the mean loss since the last one."""
        self._look_for_bad_loss()
        at = self.position
        loss = self._window_sum() / max(1, at.window_count)
        at.window_loss, at.window_count = 0.0, 0
        self._write_row(loss=loss)

    @property
    def _log_due(self) -> bool:
        """Whether a row of the log ends here."""
        at, every = self.position, self.settings.log_every
        if at.iteration == 1:  # a row of its own: the loss before anything is learned
            return True
        if every is not None:
            return at.iteration % every == 0
        if self.fraction >= 1.0:
            return True
        expected = at.iteration / self.fraction if self.fraction else 0.0  # over the whole budget
        every = max(1, min(LOGGED_EVERY, int(expected / LOG_ROWS + 1e-6)))
        if self.settings.budget.minutes is not None:  # the estimate varies
            return at.window_count >= every
        return at.iteration % every == 0

    def _note_loss(self, loss: Tensor) -> None:
        """Keep the running mean of the loss that a display shows."""
        if self._running is None:
            self._running = loss
        else:
            self._running = SMOOTHING * self._running + (1.0 - SMOOTHING) * loss
        # a look waits for a GPU
        if self.device.type == "cpu" or self.position.iteration % LOOK_EVERY == 1:
            self._shown_loss = float(self._running)

    def _write_row(self, **values: float | None) -> None:
        if self._log is None:
            return
        iteration = self.position.iteration
        self._log.write(
            {
                "iteration": iteration,
                "fraction": round(self.fraction, 6),
                "seconds": round(self._seconds, 3),
                "images": iteration * self.source.step_size,
                "lr": self.lr,
                "memory_mib": self._memory_mib(),
                **values,
            }
        )

    def _memory_mib(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) >> 20
        return peak_memory_bytes() >> 20

    def _validation_due(self) -> bool:
        plan = self.validation
        if plan is None:
            return False
        if plan.settings.every is not None:
            return self.position.iteration % plan.settings.every == 0
        times = plan.settings.times or VALIDATIONS
        before = self.position.validations  # counted in parts of the budget
        if int(self.fraction * times) <= before:
            return False
        minutes = self.settings.budget.minutes
        if minutes is None or plan.settings.times is not None:
            return True
        share = self.validation_seconds / (60.0 * minutes)
        return share <= VALIDATED_SHARE * min(self.fraction - before / times, 1.0 - self.fraction)

    @property
    def _out_of_patience(self) -> bool:
        """Whether the training ends before its budget, as scores have stopped to rise."""
        plan = self.validation
        patience = None if plan is None else plan.settings.patience
        return patience is not None and self.position.worse >= patience

    @property
    def _candidate(self) -> nn.Module:
        """The weights that count: the average where there is one."""
        return self.model if self.average is None else self.average.model

    def _keep_last(self) -> None:
        """Finish, validate and save the network at the end of the budget."""
        if self._first and self._finish is not None:
            self._finish(self._candidate)
        if self.validation is not None:
            self._validate_and_keep()
            return
        self._look_for_bad_loss()
        self._save_model(self.model_folder)
        self._save()

    def _validate_and_keep(self) -> None:
        self._look_for_bad_loss()
        at = self.position
        assert self.validation is not None
        plan = self.validation
        result = self._run_validation(plan, plan.settings.images)
        score = self.last_score = result.miou
        times = plan.settings.times or VALIDATIONS
        at.validations = max(at.validations + 1, int(self.fraction * times))
        if score is not None and (at.best is None or score > at.best):
            at.best, at.best_iteration, at.since_best = score, at.iteration, 0
            at.worse = 0
            self._save_model(self._best_folder)
        else:
            at.since_best += 1
            at.worse += 1
            if at.since_best >= self.settings.schedule.patience:
                at.cuts, at.since_best = at.cuts + 1, 0
        if at.best is None:  # nothing valid to score, yet a run must end with a model
            self._save_model(self._best_folder)
        self._write_row(val_miou=score, val_pixel_accuracy=result.pixel_accuracy)
        self._save()
        self._publish_best()

    def _run_validation(self, plan: ValidationPlan, limit: int | None) -> Validation:
        """Scores of the candidate on the first process; the others wait for them."""
        result = None
        if self._first:
            self.model.eval()
            result = plan.validate(self._candidate, limit)
        if self.fabric.world_size > 1:
            result = self.fabric.broadcast(result)
        assert result is not None
        if result.images:
            count = min(plan.settings.images or plan.num_images, plan.num_images)
            self.validation_seconds = result.seconds / result.images * count
        return result

    def _sanity_check(self) -> None:
        """Some photos through validation before the first step; measures how long it takes."""
        if self.validation is not None:
            for _ in range(2):  # the first time holds the network's warm-up
                self._run_validation(self.validation, SANITY_IMAGES)

    def _save_model(self, folder: Path) -> None:
        if self._first:
            at = self.position
            trained = {"iterations": at.iteration, "val_miou": self.last_score}
            self.task.save(folder, self._candidate, trained)

    def _save(self) -> None:
        self._look_for_bad_loss()
        self._window_sum()
        self.position.seconds = self._clock.seconds
        self._save_model(self.run.last)
        if self._first:
            self._note(self.position, self.fraction)
            self._write_state()
        self.fabric.barrier()

    @property
    def _best_folder(self) -> Path:
        """Where the best weights wait until the state that knows of them is written.

        A kill before leaves those that the earlier state knows, one after is made up for.
        """
        return self.run.state / f"{BEST}{self.position.iteration}"

    def _publish_best(self) -> None:
        """Move the best weights to where they are used; drop those of a state that is not there."""
        for folder in self.run.state.glob(f"{BEST}*") if self._first else ():
            if folder == self._best_folder:
                make_folder(self.model_folder)
                for path in sorted(folder.iterdir(), reverse=True):  # config.json last
                    path.replace(self.model_folder / path.name)
            shutil.rmtree(folder)

    def _write_state(self) -> None:
        tensors: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        if self.average is not None:
            tensors["average"] = self.average.model.state_dict()
        if self._scaler is not None:
            tensors["scaler"] = self._scaler.state_dict()
        save_state(self.run.state / "resume.pt", self.position, tensors)

    def _restore(self) -> None:
        path = self.run.state / "resume.pt"
        if not path.exists():
            self._publish_best()
            return
        self.position, tensors = load_state(path)
        with reading(
            path, "does not fit this run", "train again into another --out", error=RunError
        ):
            self._take(tensors, path)

    def _take(self, tensors: dict[str, Any], path: Path) -> None:
        # "network" is what states of edge networks had before they were trained by this loop
        self.model.load_state_dict(tensors["model"] if "model" in tensors else tensors["network"])
        for optimizer, state in zip(self.optimizers, tensors["optimizers"], strict=True):
            try:
                optimizer.load_state_dict(state)
            except ValueError as error:
                raise RunError(
                    f"{path}: the state of {type(optimizer).__name__} does not fit the network's "
                    f"parameters ({error}). Another version of upscore grouped them differently: "
                    "train again in a new folder (--out), from these weights with "
                    f"--set init.weights={self.run.path}, or resume with the version that "
                    f"{self.run.path / 'manifest.json'} names"
                ) from error
        if self.average is not None:
            self.average.model.load_state_dict(tensors["average"])
        if self._scaler is not None and "scaler" in tensors:
            self._scaler.load_state_dict(tensors["scaler"])
        self._publish_best()

    # -- display and signals ----------------------------------------------------------------------

    def _expect(self, begin: float) -> list[Notice]:
        """Samples of a budget in minutes, once the rate is known; else nothing.

        Args:
            begin: when the iteration that has just been done began, in seconds of the clock.
        """
        minutes = self.settings.budget.minutes
        if self._rate is None or minutes is None:
            return []
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # the step may still be running there
        now = self._clock.seconds
        seconds = self._rate.add(now - begin, self.fraction)
        if seconds is None:
            return []
        self._rate = None
        seconds = max(1e-9, seconds)
        step, whole = self.source.step_size, 60.0 * minutes
        every = None if self.validation is None else self.validation.settings.every
        if every is None:
            validations = min(VALIDATIONS * self.validation_seconds, VALIDATED_SHARE * whole)
            busy = 1.0 - validations / whole
        else:
            busy = every * seconds / (every * seconds + self.validation_seconds)
        seconds_left = max(0.0, whole - now) if self.fraction < 1.0 else 0.0
        samples = step * (self.position.iteration + round(busy * seconds_left / seconds))
        return timed(minutes, self.documented, samples=samples, rate=step / seconds, busy=busy)

    def _display(self, images_per_second: float, notices: list[Notice]) -> None:
        if not self._first:
            return
        used = self.fraction
        self.show(
            Status(
                iteration=self.position.iteration,
                fraction=used,
                loss=self._shown_loss,
                lr=self.lr,
                images_per_second=images_per_second,
                seconds_left=self._clock.seconds / used * (1.0 - used) if used > 0 else None,
                memory_mib=self._memory_mib(),
                best=self.position.best,
                notices=tuple(notices),
            )
        )

    def _stopping(self) -> bool:
        if self.fabric.world_size > 1:
            return bool(self.fabric.broadcast(self._stop.wanted))
        return self._stop.wanted
