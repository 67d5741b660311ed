"""Ladders: the published sizes, flat coordinates, layers held at their mode or shared, and any image size."""

from __future__ import annotations

import copy
import math
import weakref
from typing import Any, get_args

import pytest
import torch
from torch import nn

from tests.laws.ladders import small_ladder
from tests.laws.subjects import small_images
from tests.networks.test_blocks import by_hand
from tests.networks.test_ladder_networks import stem_by_hand
from tightbound.core import Step
from tightbound.data import load_data
from tightbound.errors import RecipeError
from tightbound.models import Ladder
from tightbound.networks.blocks import Block, BlockStyle, Order
from tightbound.networks.initialize import initialize_from_data
from tightbound.networks.layers import Normalization, Style
from tightbound.numerics import Gaussian
from tightbound.objectives.elbo import ELBO
from tightbound.registry import Factory
from tightbound.training import TrainingStep, dtype_of, place
from tightbound.training.update import Update

BERNOULLI = Factory("likelihood", "bernoulli")
COLORS = Factory("likelihood", "discretized_logistic_mixture")
FIFTEEN = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("shape", "downsample", "likelihood", "parameters", "latents"),
    [
        ((1, 28, 28), (1, 1, 1), BERNOULLI, 3_209_153, 2_688),
        ((1, 28, 28), (0, 1, 0, 1, 0, 1), BERNOULLI, 6_008_705, None),
        ((1, 28, 28), (0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0), BERNOULLI, 11_607_809, 24_960),
        ((3, 64, 64), (1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0), BERNOULLI, 11_686_019, None),
        ((3, 32, 32), FIFTEEN, COLORS, 14_467_684, None),
        ((3, 32, 32), (1, 1, 1), COLORS, 3_269_476, None),
        ((3, 32, 32), (0, 1, 0, 1, 0, 1), COLORS, 6_069_028, None),
        ((3, 64, 64), (*FIFTEEN, 1, 0, 0, 0, 0), COLORS, 19_207_460, None),
    ],
)
def test_parameters_of_every_published_size(
    shape: tuple[int, int, int],
    downsample: tuple[int, ...],
    likelihood: Factory,
    parameters: int,
    latents: int | None,
) -> None:
    """In the published block order, the first block without a gate; counted from the source's architecture."""
    model = Ladder(
        shape,
        latent_channels=(32,) * len(downsample),
        downsample=downsample,
        blocks=4,
        dropout=0.2,
        first_gated=False,
        normalization="batch",
        likelihood=likelihood,
    )
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.groups[0].shape == (32, 2, 2)
    assert latents in (None, model.noise_size)


def odd_ladder(**options: Any) -> Ladder:
    """Two layers on images of 9 × 7 pixels, padded to 16 × 8."""
    torch.manual_seed(0)
    return Ladder((1, 9, 7), latent_channels=(2, 3), channels=4, **options).double().eval()


def test_flat_coordinates_are_the_latents_whitened() -> None:
    """ε → z → ε, and the same pixels by flat coordinates, by latents and by the draw itself."""
    model, x = odd_ladder(), torch.rand(5, 1, 9, 7).round()
    with torch.no_grad():
        drawn = model.draw(x, 3)
        epsilon = model.epsilon_of(*drawn.latents)
        for found, z in zip(model.latents_at(epsilon), drawn.latents, strict=True):
            torch.testing.assert_close(found, z)
        torch.testing.assert_close(model.params_at(epsilon), drawn.params)
        torch.testing.assert_close(model.decode(*drawn.latents).params, drawn.params, rtol=0, atol=0)
    assert [group.shape for group in model.groups] == [(3, 2, 1), (2, 4, 2)]


