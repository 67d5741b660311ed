"""A decoder that warps another's maps: what it reads, against analytic images, PyTorch's own grid and differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.models import VAE
from tightbound.networks import Decoder, SpatialTransformer
from tightbound.networks.warps import Warp, pixel_places
from tightbound.networks.whole import read_at
from tightbound.numerics import gradient
from tightbound.registry import Factory

UNITS: dict[Warp, int] = {"translation": 2, "similarity": 4, "affine": 6, "tps": 18}
every_warp = pytest.mark.parametrize("warp", UNITS)


def spatial(warp: Warp, shape: tuple[int, int, int] = (1, 7, 9), what: int = 3, **options: Any) -> SpatialTransformer:
    """A decoder of smooth random maps, off its start: W and b are random."""
    inner = Factory("decoder", "mlp", {"hidden": (6,), "activation": "tanh"})
    decoder = SpatialTransformer(what + UNITS[warp], shape, shape[0], warp=warp, decoder=inner, **options)
    with torch.no_grad():
        decoder.to_warp.weight.add_(0.1 * torch.randn_like(decoder.to_warp.weight))
        decoder.to_warp.bias.add_(0.1 * torch.randn_like(decoder.to_warp.bias))
    return decoder


class FixedMaps(Decoder):
    """Whatever z: the maps that it is given."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = nn.Parameter(maps.clone())

    def body(self, inputs: Tensor) -> Tensor:
        return self.maps.expand(len(inputs), -1, -1, -1)


def of_fixed(maps: Tensor, warp: Warp, **options: Any) -> SpatialTransformer:
    """A decoder that warps these maps (P, H, W) and whose θ is z_where itself."""
    shape = (len(maps), *maps.shape[1:])
    decoder = SpatialTransformer(1 + UNITS[warp], shape, len(maps), warp=warp, **options)
    decoder.decoder = FixedMaps(maps)
    with torch.no_grad():
        decoder.to_warp.weight.copy_(torch.eye(UNITS[warp]))
    return decoder


def at(where: Tensor) -> Tensor:
    """z of one row whose z_what, of one unit, is 0."""
    return torch.cat((torch.zeros(1), where)).unsqueeze(0)


