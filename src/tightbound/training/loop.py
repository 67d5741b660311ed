"""The training loop: read it from top to bottom."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tightbound.core import Loss, Model, Objective, Step
from tightbound.errors import RecipeError, RunError, TrainingError
from tightbound.memory import memory_kept
from tightbound.training import checkpoint as files
from tightbound.training.agreement import Agreement
from tightbound.training.batches import Images
from tightbound.training.decisions import Decisions, decide, read_decisions
from tightbound.training.interruption import Interruption
from tightbound.training.lock import run_lock
from tightbound.training.metrics import MetricsFile, by_layer, plain
from tightbound.training.parallel import check_settings, hand_out
from tightbound.training.processes import Processes, join
from tightbound.training.reporting import Reporter
from tightbound.training.saver import Clock, Saver
from tightbound.training.session import Initialize, Session, assemble, find_checkpoint
from tightbound.training.settings import TrainingSettings
from tightbound.training.validation import evaluating, mean_elbo

if TYPE_CHECKING:
    from rich.console import Console

MODEL_FILE = "model.safetensors"

Validate = Callable[[Model, Any, int], Mapping[str, Any]]
OnEpoch = Callable[[Model, float, int, Any], None]


class InterruptedTrainingError(TrainingError):
    """Ctrl-C or SIGTERM; a checkpoint was saved. Exit status 130, as shells have it."""

    exit_status = 130


@dataclass(frozen=True)
class TrainingResult:
    """What came of a run.

    Args:
        step: batches seen.
        epoch: the same in epochs.
        best: the best value of validation (the importance bound if one was computed, else the ELBO; nats), or None.
        best_step: where it was reached.
        stopped_early: whether early stopping ended the run.
        skipped_steps: steps skipped for a loss or gradient that was not finite.
        seconds: trained, over all sessions.
        decisions: what every ``auto`` became; ``compile`` is False where compilation failed.
        validation: the last validation's values, or None.
    """

    step: int
    epoch: float
    best: float | None
    best_step: int | None
    stopped_early: bool
    skipped_steps: int
    seconds: float
    decisions: Decisions
    validation: Mapping[str, Any] | None


def train(
    model: Model,
    objective: Objective,
    train_split: Images,
    validation_split: Images | None = None,
    settings: TrainingSettings | None = None,
    *,
    folder: Path,
    resolved: Mapping[str, Any] | None = None,
    resume: bool = False,
    initialize: Initialize | None = None,
    validate: Validate | None = None,
    on_epoch: OnEpoch | None = None,
    console: Console | None = None,
    quiet: bool = False,
    notes: Sequence[str] = (),
) -> TrainingResult:
    """Trains a model into a run folder: checkpoints, metrics.jsonl, log.txt, TensorBoard, model.safetensors.

    A run that is stopped anywhere and resumed ends with the same weights, bit for bit, as one that was not, on the same
    machine and with the same number of threads: noise, epoch order and schedules are functions of the seed and the
    step, everything else is in the checkpoint. Before its first checkpoint a run resumes from the beginning, for which
    the caller must build the model from the seed as before.

    In one of several processes it trains with the others, which call it likewise: they share every batch and the
    images of a validation, and the first process alone calls ``on_epoch`` and writes. Whatever their number, the run is
    the same but for rounding, dropout masks and batch statistics. Of errors that all meet, the first process raises
    its own and the others ``SystemExit`` with the same status.

    Args:
        model: freshly built, or of a run to resume. Where its weights are shared out between processes they stay so;
            the run folder has them whole.
        objective: what is minimized.
        train_split: images.
        validation_split: images that select; None for none, then the last weights count.
        settings: the recipe's ``training`` section.
        folder: the run folder.
        resolved: the fields of ``Decisions`` as kept in resolved.json; decided here if they are not all there.
        resume: go on from the newest checkpoint.
        initialize: ``initialize(model, x, noise, only_weight_normalized)``, to scale weights by the first images where
            the settings ask for it: called once, at the very beginning of a run.
        validate: ``validate(model, split, step) -> values``, to log beside the ELBO; a ``bound`` among them selects.
            Called in eval mode with averaged weights, in every process. The ELBO is computed here if it is not among
            them.
        on_epoch: ``on_epoch(model, epoch, step, writer)``, called likewise, for pictures; the writer is TensorBoard's.
        console: where progress goes; None for stderr.
        quiet: no progress at all.
        notes: sentences that begin the log of a new run: what was said of its data and its model.

    Raises:
        RunError: another process trains into the folder, it holds a run already, or the disk is full.
        CheckpointError: a checkpoint is damaged or cannot be written.
        TrainingError: too many steps in a row were not finite, or training was interrupted.
        RecipeError: settings that cannot be followed.
        KeyboardInterrupt: Ctrl-C has come so early that it ended another process.
    """
    settings, processes = settings or TrainingSettings(), join()
    processes.each(lambda: _check(settings, validation_split, initialize, validate))
    with processes.alike(RecipeError):
        check_settings(settings, processes)
    decisions = processes.first(lambda: read_decisions(resolved or {}) or decide(settings, model, len(train_split)))
    unscaled = initialize is None and decisions.initialize == "all"
    if initialize is None:
        decisions = dataclasses.replace(decisions, initialize=None)
    if processes.are_several:
        decisions = _of_several(decisions, settings)
    device = processes.each(lambda: processes.device(decisions.device))
    steps_per_epoch, total_steps = decisions.steps_per_epoch, decisions.total_steps
    validate_steps = max(round(settings.validate_every * steps_per_epoch), 1)
    picture_steps = max(round((settings.picture_every or 0) * steps_per_epoch), 1)

    with ExitStack() as stack:
        stack.enter_context(_disk_errors(folder))
        stack.callback(setattr, objective, "over_processes", objective.over_processes)  # set below, for this run
        stack.enter_context(processes.alike(TrainingError, RecipeError, RunError))
        stack.enter_context(memory_kept(device.type))
        # Before all meet in the lines below: none does a step while a signal would still end another.
        interruption = stack.enter_context(Interruption(launched=processes.are_several))
        own = folder if processes.is_first else None
        found = hand_out(processes.each(lambda: own and _open(own, resume, stack)), processes)
        counted = found.state["counters"] if found else {"step": 0, "metrics_bytes": 0}
        metrics = stack.enter_context(MetricsFile(own, counted["metrics_bytes"]))
        reporter = stack.enter_context(
            Reporter(
                own,
                total_steps=total_steps,
                first_step=counted["step"],
                tensorboard=settings.tensorboard,
                console=console,
                quiet=quiet,
            )
        )
        session = assemble(
            *(model, objective, train_split, settings, decisions, found),
            folder=folder,
            processes=processes,
            device=device,
            initialize=initialize,
            warn=reporter.warn,
        )
        stack.callback(session.live.parallel.release)
        live, update, meter, counters = session.live, session.live.update, session.live.meter, session.live.counters
        held_out = validation_split.to(session.device) if validation_split is not None else None
        clock = Clock(counters.seconds)
        saver = Saver(folder, session, settings, metrics, clock)
        agreement = Agreement(processes, counters.step)
        for note in () if resume else notes:
            reporter.note(note)
        _announce(reporter, decisions, processes, counters.step, resume)
        if unscaled and found is None:
            reporter.warn(
                "this model is meant to start by data and got no initialize function: unless its weights are scaled or "
                "trained already, its bound may begin far off; pass initialize=initialize_from_data "
                "(tightbound.networks), or set training.initialize=none"
            )
        if session.initialized is not None:
            which = {"all": "every layer", "weight_normalized": "every weight-normalized layer"}[session.initialized]
            reporter.line(f"initialized by data: the weights are scaled such that the first images fit {which}")
            if len(train_split) == 1:
                reporter.warn("a single image does not tell how images vary: the bound of others may begin far off")
        validation = None

        while counters.step < total_steps and not counters.stopped_early:
            x, noise = session.batches(counters.step)
            rate = session.learning_rate(counters.step)
            with session.masks(counters.step):
                loss = session.forward_backward(x, noise, _position(session, steps_per_epoch))
            outcome = update(loss.value, rate)
            meter.add(_logged(loss, outcome.gradient_norm), outcome.finite)
            counters.step += 1
            clock.images += decisions.batch_size

            step, epoch = counters.step, counters.step / steps_per_epoch
            last = step == total_steps
            log_now = step % settings.log_every == 0 or last
            if log_now or (update.waits and not outcome.finite):
                _stop_if_diverged(session, settings.max_nonfinite, folder)
            if log_now:
                row = {"step": step, "epoch": epoch, "split": "train", "mode": "training", **meter.read()}
                row |= {"learning_rate": rate, "parameter_norm": float(update.parameter_norm()), **clock.read()}
                row["skipped_steps"] = step - int(update.done)
                row = by_layer(row)
                metrics.write(row)
                reporter.row(row)
            if held_out is not None and (step % validate_steps == 0 or last):
                with clock.paused(), evaluating(model, live.average, live.parallel):
                    values = dict(validate(model, held_out, step)) if validate else {}
                    if "elbo" not in values:
                        options = {"seed": settings.seed, "dtype": session.dtype, "processes": processes}
                        values |= mean_elbo(model, held_out, **options)
                    validation = processes.agreed(plain(values))
                    _stop_if_lost(validation, step)
                    saver.judge(validation)
                row = by_layer(
                    {"step": step, "epoch": epoch, "split": "validation", "mode": "evaluation", **validation}
                )
                row["seconds"] = clock.seconds
                metrics.write(row)
                reporter.row(row)
            if on_epoch and settings.picture_every is not None and (step % picture_steps == 0 or last):
                with clock.paused(), evaluating(model, live.average, live.parallel):
                    if processes.is_first:
                        on_epoch(model, epoch, step, reporter.writer)
            interrupted, due = agreement(step, interruption.requested, saver.is_due_by_time())
            if due or saver.is_due_by_steps():
                saver.save()
            if interrupted and not last:
                saver.save()
                raise InterruptedTrainingError(
                    f"interrupted at step {step} of {total_steps}; a checkpoint was saved", hint="go on with --resume"
                )
            reporter.advance(step)

        if counters.stopped_early:
            reporter.line(f"stopped early at step {counters.step}: no new best in {counters.waited} validations")
        saver.save()
        with evaluating(model, live.average, live.parallel):
            saver.save_weights(folder / MODEL_FILE)
        return TrainingResult(
            step=counters.step,
            epoch=counters.step / steps_per_epoch,
            best=counters.best,
            best_step=counters.best_step,
            stopped_early=counters.stopped_early,
            skipped_steps=counters.step - int(update.done),
            seconds=clock.seconds,
            decisions=dataclasses.replace(
                decisions,
                compile=session.forward_backward.compiled,
                cuda_graph=session.forward_backward.cuda_graph,
            ),
            validation=validation,
        )


def _check(
    settings: TrainingSettings,
    validation_split: Images | None,
    initialize: Initialize | None,
    validate: Validate | None,
) -> None:
    if settings.initialize == "data" and initialize is None:
        raise RecipeError(
            "training.initialize: an initialization by data needs an initialize function",
            hint="pass initialize=..., or set training.initialize=none",
        )
    if settings.early_stopping is not None and validation_split is None:
        raise RecipeError(
            "training.early_stopping: there is no validation split to judge by",
            hint="keep one apart with data.validation, or set training.early_stopping=null",
        )
    if settings.validation_samples and validation_split is not None and validate is None:
        raise RecipeError(
            "training.validation_samples: an importance bound needs a validate function",
            hint="pass validate=..., or set training.validation_samples=0",
        )


def _of_several(decisions: Decisions, settings: TrainingSettings) -> Decisions:
    """What several processes can follow: a step with an engine around it exchanges gradients or weights."""
    if decisions.compile and settings.sharding != "none":
        note = "compile: off, as the weights are shared out between processes"
        decisions = dataclasses.replace(decisions, compile=False, compile_note=note)
    return dataclasses.replace(decisions, cuda_graph=False)


def _open(folder: Path, resume: bool, stack: ExitStack) -> files.Checkpoint | None:
    """Locks the run folder and finds the checkpoint to go on from."""
    stack.enter_context(run_lock(folder))
    files.remove_unfinished(folder)
    return find_checkpoint(folder, resume)


def _announce(reporter: Reporter, decisions: Decisions, processes: Processes, step: int, resume: bool) -> None:
    where = f"device: {decisions.device}, precision: {decisions.precision}"
    where += f", {processes.world_size} processes" if processes.are_several else ""
    graph = "; each step is replayed as one CUDA graph" if decisions.cuda_graph else ""
    if not resume:
        reporter.line(f"training for {decisions.total_steps:,} steps; {where}; {decisions.compile_note}{graph}")
    elif step:
        reporter.line(f"resumed at step {step} of {decisions.total_steps}; {where}")
    else:
        reporter.line(f"no checkpoint yet: resumed at the beginning; {where}")


def _position(session: Session, steps_per_epoch: int) -> Step:
    """Optimizer steps done and epochs, as tensors that a compiled step can take."""
    done = session.live.update.done
    return Step(done, done.to(session.dtype) / steps_per_epoch)


def _logged(loss: Loss, gradient_norm: Tensor) -> dict[str, Tensor]:
    return {**loss.parts, "loss": loss.value, "gradient_norm": gradient_norm}


def _stop_if_diverged(session: Session, limit: int, folder: Path) -> None:
    row = session.live.update.counters()["worst_row"]
    if row < limit:
        return
    steps = files.saved_steps(folder)
    kept = f"{files.checkpoint_path(folder, steps[-1])} is the last good checkpoint; " if steps else ""
    raise TrainingError(
        f"training stopped at step {session.live.counters.step}: in {row} steps in a row the loss or its gradient "
        "was not finite",
        hint=f"{kept}try a lower learning rate, training.clip_norm, or precision float32",
    )


def _stop_if_lost(validation: Mapping[str, Any], step: int) -> None:
    """Weights can be finite and far out: every step was sound, and the model is not."""
    if validation["elbo"] is None:  # as JSON has what is not finite
        raise TrainingError(
            f"training diverged: at step {step} the validation ELBO is not finite",
            hint="try a lower learning rate or training.clip_norm",
        )


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """A full disk, met by a log line say, is an expected failure, not a crash."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise RunError(
            f"cannot write into {folder}: {error.strerror}", hint="make room and go on with --resume"
        ) from error