def test_padding_is_centered_and_cropped_again() -> None:
    """9 × 7 in 16 × 8: 3 rows above, 4 below, none left, 1 right; the pixels are those of the output there."""
    model, maps = odd_ladder(), torch.randn(2, 4, 8, 4)
    assert model.padding == (0, 1, 3, 4)
    with torch.no_grad():
        whole = model.output(maps)
        cropped = model._params(maps, (1, 2))  # pyright: ignore[reportPrivateUsage]
    assert whole.shape == (2, 1, 16, 8)
    torch.testing.assert_close(cropped[0], whole[:, :, 3:12, 0:7], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("image_shape", "layers", "initial", "latents"),
    [
        ((1, 28, 28), 12, True, 8 * 8 + 4 * 4 + 10 * 2 * 2),  # padded to 32, of which 16 are left at first
        ((3, 5, 9), 3, False, 4 * 8 + 2 * 4 + 1 * 2),  # padded to 8 × 16
        ((1, 1, 100), 4, False, 4 * 50),  # padded to 2 × 100, which 4 × 100 would be four times as much as
        ((3, 2, 50), 4, True, 4 * 13),  # once at first, and once more: to 4 × 52
        ((1, 2, 2), 2, False, 2 * 2 * 2),
    ],
)
def test_maps_are_halved_down_to_two_pixels_where_nothing_is_said(
    image_shape: tuple[int, int, int], layers: int, initial: bool, latents: int
) -> None:
    model = Ladder(image_shape, latent_channels=(1,) * layers, channels=4, blocks=1, initial_downscale=initial)
    assert model.noise_size == latents


def test_the_last_stage_holds_the_input_of_one_block_at_a_time() -> None:
    """Its maps are the largest; where no gradient is kept, those of blocks that are done are given back."""
    model = small_ladder(1, blocks=3)
    seen: list[weakref.ref[Any]] = []
    held: list[int] = []

    def count(_block: Any, inputs: tuple[Any, ...]) -> None:
        seen.append(weakref.ref(inputs[0]))
        held.append(sum(maps() is not None for maps in seen))

    for block in model.output.blocks:
        block.register_forward_pre_hook(count)
    with torch.no_grad():
        model.output(torch.randn(2, 4, 1, 1, dtype=torch.float64))
    assert held == [1, 1, 1]


def test_the_log_ratio_is_that_of_flat_coordinates() -> None:
    """Σ log p(z_i | z_>i) − log |∂z/∂ε|⁻¹ = log N(ε): the change of variables, its determinant from autograd."""
    model, x = small_ladder(2), small_images("bernoulli", 1)
    drawn = model.draw(x, 1)
    epsilon = model.epsilon_of(*drawn.latents)[0, 0].detach()
    jacobian = torch.autograd.functional.jacobian(
        lambda e: torch.cat([z.flatten() for z in model.latents_at(e.unsqueeze(0))]), epsilon
    )
    log_p = sum(
        p.log_prob(z.flatten(2))
        for z, (_, p) in zip(drawn.latents, drawn.densities, strict=True)  # pyright: ignore
    )
    log_det = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(log_p[0, 0], model.log_prior(epsilon) - log_det)


def test_the_analytic_kl_is_the_mean_of_the_sampled_one_and_layers_sum() -> None:
    model, x = small_ladder(2), small_images("bernoulli", 2)
    with torch.no_grad():
        drawn = model.draw(x, 100_000, generator=torch.Generator().manual_seed(0))
    for kl, ratio in zip(drawn.kl, drawn.log_ratio, strict=True):
        difference = kl.sum(-1) + ratio
        error = difference.std(0) / 100_000**0.5
        assert (difference.mean(0).abs() < 4 * error).all()
    torch.testing.assert_close(drawn.log_weight, drawn.log_likelihood + drawn.log_ratio[0] + drawn.log_ratio[1])


def test_a_draw_stays_what_it_was_when_the_weights_change() -> None:
    """Its KL is computed when it is asked for, of the top prior's parameters among others."""
    model, x = small_ladder(2), small_images("bernoulli", 2)
    with torch.no_grad():
        before, drawn = (model.draw(x, 1, generator=torch.Generator().manual_seed(0)) for _ in range(2))
        expected = before.kl
        for parameter in model.parameters():
            parameter.add_(1.0)
    torch.testing.assert_close(drawn.kl, expected, rtol=0, atol=0)


