"""The Gaussian location study: every method on the same data sets, and how far from the truth and the optimum it ends.

Two tables. ``bound`` trains each method on its evidence lower bound of all rows at once. ``published`` trains on what
the published study trained on: each mini-batch as a data set of its own, and planar and autoregressive flows on an
objective that lacks a factor ½.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from tightbound.errors import RecipeError
from tightbound.models import GaussianLocation
from tightbound.numerics import generator_for
from tightbound.objectives import ELBO
from tightbound.recipes.location.data import ROWS, SEED, DataSets, make_data_sets
from tightbound.recipes.location.ensemble import Ensemble
from tightbound.recipes.location.fit import Protocol, fit
from tightbound.recipes.location.methods import METHODS, Method, sign_points
from tightbound.registry import nearest_hint

NAME = "gaussian-location"
TABLES = ("bound", "published")
SAMPLES = 10  # K of training, where expectations are sampled: 5 draws of noise and their negatives
_CHECKED = 1000  # K of the bound that is reported
_CLIP = 1e-4
# Passes of mean field behind the published tables; from 200 dimensions on they were run again, without clipping.
_MEAN_FIELD = {25: 2000, 50: 2000, 100: 2000, 200: 4000, 300: 4000, 400: 5000}

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What is run.

    Args:
        dimensions: D, each once.
        methods: names of ``METHODS``; empty for all.
        tables: ``bound``, ``published``, or both.
        data_sets: how many in each dimension, trained side by side.
        rows: N of each.
        protocol: of the table ``published``: ``convergence`` ends where nothing is gained, ``published`` after the
            published 2000 passes of RMSprop with the published clipping, which takes hours. Mean field, whose published
            numbers are of runs that had not converged, is always run for its published number of passes.
        passes: in place of the published number.
        processes: that share the work, one thread each.

    Raises:
        RecipeError: an unknown method, something twice, or a setting without effect on what is asked for.
    """

    dimensions: Annotated[tuple[Annotated[int, Ge(2)], ...], MinLen(1)] = (25, 50, 100, 200, 300, 400)
    methods: tuple[str, ...] = ()
    tables: Annotated[tuple[Literal["bound", "published"], ...], MinLen(1)] = TABLES
    data_sets: Annotated[int, Ge(1)] = 3
    rows: Annotated[int, Ge(2)] = ROWS
    protocol: Literal["convergence", "published"] = "convergence"
    passes: Annotated[int, Ge(1)] | None = None
    processes: Annotated[int, Ge(1)] = 2

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in METHODS:
                raise RecipeError(
                    f"methods: got {name!r}; expected some of {', '.join(METHODS)}", hint=nearest_hint(name, METHODS)
                )
        for key in ("dimensions", "methods", "tables"):
            if twice := [one for one, times in Counter(getattr(self, key)).items() if times > 1]:
                raise RecipeError(f"{key}: got {twice[0]} twice; expected each once")
        if self.protocol != "convergence" and "published" not in self.tables:
            raise RecipeError("protocol: has no effect without the table published", hint="leave it out")
        if self.passes is not None and all(protocol_of(cell, self).passes is None for cell in cells(self)):
            raise RecipeError(
                "passes: has no effect, as all that is asked for is trained until nothing is gained",
                hint="protocol=published, or mean-field in the table published",
            )


@dataclass(frozen=True)
class Cell:
    """One method in one dimension of one table."""

    table: str
    method: str
    dimension: int

    @property
    def name(self) -> str:
        """Of its row's file."""
        return f"{self.table}-{self.method}-{self.dimension}"


