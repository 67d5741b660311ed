"""The annealed and bidirectional evaluators: cost, cuts, settings, refusals. Unbiasedness is in tests/laws."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluation.linear_gaussian import SHAPE, LinearGaussian
from tests.laws.ladders import linear_ladder
from tests.laws.subjects import linear_gaussian as affine
from tests.laws.subjects import small_images, small_vae
from tightbound.errors import RecipeError, TightboundError
from tightbound.evaluation import Annealing, annealed, bidirectional, pilot
from tightbound.evaluation.bidirectional import sandwich, simulated_images
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.chains import Chains, Settings, Trace, walk
from tightbound.evaluation.pilot import tune
from tightbound.evaluation.schedules import adaptive, linear, sigmoid, sigmoid_position
from tightbound.numerics import generator_for, hmc_step

QUICK = Annealing(temperatures=10, leapfrog_steps=2)


@pytest.fixture
def short_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what holds whatever the step sizes are."""
    for name, value in (("GRID", 8), ("BURN_IN", 4), ("TRANSITIONS", 1)):
        monkeypatch.setattr(pilot, name, value)


def _images(model, count: int, seed: int = 3) -> Tensor:
    with torch.no_grad():
        return model.simulate(count, torch.Generator().manual_seed(seed))[0]


@pytest.mark.parametrize("start", ["prior", "base", "posterior"])
def test_a_transition_costs_its_leapfrog_steps_and_the_weights_nothing(start) -> None:
    """T temperatures have T − 2 transitions of L decoder gradients, and one gradient at the start."""
    model = small_vae("diagonal", "vamp", "bernoulli", 2)
    x, decoded, encoded = small_images("bernoulli"), [], []
    settings = Settings(sigmoid(10), np.full(10, 0.3), 3, 1.0, start)
    noise = ChainNoise(0, "test", range(3), 5, x)
    handles = [
        model.decoder.register_forward_hook(lambda *call: decoded.append(len(call[2]))),
        model.encoder.register_forward_hook(lambda *call: encoded.append(len(call[2]))),
    ]
    with torch.no_grad():
        chains = Chains(model, x, start, 5, 100)
        chains.begin(noise)
        walk(chains, settings, noise)
    for handle in handles:
        handle.remove()
    assert decoded == [15] * (1 + 8 * 3)
    assert encoded == [3, 3]  # the images, and the three pseudo-inputs


@pytest.mark.parametrize("chunk", [1, 7, 100])
@pytest.mark.parametrize("start", ["prior", "base", "posterior"])
def test_the_cut_of_a_tile_changes_no_log_weight(chunk: int, start) -> None:
    """A chunk of 1 cuts chains apart, one of 7 images, one of 100 leaves two chains of every image together."""
    model = affine(3, side=2, noise=1.0, widen=1.2)
    x, settings, found = _images(model, 40), Settings(sigmoid(4), np.full(4, 0.5), 1, 0.5, start), []
    for size in (chunk, 1000):
        noise = ChainNoise(0, "test", range(40), 3, x)
        with torch.no_grad():
            chains = Chains(model, x, start, 3, size)
            chains.begin(noise)
            found.append(walk(chains, settings, noise))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("short_pilot")
@pytest.mark.parametrize("chunk", [40, 3000])
def test_the_cut_changes_no_result(chunk: int) -> None:
    """40 images are no multiple of 32; a chunk of 3,000 joins tiles."""
    model = affine(3, side=2, noise=1.0, widen=1.2)
    x, chosen = _images(model, 40), Annealing(temperatures=4, leapfrog_steps=1)
    given, expected = (bidirectional(model, x, 3, chosen, chunk=size, simulated=35) for size in (chunk, 96))
    for name in ("log_likelihood", "ess", "standard_error"):
        np.testing.assert_allclose(given.per_image[name], expected.per_image[name], rtol=1e-8, err_msg=name)
    for name in ("lower", "upper"):
        np.testing.assert_allclose(given.simulated[name], expected.simulated[name], rtol=1e-9)
    np.testing.assert_allclose(given.annealing["acceptance"], expected.annealing["acceptance"], rtol=1e-9)


