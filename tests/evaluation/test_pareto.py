from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from tightbound.evaluation import pareto_k


def _arviz_k(log_weights: torch.Tensor) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="\\s*ArviZ is undergoing", category=FutureWarning)
        import arviz
    return np.asarray(arviz.psislw(log_weights.T.numpy().copy())[1])


def _log_weights(name: str, shape: tuple[int, int]) -> torch.Tensor:
    generator = np.random.default_rng(3)
    values = {
        "gaussian": lambda: 2 * generator.standard_normal(shape) - 90,
        "student": lambda: generator.standard_t(3, shape),
        "pareto": lambda: np.log(stats.genpareto.rvs(0.9, size=shape, random_state=generator)),
        "uniform": lambda: np.log(generator.uniform(size=shape)),
    }
    return torch.from_numpy(values[name]())


@pytest.mark.parametrize("num_samples", [25, 100, 1000, 5000])
@pytest.mark.parametrize("name", ["gaussian", "student", "pareto", "uniform"])
def test_equals_arviz(name: str, num_samples: int) -> None:
    log_weights = _log_weights(name, (num_samples, 70))
    np.testing.assert_allclose(pareto_k(log_weights).numpy(), _arviz_k(log_weights), rtol=0, atol=1e-6)


def test_equals_arviz_with_ties_and_zero_weights() -> None:
    log_weights = _log_weights("gaussian", (500, 40))
    log_weights[:, :20] = log_weights[:, :20].round(decimals=1)
    log_weights[:400, 10:30] = -math.inf
    log_weights[:, 30:] *= 40  # most of the tail underflows
    np.testing.assert_allclose(pareto_k(log_weights).numpy(), _arviz_k(log_weights), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [0.2, 0.6, 1.0])
def test_finds_the_shape_of_a_pareto_tail(shape: float) -> None:
    """Asymptotic variance of the estimator is (1 + k)² / tail size (Zhang and Stephens 2009)."""
    num_samples, images = 20_000, 200
    generator = np.random.default_rng(5)
    weights = stats.genpareto.rvs(shape, size=(num_samples, images), random_state=generator)
    tail = math.ceil(3 * math.sqrt(num_samples))
    fitted = pareto_k(torch.from_numpy(np.log(weights)))
    expected = (tail * shape + 5) / (tail + 10)
    assert fitted.std() < 1.2 * (1 + shape) / math.sqrt(tail)
    assert abs(float(fitted.mean()) - expected) < 4 * float(fitted.std()) / math.sqrt(images) + 0.01


def test_is_unknown_up_to_20_samples() -> None:
    assert pareto_k(torch.randn(20, 3)).isnan().all()
    assert pareto_k(torch.randn(21, 3)).isfinite().all()


def test_equal_weights_have_no_tail() -> None:
    log_weights = torch.full((1000, 3), -800.0)
    log_weights[:, 1] += 1e-12 * torch.randn(1000)
    log_weights[:, 2] = (log_weights[:, 2] + 1e-5 * torch.randn(1000)).float().double()
    assert pareto_k(log_weights).tolist() == [-math.inf] * 3


def test_few_weights_that_count_raise_the_alarm() -> None:
    log_weights = torch.full((1000, 3), -math.inf)
    log_weights[:4, 0] = torch.tensor([0.0, -1.0, -2.0, -3.0])
    log_weights[:, 1] = -1000.0
    log_weights[7, 1] = 0.0
    assert pareto_k(log_weights).tolist() == [math.inf] * 3


def test_keeps_the_shape_of_the_images() -> None:
    log_weights = torch.randn(100, 2, 3)
    assert torch.equal(pareto_k(log_weights)[1, 2], pareto_k(log_weights[:, 1, 2]))
