"""What every flow has to keep: its log-determinant is autograd's, its inverse undoes it, rows do not see each other."""

from __future__ import annotations

import pytest
import torch

from tests.flows.subjects import FEATURES, make, names, points

INVERTIBLE = [name for name in names() if "inverse" in make(name).capabilities]


@pytest.mark.parametrize("name", names())
def test_log_det_is_that_of_the_jacobian(name: str) -> None:
    flow = make(name)
    z, features = points()
    _, log_det = flow(z, features)
    for k in range(len(z)):
        for b in range(len(features)):

            def one(point: torch.Tensor, b: int = b) -> torch.Tensor:
                return flow(point.reshape(1, 1, -1), features[b : b + 1])[0].flatten()

            jacobian = torch.autograd.functional.jacobian(one, z[k, b])
            torch.testing.assert_close(log_det[k, b], torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", names())
def test_samples_and_images_do_not_see_each_other(name: str) -> None:
    flow = make(name)
    z, features = points()
    whole, log_det = flow(z, features)
    for b in range(len(features)):
        alone, its_log_det = flow(z[1:2, b : b + 1], features[b : b + 1])
        torch.testing.assert_close(alone[0, 0], whole[1, b], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(its_log_det[0, 0], log_det[1, b], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_inverse_undoes_it(name: str) -> None:
    flow = make(name)
    z, features = points()
    y, log_det = flow(z, features)
    back, same_log_det = flow.inverse(y, features)
    torch.testing.assert_close(back, z, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(same_log_det, log_det, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["planar", "sylvester"])
def test_what_has_no_inverse_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="has no inverse; use a flow with the capability 'inverse'"):
        make(name).inverse(*points())


@pytest.mark.parametrize("name", [name for name in names() if name != "identity"])
def test_gradients_reach_every_parameter(name: str) -> None:
    flow = make(name)
    z, features = points()
    y, log_det = flow(z, features)
    (y.square().sum() + log_det.sum()).backward()
    silent = [n for n, p in flow.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("name", [name for name in names() if name != "iaf after"])
def test_without_features_it_is_the_same_map_for_every_image(name: str) -> None:
    flow = make(name, feature_dim=0)
    z, _ = points()
    same = z[:, :1].expand_as(z).contiguous()
    y, log_det = flow(same, torch.zeros(3, 0))
    torch.testing.assert_close(y, y[:, :1].expand_as(y), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_det, log_det[:, :1].expand_as(log_det), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in names() if name != "identity"])
def test_features_change_the_map(name: str) -> None:
    flow = make(name)
    z, features = points()
    with_others, _ = flow(z, features.roll(1, 0))
    assert (with_others - flow(z, features)[0]).abs().amax((0, 2)).min() > 1e-3


@pytest.mark.parametrize("name", INVERTIBLE)
def test_density_integrates_to_one(name: str) -> None:
    """∫ N(f⁻¹(y)) / |det ∂f| dy over a grid in two dimensions."""
    if name == "iaf after":
        pytest.skip("its context is as wide as its first layer, whatever latent_dim is")
    flow = make(name, latent_dim=2, spread=0.1)
    axis = torch.linspace(-12, 12, 301)
    nodes = torch.cartesian_prod(axis, axis).unsqueeze(1)
    with torch.no_grad():
        start, log_det = flow.inverse(nodes, torch.ones(1, FEATURES))
    log_q = -0.5 * start.square().sum(-1) - torch.log(torch.tensor(2 * torch.pi)) - log_det
    total = (log_q.logsumexp(0) + 2 * torch.log(axis[1] - axis[0])).exp()
    # Splines and rectified networks have kinks, where a grid is second order in its step.
    torch.testing.assert_close(total, torch.ones(1), rtol=0, atol=2e-3 if name.startswith("zuko") else 1e-5)
