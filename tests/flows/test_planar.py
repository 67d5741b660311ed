from __future__ import annotations

import pytest
import torch

from tightbound.flows import Planar, invertible_direction


def test_constraint_by_its_formula() -> None:
    """wᵀû = −1 + log(1 + e^{wᵀu}), Rezende & Mohamed 2015, appendix A.1."""
    u, w = 3 * torch.randn(500, 6), 3 * torch.randn(500, 6)
    direction, above = invertible_direction(u, w)
    product = above - 1
    torch.testing.assert_close(product, torch.log1p(torch.exp((w * u).sum(-1))) - 1, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close((w * direction).sum(-1), product, rtol=1e-9, atol=1e-9)
    assert (above > 0).all()


@pytest.mark.parametrize("projection", [-30.0, -18.0, -16.0, -10.0, 3.0])
@pytest.mark.parametrize("b", [0.0, 1e-3, 0.5])
def test_log_det_in_float32_is_that_in_float64(projection: float, b: float) -> None:
    """Where wᵀu is far below 0, 1 + wᵀû is tiny: a sum of 1 and −1 + tiny would lose it."""
    found = []
    for dtype in (torch.float32, torch.float64):
        flow = Planar(0, 2).to(dtype)
        assert flow.head.bias is not None
        with torch.no_grad():
            flow.head.bias.copy_(torch.tensor([projection, 0.0, 1.0, 0.0, b]))
        found.append(flow(torch.zeros(1, 1, 2, dtype=dtype), torch.zeros(1, 0, dtype=dtype))[1].double())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_constraint_changes_u_along_w_alone() -> None:
    u, w = torch.randn(20, 6), torch.randn(20, 6)
    change = invertible_direction(u, w)[0] - u
    along = (change * w).sum(-1, keepdim=True) / w.square().sum(-1, keepdim=True) * w
    torch.testing.assert_close(change, along)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-7, 1e-6, 1e-5, 1e-3])
def test_constraint_is_what_it_says_where_w_vanishes(size: float) -> None:
    """wᵀû is that of the û that is used, also where w is as good as 0 and u is left alone."""
    u, w = torch.randn(3, 6), size * torch.nn.functional.normalize(torch.randn(3, 6), dim=-1)
    direction, above = invertible_direction(u, w)
    torch.testing.assert_close(1 + (w * direction).sum(-1), above, rtol=1e-12, atol=1e-12)
    assert (above > 0).all()
    if size == 0:
        torch.testing.assert_close(direction, u)


def test_a_step_by_hand() -> None:
    flow = Planar(0, 3)
    with torch.no_grad():
        flow.head.bias.copy_(torch.tensor([0.5, -1.0, 2.0, 1.5, 0.25, -0.75, 0.3]))
    u, w, b = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1.5, 0.25, -0.75]), 0.3
    z = torch.tensor([0.2, -0.4, 1.1])
    wu = w @ u
    u_hat = u + (torch.log1p(wu.exp()) - 1 - wu) * w / (w @ w)
    y, log_det = flow(z.reshape(1, 1, 3), torch.zeros(1, 0))
    torch.testing.assert_close(y[0, 0], z + u_hat * torch.tanh(w @ z + b))
    slope = 1 - torch.tanh(w @ z + b) ** 2
    torch.testing.assert_close(log_det[0, 0], torch.log(1 + slope * (w @ u_hat)))


def test_shared_steps_are_one_step_repeated() -> None:
    shared, once = Planar(2, 4, repeat=3, shared=True), Planar(2, 4)
    once.load_state_dict(shared.state_dict())
    z, features = torch.randn(5, 3, 4), torch.randn(3, 2)
    y, log_det = shared(z, features)
    total = torch.zeros(5, 3)
    for _ in range(3):
        z, change = once(z, features)
        total = total + change
    torch.testing.assert_close(y, z)
    torch.testing.assert_close(log_det, total)


def test_steps_of_their_own_are_different_steps_in_order() -> None:
    apart, once = Planar(2, 4, repeat=3), Planar(2, 4)
    assert len(set(apart.head.bias.tolist())) == 27
    z, features = torch.randn(5, 3, 4), torch.randn(3, 2)
    y, log_det = apart(z, features)
    total = torch.zeros(5, 3)
    for weight, bias in zip(apart.head.weight.chunk(3), apart.head.bias.chunk(3), strict=True):
        once.load_state_dict({"head.weight": weight, "head.bias": bias})
        z, change = once(z, features)
        total = total + change
    torch.testing.assert_close(y, z)
    torch.testing.assert_close(log_det, total)


def test_not_amortized_has_one_set_for_all_images() -> None:
    flow = Planar(7, 4, amortized=False)
    assert sum(p.numel() for p in flow.parameters()) == 2 * 4 + 1


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("amortized", [True, False])
def test_many_steps_are_one_after_the_other(shared: bool, amortized: bool) -> None:
    """19 steps, of which 8 log-determinants are taken at once: against each step's own Jacobian, by autograd."""
    flow = Planar(4, 3, repeat=19, shared=shared, amortized=amortized)
    features, z = torch.randn(2, 4), torch.randn(5, 2, 3)
    found, log_det = flow(z, features)
    sets = flow.head(features).unflatten(-1, (flow.sets, -1))
    expected = torch.zeros(5, 2)
    for index in range(19):
        u, w, b = sets[:, index % flow.sets].split((3, 3, 1), -1)
        direction, _ = invertible_direction(u, w)

        def step(point: torch.Tensor, u: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return point + u * torch.tanh((w * point).sum(-1, keepdim=True) + b)

        jacobian = torch.func.vmap(torch.func.vmap(torch.func.jacrev(step)), in_dims=(0, None, None, None))
        expected = expected + jacobian(z, direction, w.expand(2, -1), b.expand(2, -1)).det().log()
        z = step(z, direction, w, b)
    torch.testing.assert_close(found, z)
    torch.testing.assert_close(log_det, expected)
