"""Sources, labels, units and refusals of the importance evaluator."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluation.linear_gaussian import SHAPE, LinearGaussian
from tightbound.errors import DataError, RecipeError, TightboundError
from tightbound.evaluation import Estimate, importance, summarize

ROW_KEYS = {
    "method",
    "split",
    "images",
    "samples",
    "elbo",
    "log_likelihood",
    "standard_error",
    "standard_error_images",
    "bits_per_dim",
    "ess_median",
    "pareto_k_over_0_7",
    "curve",
    "simulated_lower",
    "simulated_upper",
    "simulated_gap",
    "simulated_gap_error",
    "simulated",
    "annealing",
    "reconstruction_rmse",
    "seconds",
    "images_per_second",
    "reconstruction_mae",
    "rate",
    "distortion",
    "active_units",
    "active_mask",
    "activity",
    "dequantized",
    "units",
    "kl_units",
    "interval",
    "images_k_over_0_7",
    "exact",
    "sentence",
    "is_likelihood",
    "measure",
    "seed",
    "checkpoint",
    "device",
    "threads",
    "precision",
    "predicted_seconds",
    "protocol",
}


class _Noisy:
    """A source with pixel noise of its own, as a function of (seed, index)."""

    log_volume = math.log(256)
    dequantize = "none"

    def __init__(self, n: int) -> None:
        self.n, self.labels = n, torch.arange(n) % 10

    def __len__(self) -> int:
        return self.n

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        index = torch.arange(start, stop).view(-1, 1, 1, 1)
        return (0.1 * index + torch.arange(6).view(1, *SHAPE) + seed).sin().float()


def _model(**options) -> LinearGaussian:
    return LinearGaussian(torch.randn(6, 2), **options)


def _binary(model: LinearGaussian, kind: str = "binary") -> LinearGaussian:
    model.likelihood.data_kind = kind
    return model


def test_a_source_gives_the_same_as_its_tensor() -> None:
    model, source = _model(widen=1.2), _Noisy(40)
    given = importance(model, source, 30, seed=3, limit=36, chunk=50)
    expected = importance(model, source.fixed(0, 36, 3), 30, seed=3)
    np.testing.assert_allclose(given.per_image["log_likelihood"], expected.per_image["log_likelihood"], rtol=1e-12)
    assert given.per_image["label"].tolist() == [i % 10 for i in range(36)]
    assert given.per_image["index"].tolist() == list(range(36))
    assert "label" not in expected.per_image


def test_bits_per_dim_by_hand() -> None:
    """−log p / (D ln 2), plus the bits of a pixel's bin for a density only."""
    model, source = _model(), _Noisy(8)
    nats = -importance(model, source, 5).log_likelihood / 6
    assert importance(model, source, 5).bits_per_dim == pytest.approx(nats / math.log(2) + 8)
    assert importance(model, source, 5, log_volume=0.0).bits_per_dim == pytest.approx(nats / math.log(2))
    discrete = importance(_binary(model, "levels"), source, 5)
    assert discrete.bits_per_dim == pytest.approx(nats / math.log(2))


def test_binary_density_on_gray_pixels_is_found_out() -> None:
    x = torch.randint(0, 2, (40, *SHAPE)).double()
    assert importance(_binary(_model()), x, 5).measure == "probability"
    assert importance(_binary(_model()), x, 5, is_likelihood=False).measure == "not a likelihood"
    x[-1, 0, 0, 0] = 0.5
    estimate = importance(_binary(_model()), x, 5)
    assert (estimate.measure, estimate.is_likelihood) == ("not a likelihood", False)
    assert estimate.sentence.startswith(
        "score under a density that does not fit these pixels (not a likelihood), K = 5; "
    )
    assert "log p(x)" not in estimate.sentence
    assert importance(_model(), x, 5).sentence.startswith("density on [0, 1] pixels, not a probability: ")


class _Broken(LinearGaussian):
    """Adds a value to the log-likelihood of one sample of every image whose first pixel is 7."""

    value = math.nan

    def draw(self, x: Tensor, num_samples: int, **options):
        draw = super().draw(x, num_samples, **options)
        broken = torch.zeros_like(draw.log_likelihood)
        broken[:1, x[:, 0, 0, 0] == 7] = self.value
        return replace(draw, log_likelihood=draw.log_likelihood + broken)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_is_never_averaged(value: float) -> None:
    model = _Broken(torch.randn(6, 2), widen=1.2)
    model.value = value
    x = torch.zeros(70, *SHAPE)
    x[[40, 63], 0, 0, 0] = 7
    with pytest.raises(TightboundError, match=r"expected finite log-weights; got NaN or \+inf in images 40, 63"):
        importance(model, x, 30)


def test_a_weight_of_zero_is_legitimate() -> None:
    model = _Broken(torch.randn(6, 2))
    model.value = -math.inf
    x = torch.zeros(3, *SHAPE)
    x[1, 0, 0, 0] = 7
    estimate = importance(model, x, 250, chunk=1000)  # one draw: one sample of 250 of image 1 has weight zero
    exact = estimate.per_image["log_likelihood_exact"]
    np.testing.assert_allclose(estimate.per_image["log_likelihood"] - exact, [0, math.log(249 / 250), 0], atol=1e-10)
    np.testing.assert_allclose(estimate.per_image["ess"], [250, 249, 250])
    assert estimate.elbo == -math.inf
    assert estimate.to_row()["elbo"] is None


