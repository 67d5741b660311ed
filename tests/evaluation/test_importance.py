"""Importance sampling against a model whose evidence, posterior and KL are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluation.linear_gaussian import LinearGaussian
from tightbound.evaluation import importance
from tightbound.numerics import Gaussian, evaluation_noise


def _weights(estimate) -> np.ndarray:
    """exp(log p̂ − exact) of every image."""
    return np.exp(estimate.per_image["log_likelihood"] - estimate.per_image["log_likelihood_exact"])


def _images(model: LinearGaussian, n: int) -> Tensor:
    with torch.no_grad():
        return model.simulate(n, torch.Generator().manual_seed(2))[0]


@pytest.mark.parametrize("widen", [0.85, 1.5])
def test_the_estimate_is_unbiased(linear_gaussian, widen: float) -> None:
    model = linear_gaussian(widen=widen)
    ratio = _weights(importance(model, _images(model, 4000), 30))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(4000)
    assert ratio.std() / math.sqrt(4000) < 0.005


def test_exact_under_the_exact_posterior(linear_gaussian) -> None:
    model = linear_gaussian()
    x = _images(model, 40)
    estimate = importance(model, x, 100)
    np.testing.assert_allclose(estimate.per_image["log_likelihood"], model.log_evidence(x).detach(), atol=1e-10)
    np.testing.assert_allclose(estimate.per_image["ess"], 100)
    assert estimate.standard_error < 1e-10
    assert estimate.exact == pytest.approx(estimate.log_likelihood, abs=1e-10)
    assert estimate.images_k_over_0_7 == 0
    assert [bound for _, bound in estimate.curve] == pytest.approx([estimate.exact] * 3, abs=1e-10)
    assert estimate.interval == pytest.approx((estimate.exact, estimate.exact), abs=1e-9)


@pytest.mark.parametrize("widen", [0.85, 1.5])
def test_intervals_cover(linear_gaussian, widen: float) -> None:
    """Law 4: each of 2,000 images is one repeat, with its own exact value."""
    model = linear_gaussian(widen=widen)
    estimate = importance(model, _images(model, 2000), 500)
    images = estimate.per_image
    assert np.median(images["ess"]) / 500 >= 0.3
    intervals = estimate.intervals()
    known = ~np.isnan(intervals[:, 0])
    assert (known == (images["pareto_k"] <= 0.7)).all()
    assert known.mean() > 0.95
    exact = images["log_likelihood_exact"][known]
    covered = (intervals[known, 0] <= exact) & (exact <= intervals[known, 1])
    assert 0.93 <= covered.mean() <= 0.97


def test_interval_of_the_mean_covers(linear_gaussian) -> None:
    """200 sets of 10 images; it is built to hold the bound and log p, so it covers a little more than 95 %."""
    model = linear_gaussian(widen=1.5)
    x = _images(model, 2000)
    covered = []
    for start in range(0, 2000, 10):
        estimate = importance(model, x[start : start + 10], 100, seed=start)
        covered.append(estimate.interval[0] <= estimate.exact <= estimate.interval[1])
    assert 0.91 <= np.mean(covered) <= 0.995


@pytest.mark.parametrize("chunk", [1, 7, 31, 300, 10_000, 10_000_000])
def test_the_cut_changes_no_result(linear_gaussian, chunk: int) -> None:
    """N is no multiple of 32, K none of 256."""
    model = linear_gaussian(widen=1.5)
    x = _images(model, 45)
    samples = 300 if chunk > 1 else 20
    given, expected = importance(model, x, samples, chunk=chunk), importance(model, x, samples)
    for name, values in expected.per_image.items():
        if name == "standard_error":  # a difference of nearly equal numbers
            np.testing.assert_allclose(given.per_image[name], values, rtol=1e-10)
        else:
            np.testing.assert_allclose(given.per_image[name], values, rtol=1e-12, atol=1e-12, err_msg=name)
    for name in ("elbo", "log_likelihood", "rate", "distortion", "bits_per_dim", "reconstruction_rmse"):
        assert getattr(given, name) == pytest.approx(getattr(expected, name), rel=1e-12), name
    np.testing.assert_allclose(given.curve, expected.curve, rtol=1e-12)
    np.testing.assert_allclose(given.kl_units, expected.kl_units, rtol=1e-12)


def test_brute_force_by_the_definition(linear_gaussian) -> None:
    """Every per-image number again, from one draw of all pairs with the same noise."""
    model = linear_gaussian(widen=1.4)
    x, samples = _images(model, 5), 200
    images = importance(model, x, samples, seed=9, chunk=64).per_image
    noise = evaluation_noise(9, range(5), range(samples), 4, dtype=torch.float64)
    with torch.no_grad():
        draw = model.draw(x, samples, noise=noise)
    weights = draw.log_weight.exp()
    error = draw.params[:16] - x
    expected = {
        "log_likelihood": weights.mean(0).log(),
        "ess": weights.sum(0).square() / weights.square().sum(0),
        "distortion": -draw.log_likelihood.mean(0),
        "rate": draw.kl[0].sum(-1).mean(0),
        "elbo": draw.log_likelihood.mean(0) - draw.kl[0].sum(-1).mean(0),
        "rmse": error.square().mean((0, 2, 3, 4)).sqrt(),
        "mae": error.abs().mean((0, 2, 3, 4)),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(images[name], values, rtol=1e-10, err_msg=name)


def test_analytic_and_sampled_elbo_agree(linear_gaussian) -> None:
    model = linear_gaussian(widen=1.3)
    x = _images(model, 500)
    analytic = importance(model, x, 200)
    sampled = importance(linear_gaussian(widen=1.3, analytic=False), x, 200)
    # Same noise: they differ by analytic − sampled KL alone, whose spread over images is all Monte Carlo error.
    difference = analytic.per_image["elbo"] - sampled.per_image["elbo"]
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(500)
    assert sampled.elbo == pytest.approx(sampled.curve[0][1], rel=1e-12)
    assert sampled.curve == analytic.curve
    assert (sampled.per_image["elbo"] <= sampled.per_image["log_likelihood"]).all()


def test_rate_and_distortion_by_closed_form(linear_gaussian) -> None:
    model = linear_gaussian(widen=1.3)
    x = _images(model, 300)
    estimate = importance(model, x, 400)
    with torch.no_grad():
        q = model.posterior(x)
        rate = q.kl(Gaussian(torch.zeros(4), torch.ones(4))).mean()
        spread = (model.weight @ q.scale_tril).square().sum((-2, -1))
        shift = (x.flatten(1) - model.bias - q.mean @ model.weight.T).square().sum(-1)
        distortion = 0.5 * (spread + shift) / 0.25 + 3 * math.log(2 * math.pi * 0.25)
    assert estimate.rate == pytest.approx(float(rate), rel=1e-12)
    difference = estimate.per_image["distortion"] - distortion.numpy()
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(300)
    assert estimate.elbo == pytest.approx(-(estimate.rate + estimate.distortion), rel=1e-12)
    # E of the squared error of a reconstruction, over the 6 pixels.
    squared = estimate.per_image["rmse"] ** 2 - ((spread + shift) / 6).numpy()
    assert abs(squared.mean()) < 4 * squared.std() / math.sqrt(300)
    assert estimate.reconstruction_rmse == pytest.approx(math.sqrt((estimate.per_image["rmse"] ** 2).mean()))


@pytest.mark.parametrize(("analytic", "samples"), [(True, 1), (True, 50), (False, 50)])
def test_active_units_of_a_model_with_collapsed_ones(analytic: bool, samples: int) -> None:
    weight = torch.zeros(6, 5)
    weight[0, 1] = weight[3, 4] = 1.0
    model = LinearGaussian(weight, widen=1.1, analytic=analytic)
    estimate = importance(model, _images(model, 1500), samples)
    assert estimate.units == [5]
    assert estimate.active_units == [2]
    assert estimate.active_mask == [[False, True, False, False, True]]


def test_activity_is_the_variance_of_the_posterior_means(linear_gaussian) -> None:
    """Burda's statistic by its definition, where the means have a closed form; else the same within its error."""
    model = linear_gaussian(widen=1.3)
    x = _images(model, 400)
    with torch.no_grad():
        expected = model.posterior(x).mean.var(0)
    estimate = importance(model, x, 3)
    np.testing.assert_allclose(estimate.activity, [expected.numpy()], rtol=1e-10)
    assert estimate.to_row()["activity"] == estimate.activity
    sampled = importance(linear_gaussian(widen=1.3, analytic=False), x, 400)
    np.testing.assert_allclose(sampled.activity, [expected.numpy()], rtol=0.05)


