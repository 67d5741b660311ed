from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from tightbound.numerics import Local, Phase, gradient, hmc_step, leapfrog_step, reversed_hmc_step


def smooth(z: Tensor) -> Tensor:
    """A log-density with curvature of every order."""
    return -0.25 * z.pow(4).sum(-1) - 0.3 * (z[..., 0] * z[..., 1]).cos() - 0.5 * z.square().sum(-1)


def density(z: Tensor) -> Local:
    value, slope = gradient(smooth, z)
    return Local(z, value, slope)


def trajectory(z: Tensor, momentum: Tensor, step: float, num_steps: int, one=leapfrog_step) -> tuple[Tensor, Tensor]:
    slope = gradient(smooth, z)[1]
    for _ in range(num_steps):
        z, momentum, slope, _ = one(z, momentum, slope, step, lambda point: gradient(smooth, point))
    return z, momentum


def energy(z: Tensor, momentum: Tensor) -> Tensor:
    return 0.5 * momentum.square().sum(-1) - smooth(z)


@pytest.fixture
def start() -> tuple[Tensor, Tensor]:
    return torch.randn(50, 3), torch.randn(50, 3)


def test_one_step_by_hand() -> None:
    """log f = −z²/2 at z = 1, ρ = 0, step 0.1: ρ½ = −0.05, z = 0.995, ρ = −0.05 − 0.05·0.995."""
    z, momentum, slope, value = leapfrog_step(
        torch.ones(1, 1),
        torch.zeros(1, 1),
        -torch.ones(1, 1),
        0.1,
        lambda z: gradient(lambda v: -0.5 * v[..., 0] ** 2, z),
    )
    expected = torch.tensor([0.995, -0.05 - 0.05 * 0.995, -0.995, -0.5 * 0.995**2])
    torch.testing.assert_close(torch.stack([z[0, 0], momentum[0, 0], slope[0, 0], value[0]]), expected)


def test_energy_error_is_second_order(start: tuple[Tensor, Tensor]) -> None:
    """Over one trajectory of fixed length, half the step is a quarter of the error."""
    before = energy(*start)
    errors = [(energy(*trajectory(*start, 0.4 / n, n)) - before).abs().mean() for n in (40, 80, 160)]
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.05)


def steps_are_reversible(one) -> None:
    """With the momentum turned, a trajectory leads back to where it began, to 1e-9."""
    start, kick = torch.randn(50, 3), torch.randn(50, 3)
    z, momentum = trajectory(start, kick, 0.05, 30, one)
    back, turned = trajectory(z, -momentum, 0.05, 30, one)
    assert (z - start).abs().max() > 0.1
    assert (back - start).abs().max() < 1e-9
    assert (turned + kick).abs().max() < 1e-9


def volume_is_kept(one) -> None:
    """The determinant of a trajectory's Jacobian, by autograd through the gradients, is 1."""

    def flat(state: Tensor) -> Tensor:
        return torch.cat(trajectory(state[None, :3], state[None, 3:], 0.1, 5, one), -1)[0]

    for _ in range(3):
        jacobian = torch.autograd.functional.jacobian(flat, torch.randn(6))
        assert isinstance(jacobian, Tensor)
        assert (jacobian - torch.eye(6)).abs().max() > 0.1
        assert abs(float(torch.linalg.det(jacobian)) - 1) < 1e-10


@pytest.mark.parametrize("law", [steps_are_reversible, volume_is_kept])
def test_leapfrog(law) -> None:
    law(leapfrog_step)


def correlated() -> tuple[Tensor, Tensor]:
    factor = torch.tensor([[1.0, 0.0], [1.2, 0.5]])
    return factor @ factor.T, torch.linalg.inv(factor @ factor.T)


@pytest.mark.parametrize("refresh", [1.0, 0.3])
@pytest.mark.parametrize("kernel", [hmc_step, reversed_hmc_step])
def test_moments_of_a_correlated_gaussian(kernel, refresh: float) -> None:
    covariance, precision = correlated()

    def gaussian(z: Tensor) -> Local:
        value, slope = gradient(lambda v: -0.5 * ((v @ precision) * v).sum(-1), z)
        return Local(z, value, slope)

    rows = 20_000
    phase = Phase(gaussian(torch.zeros(rows, 2)), torch.randn(rows, 2))
    for _ in range(40):
        phase, info = kernel(
            phase,
            gaussian,
            step_size=0.45,
            num_steps=3,
            noise=torch.randn(rows, 2),
            log_uniform=torch.rand(rows).log(),
            refresh=refresh,
        )
    assert 0.5 < info.acceptance.mean() < 0.95
    z = phase.local.z
    for values, exact in (
        (z[:, 0], 0.0),
        (z[:, 1], 0.0),
        (z[:, 0] ** 2, covariance[0, 0]),
        (z[:, 1] ** 2, covariance[1, 1]),
        (z[:, 0] * z[:, 1], covariance[0, 1]),
        (phase.momentum.square().mean(-1), 1.0),
    ):
        assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(rows)


def test_the_reversal_is_the_reversal() -> None:
    """f(s) T(s → s') = f(s') T̃(s' → s): of a long run, the pairs (s, s') of T are the pairs (s', s) of T̃."""
    rows, statistics = 200_000, []
    for kernel in (hmc_step, reversed_hmc_step):
        z = torch.randn(rows, 1)
        local = Local(z, -0.5 * z.square().sum(-1), -z)
        start = Phase(local, torch.randn(rows, 1))
        end, _ = kernel(
            start,
            lambda z: Local(z, -0.5 * z.square().sum(-1), -z),
            step_size=1.7,
            num_steps=2,
            noise=torch.randn(rows, 1),
            log_uniform=torch.rand(rows).log(),
            refresh=0.4,
        )
        pair = (start, end) if kernel is hmc_step else (end, start)
        statistics.append((pair[0].local.z * pair[1].momentum)[:, 0])
    forward, backward = statistics
    error = math.sqrt(float(forward.var() + backward.var()) / rows)
    assert abs(forward.mean()) > 10 * error  # it tells a direction
    assert abs(forward.mean() - backward.mean()) < 4 * error


def test_what_is_not_finite_is_rejected_and_its_momentum_turned() -> None:
    """A density that ends at |z| = 1: a step beyond stays where it was, with all that was found there."""

    def walled(z: Tensor) -> Local:
        value = torch.where(z.abs() < 1, -0.5 * z.square(), torch.nan).sum(-1)
        return Local(z, value, -z, (10 * z,))

    z, momentum = torch.tensor([[0.0], [0.9]]), torch.tensor([[0.1], [3.0]])
    phase, info = hmc_step(
        Phase(walled(z), momentum),
        walled,
        step_size=0.5,
        num_steps=1,
        noise=momentum,
        log_uniform=torch.full((2,), -0.01),
    )
    assert info.accepted.tolist() == [True, False]
    assert info.acceptance[1] == 0
    assert float(phase.local.z[1]) == 0.9
    assert float(phase.momentum[1]) == -3.0
    assert float(phase.local.extra[0][1]) == 9.0