@pytest.mark.parametrize("bits", [0.05, 0.3])
def test_free_bits_of_a_ladder_are_per_layer_and_of_a_sample_or_of_the_batch(bits: float) -> None:
    """Σ_i mean_n max(KL_ni, λ) of the sampled KL, as the published ladders, and Σ_i max(mean_n KL_ni, λ)."""
    model, x, step = small_ladder(3), torch.rand(64, 1, 2, 2).round(), Step(torch.tensor(0), torch.tensor(0.0))
    drawn = model.draw(x, 1)
    kl = -torch.stack(drawn.log_ratio).squeeze(1)  # (layers, images)
    reconstruction = drawn.log_likelihood.mean()
    wanted = {"sample": kl.clamp(min=bits).mean(1).sum(), "batch": kl.mean(1).clamp(min=bits).sum()}
    assert wanted["sample"] > wanted["batch"] + 0.01
    for over, charge in wanted.items():
        loss = ELBO(kl="sampled", free_bits=bits, free_bits_over=over)(drawn, step)  # pyright: ignore[reportArgumentType]
        torch.testing.assert_close(loss.value, charge - reconstruction)
        torch.testing.assert_close(loss.parts["kl_groups"], torch.stack([k.sum(-1).mean() for k in drawn.kl]))


@pytest.mark.parametrize(
    ("normalization", "precision", "branch_scale"),
    [
        ("weight", "float64", 0.2),
        ("weight", "bf16", 0.2),
        ("weight", "bf16", 1.0),
        ("batch", "bf16", 0.2),
        ("group", "bf16", 0.2),
        ("none", "bf16", 0.2),
    ],
)
def test_thirty_layers_train_without_a_step_that_is_not_finite(
    normalization: Normalization, precision: str, branch_scale: float
) -> None:
    """Steps of 0.003, ten times the published ones; the bound rises. In bf16 too, as real runs are."""
    model = _thirty_layers(normalization, branch_scale)
    place(model, device="cpu", precision=precision, channels_last=False)
    dtype = dtype_of(precision)
    images = load_data("digits").train.fixed(0, 64, 0).to(dtype)
    objective = ELBO(free_bits=0.1, free_bits_over="sample")

    def noise() -> torch.Tensor:
        return torch.randn(1, 16, model.noise_size, dtype=dtype)

    initialize_from_data(model, images[:16], noise(), only_weight_normalized=normalization == "weight")
    step, update = TrainingStep(model, objective), Update(model, torch.optim.Adam(model.parameters()))
    bounds = []
    for count in range(12):
        loss = step(images[16 * (count % 4) :][:16], noise(), Step(update.done, update.done / 4))
        loss.value.backward()
        update(loss.value, 3e-3)
        bounds.append(float(loss.parts["elbo"]))
    assert update.counters() == {"done": 12, "skipped_in_a_row": 0, "worst_row": 0}
    assert sum(bounds[-4:]) / 4 > sum(bounds[:4]) / 4 + 4


def _thirty_layers(normalization: Normalization, branch_scale: float) -> Ladder:
    downsample = tuple(int(i in (10, 20)) for i in range(30))
    torch.manual_seed(0)
    return Ladder(
        (1, 8, 8),
        latent_channels=(2,) * 30,
        downsample=downsample,
        channels=8,
        blocks=1,
        branch_scale=branch_scale,
        initial_downscale=False,
        normalization=normalization,
    )


