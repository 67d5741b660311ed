"""Mixtures of discretized logistics: colors sum to one, the formula by hand, sampling, and what coupling does."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from tightbound.likelihoods import DiscretizedLogistic, DiscretizedLogisticMixture

RGB = (3, 1, 1)


def colors(levels: int, channels: int = 3) -> Tensor:
    """All colors of a pixel: (n, C, 1, 1)."""
    values = [k / levels for k in range(levels + 1)]
    return torch.tensor(list(itertools.product(values, repeat=channels))).reshape(-1, channels, 1, 1)


def of_every_color(likelihood: DiscretizedLogisticMixture, params: Tensor, x: Tensor) -> Tensor:
    """log P (rows, n) of params (rows, P, 1, 1)."""
    return likelihood.log_prob(x, params.unsqueeze(1).expand(-1, len(x), -1, -1, -1))


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize(("levels", "channels"), [(1, 3), (5, 3), (20, 2), (3, 4)])
def test_probabilities_of_all_colors_sum_to_one(levels: int, channels: int, coupled: bool) -> None:
    likelihood = DiscretizedLogisticMixture(
        (channels, 1, 1), levels=levels, components=3, coupled=coupled, scale=0.2, min_scale=1e-3
    )
    params = 3 * torch.randn(20, likelihood.out_channels, 1, 1)
    total = of_every_color(likelihood, params, colors(levels, channels)).logsumexp(1)
    torch.testing.assert_close(total, torch.zeros(20), rtol=0, atol=1e-12)


@pytest.mark.parametrize("coupled", [True, False])
def test_eight_bits_sum_to_one_by_monte_carlo(coupled: bool) -> None:
    """Σ P = E[P/q] with q half on the two ends of each channel, which hold its tails, and else uniform."""
    likelihood = DiscretizedLogisticMixture(RGB, components=2, coupled=coupled, scale=0.5)
    params = 0.3 * torch.randn(1, likelihood.out_channels, 1, 1)
    ends, inner = torch.randint(0, 2, (200_000, *RGB)) * 255, torch.randint(1, 255, (200_000, *RGB))
    x = torch.where(torch.rand(200_000, *RGB) < 0.5, ends, inner) / 255
    q = torch.where((x == 0) | (x == 1), 1 / 4, 1 / (2 * 254))
    ratio = (of_every_color(likelihood, params, x) - q.log().sum((1, 2, 3))).exp()
    error = ratio.std() / len(x) ** 0.5
    assert error < 0.01
    assert abs(ratio.mean() - 1) < 4 * error


def test_by_hand() -> None:
    """Two components on RGB: π from the logits, μ moved by tanh(a)·(value − ½), the product over channels, the sum."""
    likelihood = DiscretizedLogisticMixture(RGB, levels=8, components=2, scale=0.3, min_scale=1e-9)
    assert likelihood.out_channels == 2 * (1 + 3 + 3 + 3)
    assert DiscretizedLogisticMixture(RGB).out_channels == 100
    raw = torch.randn(20)
    logits, means, log_scales, pairs = raw[:2], raw[2:8].reshape(2, 3), raw[8:14].reshape(2, 3), raw[14:].reshape(2, 3)
    x = torch.tensor([0.25, 1.0, 0.0])
    alone = DiscretizedLogistic((1, 1, 1), levels=8, scale=0.3, min_scale=1e-9)
    total = torch.zeros(())
    for m in range(2):
        a = pairs[m].tanh()
        moved = [0, a[0] * (x[0] - 0.5), a[1] * (x[0] - 0.5) + a[2] * (x[1] - 0.5)]
        product = logits.softmax(0)[m]
        for c in range(3):
            params = torch.stack([0.5 + means[m, c] / 2 + moved[c], log_scales[m, c]]).reshape(1, 1, 2, 1, 1)
            product = product * alone.log_prob(x[c].reshape(1, 1, 1, 1), params).exp().squeeze()
        total = total + product
    found = likelihood.log_prob(x.reshape(1, 3, 1, 1), raw.reshape(1, 1, 20, 1, 1))
    torch.testing.assert_close(found.squeeze(), total.log(), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("coupled", [True, False])
def test_samples_are_what_is_scored(coupled: bool) -> None:
    """Frequencies of all 27 colors of 3 levels, within 4 standard errors."""
    likelihood = DiscretizedLogisticMixture(RGB, levels=2, components=3, coupled=coupled, scale=0.3)
    params, n = 2 * torch.randn(likelihood.out_channels, 1, 1), 200_000
    x = colors(2)
    wanted = of_every_color(likelihood, params.unsqueeze(0), x)[0].exp()
    drawn = likelihood.sample(params.expand(n, -1, -1, -1), torch.Generator().manual_seed(1)).flatten(1)
    index = ((2 * drawn).round() @ torch.tensor([9.0, 3.0, 1.0])).long()
    found = torch.bincount(index, minlength=27) / n
    assert ((found - wanted).abs() <= 4 * (wanted * (1 - wanted) / n).sqrt() + 1e-9).all()


def test_moments_under_coupling_where_no_tail_reaches_an_end() -> None:
    """Narrow logistics in the middle: means and deviations of samples, within half a level and 4 standard errors."""
    likelihood = DiscretizedLogisticMixture((3, 1, 2), components=2, scale=0.02)
    params = 0.2 * torch.randn(likelihood.out_channels, 1, 2)
    n = 100_000
    drawn = likelihood.sample(params.expand(n, -1, -1, -1), torch.Generator().manual_seed(1))
    error = drawn.std(0) / n**0.5
    assert ((drawn.mean(0) - likelihood.mean(params)).abs() < 4 * error + 0.1 / 255).all()
    torch.testing.assert_close(likelihood.std(params), drawn.std(0), rtol=0.02, atol=0)
    assert ((likelihood.quick_mean(params) - likelihood.mean(params)).abs() < 0.5 / 255).all()


def test_moments_under_coupling_where_tails_reach_the_ends() -> None:
    """As far off as the docstring says; the exact ones are sums over all colors."""
    likelihood, x = DiscretizedLogisticMixture(RGB, levels=15, components=5), colors(15, 3)
    params = torch.randn(20, likelihood.out_channels, 1, 1)
    p, value = of_every_color(likelihood, params, x).exp(), x[:, :, 0, 0]
    mean = p @ value
    deviation = (p @ value.square() - mean.square()).sqrt()
    assert (likelihood.mean(params)[:, :, 0, 0] - mean).abs().max() < 0.06
    assert ((likelihood.std(params)[:, :, 0, 0] / deviation) - 1).abs().max() < 0.3


def test_no_deviation_is_larger_than_a_pixel_between_0_and_1_can_have() -> None:
    """Coupled channels that tails push to the ends: the propagated variance would be many times that."""
    likelihood = DiscretizedLogisticMixture(RGB, levels=1, components=2)
    params = 30 * torch.randn(50, likelihood.out_channels, 1, 1)
    assert likelihood.std(params).max() <= 0.5 + 1e-12
    narrow = DiscretizedLogisticMixture((2, 1, 1), levels=1, components=1)
    found = narrow.std(params[:, : narrow.out_channels])
    mean = narrow.mean(params[:, : narrow.out_channels])
    assert (found <= (mean * (1 - mean)).sqrt() + 1e-12).all()


def test_first_channel_has_exact_moments_under_coupling() -> None:
    likelihood = DiscretizedLogisticMixture((2, 1, 1), levels=5, components=3, scale=0.4)
    params, x = 2 * torch.randn(30, likelihood.out_channels, 1, 1), colors(5, 2)
    p, value = of_every_color(likelihood, params, x).exp(), x[:, 0, 0, 0]
    mean = p @ value
    torch.testing.assert_close(likelihood.mean(params)[:, 0, 0, 0], mean)
    variance = (p * (value - mean.unsqueeze(1)).square()).sum(1)
    torch.testing.assert_close(likelihood.std(params)[:, 0, 0, 0], variance.sqrt())


@pytest.mark.parametrize("coupled", [True, False])
def test_the_mode_is_as_probable_as_any_components_own(coupled: bool) -> None:
    """And of one component without coupling it is the most probable color."""
    likelihood = DiscretizedLogisticMixture(RGB, levels=4, components=3, coupled=coupled, scale=0.2)
    params, x = 2 * torch.randn(100, likelihood.out_channels, 1, 1), colors(4)
    mode = likelihood.mode(params)
    reached = likelihood.log_prob(mode, params.unsqueeze(0))[0]
    single = DiscretizedLogisticMixture(RGB, levels=4, components=1, coupled=coupled, scale=0.2)
    sizes = (1, 3, 3, 3 if coupled else 0)
    pieces = [
        part.unflatten(1, (3, size)) for part, size in zip(params.split([3 * s for s in sizes], 1), sizes, strict=True)
    ]
    for m in range(3):
        own = single.mode(torch.cat([piece[:, m] for piece in pieces], 1))
        assert (likelihood.log_prob(own, params.unsqueeze(0))[0] <= reached + 1e-12).all()
        if not coupled:
            alone = torch.cat([piece[:, m] for piece in pieces], 1)
            best = of_every_color(single, alone, x).max(1).values
            torch.testing.assert_close(single.log_prob(own, alone.unsqueeze(0))[0], best)


def test_float32_is_float64_far_out() -> None:
    """Values far from every component: no threshold, no −inf."""
    likelihood = DiscretizedLogisticMixture(RGB, components=2)
    params = torch.randn(1, 50, likelihood.out_channels, 1, 1)
    params[:, :, 8:14] = -20.0  # at the floor of the scale
    x = torch.randint(0, 256, (50, *RGB)) / 255
    found = likelihood.log_prob(x.float(), params.float())
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), likelihood.log_prob(x, params), rtol=1e-3, atol=1e-2)


def test_gradients_are_finite_differences_under_coupling() -> None:
    likelihood = DiscretizedLogisticMixture((3, 2, 1), levels=4, components=2, scale=0.3)
    x = (torch.rand(2, 3, 2, 1) * 4).round() / 4
    params = torch.randn(2, 2, likelihood.out_channels, 2, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda params: likelihood.log_prob(x, params), (params,))
