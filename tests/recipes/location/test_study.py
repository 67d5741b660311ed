"""The Gaussian location study: data, exact noise, copies side by side, what training finds, what is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tightbound.commands.location import read_study
from tightbound.core import Step
from tightbound.errors import RecipeError, TrainingError
from tightbound.models import GaussianLocation
from tightbound.numerics import soft_clamp
from tightbound.objectives import ELBO
from tightbound.recipes.location import Cell, StudySettings, cells, run_cell
from tightbound.recipes.location.data import make_data_sets, truth
from tightbound.recipes.location.ensemble import Ensemble
from tightbound.recipes.location.fit import WINDOW, Plateau, Protocol, clip_each, fit
from tightbound.recipes.location.methods import METHODS, sign_points
from tightbound.recipes.location.study import make_ensemble, protocol_of, rounded, training_noise

SMALL = StudySettings(rows=600, data_sets=2, processes=1)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_truth_is_the_published_one() -> None:
    """Sums that were computed from the published formulas: Σ Δ² and Σ σ², and the first error of σ = e³."""
    for dimension, of_shift, of_scale, first in ((25, 52.0, 6.618, 9665.52), (400, 213332.0, 93.571, 155013.55)):
        shift, scale = truth(dimension)
        assert shift.square().sum().item() == pytest.approx(of_shift, rel=1e-5)
        assert scale.square().sum().item() == pytest.approx(of_scale, rel=1e-4)
        assert (scale - torch.tensor(3.0).exp()).square().sum().item() == pytest.approx(first, rel=1e-6)
        assert scale[0].item() == pytest.approx(1.0)


def test_data_sets_are_the_model_s() -> None:
    data = make_data_sets(3, 2)
    count, center, scatter = data.whole.squeeze(1).split((1, 3, 3), -1)
    assert count.tolist() == [[10_000.0], [10_000.0]]
    assert ((center - data.latent - data.shift).abs() < 5 * data.scale / 100).all()
    assert (((scatter / 10_000).sqrt() / data.scale - 1).abs() < 5 / 20_000**0.5).all()
    assert data.batches.shape == (2, 40, 7)
    assert data.batches[0, :, 0].tolist() == [256.0] * 39 + [16.0]
    torch.testing.assert_close((data.batches[..., :1] * data.batches[..., 1:4]).sum(1) / 10_000, center)


def test_the_first_data_sets_are_the_same_however_many() -> None:
    one, three = make_data_sets(4, 1, rows=50), make_data_sets(4, 3, rows=50)
    assert torch.equal(one.whole[0], three.whole[0])
    assert not torch.equal(three.latent[0], three.latent[1])


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.points])
def test_sign_points_average_exactly(name: str) -> None:
    """Against 200,000 samples, at random parameters; of the mean field also against its analytic KL."""
    data = make_data_sets(3, 1, rows=5)
    model = GaussianLocation((1, 5, 3), posterior=METHODS[name].make(3), log_scale=0.3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        points = sign_points(METHODS[name].points, 3).unsqueeze(1)
        exact = model.draw_from(data.whole[0], points)
        sampled = model.draw_from(data.whole[0], torch.randn(200_000, 1, model.noise_size)).log_weight
        if exact.densities[0] is not None:
            analytic = exact.log_likelihood.mean() - exact.kl[0].sum(-1).mean()
            torch.testing.assert_close(exact.log_weight.mean(), analytic, rtol=0, atol=1e-9)
    error = sampled.std() / 200_000**0.5
    assert (exact.log_weight.mean() - sampled.mean()).abs() < 4 * error
    assert error < 0.2


@pytest.mark.parametrize("name", ["mean-field", "iaf", "planar-30", "hamiltonian-1"])
@pytest.mark.parametrize("protocol", [Protocol(), Protocol(passes=2, clip=1e-4)])
def test_side_by_side_is_as_alone(name: str, protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 updates of three data sets at once and of the third alone, by the same noise."""
    monkeypatch.setattr("tightbound.recipes.location.fit._MOST_UPDATES", 40)
    cell = Cell("published", name, 4)
    data = make_data_sets(4, 3, rows=300)

    def trained(which: slice) -> Ensemble:
        everything = make_ensemble(cell, data, 300, location=True)
        ensemble = Ensemble(everything.write_back()[which], ELBO(num_samples=10), METHODS[name].location)
        noise = training_noise(METHODS[name], cell, 3, ensemble.noise_size)
        chosen = data.batches[which]
        fit(ensemble, chosen, lambda: noise()[which], lambda _: {}, rate=0.01, protocol=protocol)
        return ensemble

    together, alone = trained(slice(None)), trained(slice(2, 3))
    for parameter in together.parameters:
        torch.testing.assert_close(together.value(parameter)[2:], alone.value(parameter), rtol=1e-9, atol=1e-11)
    assert (together.value("log_scale") - 3).abs().min() > 1e-3