@pytest.mark.parametrize(("raw", "log_scale"), [(-100.0, -8.0), (100.0, 5.0), (0.0, -0.00637989)])
def test_log_scales_are_softly_clamped(raw: float, log_scale: float) -> None:
    """−8 + log(1 + e^(raw + 8)) − log(1 + e^(raw − 5)), of every layer's posterior and prior."""
    model = odd_ladder()
    with torch.no_grad():
        for network in [*model.inference, *model.generation]:
            zeros = network.convolution.parametrizations.weight.original0  # g of w = g v / |v|
            zeros[len(zeros) // 2 :] = 0
            network.convolution.bias[len(zeros) // 2 :] = raw
        assert model.top_prior is not None
        model.top_prior[3:] = raw
        drawn = model.draw(torch.rand(4, 1, 9, 7).round(), 2)
    for q, p in drawn.densities:  # pyright: ignore
        for gaussian in (q, p):
            expected = torch.full_like(gaussian.scale, math.exp(log_scale))
            torch.testing.assert_close(gaussian.scale, expected)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("first_gated", [True, False, None])
def test_the_first_block_has_a_gate_of_its_own_choice(gated: bool, first_gated: bool | None) -> None:
    """And no other block does as the first one: null leaves it as they are."""
    model, x = odd_ladder(gated=gated, first_gated=first_gated), torch.rand(2, 1, 16, 8)
    style = BlockStyle(Style("elu", "weight"), 4)
    first = stem_by_hand(model.stem, x, style, downscale=True, gated=gated if first_gated is None else first_gated)
    torch.testing.assert_close(model.stem(x), first)
    for layer in model.bottom_up:
        for block in layer.blocks[1:]:  # the first one halves the maps
            torch.testing.assert_close(block(first), by_hand(block, first, style, gated=gated))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 5},
        {"groups": 2},
        {"inner_channels": 6},
        {"branch_scale": 0.3},
        {"dropout": 0.4},
        {"block": "bacdbac", "dropout": 0.4},
        {"block": "cabdcabd"},
    ],
)
def test_settings_reach_the_blocks(options: dict[str, Any]) -> None:
    model, maps = odd_ladder(normalization="group", **options).train(), torch.randn(2, 4, 6, 5)
    renamed = {"order" if name == "block" else name: value for name, value in options.items()}
    style = BlockStyle(Style("elu", "group"), 4, **renamed)
    for block in (
        model.stem.layers[2],
        model.bottom_up[0].blocks[1],
        model.top_down[1].blocks[1],
        *model.output.blocks,
    ):
        torch.manual_seed(1)
        found = block(maps)
        torch.manual_seed(1)
        torch.testing.assert_close(found, by_hand(block, maps, style, gated=True))


@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("normalization", ["none", "weight", "group"])
def test_activations_in_place_change_nothing(order: Order, normalization: Normalization) -> None:
    """Values, gradients with respect to ε and all weights, and those of the first one's square."""
    model = odd_ladder(block=order, normalization=normalization)
    twin = copy.deepcopy(model)
    activations = [module for module in twin.modules() if isinstance(module, nn.ELU)]
    # The first of a branch is not where it is applied to the block's own input, which is added to the branch.
    leading = [next(m for m in b.branch if isinstance(m, nn.ELU)) for b in twin.modules() if isinstance(b, Block)]
    assert {activation.inplace for activation in leading} == {order == "cabdcabd" or normalization == "group"}
    assert any(activation.inplace for activation in activations)
    for activation in activations:
        activation.inplace = False
    x, noise = torch.rand(3, 1, 9, 7).round(), torch.randn(2, 3, 22)
    for ours, wanted in zip(_derivatives(model, x, noise), _derivatives(twin, x, noise), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)


def _derivatives(model: Ladder, x: torch.Tensor, noise: torch.Tensor) -> list[torch.Tensor]:
    noise, weights = noise.clone().requires_grad_(), list(model.parameters())
    bound = model.draw(x, len(noise), noise=noise).log_weight
    slope, *slopes = torch.autograd.grad(bound.sum(), [noise, *weights], create_graph=True)
    curvatures = torch.autograd.grad(slope.square().sum(), [noise, *weights], materialize_grads=True)
    return [bound, slope, *slopes, *curvatures]


def test_precision_weighted_merge_by_hand() -> None:
    """1/σ² = 1/s² + 1/σ_p², mean σ² (m/s² + μ_p/σ_p²)."""
    model, x = small_ladder(2, merge="precision"), small_images("bernoulli", 2)
    with torch.no_grad():
        encoding = model.encode(x)
        drawn = model.draw(x, 3, encoding=encoding)
        pair = drawn.densities[1]
        assert pair is not None
        q, p = pair
        own = model._gaussian(model.inference[0](encoding.features[0]))  # pyright: ignore[reportPrivateUsage]
    assert isinstance(q, Gaussian)
    precision = own.scale**-2 + p.scale**-2  # pyright: ignore
    torch.testing.assert_close(q.scale, precision**-0.5)  # pyright: ignore
    wanted = (own.mean * own.scale**-2 + p.mean * p.scale**-2) / precision  # pyright: ignore
    torch.testing.assert_close(q.mean, wanted)