def test_active_units_are_unknown_from_one_sample_of_an_unknown_mean(linear_gaussian) -> None:
    model = linear_gaussian(analytic=False)
    estimate = importance(model, _images(model, 20), 1)
    assert (estimate.active_units, estimate.active_mask, estimate.activity) == ([None], [None], [None])


def test_a_prefix_of_images_and_of_samples_is_the_same_evaluation(linear_gaussian) -> None:
    model = linear_gaussian(widen=1.5)
    x = _images(model, 50)
    whole, part = importance(model, x, 300), importance(model, x, 300, limit=35)
    assert part.images == 35
    np.testing.assert_allclose(part.per_image["elbo"], whole.per_image["elbo"][:35], rtol=1e-12)
    other = importance(model, x, 300, seed=1)
    assert np.abs(other.per_image["elbo"] - whole.per_image["elbo"]).min() > 0
    assert importance(model, x, 10, limit=99).images == 50


class _Spy(LinearGaussian):
    """Counts what the evaluator asks for."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.encoded, self.pairs = [], []

    def encode(self, x: Tensor):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.encoded.append(len(x))
        return super().encode(x)

    def draw(self, x: Tensor, num_samples: int, **options):
        assert options["encoding"] is not None
        self.pairs.append(num_samples * len(x))
        return super().draw(x, num_samples, **options)


@pytest.mark.parametrize("chunk", [5, 64, 100, 5000])
def test_encodes_once_honors_k_and_stays_in_the_budget(chunk: int) -> None:
    model = _Spy(torch.randn(6, 2))
    importance(model, _images(model, 36), 258, chunk=chunk)
    assert sum(model.encoded) == 36
    assert sum(model.pairs) == 36 * 258
    assert max(model.pairs) <= chunk
    # The size of a draw does not depend on K.
    larger = _Spy(torch.randn(6, 2))
    importance(larger, _images(larger, 36), 600, chunk=chunk)
    assert max(larger.pairs) == max(model.pairs)


def test_probing_costs_one_pair() -> None:
    model = _Spy(torch.randn(6, 2))
    importance(model, _images(model, 70), 300)
    assert model.encoded[0] == model.pairs[0] == 1
    assert sum(model.encoded) == 71
    assert sum(model.pairs) == 70 * 300 + 1


def test_every_module_is_left_in_its_mode(linear_gaussian) -> None:
    model = linear_gaussian()
    model.train()
    model.likelihood.eval()
    importance(model, _images(model, 3), 5)
    assert model.training
    assert not model.likelihood.training


def test_one_image_and_one_sample(linear_gaussian) -> None:
    model = linear_gaussian(widen=1.5)
    x = _images(model, 1)
    estimate = importance(model, x, 1, seed=4)
    noise = evaluation_noise(4, range(1), range(1), 4, dtype=torch.float64)
    with torch.no_grad():
        assert estimate.log_likelihood == pytest.approx(float(model.draw(x, 1, noise=noise).log_weight))
    assert estimate.curve == [(1, estimate.log_likelihood)]
    assert (estimate.standard_error, estimate.standard_error_images, estimate.interval) == (None, None, None)
    assert (estimate.pareto_k_over_0_7, estimate.ess_median, estimate.active_units) == (None, 1, [None])


def test_float32_models_are_evaluated_in_float32(linear_gaussian) -> None:
    model = linear_gaussian(widen=1.2)
    x = _images(model, 10)
    torch.set_default_dtype(torch.float32)
    single = importance(model.float(), x, 2000)
    assert abs(single.log_likelihood - single.exact) < 5 * single.standard_error + 1e-4
    assert single.per_image["log_likelihood"].dtype == np.float64


def test_progress_counts_images(linear_gaussian) -> None:
    model, seen = linear_gaussian(), []
    importance(model, _images(model, 70), 5, chunk=64, progress=lambda done, total: seen.append((done, total)))
    done = [item[0] for item in seen]
    assert done == sorted(done)
    assert {32, 64} <= {round(number, 9) for number in done}  # whole tiles
    assert seen[-1] == (70, 70)


def test_progress_counts_within_a_tile(linear_gaussian) -> None:
    model, seen = linear_gaussian(), []
    importance(model, _images(model, 2), 100, chunk=20, progress=lambda done, total: seen.append(done))
    assert seen == pytest.approx([*np.arange(0.2, 2.01, 0.2), 2])


def test_float32_is_not_rounded_while_it_is_evaluated(linear_gaussian, monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32 is PyTorch's default for the convolutions of a GPU."""
    seen: list[bool] = []
    model = linear_gaussian()
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda x: seen.append(torch.backends.cudnn.allow_tf32) or encode(x))
    assert torch.backends.cudnn.allow_tf32
    importance(model, _images(model, 2), 30)
    assert seen
    assert not any(seen)
    assert torch.backends.cudnn.allow_tf32