def test_an_ensemble_s_loss_is_each_model_s_own() -> None:
    """With the location apart from Δ and without: the optimizer's view changes no value."""
    data = make_data_sets(3, 2, rows=40)
    cell = Cell("bound", "iaf", 3)
    noise = torch.randn(2, 6, 1, 3)
    for located in (False, True):
        ensemble = make_ensemble(cell, data, 40, location=located)
        with torch.no_grad():
            for value in ensemble.parameters.values():
                value.add_(0.1 * torch.randn_like(value))
        losses, elbo = ensemble.losses(data.whole, noise)
        torch.testing.assert_close(losses, -elbo)
        for index, model in enumerate(ensemble.write_back()):
            now = Step(torch.tensor(0), torch.tensor(0.0))
            alone = ELBO()(model.draw_from(data.whole[index], noise[index]), now)
            torch.testing.assert_close(losses[index], alone.value, rtol=1e-12, atol=0)


def test_clipping_is_of_each_copy_by_itself() -> None:
    first, second = torch.zeros(2, 2), torch.zeros(2, 1)
    first.grad, second.grad = torch.tensor([[3.0, 0.0], [0.3, 0.0]]), torch.tensor([[4.0], [0.4]])
    clip_each([first, second], 1.0)
    torch.testing.assert_close(first.grad, torch.tensor([[0.6, 0.0], [0.3, 0.0]]))
    torch.testing.assert_close(second.grad, torch.tensor([[0.8], [0.4]]))


def test_mean_field_finds_the_exact_maximum() -> None:
    """Its posterior is the exact one, so its optimum is that of the evidence, and its bound is the evidence."""
    row = run_cell(Cell("bound", "mean-field", 5), SMALL)
    assert row["converged"]
    assert max(row["optimum"]["shift"]) < 1e-6
    assert max(row["optimum"]["scale"]) < 1e-6
    for bound, error, exact in zip(row["elbo"], row["elbo_error"], row["log_evidence"], strict=True):
        assert bound == pytest.approx(exact, abs=0.01 + 4 * error)
    assert row["truth"]["shift"] == pytest.approx(row["squared_latent"], rel=0.3)


@pytest.mark.parametrize("method", ["iaf", "planar-1", "hamiltonian-1", "untempered-1"])
def test_every_bound_is_below_the_evidence(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.recipes.location.fit.WINDOW", 20)
    row = run_cell(Cell("bound", method, 3), SMALL)
    for bound, error, exact in zip(row["elbo"], row["elbo_error"], row["log_evidence"], strict=True):
        assert bound < exact + 4 * error


def test_one_untempered_step_ends_where_theory_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """z_0 − z* shrinks by 1 − s/2 and leaves a momentum: of all s = ε² (N/σ² + 1), 8/3 costs least, f = 11/27.

    f(s) = (1 − s/2)² + s/4 (2 − s/2)² is what takes the place of the variance of z in the bound, so that σ² = τ + f.
    """
    monkeypatch.setattr("tightbound.recipes.location.fit.WINDOW", 60)
    row = run_cell(Cell("bound", "untempered-1", 2), StudySettings(data_sets=1, processes=1))
    _, scale = truth(2)
    expected = ((scale.square() + 11 / 27).sqrt() - scale).square().sum().item()
    assert mean(row["truth"]["scale"]) == pytest.approx(expected, rel=0.05)


def test_one_planar_step_shrinks_the_direction_of_the_smallest_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others keep the prior's variance, so that σ² = τ + 1 there: from 50 dimensions on a flow can go astray."""
    monkeypatch.setattr("tightbound.recipes.location.fit.WINDOW", 60)
    row = run_cell(Cell("bound", "planar-1", 50), StudySettings(data_sets=1, processes=1))
    assert max(row["optimum"]["shift"]) < 1e-6
    _, scale = truth(50)
    wide = ((scale.square() + 1).sqrt() - scale).square()
    expected = (wide.sum() - wide[scale.argmin()]).item()
    assert mean(row["truth"]["scale"]) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("table", "start"), [("bound", "best_shift"), ("published", "zeros")])
