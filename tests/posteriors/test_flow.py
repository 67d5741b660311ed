"""Flow posteriors: the density is that of the sample, and stop_density stops what it should."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from tightbound.core import Posterior
from tightbound.errors import RecipeError
from tightbound.flows import InverseAutoregressive
from tightbound.posteriors import Diagonal, FlowPosterior
from tightbound.posteriors.flow import iaf
from tightbound.registry import Factory

IAF = Factory("flow", "iaf", {"repeat": 2, "hidden": (7,), "activation": "tanh"})
PLANAR = Factory("flow", "planar", {"repeat": 2})
FULL = Factory("posterior", "full_covariance")


def randomized(**options: object) -> FlowPosterior:
    posterior = FlowPosterior(5, 3, **options).double()  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        for parameter in posterior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return posterior


@pytest.mark.parametrize("base", [Factory("posterior", "diagonal"), FULL])
@pytest.mark.parametrize("flows", [(IAF,), (PLANAR, IAF)])
@pytest.mark.parametrize("context", [None, 4])
def test_log_q_is_the_density_of_z_by_autograd(base: Factory, flows: tuple[Factory, ...], context: int | None) -> None:
    posterior = randomized(base=base, flows=flows, context=context)
    features, noise = torch.randn(1, 5), torch.randn(3)

    def sample(noise: torch.Tensor) -> torch.Tensor:
        return posterior.propose(features, 1, noise=noise.reshape(1, 1, 3)).z.reshape(3)

    log_det = torch.linalg.slogdet(torch.func.jacrev(sample)(noise)).logabsdet
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum()
    proposal = posterior.propose(features, 1, noise=noise.reshape(1, 1, 3))
    torch.testing.assert_close(proposal.log_q.squeeze(), normal - log_det)
    assert proposal.gaussian is None


@pytest.mark.parametrize("base", [Factory("posterior", "diagonal"), FULL])
def test_log_q_of_any_z_by_the_inverse(base: Factory) -> None:
    posterior = randomized(base=base, flows=(IAF,), context=4)
    features, noise = torch.randn(4, 5), torch.randn(6, 4, 3)
    z, log_q, _ = posterior.propose(features, 6, noise=noise)
    torch.testing.assert_close(posterior(features, z), log_q)


def test_stop_density_leaves_the_path_through_z_alone() -> None:
    """∂/∂φ of log q_{φ'}(z_φ) at φ' = φ, where φ' is another posterior with the same weights (Roeder et al. 2017)."""
    posterior = randomized(base=FULL, flows=(IAF,), context=4)
    frozen = copy.deepcopy(posterior)
    features, noise = torch.randn(4, 5, requires_grad=True), torch.randn(6, 4, 3)
    stopped = posterior.propose(features, 6, noise=noise, stop_density=True)
    torch.testing.assert_close(stopped.log_q, posterior.propose(features, 6, noise=noise).log_q)
    inputs = [features, *posterior.parameters()]
    ours = torch.autograd.grad(stopped.log_q.sum(), inputs, allow_unused=True)
    z = posterior.propose(features, 6, noise=noise).z
    wanted = torch.autograd.grad(frozen(features.detach(), z).sum(), inputs, allow_unused=True)
    for one, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(one, other)
    assert any(g is not None and g.abs().sum() > 0 for g in ours)


@pytest.mark.parametrize(
    ("flows", "can"),
    [
        ((IAF,), {"stop_density"}),
        ((PLANAR,), set()),
        ((IAF, PLANAR), set()),
        ((Factory("flow", "iaf", {"normalization": "batch"}),), {"batch_dependent"}),
        ((Factory("flow", "identity"),), {"stop_density"}),
    ],
)
def test_capabilities_are_those_of_the_flows(flows: tuple[Factory, ...], can: set[str]) -> None:
    assert FlowPosterior(5, 3, flows=flows).capabilities == can


@pytest.mark.parametrize(
    "options",
    [
        {"base": Factory("posterior", "diagonal", {"normalization": "batch"})},
        {"context": 4, "normalization": "batch"},
    ],
)
def test_batch_statistics_anywhere_forbid_a_second_evaluation_of_the_density(options: dict[str, Any]) -> None:
    """It would move them twice."""
    assert FlowPosterior(5, 3, flows=(IAF,), **options).capabilities == {"batch_dependent"}


def test_identity_is_the_base() -> None:
    posterior = FlowPosterior(5, 3, flows=(Factory("flow", "identity"),))
    features, noise = torch.randn(4, 5), torch.randn(6, 4, 3)
    base = posterior.start.propose(features, 6, noise=noise)
    proposal = posterior.propose(features, 6, noise=noise)
    torch.testing.assert_close(proposal.z, base.z, rtol=0, atol=0)
    torch.testing.assert_close(proposal.log_q, base.log_q, rtol=0, atol=0)


def test_iaf_is_short_for_a_flow() -> None:
    torch.manual_seed(0)
    short: Posterior = iaf(5, 3, steps=2, base=FULL)
    torch.manual_seed(0)
    long = FlowPosterior(5, 3, base=FULL, flows=(Factory("flow", "iaf", {"repeat": 2}),))
    assert {k: v.shape for k, v in short.state_dict().items()} == {k: v.shape for k, v in long.state_dict().items()}
    features, noise = torch.randn(4, 5), torch.randn(6, 4, 3)
    torch.testing.assert_close(
        short.propose(features, 6, noise=noise).log_q, long.propose(features, 6, noise=noise).log_q, rtol=0, atol=0
    )


def test_the_flow_sees_the_image() -> None:
    """Peers' flows do not: then it is a Gaussian posterior under a flow prior."""
    posterior = randomized(flows=(IAF,))
    flow = posterior.flow.steps[0]
    assert isinstance(flow, InverseAutoregressive)
    z = torch.randn(1, 1, 3)
    one, other = (flow(z, torch.randn(1, 5))[0] for _ in range(2))
    assert (one - other).abs().max() > 1e-3


def test_refusals() -> None:
    with pytest.raises(RecipeError, match=r"posterior.base: got 'iaf'; a flow starts from a Gaussian"):
        FlowPosterior(5, 3, base=Factory("posterior", "iaf"))
    with pytest.raises(RecipeError, match=r"posterior.flows: got \[\]; expected at least one"):
        FlowPosterior(5, 3, flows=())
    with pytest.raises(RecipeError, match=r"posterior.context: there is no encoder"):
        FlowPosterior(0, 3, context=8)
    with pytest.raises(RecipeError, match=r"posterior.normalization: got 'weight', which is of the context"):
        FlowPosterior(5, 3, normalization="weight")
    assert Diagonal.capabilities >= {"gaussian"}
