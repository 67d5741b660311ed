"""Numbers with their errors, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tightbound.evaluation import Estimate, Probed
from tightbound.report.formatting import brief
from tightbound.report.probes import probe_headlines
from tightbound.report.run_folder import Evaluation, is_probe, read_run
from tightbound.report.tables import Headline, headlines


def headline_lines(folder: Path) -> list[str]:
    """The main numbers of a run, as its report shows them; those of annealing and of the last probe beside."""
    run = read_run(folder)
    annealed = [e for e in run.evaluations if e is not run.main and e.row.get("annealing")]
    shown = [] if run.main is None else [run.main, *annealed[-1:]]
    shown += [e for e in run.evaluations if is_probe(e.row)][-1:]
    return [line for evaluation in shown for line in _lines(evaluation, run.amortized)]


def estimate_lines(estimate: Estimate | Probed, folder: Path) -> list[str]:
    """The main numbers of an estimate of the run in a folder."""
    return _lines(Evaluation(estimate.to_row(), dict(estimate.per_image)), read_run(folder).amortized)


def _lines(evaluation: Evaluation, amortized: bool) -> list[str]:
    row = evaluation.row
    title = f"{row['split']}: {row['images']:,} images, {row['checkpoint']} weights, {brief(str(row['protocol']))}"
    made = probe_headlines(row) if is_probe(row) else headlines(evaluation, amortized=amortized)
    width = max((len(headline.name) for headline in made), default=0)
    return [title, *(_line(headline, width) for headline in made), f"  {sentence(row)}"]


def sentence(row: Mapping[str, object]) -> str:
    """What the number is and how far to trust it."""
    text = str(row["sentence"])
    return text[0].upper() + text[1:] + "."


def _line(headline: Headline, width: int) -> str:
    note = f"  ({headline.note})" if headline.note else ""
    return f"  {headline.name:<{width}}  {headline.value} {headline.unit}{note}"