def test_the_right_bound_begins_at_the_mean(table: str, start: str) -> None:
    data = make_data_sets(6, 2, rows=300)
    expected = data.best_shift if start == "best_shift" else torch.zeros(2, 6)
    for method in ("planar-1", "mean-field"):
        ensemble = make_ensemble(Cell(table, method, 6), data, 300, location=True)
        torch.testing.assert_close(ensemble.value("shift"), expected, rtol=1e-12, atol=1e-12)


def test_the_missing_half_doubles_the_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Σ(√2 σ − σ)² where the posterior is narrow: the whole published error of σ by the autoregressive flow."""
    monkeypatch.setattr("tightbound.recipes.location.fit.WINDOW", 60)
    row = run_cell(Cell("published", "iaf", 4), StudySettings(rows=2560, data_sets=1, processes=1))
    expected = 0.17157 * truth(4)[1].square().sum().item()
    assert mean(row["truth"]["scale"]) == pytest.approx(expected, rel=0.05)


def test_what_is_asked_for() -> None:
    everything = list(cells(StudySettings()))
    assert len(everything) == 6 * (9 + 8)
    assert everything[0] == Cell("bound", "hamiltonian-1", 25)
    some = read_study(["dimensions=25,50", "methods=iaf", "tables=published", "data_sets=1"])
    assert list(cells(some)) == [Cell("published", "iaf", 25), Cell("published", "iaf", 50)]
    assert protocol_of(Cell("published", "mean-field", 400), some) == Protocol(5000, None)
    assert protocol_of(Cell("published", "mean-field", 25), some) == Protocol(2000, 1e-4)
    assert protocol_of(Cell("published", "iaf", 25), some) == Protocol()
    assert protocol_of(Cell("published", "planar-1", 25), read_study(["protocol=published"])) == Protocol(2000, 1e-4)


def test_mean_field_moves_by_the_published_protocol() -> None:
    """Six updates in closed form, from the published start: RMSprop on Δ, log σ and q(z), gradients clipped."""
    row = run_cell(Cell("published", "mean-field", 3), StudySettings(rows=300, data_sets=2, passes=3, processes=1))
    assert (row["passes"], row["updates"]) == (3, 6)
    data = make_data_sets(3, 2, rows=300)
    for index in range(2):
        shift, log_scale, mean_z = torch.zeros(3), torch.full((3,), 3.0), torch.zeros(3)
        parameters = [value.double().requires_grad_() for value in (shift, log_scale, mean_z, torch.ones(3))]
        optimizer = torch.optim.RMSprop(parameters, lr=1e-3, alpha=0.99, eps=1e-8)
        for update in range(6):
            shift, log_scale, mean_z, raw = parameters
            log_scale_z = soft_clamp(raw, -12.0, 8.0)  # of every Gaussian posterior
            count, center, scatter = data.batches[index, update % 2].split((1, 3, 3))
            square = scatter + count * ((center - shift - mean_z) ** 2 + (2 * log_scale_z).exp())
            fit_of = count * log_scale + 0.5 * square / (2 * log_scale).exp()
            kl = 0.5 * (mean_z**2 + (2 * log_scale_z).exp() - 1) - log_scale_z
            optimizer.zero_grad()
            (fit_of + kl).sum().backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1e-4)
            optimizer.step()
        for name, value, wanted in (("shift", shift, data.shift), ("scale", log_scale.exp(), data.scale)):
            assert row["truth"][name][index] == pytest.approx((value - wanted).square().sum().item(), rel=1e-9)


@pytest.mark.parametrize("dimension", [25, 300, 400])
def test_published_protocols_are_the_notebooks(dimension: int) -> None:
    """2,000 passes, clipped at 10⁻⁴ below d = 400; not the IAF, nor without tempering, nor where mean field went on."""
    settings = read_study(["protocol=published"])
    clip = 1e-4 if dimension < 400 else None
    for method in ("hamiltonian-1", "hamiltonian-10", "planar-1", "planar-30-shared"):
        assert protocol_of(Cell("published", method, dimension), settings) == Protocol(2000, clip)
    for method in ("iaf", "untempered-1", "untempered-10"):
        assert protocol_of(Cell("published", method, dimension), settings) == Protocol(2000, None)
    passes = {25: 2000, 300: 4000, 400: 5000}[dimension]
    wanted = Protocol(passes, clip if passes == 2000 else None)
    assert protocol_of(Cell("published", "mean-field", dimension), settings) == wanted
    for method in METHODS:
        assert protocol_of(Cell("bound", method, dimension), settings) == Protocol()


def test_methods_are_the_published_ones() -> None:
    def options(method: str) -> Mapping[str, Any]:
        return METHODS[method].make(25).options

    for method in METHODS:
        kind, _, steps = method.partition("-")
        if kind in ("hamiltonian", "untempered"):
            posterior = GaussianLocation((1, 9, 3), posterior=METHODS[method].make(3)).posterior
            assert posterior.steps == int(steps)
            torch.testing.assert_close(posterior.step_sizes, torch.full((3,), 0.005))
            assert posterior.max_step_size == 0.5
            start = 1.0 if posterior.log_alphas is None else posterior.log_alphas.sum().neg().exp().item()
            assert start == pytest.approx(5.0 if kind == "hamiltonian" else 1.0)  # 1/√β_0
    (iaf,) = options("iaf")["flows"]
    assert iaf.options["hidden"] == (125,)
    assert [METHODS["iaf"].rate(d) for d in (25, 100, 200, 400)] == [0.01, 0.008, 0.004, 0.004]
    assert {METHODS[name].rate(50) for name in METHODS if name.startswith("planar")} == {0.02}
    repeats = {"planar-1": (1, True), "planar-30-shared": (30, True), "planar-30": (30, False)}
    for method, (repeat, shared) in repeats.items():
        (flow,) = options(method)["flows"]
        assert (flow.options["repeat"], flow.options["shared"]) == (repeat, shared)
    assert {name for name, method in METHODS.items() if method.missing_half} == {"iaf", *repeats}
    assert {name for name, method in METHODS.items() if not method.published} == {"planar-30"}


# d = 25, the mean over three data sets, published.
PUBLISHED = {"iaf": 1.1415, "planar-30-shared": 14.971, "untempered-10": 12.581}


def test_recorded_errors_are_the_published_ones() -> None:
    """Of σ against the truth, within 5 %, as published with the missing halves; and of the right bound."""
    text = (Path(__file__).parents[3] / "docs" / "results" / "gaussian-location" / "25.json").read_text()
    found = {(row["table"], row["method"]): mean(row["truth"]["scale"]) for row in json.loads(text)}
    for method, error in PUBLISHED.items():
        assert found["published", method] == pytest.approx(error, rel=0.05)
    assert found["bound", "untempered-10"] == pytest.approx(PUBLISHED["untempered-10"], rel=0.05)
    noise = truth(25)[1].square().sum().item() / 20_000
    deviation = (2 * truth(25)[1].pow(4).sum() / 3).sqrt().item() / 20_000  # of the mean over three data sets
    for method in ("mean-field", "iaf"):
        assert found["bound", method] == pytest.approx(noise, abs=4 * deviation)


@pytest.mark.parametrize("dimension", [25, 50, 100, 200, 300, 400])
def test_recorded_planar_flows_have_not_gone_astray(dimension: int) -> None:
    """Δ is where every bound has its optimum, and thirty steps, which contain one, are no worse."""
    text = (Path(__file__).parents[3] / "docs" / "results" / "gaussian-location" / f"{dimension}.json").read_text()
    found = {row["method"]: row for row in json.loads(text) if row["table"] == "bound"}
    one, thirty = found["planar-1"], found["planar-30"]
    assert max(*one["optimum"]["shift"], *thirty["optimum"]["shift"]) < 1e-5
    error = max(one["elbo_error"]) + max(thirty["elbo_error"])
    assert mean(thirty["elbo"]) > mean(one["elbo"]) - 4 * error / 3**0.5


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("methods=iff", "methods: got 'iff'; expected some of .*\n.*did you mean 'iaf'"),
        ("dimensions=1", "dimensions: got .*; expected a list, each a whole number >= 2"),
        ("dimension=25", "dimension: unknown key"),
        ("dimensions=2,3,2", "dimensions: got 2 twice; expected each once"),
        ("tables=bound,bound", "tables: got bound twice"),
        ("tables=", "tables: got "),
        ("rows=[", r"rows: got '\['; expected a YAML value"),
        ("dimensions=[25", "dimensions: got .*; expected a YAML value"),
        ("tables=bound protocol=published", "protocol: has no effect without the table published"),
        ("methods=iaf passes=5", "passes: has no effect, as all that is asked for is trained until nothing is gained"),
        ("tables=bound passes=5", "passes: has no effect"),
        ("mnist-mlp", "mnist-mlp: the study gaussian-location stands alone"),
    ],
)
def test_what_is_refused(argument: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_study(argument.split())


def rates_down(losses: Callable[[int], float], windows: int) -> tuple[list[int], Plateau]:
    """The windows after which the rate goes down, where the loss of one copy in window i is losses(i)."""
    plateau, found = Plateau(40), []
    for index in range(windows):
        for update in range(WINDOW):
            of_batch = 1000.0 * (update % 40 < 39)  # the last is small, which is no noise
            if plateau.reached(torch.tensor([losses(index), 0.0]) + of_batch):
                found.append(index)
    return found, plateau


def test_the_rate_goes_down_after_three_windows_without_a_gain() -> None:
    """The first has none before it; a gain of one copy begins the count anew; less than 0.01 nats is none."""
    assert rates_down(lambda _: 1.0, 7)[0] == [3, 6]
    assert rates_down(lambda i: 1.0 - 0.02 * (i >= 2), 8)[0] == [5]
    assert rates_down(lambda i: 1.0 - 0.009 * i, 7)[0] == [3, 6]


def test_a_single_loss_far_off_does_not_hide_what_the_others_gain() -> None:
    plateau = Plateau(1)
    down = [
        plateau.reached(torch.tensor([-1.0 * window + 1e6 * (update == 7 * window)]))
        for window in range(8)
        for update in range(WINDOW)
    ]
    assert not any(down)


def test_gains_of_half_the_updates_are_none() -> None:
    """Of 160 differences 80 are expected to be positive, and 92.6 are two standard errors more."""
    for positive, times in ((92, 1), (93, 0)):
        plateau = Plateau(1)
        down = [
            plateau.reached(torch.tensor([-window * (1.0 if update < positive else -0.5)]))
            for window in range(4)
            for update in range(WINDOW)
        ]
        assert sum(down) == times


def test_the_rate_goes_down_after_twenty_windows_that_all_gain() -> None:
    found, plateau = rates_down(lambda i: -float(i), 122)
    assert found == [20, 40, 60, 80, 100, 120]
    assert plateau.over
    assert not plateau.calm


def test_curves_are_kept_to_six_digits() -> None:
    assert rounded([{"update": 1234567, "elbo": [-86567.4280860617]}]) == [{"update": 1234567, "elbo": [-86567.4]}]


def test_a_loss_that_is_not_finite_stops() -> None:
    data = make_data_sets(3, 1, rows=20)
    ensemble = make_ensemble(Cell("bound", "mean-field", 3), data, 20, location=True)
    noise = torch.full((1, 2, 1, 3), torch.inf)
    with pytest.raises(TrainingError, match="not finite at update 1"):
        fit(ensemble, data.whole, lambda: noise, lambda _: {}, rate=0.1, protocol=Protocol())