@contextmanager
def double() -> Iterator[None]:
    """The precision of the study: bounds of millions of nats, whose gains are of thousandths."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def cells(settings: StudySettings) -> Iterator[Cell]:
    """All that is to be run, small dimensions first."""
    for dimension in settings.dimensions:
        for table in settings.tables:
            for name, method in METHODS.items():
                wanted = not settings.methods or name in settings.methods
                if wanted and (table == "bound" or method.published):
                    yield Cell(table, name, dimension)


def protocol_of(cell: Cell, settings: StudySettings) -> Protocol:
    """How the parameters of a cell are moved."""
    mean_field = cell.method == "mean-field"
    if cell.table == "bound" or not (mean_field or settings.protocol == "published"):
        return Protocol()
    passes = _MEAN_FIELD.get(cell.dimension, 2000) if mean_field else 2000
    unclipped = cell.dimension >= 400 or cell.method.startswith("untempered") or cell.method == "iaf"
    again = mean_field and passes > 2000
    return Protocol(settings.passes or passes, None if unclipped or again else _CLIP)


def run_cell(cell: Cell, settings: StudySettings) -> Row:
    """Trains a method on all data sets of a dimension and measures where it ended.

    Returns:
        how it was trained; for each data set the squared errors of Δ and σ (of their vectors) against the ``truth`` and
        against the ``optimum`` of the exact evidence, the bound by 1,000 samples with its standard error and the exact
        log-evidence there, all of the true likelihood of all rows; and the learning curve.
    """
    method, protocol = METHODS[cell.method], protocol_of(cell, settings)
    with torch.random.fork_rng(devices=[]), double():
        data = make_data_sets(cell.dimension, settings.data_sets, rows=settings.rows)
        ensemble = make_ensemble(cell, data, settings.rows, location=protocol.passes is None)
        fitted = fit(
            ensemble,
            data.whole if cell.table == "bound" else data.batches,
            training_noise(method, cell, len(data), ensemble.noise_size),
            lambda trained: {"optimum": errors(trained.value("shift"), trained.value("log_scale"), data)["optimum"]},
            rate=method.rate(cell.dimension),
            protocol=protocol,
        )
        models = ensemble.write_back()
    return {
        "study": NAME,
        "table": cell.table,
        "method": cell.method,
        "dimension": cell.dimension,
        "rows": settings.rows,
        "data_sets": len(data),
        "passes": protocol.passes,
        "converged": fitted.converged,
        "updates": fitted.updates,
        "seconds": fitted.seconds,
        "squared_latent": data.latent.square().sum(-1).tolist(),
        **errors(ensemble.value("shift"), ensemble.value("log_scale"), data),
        **bounds(models, data),
        "curve": rounded(fitted.curve),
    }


def rounded(value: Any) -> Any:
    """Every float in it to six digits: a curve is looked at, and there are many."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case list():
            return [rounded(one) for one in value]
        case dict():
            return {key: rounded(one) for key, one in value.items()}
        case _:
            return value


def make_ensemble(cell: Cell, data: DataSets, rows: int, *, location: bool) -> Ensemble:
    """The untrained models; networks begin alike in every data set.

    Under the right bound Δ begins at x̄, which is tens away where d is large. A flow that moves before Δ is there moves
    all of z with it, saturates, and never comes back. The published runs began at 0.
    """
    method, models = METHODS[cell.method], []
    for _ in range(len(data)):
        torch.manual_seed(SEED)
        missing = cell.table == "published" and method.missing_half
        models.append(
            GaussianLocation(
                (1, rows, cell.dimension), posterior=method.make(cell.dimension), missing_half=missing
            ).double()
        )
    if cell.table == "bound":
        with torch.no_grad():
            for model, mean in zip(models, data.best_shift, strict=True):
                model.shift.copy_(mean)
    return Ensemble(models, ELBO(num_samples=SAMPLES), method.location if location else None)


def training_noise(method: Method, cell: Cell, count: int, size: int) -> Callable[[], Tensor]:
    """The noise (S, K, 1, size) of one update after the other; each data set has its own, however many there are.

    Where the expectation can be had exactly, it is the same few points every time. Else 5 draws and their negatives: in
    the mean of z their noise cancels, which would otherwise hide the pull of the prior on Δ.
    """
    if method.points:
        points = sign_points(method.points, cell.dimension)
        exact = points[None, :, None].expand(count, -1, -1, -1).contiguous()
        return lambda: exact
    generators = [generator_for(SEED, "location training", cell.dimension, index) for index in range(count)]
    half = functools.partial(torch.randn, (SAMPLES // 2, 1, size), dtype=torch.float64)

    def draw() -> Tensor:
        drawn = torch.stack([half(generator=generator) for generator in generators])
        return torch.cat([drawn, -drawn], 1)

    return draw


def errors(shift: Tensor, log_scale: Tensor, data: DataSets) -> dict[str, dict[str, list[float]]]:
    """Squared errors of Δ and σ (S, D) of each data set."""
    scale = log_scale.exp()
    wanted = {"truth": (data.shift, data.scale), "optimum": (data.best_shift, data.best_scale)}
    return {
        name: {
            "shift": (shift - best_shift).square().sum(-1).tolist(),
            "scale": (scale - best_scale).square().sum(-1).tolist(),
        }
        for name, (best_shift, best_scale) in wanted.items()
    }


def bounds(models: list[GaussianLocation], data: DataSets) -> Mapping[str, list[float]]:
    """The honest bound of all rows by independent samples, its standard error, and the exact evidence."""
    found: dict[str, list[float]] = {"elbo": [], "elbo_error": [], "log_evidence": []}
    for index, model in enumerate(models):
        generator = generator_for(SEED, "location bound", model.latent_dim, index)
        noise = torch.randn(_CHECKED, 1, model.noise_size, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            log_weight = model.draw_from(data.whole[index], noise).log_weight.squeeze(-1)
            found["log_evidence"].append(model.log_evidence_of(data.whole[index]).item())
        found["elbo"].append(log_weight.mean().item())
        found["elbo_error"].append(log_weight.std().item() / _CHECKED**0.5)
    return found