def test_images_of_zero_evidence_are_counted() -> None:
    model = _Broken(torch.randn(6, 2))
    model.value = -math.inf
    x = torch.zeros(3, *SHAPE)
    x[1, 0, 0, 0] = 7
    estimate = importance(model, x, 1)
    assert estimate.to_row()["log_likelihood"] is None
    assert "in 1 of 3 images every weight is zero, so the mean is −inf" in estimate.sentence


@pytest.mark.parametrize("name", ["num_samples", "chunk", "limit"])
def test_refuses_sizes_below_one(name: str) -> None:
    arguments = {"num_samples": 5} | {name: 0}
    with pytest.raises(RecipeError, match=f"expected {name} of at least 1; got 0"):
        importance(_model(), torch.zeros(2, *SHAPE), **arguments)


def test_refuses_no_images_and_other_shapes() -> None:
    with pytest.raises(DataError, match="expected at least one image to evaluate; got none"):
        importance(_model(), torch.zeros(0, *SHAPE), 5)
    with pytest.raises(DataError, match=r"expected images of shape \(1, 2, 3\); got \(1, 3, 2\)"):
        importance(_model(), torch.zeros(4, 1, 3, 2), 5)


def test_the_row_has_the_keys_of_the_contract_in_json() -> None:
    estimate = importance(_model(widen=1.3), torch.rand(9, *SHAPE), 50)
    row = json.loads(json.dumps(estimate.to_row(), allow_nan=False))
    assert set(row) == ROW_KEYS
    assert row["curve"][1] == [10, estimate.curve[1][1]]
    assert row["interval"] == list(estimate.interval)
    assert row["images_per_second"] == pytest.approx(9 / row["seconds"])
    assert row["simulated_gap"] is None


def test_the_summary_by_hand() -> None:
    per_image = {
        "log_likelihood": np.array([-1.0, -2.0, -6.0]),
        "standard_error": np.array([0.2, 0.3, 0.6]),
        "elbo": np.array([-2.0, -3.0, -7.0]),
        "ess": np.array([10.0, 3.0, 20.0]),
        "pareto_k": np.array([0.1, 0.8, -math.inf]),
        "rmse": np.array([3.0, 4.0, 0.0]),
        "mae": np.array([1.0, 2.0, 0.0]),
    }
    summary = summarize(per_image, 100, num_pixels=6)
    assert summary["log_likelihood"] == -3
    assert summary["standard_error"] == pytest.approx(0.7 / 3)
    assert summary["standard_error_images"] == pytest.approx(math.sqrt(7 / 3))
    assert summary["bits_per_dim"] == pytest.approx(0.5 / math.log(2))
    assert (summary["elbo"], summary["ess_median"], summary["reconstruction_mae"]) == (-4, 10, 1)
    assert summary["reconstruction_rmse"] == pytest.approx(5 / math.sqrt(3))
    assert (summary["images_k_over_0_7"], summary["pareto_k_over_0_7"]) == (1, pytest.approx(1 / 3))
    assert summary["interval"] is None


def _estimate(**changes) -> Estimate:
    fields = {"method": "importance", "images": 10_000, "samples": 5000, "log_likelihood": -90.0, "seed": 0}
    return Estimate(**(fields | {"measure": "probability", "images_k_over_0_7": 0} | changes))


def test_the_density_of_dequantized_pixels_bounds_the_bits_of_the_integers() -> None:
    """Only a density of pixels that the source says it has spread over their cells."""
    source = _Noisy(8)
    assert not importance(_model(), source, 5).dequantized
    source.dequantize = "uniform"
    estimate = importance(_model(), source, 5)
    assert estimate.to_row()["dequantized"] is True
    assert estimate.sentence.startswith(
        "density of dequantized pixels, whose bits per dimension bound those of the integers: "
        "lower bound on log p(x), K = 5; "
    )
    assert not importance(_model(), source, 5, log_volume=0.0).dequantized
    assert not importance(_model(), source, 5, is_likelihood=False).dequantized
    assert not importance(_binary(_model(), "levels"), source, 5).dequantized


def test_sentences() -> None:
    assert _estimate(measure="not a likelihood", images_k_over_0_7=12).sentence == (
        "score under a density that does not fit these pixels (not a likelihood), K = 5000; in 12 of 10,000 images "
        "the weights are too uneven to trust (Pareto k > 0.7): the stated error does not hold there"
    )
    assert _estimate(images_k_over_0_7=12).sentence == (
        "lower bound on log p(x), K = 5000; in 12 of 10,000 images the weights are too uneven to trust "
        "(Pareto k > 0.7): the bound holds there, its stated error does not"
    )
    assert _estimate().sentence == (
        "lower bound on log p(x), K = 5000; the weights are even enough to trust in all 10,000 images (Pareto k ≤ 0.7)"
    )
    assert _estimate(images=1, samples=30).sentence.endswith("in the one image (Pareto k ≤ 0.7)")
    assert "too few samples to judge" in _estimate(samples=10, images_k_over_0_7=None).sentence