@every_warp
@pytest.mark.parametrize("applied_to", ["parameters", "probabilities"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_start_is_the_identity(warp: Warp, applied_to: str, dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    inner = Factory("decoder", "mlp", {"hidden": (6,)})
    decoder = SpatialTransformer(30, (3, 7, 9), 3, warp=warp, applied_to=applied_to, decoder=inner)  # pyright: ignore[reportArgumentType]
    z = torch.randn(4, 30)
    z[:, -UNITS[warp] :] = 0
    expected = decoder.decoder(z[:, : -UNITS[warp]])
    found = decoder(z)
    torch.testing.assert_close(found.sigmoid(), expected.sigmoid(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_random_start_is_not() -> None:
    """W and b of PyTorch's layer: uniform up to 1/√u, so their variance is 1/(3u)."""
    draws = [SpatialTransformer(20, (1, 4, 4), 1, start="random") for _ in range(50)]
    for values in (torch.stack([d.to_warp.weight for d in draws]), torch.stack([d.to_warp.bias for d in draws])):
        assert values.abs().max() <= 6**-0.5
        assert values.square().mean().item() == pytest.approx(1 / 18, rel=0.2)


@every_warp
def test_a_ramp_is_read_exactly_inside(warp: Warp) -> None:
    """Bilinear reading is exact on maps a + b x + c y: the warped map is the ramp at the places read."""
    shape = (6, 8)
    x, y = pixel_places(shape).reshape(6, 8, 2).unbind(-1)
    ramps = torch.stack((2 + 3 * x - y, -x + 0.5 * y))
    decoder, where = of_fixed(ramps, warp), 0.1 * torch.randn(UNITS[warp])
    places = decoder.places_read(where.unsqueeze(0))[0]
    inside = (places.abs() <= 1).all(-1)
    u, v = places.unbind(-1)
    expected = torch.stack((2 + 3 * u - v, -u + 0.5 * v))
    assert inside.sum() > 20
    torch.testing.assert_close(decoder(at(where))[0][:, inside], expected[:, inside], rtol=0, atol=1e-9)


def test_beyond_the_border_is_the_border() -> None:
    maps = torch.arange(12.0).reshape(1, 3, 4)
    moved = of_fixed(maps, "translation")(at(torch.tensor([2 * 2 / 3, -5.0])))[0]  # two pixels right, far up
    torch.testing.assert_close(moved, torch.tensor([2.0, 3.0, 3.0, 3.0]).expand(1, 3, 4))


@every_warp
@pytest.mark.parametrize("applied_to", ["parameters", "probabilities"])
def test_a_flipped_warp_of_a_flipped_image_is_the_flipped_result(warp: Warp, applied_to: str) -> None:
    maps, where = torch.randn(2, 5, 8), 0.3 * torch.randn(UNITS[warp])
    result = of_fixed(maps, warp, applied_to=applied_to)(at(where))
    flipped = of_fixed(maps.flip(-1), warp, applied_to=applied_to)(at(mirrored(where, warp)))
    torch.testing.assert_close(flipped, result.flip(-1), rtol=0, atol=1e-9)


def mirrored(where: Tensor, warp: Warp) -> Tensor:
    """θ of the same warp seen in a mirror, x → −x."""
    if warp == "tps":
        x, y = where.reshape(2, 3, 3).flip(-1)
        return torch.stack((-x, y)).flatten()
    signs = {"translation": [-1, 1], "similarity": [1, -1, -1, 1], "affine": [1, -1, -1, -1, 1, 1]}
    return where * torch.tensor(signs[warp])


@every_warp
@pytest.mark.parametrize("applied_to", ["parameters", "probabilities"])
def test_slopes_are_differences(warp: Warp, applied_to: str) -> None:
    """Of z and of every weight, by central differences; and slopes of slopes, which Hamiltonian posteriors train by."""
    decoder = spatial(warp, what=2, applied_to=applied_to)
    z = torch.randn(2, 2 + UNITS[warp], requires_grad=True)
    assert torch.autograd.gradcheck(decoder, (z,))
    assert torch.autograd.gradgradcheck(decoder, (z,))
    probe = torch.randn(2, 1, 7, 9)
    slopes = torch.autograd.grad((decoder(z) * probe).sum(), tuple(decoder.parameters()))
    for parameter, slope in zip(decoder.parameters(), slopes, strict=True):
        step = 1e-6 * torch.randn_like(parameter)
        with torch.no_grad():
            parameter.add_(step)
            above = (decoder(z) * probe).sum()
            parameter.sub_(2 * step)
            below = (decoder(z) * probe).sum()
            parameter.add_(step)
        torch.testing.assert_close((slope * step).sum(), (above - below) / 2, rtol=1e-5, atol=1e-14)


@every_warp
def test_the_gradient_of_latents_is_autograd_s(warp: Warp) -> None:
    decoder = spatial(warp)
    z = torch.randn(4, 3 + UNITS[warp], requires_grad=True)

    def energy(point: Tensor) -> Tensor:
        return decoder(point).square().flatten(1).sum(1)

    (expected,) = torch.autograd.grad(energy(z).sum(), z)
    torch.testing.assert_close(gradient(energy, z)[1], expected)


@every_warp
@pytest.mark.parametrize("applied_to", ["parameters", "probabilities"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_one_graph_when_compiled(warp: Warp, applied_to: str, dynamic: bool) -> None:
    torch.compiler.reset()
    decoder = spatial(warp, applied_to=applied_to)
    compiled = torch.compile(decoder, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for rows in (4, 9, 5):
        z = torch.randn(rows, 3 + UNITS[warp])
        torch.testing.assert_close(compiled(z), decoder(z), rtol=0, atol=1e-12)


def test_a_compiled_gradient_of_a_warp_has_a_gradient() -> None:
    """As a Hamiltonian posterior takes it: inside torch.func.grad, and differentiated again."""
    torch.compiler.reset()
    decoder = spatial("affine")

    def slope(z: Tensor) -> Tensor:
        return torch.func.grad(lambda v: decoder(v).square().sum())(z)

    results = []
    for function in (slope, torch.compile(slope, backend="aot_eager", fullgraph=True)):
        z = torch.linspace(-1, 1, 2 * (3 + UNITS["affine"])).reshape(2, -1).requires_grad_()
        first = function(z)
        results.append((first.detach(), *torch.autograd.grad(first.square().sum(), z)))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-10)


def test_probabilities_are_averaged_or_logits_are() -> None:
    """Half a pixel to the right, between logits −6 and 2: their mean, or the logit of the mean probability."""
    maps, half = torch.tensor([[[-6.0, 2.0]]]), at(torch.tensor([1.0, 0.0]))
    assert of_fixed(maps, "translation")(half)[0, 0, 0, 0].item() == pytest.approx(-2.0)
    mean = (maps.sigmoid().sum() / 2).item()
    found = of_fixed(maps, "translation", applied_to="probabilities")(half)[0, 0, 0, 0]
    assert found.sigmoid().item() == pytest.approx(mean, abs=1e-12)


def test_probabilities_keep_both_tails() -> None:
    """Logits far out come back as they were, and beyond what float32 has they end without a NaN."""
    torch.set_default_dtype(torch.float32)
    maps = torch.tensor([[[-80.0, -30.0, 30.0, 80.0]]])
    z = at(torch.zeros(2)).requires_grad_()
    torch.testing.assert_close(of_fixed(maps, "translation", applied_to="probabilities")(z)[0], maps, rtol=1e-5, atol=0)
    decoder = of_fixed(10 * maps, "translation", applied_to="probabilities")
    outputs = decoder(z)
    assert outputs.abs().max().item() == pytest.approx(87.3, abs=0.1)
    outputs.sum().backward()
    assert all(slope is not None and slope.isfinite().all() for slope in (z.grad, decoder.to_warp.weight.grad))


def test_bf16_reads_at_float32_places() -> None:
    """Under autocast the other decoder runs in bf16; the warp is that of float32 to the last bit."""
    torch.set_default_dtype(torch.float32)
    decoder = spatial("affine", (1, 28, 28))
    z = torch.randn(3, 9)
    for network in (decoder, decoder.decoder):
        network.autocast_dtype = torch.bfloat16
    what, where = decoder.split(z)
    expected = read_at(decoder.decoder(what), decoder.places_read(where))
    assert torch.equal(decoder(z), expected)
    assert expected.dtype == torch.float32


def test_color_and_several_maps_a_pixel_are_warped_alike() -> None:
    maps = torch.randn(6, 5, 8)
    where = 0.2 * torch.randn(18)
    together = of_fixed(maps, "tps")(at(where))[0]
    apart = torch.cat([of_fixed(maps[i : i + 1], "tps")(at(where))[0] for i in range(6)])
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warp": "affine", "grid": 4}, r"grid and regularization have no effect on warp 'affine'"),
        ({"warp": "similarity", "regularization": 0.1}, r"grid and regularization have no effect on warp 'similarity'"),
        ({"warp": "tps", "grid": 4}, r"warp 'tps' takes 32 latent units and leaves none of 20 to the image"),
    ],
)
def test_keys_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        SpatialTransformer(20, (1, 8, 8), 1, **options)


def model(posterior: dict[str, Any], likelihood: str = "bernoulli", **options: Any) -> VAE:
    return VAE(
        (1, 8, 8),
        latent_dim=10,
        posterior=Factory("posterior", posterior.pop("kind", "diagonal"), posterior),
        decoder=Factory("decoder", "spatial_transformer", {"warp": "affine", **options}),
        likelihood=Factory("likelihood", likelihood),
    )


def test_bounded_units_are_those_of_the_warp() -> None:
    model({"mean_bound": "tanh", "bounded_units": 6})
    message = r"the means of the last 4 units are bounded; the warp 'affine' has the last 6"
    with pytest.raises(RecipeError, match=message):
        model({"mean_bound": "tanh", "bounded_units": 4})
    with pytest.raises(RecipeError, match="the last 10 units are bounded"):
        model({"mean_bound": "tanh"})
    base = Factory("posterior", "full_covariance", {"mean_bound": "tanh", "bounded_units": 4})
    with pytest.raises(RecipeError, match=message):
        model({"kind": "flow", "base": base})


@pytest.mark.parametrize("likelihood", ["gaussian", "discretized_logistic", "discretized_logistic_mixture"])
def test_probabilities_are_warped_where_parameters_are_logits(likelihood: str) -> None:
    model({}, likelihood)
    with pytest.raises(RecipeError, match=r"probabilities are warped where the likelihood's parameters are their logi"):
        model({}, likelihood, applied_to="probabilities")
    inner = {"warp": "translation", "applied_to": "probabilities"}
    nested = {"decoder": Factory("decoder", "spatial_transformer", inner)}
    with pytest.raises(RecipeError, match=r"probabilities are warped where the likelihood's parameters are their logi"):
        model({}, likelihood, **nested)
    for known in ("bernoulli", "binomial"):
        model({}, known, applied_to="probabilities")
        model({}, known, **nested)