@pytest.mark.usefixtures("short_pilot")
def test_a_prefix_of_the_images_and_either_method_give_the_same_numbers() -> None:
    model = affine(3, side=2, noise=1.0)
    x = _images(model, 40)
    whole, part, both = (
        annealed(model, x, 4, QUICK),
        annealed(model, x, 4, QUICK, limit=9),
        bidirectional(model, x, 4, QUICK),
    )
    np.testing.assert_allclose(part.per_image["log_likelihood"], whole.per_image["log_likelihood"][:9], rtol=1e-9)
    np.testing.assert_allclose(both.per_image["log_likelihood"], whole.per_image["log_likelihood"], rtol=1e-12)
    other = annealed(model, x, 4, QUICK, seed=1)
    assert np.abs(other.per_image["log_likelihood"] - whole.per_image["log_likelihood"]).min() > 0


@pytest.mark.usefixtures("short_pilot")
def test_no_two_parts_of_an_evaluation_share_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pilot, forward and reverse chains, the images simulated for them: each has its own generator for each tile."""
    asked: list[tuple[object, ...]] = []
    seeds: list[int] = []

    def recording(*key: object, device: torch.device) -> torch.Generator:
        generator = generator_for(*key, device=device)  # pyright: ignore
        asked.append(key)
        seeds.append(generator.initial_seed())
        return generator

    for module in ("chain_noise", "pilot", "bidirectional"):
        # The function of the package hides the module of the same name.
        monkeypatch.setattr(sys.modules[f"tightbound.evaluation.{module}"], "generator_for", recording)
    model = affine(3, side=2, noise=1.0)
    bidirectional(model, _images(model, 40), 2, QUICK, simulated=40)
    purposes = {key[1] for key in asked}
    assert len(purposes) == 8
    timed = {"annealing forecast", "annealing forecast, pilot"}
    tiled = purposes - {"annealing pilot", "annealing pilot images"} - timed
    assert {key[1:] for key in asked if key[1] in tiled} == {(purpose, tile) for purpose in tiled for tile in (0, 1)}
    assert len(set(seeds)) == len(seeds) == 2 * len(tiled) + 2 + len(timed)  # of one tile each
    x, epsilon = simulated_images(model, range(64), 0)
    assert (epsilon[:32] != epsilon[32:]).all()
    assert (x[:32] != x[32:]).all()


def test_chains_by_the_definition() -> None:
    """T = 2 has no transition: log-mean-exp of log p(x | z) at draws of the prior, which is importance sampling."""
    model = affine(3, side=2, noise=1.0)
    x = _images(model, 5)
    estimate = annealed(model, x, 7, Annealing(temperatures=2), seed=6)
    noise = ChainNoise(6, "annealing", range(5), 7, x)
    with torch.no_grad():
        epsilon = noise.collect(lambda k, n, g: model.sample_prior(k * n, g).unflatten(0, (k, n)))
        expected = model.log_likelihood_at(x, epsilon).exp().mean(0).log()
    np.testing.assert_allclose(estimate.per_image["log_likelihood"], expected, rtol=1e-12)
    assert estimate.annealing["acceptance"] is None


@pytest.mark.parametrize("refresh", [1.0, 0.25])
def test_chains_keep_the_part_of_their_momentum_that_is_asked_for(refresh: float) -> None:
    """A transition of step 0 moves nothing: ρ becomes √(1 − refresh) ρ + √refresh n."""
    model = affine(3, side=2, noise=1.0)
    x = _images(model, 5)
    noise, drawn = ChainNoise(0, "test", range(5), 4, x), []
    normal = noise.normal
    noise.normal = lambda size: drawn.append(normal(size)) or drawn[-1]
    with torch.no_grad():
        chains = Chains(model, x, "prior", 4, 1000)
        chains.begin(noise)
        before = chains._calls[0].state  # pyright: ignore[reportPrivateUsage]
        chains.step(hmc_step, 0.5, 0.0, Settings(sigmoid(3), np.zeros(3), 2, refresh), noise)
        after = chains._calls[0].state  # pyright: ignore[reportPrivateUsage]
    wanted = (1 - refresh) ** 0.5 * before.momentum + refresh**0.5 * drawn[-1]
    torch.testing.assert_close(after.momentum, wanted)


@pytest.mark.parametrize(("family", "start"), [("prior", "prior"), ("posterior", "posterior")])
def test_flows_with_gradients_of_their_own_are_refused(family: str, start) -> None:
    pytest.importorskip("zuko")
    names = {"posterior": "diagonal", "prior": "standard_normal", family: "flow, zuko BPF"}
    model = small_vae(names["posterior"], names["prior"], "bernoulli", 2)
    with pytest.raises(RecipeError, match="makes its own gradients, which chains cannot follow"):
        annealed(model, small_images("bernoulli"), 2, Annealing(10, 1, start=start))


@pytest.mark.parametrize("temperatures", [20, 400])
@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_the_pilot_meets_its_target(temperatures: int, start) -> None:
    """On images that the pilot has not seen, at 20 temperatures as at 400, all along the path."""
    model = affine(6, side=4, posterior="diagonal", orthogonal=False, noise=0.6)
    estimate = annealed(model, _images(model, 60), 4, Annealing(temperatures, 5, start=start))
    assert estimate.annealing["acceptance"] == pytest.approx(0.65, abs=0.1)
    found = np.array(estimate.annealing["acceptance_by_temperature"][1:-1])
    parts = np.array_split(found, 5)
    assert [part.mean() for part in parts] == pytest.approx([0.65] * 5, abs=0.1)


def test_another_target_is_another_step_size() -> None:
    model = affine(6, side=4, noise=0.6)
    x = _images(model, 60)
    low, high = (annealed(model, x, 4, Annealing(60, 5, target_acceptance=a)) for a in (0.4, 0.9))
    assert low.annealing["acceptance"] == pytest.approx(0.4, abs=0.1)
    assert high.annealing["acceptance"] == pytest.approx(0.9, abs=0.1)
    assert np.mean(low.annealing["step_sizes"][1:-1]) > 1.3 * np.mean(high.annealing["step_sizes"][1:-1])


def test_the_bounds_hold_and_their_means_are_those_of_the_images() -> None:
    model = affine(4, side=3, posterior="full_covariance", noise=0.6)
    estimate = bidirectional(model, _images(model, 30), 16, Annealing(150, 4), simulated=64)
    lower, upper = (np.array(estimate.simulated[name]) for name in ("lower", "upper"))
    gap = upper - lower
    assert estimate.simulated_gap == pytest.approx(gap.mean())
    assert estimate.simulated_gap_error == pytest.approx(gap.std(ddof=1) / 8)
    assert 0 < estimate.simulated_gap < 0.3
    assert estimate.log_likelihood < estimate.exact + 4 * estimate.standard_error
    assert estimate.log_likelihood > estimate.exact - 0.3
    assert estimate.elbo is None


@pytest.mark.usefixtures("short_pilot")
def test_the_bounds_hold_on_a_ladder() -> None:
    """Two layers, linear and Gaussian: log p(x) is known, and lies between the two means of the simulated images."""
    options = {"merge": "linear", "skip": False, "noise": 0.8, "spread": 0.15}
    model = linear_ladder((1, 2, 2), latent_channels=(2, 1), downsample=(0, 0), **options)
    estimate = bidirectional(model, _images(model, 8), 8, Annealing(40, 3, start="prior"), simulated=32)
    exact = model.log_evidence(simulated_images(model, range(32), 0)[0]).detach().numpy()
    for name, sign in (("lower", 1), ("upper", -1)):
        beyond = sign * (exact - np.array(estimate.simulated[name]))
        error = beyond.std(ddof=1) / 32**0.5
        assert -4 * error < beyond.mean() < 0.1
    assert -4 * estimate.simulated_gap_error < estimate.simulated_gap < 0.1
    assert estimate.log_likelihood == pytest.approx(estimate.exact, abs=0.1)


@pytest.mark.usefixtures("short_pilot")
def test_the_row_says_how_it_was_annealed() -> None:
    model = affine(3, side=2, noise=1.0)
    estimate = bidirectional(model, _images(model, 12), 4, Annealing(300, 1, "adaptive", "base", 0.7, 0.5), simulated=3)
    row = json.loads(json.dumps(estimate.to_row(), allow_nan=False))
    said = row["annealing"]
    chosen = ("start", "schedule", "temperatures", "leapfrog_steps", "refresh", "target_acceptance")
    assert [said[key] for key in chosen] == ["base", "adaptive", 300, 1, 0.5, 0.7]
    lists = ("listed", "temperature_values", "step_sizes", "acceptance_by_temperature", "log_weight_variance")
    assert {len(said[key]) for key in lists} == {101}
    assert (said["listed"][0], said["listed"][-1], said["temperature_values"][-1]) == (0, 299, 1.0)
    assert (said["step_sizes"][0], said["log_weight_variance"][0], said["step_sizes"][-1]) == (None, None, None)
    assert row["samples"] == 4
    assert row["pareto_k_over_0_7"] is None


def test_variance_of_the_log_weight_by_temperature() -> None:
    """The last of the list is the variance over chains of the whole log-weight, mean over images."""
    model = affine(3, side=2, noise=1.0)
    x = _images(model, 5)
    settings = Settings(sigmoid(6), np.full(6, 0.5), 2)
    noise, trace = ChainNoise(0, "test", range(5), 8, x), Trace(6)
    with torch.no_grad():
        chains = Chains(model, x, "prior", 8, 1000)
        chains.begin(noise)
        first = chains.delta
        log_weights = walk(chains, settings, noise, trace=trace)
    _, variance = trace.means()
    assert variance[-1] == pytest.approx(float(log_weights.var(0).mean()))
    assert variance[1] == pytest.approx(float((sigmoid(6)[1] * first).var(0).mean()))


@pytest.mark.usefixtures("short_pilot")
def test_sentences() -> None:
    model = affine(3, side=2, noise=1.0)
    x = _images(model, 4)
    alone, both = annealed(model, x, 4, QUICK), bidirectional(model, x, 1, Annealing(10, 2, start="base"))
    density = "density on [0, 1] pixels, not a probability: "
    assert alone.sentence == (
        f"{density}lower bound on log p(x), 4 annealed chains of 10 temperatures from the prior; "
        f"{alone.ess_median:.3g} of them count effectively in the median image; "
        "how far below log p(x) it lies is not known: method bidirectional measures it on images of the model"
    )
    assert both.sentence == (
        f"{density}lower bound on log p(x), 1 annealed chain of 10 temperatures from the posterior's base Gaussian; "
        f"on 4 images drawn from the model the same settings leave a gap of {both.simulated_gap:.3g} ± "
        f"{both.simulated_gap_error:.2g} nats between a lower and an upper bound; "
        "no upper bound exists for a real image"
    )
    few = annealed(model, x, 3, Annealing(10, 2, start="base")).sentence
    assert few.endswith(
        "; its error is what 3 chains tell, and too small where the posterior's base Gaussian misses a part of the "
        "true posterior"
    )
    assert "chains tell" not in annealed(model, x, 30, Annealing(10, 2, start="base")).sentence  # k̂ tells


@pytest.mark.usefixtures("short_pilot")
def test_progress_counts_within_a_tile() -> None:
    model, seen = affine(3, side=2, noise=1.0), []
    annealed(model, _images(model, 4), 2, QUICK, progress=lambda done, total: seen.append((done, total)))
    done = [item[0] for item in seen]
    assert done == sorted(done)
    assert len(done) > 9
    assert seen[-1] == (4, 4)


class _Broken(LinearGaussian):
    def log_evidence(self, x: Tensor) -> Tensor | None:
        return None

    def decode(self, *latents: Tensor):
        decoded = super().decode(*latents)
        broken = decoded.params.clone()
        broken[:, 2:3] = math.nan
        return type(decoded)(decoded.likelihood, broken if latents[0].shape[1] == 3 else decoded.params)


@pytest.mark.usefixtures("short_pilot")
def test_nan_is_never_averaged() -> None:
    model = _Broken(torch.randn(6, 2))
    with pytest.raises(TightboundError, match="got NaN or \\+inf in image 2"):
        annealed(model, torch.rand(3, *SHAPE), 5, QUICK, chunk=1000)


def test_refusals() -> None:
    model = LinearGaussian(torch.randn(6, 2))
    x = torch.rand(3, *SHAPE)
    for options, message in (
        ({"temperatures": 1}, "temperatures: got 1; expected at least 2"),
        ({"leapfrog_steps": 0}, "leapfrog_steps: got 0; expected at least 1"),
        ({"refresh": 0.0}, "refresh: got 0.0; expected a number above 0 and up to 1"),
        ({"target_acceptance": 1.0}, "target_acceptance: got 1.0; expected a number above 0 and below 1"),
    ):
        with pytest.raises(RecipeError, match=message):
            Annealing(**options)
    with pytest.raises(RecipeError, match="flat coordinates the posterior's base is no Gaussian"):
        annealed(model, x, 2, Annealing(start="base"))
    with pytest.raises(RecipeError, match="would have to be carried back into the posterior's noise"):
        bidirectional(model, x, 2, Annealing(start="posterior"))
    with pytest.raises(RecipeError, match="expected simulated of at least 1; got 0"):
        bidirectional(model, x, 2, simulated=0)


def test_schedules_at_known_points() -> None:
    np.testing.assert_allclose(linear(5), [0, 0.25, 0.5, 0.75, 1])
    low = 1 / (1 + math.exp(4))
    quarter = (1 / (1 + math.exp(2)) - low) / (1 - 2 * low)
    np.testing.assert_allclose(sigmoid(5), [0, quarter, 0.5, 1 - quarter, 1])
    np.testing.assert_allclose(sigmoid_position(sigmoid(9)), np.linspace(0, 1, 9), atol=1e-12)


def test_adaptive_where_the_length_is_known() -> None:
    """Var_t = 1/(t + a)²: Λ(t) = log((t + a)/a), so the temperatures are a geometric sequence less a."""
    a, grid = 0.01, sigmoid(400)
    found = adaptive(9, grid, (grid + a) ** -2.0)
    np.testing.assert_allclose(found + a, a * (1 + 1 / a) ** np.linspace(0, 1, 9), rtol=2e-3)
    np.testing.assert_allclose(adaptive(5, grid, np.zeros(400)), sigmoid(5))  # nothing to learn from


def variance_of_delta(model, x: Tensor, temperatures: np.ndarray) -> np.ndarray:
    """Mean over images of Var_t(log p(x | ε)) of an affine model from the prior, in closed form.

    f_t is Gaussian with precision A = I + t B, B = WᵀW/σ², and mean m_t = t A⁻¹ c, c = Wᵀ(x − b)/σ². δ is the quadratic
    −½ εᵀBε + cᵀε + …, whose variance is ½ tr(BSBS) + (c − B m)ᵀ S (c − B m) with S = A⁻¹.
    """
    weight, bias = model.decoder.affine()
    noise = float(model.likelihood.log_scale.exp())
    precision, pull = weight.T @ weight / noise**2, (x.flatten(1) - bias) @ weight / noise**2
    found = []
    for t in temperatures:
        covariance = torch.linalg.inv(torch.eye(len(precision)) + t * precision)
        slope = pull - t * pull @ covariance @ precision
        quadratic = 0.5 * torch.trace(precision @ covariance @ precision @ covariance)
        found.append(float((quadratic + ((slope @ covariance) * slope).sum(-1)).mean()))
    return np.array(found)


def test_adaptive_temperatures_have_constant_conditional_ess() -> None:
    """1 − CESS/K ≈ Δt² Var_t, by the exact variances: within a factor of 2 where the sigmoid's vary a hundredfold."""
    model = affine(4, side=4, posterior="full_covariance", noise=0.3)
    with torch.no_grad():
        x = _images(model, 300)
        lost = {}
        for schedule in ("sigmoid", "adaptive"):
            t = tune(model, Annealing(60, 4, schedule), seed=0, chunk=10**6).temperatures
            middle = (t[1:] + t[:-1]) / 2
            lost[schedule] = np.diff(t) ** 2 * variance_of_delta(model, x, middle)
    assert lost["adaptive"].max() / lost["adaptive"].min() < 2
    assert lost["sigmoid"].max() / lost["sigmoid"].min() > 100
    assert lost["adaptive"].sum() < 0.65 * lost["sigmoid"].sum()  # the gap that perfect transitions would leave


def test_adaptive_leaves_a_smaller_gap_than_the_sigmoid() -> None:
    model = affine(4, side=4, posterior="full_covariance", noise=0.3)
    gaps = {}
    for schedule in ("sigmoid", "adaptive"):
        with torch.no_grad():
            settings = tune(model, Annealing(60, 4, schedule), seed=0, chunk=10**6)
            lower, upper = sandwich(model, 256, 1, settings, 0, 10**6)
        gaps[schedule] = (upper - lower).mean(), (upper - lower).std() / 16
    difference = gaps["sigmoid"][0] - gaps["adaptive"][0]
    assert difference > 4 * (gaps["sigmoid"][1] ** 2 + gaps["adaptive"][1] ** 2) ** 0.5