def test_layers_at_their_mode_shared_given_and_cooled() -> None:
    model, generator = odd_ladder(), torch.Generator()
    with torch.no_grad():
        still = model.sample(4, generator.manual_seed(0), mode_layers=(1, 2)).params
        torch.testing.assert_close(still, model.sample(4, temperature=0.0).params)
        assert (still == still[:1]).all()
        shared = model.sample(4, generator.manual_seed(0), constant_layers=(2,), mode_layers=(1,)).params
        torch.testing.assert_close(shared, shared[:1].expand_as(shared))
        assert not torch.allclose(shared[0], still[0])
        # The bottom's z is that of the first image, though the layer above differs: not its noise alone.
        z_top, z_bottom = model.latents_at(model.sample_prior(4, generator.manual_seed(5)))
        bottom = model.sample(4, generator.manual_seed(5), constant_layers=(1,)).params
        expected = model.decode(z_top, z_bottom[:1].expand_as(z_bottom)).params
        torch.testing.assert_close(bottom, expected)
        z_top, z_bottom = model.latents_at(model.sample_prior(4, generator.manual_seed(3)))
        given = model.sample(4, latents={2: z_top, 1: z_bottom})
        torch.testing.assert_close(given.params, model.decode(z_top, z_bottom).params)
        free = model.sample(4, generator.manual_seed(3)).params
        torch.testing.assert_close(free, given.params)
    with pytest.raises(ValueError, match="expected layers from 1 to 2, the bottom first; got 0"):
        model.sample(4, mode_layers=(0,))
    with pytest.raises(ValueError, match="at its mode, constant or given; got 2 as two of these"):
        model.sample(4, mode_layers=(2,), constant_layers=(2,))
    for temperature in (math.nan, math.inf, -1.0):
        with pytest.raises(ValueError, match="expected a finite temperature of at least 0; got"):
            model.sample(4, temperature=temperature)
    with pytest.raises(ValueError, match=r"expected latents \(4, 3, 2, 1\) of layer 2; got \(4, 2, 4, 2\)"):
        model.sample(4, latents={2: z_bottom})


def test_a_single_layer_has_a_gaussian_base() -> None:
    model, x = small_ladder(1), small_images("bernoulli", 2)
    encoding = model.encode(x)
    base = model.base(encoding)
    assert base is not None
    noise = torch.randn(50, 2, 1)
    drawn = model.draw(x, 50, encoding=encoding, noise=noise)
    torch.testing.assert_close(base.sample(noise), model.epsilon_of(*drawn.latents))
    assert small_ladder(2).base(small_ladder(2).encode(x)) is None


def test_gradients_reach_every_parameter() -> None:
    model, x = odd_ladder(normalization="weight"), torch.rand(4, 1, 9, 7).round()
    model.draw(x, 2).log_weight.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("merge", ["residual", "linear", "precision"])
