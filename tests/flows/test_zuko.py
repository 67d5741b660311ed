from __future__ import annotations

import sys

import pytest
import torch

from tightbound.errors import RecipeError
from tightbound.flows import Zuko


@pytest.mark.parametrize("kind", ["MAF", "NSF", "NICE", "RealNVP"])
def test_it_is_zukos_density(kind: str) -> None:
    """log N(f(z)) + log |det| is what zuko itself says log p(z | context) is."""
    flow = Zuko(2, 3, flow=kind, transforms=2, hidden=(8,)).double()
    z, context = torch.randn(5, 4, 3), torch.randn(4, 2)
    noise, log_det = flow(z, context)
    ours = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(-1) + log_det
    torch.testing.assert_close(ours, flow.flow(context).log_prob(z))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("MAFF", "zuko has no flow 'MAFF'"),
        ("NCSF", "is not a map of noise in ℝᴰ: its base is BoxUniform"),
        ("GF", "does not map onto all of ℝᴰ"),
    ],
)
def test_flows_that_are_no_densities_are_refused(kind: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Zuko(2, 3, flow=kind)


def test_without_zuko_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(RecipeError, match="needs the zuko package") as caught:
        Zuko(2, 3)
    assert caught.value.hint == "pip install 'tightbound[zuko]'"
