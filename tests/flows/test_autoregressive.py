from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.flows.subjects import make, points
from tightbound.errors import RecipeError
from tightbound.flows import AutoregressiveStep, InverseAutoregressive
from tightbound.networks.masked import MADE, MaskedLinear


def network(width: int = 5, context_dim: int = 3, **options: object) -> MADE:
    defaults = {"hidden": (7, 11), "activation": "tanh", "normalization": "weight"}
    made = MADE(width, context_dim, 2, **{**defaults, **options}).double().eval()  # pyright: ignore[reportArgumentType]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return made


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("normalization", ["none", "weight", "batch"])
@pytest.mark.parametrize("hidden", [(7, 11), (3,), (1,), (20, 4, 9)])
def test_jacobian_of_the_network_is_strictly_triangular(
    reverse: bool, normalization: str, hidden: tuple[int, ...]
) -> None:
    made = network(reverse=reverse, normalization=normalization, hidden=hidden)
    context = torch.randn(1, 3)
    jacobian = torch.autograd.functional.jacobian(lambda z: made(z.reshape(1, 1, 5), context).flatten(), torch.randn(5))
    after = torch.ones(5, 5).tril().bool() if reverse else torch.ones(5, 5).triu().bool()
    for output in jacobian.unflatten(0, (2, 5)):
        assert output[after].abs().max() == 0
    # It is not zero where it may be otherwise: the last unit sees some unit, and with wide layers all the others.
    seen = jacobian.unflatten(0, (2, 5)).abs().sum(0)
    if min(hidden) >= 5:
        assert (seen[~after] > 0).all()


def test_every_unit_sees_the_context() -> None:
    made = network()
    jacobian = torch.autograd.functional.jacobian(lambda c: made(torch.zeros(1, 1, 5), c).flatten(), torch.zeros(1, 3))
    assert (jacobian.abs().sum((-1, -2)) > 0).all()


def test_masked_weights_stay_zero_in_training() -> None:
    """A weight that the mask hides gets no gradient, so it never enters the norm of weight normalization."""
    made = network()
    optimizer = torch.optim.Adam(made.parameters(), lr=0.1)
    made_first = made.layers[0]
    assert isinstance(made_first, MaskedLinear)
    v = made_first.parametrizations.weight.original1
    rows = made_first.mask.any(1)
    v.data[rows] *= made_first.mask[rows]
    for _ in range(3):
        optimizer.zero_grad()
        made(torch.randn(2, 4, 5), torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
    assert v[rows][~made_first.mask[rows]].abs().max() == 0
    norm = (made_first.weight * made_first.mask)[rows].norm(dim=1, keepdim=True)
    torch.testing.assert_close(norm, made_first.parametrizations.weight.original0[rows].abs())


def test_initial_weights_are_masked() -> None:
    fresh = MADE(5, 3, 2, hidden=(7,), activation="elu", normalization="weight")
    layer = fresh.layers[0]
    assert isinstance(layer, MaskedLinear)
    rows = layer.mask.any(1)
    assert layer.weight[rows][~layer.mask[rows]].abs().max() == 0


def test_gated_step_by_hand() -> None:
    """z' = s z + (1 − s) m with s = sigmoid(S + 3), Kingma et al. 2016."""
    made = network()
    z, context = torch.randn(2, 3, 5), torch.randn(3, 3)
    mean, raw = made(z, context).chunk(2, -1)
    s = 1 / (1 + torch.exp(-(raw + 3)))
    y, log_det = AutoregressiveStep(made, "gated")(z, context)
    torch.testing.assert_close(y, s * z + (1 - s) * mean)
    torch.testing.assert_close(log_det, s.log().sum(-1))


def test_affine_and_shift_steps_by_hand() -> None:
    made = network()
    z, context = torch.randn(2, 3, 5), torch.randn(3, 3)
    mean, raw = made(z, context).chunk(2, -1)
    y, log_det = AutoregressiveStep(made, "affine")(z, context)
    torch.testing.assert_close(y, raw.exp() * z + mean, rtol=1e-3, atol=1e-3)  # within the soft bounds of the scale
    torch.testing.assert_close(log_det, raw.sum(-1), rtol=1e-2, atol=1e-2)
    shift = InverseAutoregressive(3, 5, transform="shift")
    _, log_det = shift(z, context)
    assert log_det.abs().max() == 0


def test_starts_near_the_identity() -> None:
    """The gate starts at sigmoid(3 + small) ≈ 0.95."""
    torch.manual_seed(0)
    flow = InverseAutoregressive(3, 64, hidden=(1920, 1920))
    z, context = torch.randn(50, 4, 64), torch.randn(4, 3)
    _, log_det = flow(z, context)
    gate = (log_det / 64).exp()
    assert 0.93 < gate.mean() < 0.97
    assert math.isclose(1 / (1 + math.exp(-3.0)), 0.9526, abs_tol=1e-4)


def test_order_is_reversed_at_every_step() -> None:
    flow = InverseAutoregressive(3, 5, repeat=3)
    orders = [step.network.order.tolist() for step in flow.steps]  # pyright: ignore
    assert orders == [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 1, 2, 3, 4]]


def test_number_of_weights_is_the_published_one() -> None:
    """64·1920 + 1920·1920 + 2·1920·64 = 4,055,040 a step, beside biases: context after the activation has none."""
    network = MADE(64, 1920, 2, hidden=(1920, 1920), activation="elu", normalization="none", context="after")
    weights = sum(p.numel() for p in network.parameters() if p.dim() > 1)
    assert weights == 4_055_040


def test_context_that_does_not_fit_is_refused() -> None:
    with pytest.raises(RecipeError, match="context 'after' adds the context to the first hidden layer, of 7 units"):
        InverseAutoregressive(3, 5, hidden=(7,), context="after")
    with pytest.raises(RecipeError, match="there are none"):
        InverseAutoregressive(0, 5, hidden=(7,), context="after")
    with pytest.raises(RecipeError, match="needs a hidden layer"):
        InverseAutoregressive(3, 5, hidden=())


def test_mixed_precision_changes_the_map_but_not_its_determinant() -> None:
    """The Jacobian is triangular whatever the network computes: log |det| is the sum of the log-scales in use."""
    flow = make("iaf").float()
    for module in flow.modules():
        if isinstance(module, MADE):
            module.autocast_dtype = torch.bfloat16
    z, features = points()
    z, features = z.float(), features.float()
    y, log_det = flow(z, features)
    back, same = flow.inverse(y, features)
    torch.testing.assert_close(back, z, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(same, log_det, rtol=1e-4, atol=1e-4)


def test_inverse_takes_one_pass_a_unit() -> None:
    flow = make("iaf affine")
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    for module in flow.modules():
        if isinstance(module, MADE):
            module.register_forward_hook(count)
    z, features = points()
    flow(z, features)
    assert calls == 2
    flow.inverse(z, features)
    assert calls == 2 + 2 * z.shape[-1]


def test_batch_normalization_has_no_inverse_and_depends_on_the_batch() -> None:
    flow = InverseAutoregressive(3, 5, normalization="batch")
    assert flow.capabilities == {"batch_dependent"}
    z: Tensor = torch.randn(6, 4, 5)
    context = torch.randn(4, 3)
    flow.train()
    whole, _ = flow(z, context)
    part, _ = flow(z[:3], context)
    assert (whole[:3] - part).abs().max() > 1e-4
