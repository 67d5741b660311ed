"""The evidence contract of ladders: by integration, against a closed form, and by sampling."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.laws.ladders import LinearLadder, linear_ladder, small_ladder
from tests.laws.laws import (
    bounds_are_ordered,
    contract_by_quadrature,
    contract_by_sampling,
    evidence_on_grid,
    sampled_ratios,
)
from tests.laws.subjects import small_images
from tightbound.evaluation import pareto_k
from tightbound.registry import Factory

POINTS = {1: (301, 401), 2: (121, 161), 3: (61, 81)}
LINEAR: dict[str, Any] = {"merge": "linear", "skip": False, "initial_downscale": True}


@pytest.mark.parametrize("merge", ["residual", "linear", "precision"])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_every_merge(layers: int, merge: str, skip: bool) -> None:
    model = small_ladder(layers, merge=merge, skip=skip)
    contract_by_quadrature(model, small_images("bernoulli"), points=POINTS[layers])


@pytest.mark.parametrize("merge", ["residual", "linear", "precision"])
def test_stop_density_changes_no_value(merge: str) -> None:
    contract_by_quadrature(small_ladder(2, merge=merge), small_images("bernoulli"), POINTS[2], stop_density=True)


@pytest.mark.parametrize(
    "options",
    [
        {"learn_top_prior": False},
        {"block": "bacdbac", "normalization": "group", "channels": 16},
        {"block": "cabdcabd", "normalization": "batch"},
        {"normalization": "weight", "gated": False},
        {"dropout": 0.3},  # none in evaluation mode
        {"groups": 2, "branch_scale": 0.5},
        {"inner_channels": 6, "groups": 2, "spread": 0.05},
        {"likelihood": Factory("likelihood", "gaussian", {"scale": 0.7})},
    ],
)
def test_every_kind_of_block(options: dict[str, Any]) -> None:
    model = small_ladder(2, **options)
    x = small_images("gaussian" if "likelihood" in options else "bernoulli")
    contract_by_quadrature(model, x, points=POINTS[2])


@pytest.mark.parametrize("layers", [2, 3])
def test_linear_gaussian_ladders_against_their_closed_form(layers: int) -> None:
    model = linear_ladder(
        (1, 2, 2), latent_channels=(1,) * layers, downsample=(0,) * layers, noise=0.8, spread=0.15, **LINEAR
    )
    with torch.no_grad():
        for network in model.inference:
            network.convolution.bias[1:] += 0.2
    x = torch.rand(2, 1, 2, 2)
    torch.testing.assert_close(evidence_on_grid(model, x, POINTS[layers][1]), model.log_evidence(x), rtol=0, atol=1e-8)
    contract_by_quadrature(model, x, points=POINTS[layers])


def sampled_ladder(
    shape: tuple[int, int, int], channels: tuple[int, ...], downsample: tuple[int, ...]
) -> tuple[LinearLadder, torch.Tensor]:
    """Every layer's q is off its p along what the image says of the layer: none of their ratios can be left out.

    Log-scales of q are 2.2 above those of p before the two are multiplied, means a quarter of a standard deviation
    away; the image says 0.15 of a squared standard deviation of the noise about all latents together.
    """
    model = linear_ladder(
        shape, latent_channels=channels, downsample=downsample, merge="precision", skip=False, noise=3.0, spread=0.05
    )
    top = model.num_layers - 1
    with torch.no_grad():
        model.output.convolution.weight *= 0.15**0.5 * 3.0 / model.affine()[0].norm()
        along = model.affine()[0].sum(0)
        for layer, network in enumerate(model.inference):
            group, bias = model.groups[top - layer], network.convolution.bias
            network.convolution.weight *= 0.02
            mean, log_scale = bias.chunk(2)
            sign = along[group.slice].reshape(len(mean), -1).sum(1).sign()
            wide = 2.2 if layer < top else 0.0  # the top is not multiplied by its prior
            log_scale += wide
            mean += 0.25 * (1 + math.exp(2 * wide) * (layer < top)) * sign / math.prod(group.shape) ** 0.5
    x, _ = model.simulate(2, torch.Generator().manual_seed(1))
    return model, x + 1.5


SAMPLED = [((1, 3, 4), (2, 1, 4), (0, 0, 1)), ((1, 8, 8), (3, 4), (0, 1))]


@pytest.mark.parametrize(("shape", "channels", "downsample"), SAMPLED, ids=["16", "64"])
def test_mean_weight_is_the_evidence(
    shape: tuple[int, int, int], channels: tuple[int, ...], downsample: tuple[int, ...]
) -> None:
    """16 latents in three layers of padded images, 64 in two; a layer left out of the weight shows, whichever."""
    model, x = sampled_ladder(shape, channels, downsample)
    assert model.noise_size in (16, 64)
    contract_by_sampling(model, x, pareto_k, num_samples=100_000)
    draw = model.draw
    for dropped in range(model.num_layers):

        def wrong(*args: Any, left_out: int = dropped, **options: Any) -> Any:
            drawn = draw(*args, **options)
            ratios = [0 * ratio if layer == left_out else ratio for layer, ratio in enumerate(drawn.log_ratio)]
            object.__setattr__(drawn, "log_ratio", tuple(ratios))
            return drawn

        model.draw = wrong  # pyright: ignore[reportAttributeAccessIssue]
        ratios = sampled_ratios(model, x, 40_000)
        deviation = ((ratios.mean(0) - 1).abs() / (ratios.std(0) / math.sqrt(len(ratios)))).max()
        assert deviation > 4, (
            f"without layer {model.num_layers - dropped} of the weight: {deviation:.1f} standard errors"
        )


def test_bounds_are_ordered_and_a_wrong_scale_would_show() -> None:
    model, x = small_ladder(2), small_images("bernoulli")
    with torch.no_grad():
        bounds_are_ordered(model.draw(x, 64, generator=torch.Generator().manual_seed(0)).log_weight)
    draw = model.draw

    def wrong(*args: Any, **options: Any) -> Any:
        drawn = draw(*args, **options)
        object.__setattr__(drawn, "log_ratio", tuple(0.99 * ratio for ratio in drawn.log_ratio))
        return drawn

    model.draw = wrong  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AssertionError, match="differs from log p"):
        contract_by_quadrature(model, x, points=POINTS[2])