@pytest.mark.parametrize("skip", [True, False])
def test_stop_density_leaves_the_path_through_z_alone(merge: str, skip: bool) -> None:
    """Values as without, and ∂/∂(φ, θ) of log p_θ(x, z_φ) − log q_φ'(z_φ | x), φ' another ladder's."""
    model, x, noise = odd_ladder(merge=merge, skip=skip), torch.rand(4, 1, 9, 7).round(), torch.randn(3, 4, 22)
    assert "stop_density" in model.capabilities
    frozen = copy.deepcopy(model)
    plain, stopped = (model.draw(x, 3, noise=noise, stop_density=stop) for stop in (False, True))
    torch.testing.assert_close(stopped.log_weight, plain.log_weight)
    torch.testing.assert_close(torch.stack(stopped.log_ratio), torch.stack(plain.log_ratio))
    torch.testing.assert_close(torch.cat([kl.squeeze(-1) for kl in stopped.kl]), -torch.cat(stopped.log_ratio))
    log_p = plain.log_likelihood + sum(p.log_prob(z.flatten(2)) for z, (_, p) in zip(plain.latents, plain.densities))  # pyright: ignore  # noqa: B905
    log_q = sum(frozen(frozen.encode(x).features, plain.latents))
    weights = list(model.parameters())
    for ours, wanted in zip(
        torch.autograd.grad(stopped.log_weight.sum(), weights),
        torch.autograd.grad((log_p - log_q).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(ours, wanted)


def test_log_q_of_any_latents() -> None:
    """At those of a draw it is what was drawn from; one layer's depends on the layers above it alone."""
    model, x = odd_ladder(), torch.rand(4, 1, 9, 7).round()
    drawn, features = model.draw(x, 3), model.encode(x).features
    for (q, _), z, log_q in zip(drawn.densities, drawn.latents, model(features, drawn.latents), strict=True):  # pyright: ignore
        torch.testing.assert_close(log_q, q.log_prob(z.flatten(2)))
    top, bottom = drawn.latents
    first, second = model(features, (top, bottom + 1)), model(features, (top + 1, bottom))
    torch.testing.assert_close(first[0], model(features, drawn.latents)[0])
    assert not torch.allclose(second[1], model(features, drawn.latents)[1])


def test_refusals() -> None:
    for options, message in (
        ({"latent_channels": ()}, r"model\.latent_channels: got \[\]"),
        ({"downsample": (1, 1)}, r"model\.downsample: got 2 numbers; there are 3 layers"),
        ({"downsample": (3, 0, 0)}, "a layer is to halve its maps 3 times and has 2 blocks"),
        ({"kernel_size": 2}, r"model\.kernel_size: got 2"),
        (
            {"downsample": (2, 1, 0)},
            "initial_downscale, 4 halvings; images of 8 × 8 would be padded to 16 × 16",
        ),
        ({"downsample": (2, 1, 1), "initial_downscale": False}, r"got \[2, 1, 1\], 4 halvings"),
        (
            {"image_shape": (1, 2, 50), "downsample": (2, 2, 2)},
            "7 halvings; images of 2 × 50 would be padded to 128 × 128\n.*at most 6 in all, or",
        ),
    ):
        with pytest.raises(RecipeError, match=message):
            Ladder(**{"image_shape": (1, 8, 8), **options})
    assert Ladder((1, 5, 8), downsample=(1, 1, 0)).groups[0].shape == (32, 1, 1)
    assert Ladder((1, 1, 100), downsample=(2, 2, 1)).groups[0].shape == (32, 1, 2)  # asked for, as dear as it is
    assert Ladder((1, 1, 1), downsample=(0, 0, 0)).groups[0].shape == (32, 1, 1)
    model, x = odd_ladder(), torch.rand(2, 1, 9, 7)
    with pytest.raises(ValueError, match="expected noise"):
        model.draw(x, 2, noise=torch.zeros(2, 2, 3))
    for options in ({"dropout": 0.2}, {"normalization": "batch"}):
        with pytest.raises(ValueError, match="stop_density: expected a ladder without dropout and batch statistics"):
            odd_ladder(**options).draw(x, 2, stop_density=True)
    with pytest.raises(ValueError, match=r"expected latents \(\*rows, z, H, W\)"):
        model.decode(torch.zeros(1, 3, 2, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 3}, "model.groups: got 3; the blocks' convolutions have 4 channels, no multiple of it"),
        ({"inner_channels": 6, "groups": 4}, "model.groups: got 4; the blocks' convolutions have 6 channels"),
        ({"kernel_size": 4}, "model.kernel_size: got 4; an even kernel does not keep a map's size"),
    ],
)
def test_convolutions_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        odd_ladder(**options)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7), (1, 10, 8)])
def test_images_of_another_shape_are_refused(shape: tuple[int, int, int]) -> None:
    """Padding would take 10 × 8 pixels for a larger image of its own."""
    with pytest.raises(ValueError, match=r"expected images \(B, 1, 9, 7\); got \(2, "):
        odd_ladder().draw(torch.rand(2, *shape), 1)
