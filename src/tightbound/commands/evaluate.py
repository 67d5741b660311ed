"""``tightbound evaluate``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from tightbound.commands.console import counter, say
from tightbound.commands.results import estimate_lines
from tightbound.errors import RecipeError, TightboundError
from tightbound.evaluation import Estimate, Probed
from tightbound.recipes.evaluate import evaluate_run, read_method
from tightbound.recipes.files import write_arrays
from tightbound.recipes.run import Run, open_run
from tightbound.recipes.source import read_override
from tightbound.training import Processes, join, leave
from tightbound.training.reporting import append_to_log


def evaluate_and_print(
    path: Path,
    given: Mapping[str, Any],
    options: Sequence[str],
    *,
    data: str | None,
    out: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Evaluates a run, prints the numbers, and keeps them in the run if they are of its own data.

    Several processes share the images; the first one prints and writes.

    Args:
        path: the run.
        given: method, samples, split and so on.
        options: further ``key=value`` of the method.
        data: other data.
        out: where the per-image values go.
        device: where.
        as_json: one JSON object on stdout, nothing else there.
    """
    processes = join()
    with processes.last_words(), processes.alike(TightboundError):
        run = processes.each(lambda: open_run(path))
        estimate = _evaluate(run, given, options, processes, data=data, out=out, device=device)
    leave()
    if not processes.is_first:
        return
    lines = estimate_lines(estimate, run.folder)
    if data is None and run.writable:
        run.add_evaluation(estimate)
        append_to_log(run.folder, lines)
    elif data is None:
        say(f"{path} is a zip: the numbers are not kept in it")
    if out is not None:
        write_arrays(out, estimate.per_image)
    typer.echo(json.dumps(estimate.to_row()) if as_json else "\n".join(lines))


def _evaluate(
    run: Run,
    given: Mapping[str, Any],
    options: Sequence[str],
    processes: Processes,
    *,
    data: str | None,
    out: Path | None,
    device: str | None,
) -> Estimate | Probed:
    if out is not None and out.suffix != ".npz":
        raise RecipeError(f"--out: got {str(out)!r}; expected a file that ends in .npz")
    if data is not None and given.get("split", "test") != "test":
        raise RecipeError("--split has no effect with --data: all its images, or its test images, are evaluated")
    settings = read_method({**given, **{k: v for option in options for k, v in read_override(option).items()}})
    speaks: dict[str, Any] = {"progress": counter("evaluating"), "say": say} if processes.is_first else {}
    return evaluate_run(run, settings, data=data, device=device or "auto", processes=processes, **speaks)
