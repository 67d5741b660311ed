"""Joins the pictures, numbers and findings of a run into one self-contained HTML file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tightbound.report.annealing import annealing
from tightbound.report.bound_against_k import bound_against_k
from tightbound.report.bounds import bounds
from tightbound.report.carried import carried_samples
from tightbound.report.correlations import correlation_maps
from tightbound.report.curves import bound_curve, kl_curve, speed_curve
from tightbound.report.details import detail_groups
from tightbound.report.exhibit import PALETTE, Exhibit
from tightbound.report.extremes import extreme_images
from tightbound.report.layer_arrays import Layers
from tightbound.report.layer_costs import active_bars, layer_costs
from tightbound.report.layer_samples import cooled_exhibit, layer_exhibit
from tightbound.report.pictures import Pictures
from tightbound.report.pipeline import pipelines
from tightbound.report.probes import probe_table
from tightbound.report.reconstructions import reconstruction_rows
from tightbound.report.run_folder import Run, read_run
from tightbound.report.samples import sample_grids
from tightbound.report.scatter import scatter
from tightbound.report.summary import run_name, summary
from tightbound.report.tables import evaluation_table, headlines, quantity
from tightbound.report.units import unit_bars
from tightbound.report.walk_grids import walks
from tightbound.report.warnings import findings
from tightbound.report.warp_pictures import warp_exhibits
from tightbound.report.weights import weight_histograms


@dataclass(frozen=True)
class Section:
    """A part of the page; one without exhibits is left out."""

    title: str
    exhibits: tuple[Exhibit, ...]


def write_report(folder: Path, pictures: Pictures | None = None, *, out: Path | None = None) -> Path:
    """Writes ``report.html`` and ``figures/*.png`` of a run folder; equal input gives equal bytes.

    Args:
        folder: a run folder; of its files only what is there is shown.
        pictures: from ``collect_pictures``; None leaves samples and reconstructions out.
        out: another file for the page, which holds all its pictures; then nothing is written into the folder.

    Returns:
        The path of the page.

    Raises:
        RunError: if the folder is missing, is not a run folder, or is damaged.
    """
    run = read_run(folder)
    sections = sections_of(run, pictures)
    if out is None:
        for exhibit in (exhibit for section in sections for exhibit in section.exhibits):
            _write(folder / "figures" / f"{exhibit.name}.png", exhibit.png)
    path = folder / "report.html" if out is None else out
    _write(path, render(run, pictures, sections, files=out is None).encode())
    return path


def sections_of(run: Run, pictures: Pictures | None) -> list[Section]:
    """All of the page's pictures, as far as there is something to show."""
    row = run.row
    codes = [scatter(pictures), correlation_maps(pictures), carried_samples(pictures)]
    codes += [*unit_bars(run.main, amortized=run.amortized)]
    codes += [active_bars(row) if run.amortized else None, kl_curve(run.metrics)]
    layered = None if pictures is None else pictures.layers
    sections = [
        Section("What the model does", tuple(pipelines(pictures))),
        Section("What the model draws", (*sample_grids(pictures), *_cooled(layered))),
        Section("What it makes of held-out images", _known([reconstruction_rows(pictures)])),
        Section("What each layer does", _of_layers(layered)),
        Section("What is seen, and where", tuple(warp_exhibits(None if pictures is None else pictures.warps))),
        Section("What the latent space holds", tuple(walks(pictures))),
        Section("Most and least likely images", tuple(extreme_images(pictures, quantity(row)))),
        Section("How tight the bound is", _known([bounds(run), bound_against_k(run.main)])),
        Section("What annealing says", tuple(annealing(run))),
        Section("Whether the weights can be trusted", tuple(weight_histograms(run.main))),
        Section("What the code carries", _known(codes)),
        Section("How training went", _known([bound_curve(run.metrics, row), speed_curve(run.metrics)])),
    ]
    return [section for section in sections if section.exhibits]


def _cooled(layers: Layers | None) -> list[Exhibit]:
    return [] if layers is None else [cooled_exhibit(layers.cooled)]


def _of_layers(layers: Layers | None) -> tuple[Exhibit, ...]:
    if layers is None:
        return ()
    return (layer_exhibit(layers.grids), *layer_costs(layers.kl))


def _known(exhibits: Sequence[Exhibit | None]) -> tuple[Exhibit, ...]:
    return tuple(exhibit for exhibit in exhibits if exhibit is not None)


def render(run: Run, pictures: Pictures | None, sections: Sequence[Section], *, files: bool = True) -> str:
    """The page as text; ``files`` says whether its pictures are also in ``figures/``."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tightbound.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = findings(run, pictures)
    return environment.get_template("page.html.j2").render(
        name=run_name(run),
        palette=PALETTE,
        summary=summary(run, found),
        headlines=headlines(run.main, amortized=run.amortized),
        findings=found,
        sections=sections,
        evaluations=evaluation_table(run.estimates),
        probes=[probe_table(row) for row in run.probes],
        columns=len(run.estimates),
        details=detail_groups(run),
        recipe=run.recipe,
        files=files,
    )


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing: a reader never sees half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_bytes(content)
    os.replace(temporary, path)
