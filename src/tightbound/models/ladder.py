"""Ladders: deep hierarchies of spatial latents, x ← z_1 ← … ← z_L, inferred bottom-up and then top-down."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from tightbound import likelihoods as _likelihoods  # noqa: F401  (registers the defaults)
from tightbound.core import Draw, Encoding, LatentGroup, Likelihood, Model, PixelDistribution
from tightbound.errors import RecipeError
from tightbound.networks.batch_norm import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM, set_batch_norm
from tightbound.networks.blocks import BlockStyle, Order
from tightbound.networks.ladder import BottomUp, Moments, Output, Stem, TopDown
from tightbound.networks.layers import Activation, Normalization, Positive, Style
from tightbound.numerics import Gaussian, call_detached, exp_soft_clamp, standard_normal_log_prob
from tightbound.registry import Factory, Nested, register

_LOG_SCALE_RANGE = (-8.0, 5.0)

Natural = Annotated[int, Ge(0)]
_Proposed = tuple[list[Tensor], list[Tensor], list[tuple[Gaussian, Gaussian] | None], Tensor | None]


@register("model", "ladder")
class Ladder(Model):
    """p(x, z) = p(z_L) Π_i p(z_i | z_>i) p(x | z), q(z | x) = Π_i q(z_i | z_>i, x); Sønderby et al. 2016.

    One pass from the image up makes maps d_1 … d_L, once per image. A pass down then makes from the maps t of the layer
    above the Gaussians p(z_i | z_>i) and q(z_i | z_>i, x), a sample z_i of the latter, and the next t. Users count
    layers, and give lists, from the bottom: 1 … L. ``Draw`` and the flat coordinates have the top first.

    ``merge`` says how q is made. ``residual`` and ``linear``: a network sees d_i and t (the code that the published
    numbers are of). ``precision``: d_i gives a Gaussian (m, s) alone, and q is its product with p, of precision
    1/σ² = 1/s² + 1/σ_p² and mean σ² (m/s² + μ_p/σ_p²) (Sønderby et al. 2016, eq. 11 and 12); the top layer is (m, s).

    Log-scales are softly clamped to (−8, 5).

    Args:
        image_shape: (C, H, W); any size, it is padded with zeros to a multiple of the overall factor, and cropped.
        latent_channels: of each layer's latents, the bottom first.
        downsample: by how many factors of 2 each layer's maps are smaller than those below it; None: 1 each, as long
            as there are more than 2 pixels along the longer side and padding stays below four times the pixels.
        channels: of every other map.
        blocks: residual blocks of each layer and direction, and of the last stage.
        block: the order of a block's layers: b normalization, a activation, c convolution, d dropout.
        kernel_size: of the blocks' convolutions.
        groups: of the blocks' convolutions.
        inner_channels: of the blocks' convolutions; None for ``channels``.
        branch_scale: what each block's branch is multiplied by; below 1 for very deep ladders.
        gated: whether blocks end in a gate.
        first_gated: whether the first block does; null for as the others.
        dropout: the part of a block's maps that is dropped in training.
        merge: see above; of no effect on the top layer.
        skip: whether each layer but the top one also sees the maps from above beside its latents, so that all layers
            above matter.
        learn_top_prior: whether mean and scale of p(z_L) are trained; else N(0, I).
        initial_downscale: whether the first convolution halves the image.
        activation: of all blocks.
        normalization: of all blocks, or of all weights.
        likelihood: p(x | parameters).
        batch_norm_momentum: of every batch normalization: the part of each batch in the running statistics.
        batch_norm_eps: of every batch normalization: added to the variance.

    Raises:
        RecipeError: lists of different lengths, or layers that are to halve maps more often than they have blocks, or
            than it takes to leave one pixel.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        latent_channels: tuple[Positive, ...] = (32, 32, 32),
        downsample: tuple[Natural, ...] | None = None,
        channels: Positive = 64,
        blocks: Positive = 2,
        block: Order = "bacdbacd",
        kernel_size: Positive = 3,
        groups: Positive = 1,
        inner_channels: Positive | None = None,
        branch_scale: Annotated[float, Gt(0)] = 1.0,
        gated: bool = True,
        first_gated: bool | None = None,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        merge: Literal["residual", "linear", "precision"] = "residual",
        skip: bool = True,
        learn_top_prior: bool = True,
        initial_downscale: bool = True,
        activation: Activation = "elu",
        normalization: Normalization = "weight",
        likelihood: Annotated[Factory, Nested("likelihood")] = Factory("likelihood", "bernoulli"),
        batch_norm_momentum: Annotated[float, Gt(0), Le(1)] = BATCH_NORM_MOMENTUM,
        batch_norm_eps: Annotated[float, Gt(0)] = BATCH_NORM_EPS,
    ) -> None:
        super().__init__()
        if downsample is None:
            downsample = _halvings(image_shape, len(latent_channels), initial_downscale)
        _check(latent_channels, downsample, blocks, kernel_size)
        _check_padding(image_shape, downsample, initial_downscale)
        if (inner := inner_channels or channels) % groups:
            raise RecipeError(
                f"model.groups: got {groups}; the blocks' convolutions have {inner} channels, no multiple of it",
                hint="change model.groups, or model.inner_channels",
            )
        style = BlockStyle(
            Style(activation, normalization),
            channels,
            order=block,
            kernel_size=kernel_size,
            groups=groups,
            inner_channels=inner_channels,
            gated=gated,
            dropout=dropout,
            branch_scale=branch_scale,
        )
        self.image_shape = image_shape
        self.likelihood: Likelihood = likelihood(image_shape=image_shape)
        self.num_layers = len(latent_channels)
        self.padding, sizes = _sizes(image_shape, downsample, initial_downscale)
        top = self.num_layers - 1
        self.stem = Stem(
            image_shape[0],
            style,
            downscale=initial_downscale,
            gated=gated if first_gated is None else first_gated,
        )
        self.bottom_up = nn.ModuleList(BottomUp(style, blocks, times) for times in downsample)
        self.inference = nn.ModuleList(
            Moments(style, z, merge if i < top and merge != "precision" else None)
            for i, z in enumerate(latent_channels)
        )
        self.generation = nn.ModuleList(Moments(style, z) for z in latent_channels[:-1])
        self.top_down = nn.ModuleList(
            TopDown(style, z, blocks, times, skip=skip and i < top)
            for i, (z, times) in enumerate(zip(latent_channels, downsample, strict=True))
        )
        self.output = Output(style, blocks, self.likelihood.out_channels, upscale=initial_downscale)
        self.by_precision = merge == "precision"
        self.skip = skip
        top_moments = torch.zeros(2 * latent_channels[-1], *sizes[-1])
        self.top_prior = nn.Parameter(top_moments) if learn_top_prior else None
        shapes = [(z, *size) for z, size in zip(latent_channels, sizes, strict=True)]
        self.groups = tuple(_groups(reversed(shapes)))
        self.noise_size = self.groups[-1].slice.stop
        set_batch_norm(self, batch_norm_momentum, batch_norm_eps)
        # Sums of many branches reach the log-scales, and nothing but their first weights says how large they are.
        self.capabilities = style.style.capabilities | {"gaussian", "factorized", "starts_by_data"}
        # ``stop_density`` makes maps again: dropout would drop others, and batch statistics would move each time.
        if dropout == 0 and "batch_dependent" not in self.capabilities:
            self.capabilities |= {"stop_density"}

    def encode(self, x: Float[Tensor, "B C H W"]) -> Encoding:
        """d_1 … d_L of images, the bottom first.

        Raises:
            ValueError: images of another size or number of channels than the model's.
        """
        if tuple(x.shape[1:]) != tuple(self.image_shape):
            raise ValueError(f"expected images (B, {', '.join(map(str, self.image_shape))}); got {tuple(x.shape)}")
        maps, found = self.stem(pad(x, self.padding)), []
        for layer in self.bottom_up:
            maps = layer(maps)
            found.append(maps)
        return Encoding(tuple(found))

    def draw(
        self,
        x: Float[Tensor, "B C H W"],
        num_samples: int,
        *,
        encoding: Encoding | None = None,
        noise: Float[Tensor, "K B N"] | None = None,
        generator: torch.Generator | None = None,
        stop_density: bool = False,
    ) -> Draw:
        """K independent weighted posterior samples of each image; see ``Model.draw``.

        Raises:
            ValueError: ``stop_density`` with dropout or batch statistics, or noise of another shape.
        """
        if stop_density and "stop_density" not in self.capabilities:
            raise ValueError(
                "stop_density: expected a ladder without dropout and batch statistics, since maps are made again and "
                "have to be the same; use dropout=0 and normalization='weight', 'group' or 'none'"
            )
        encoding = self.encode(x) if encoding is None else encoding
        noise = self.noise_for(x, num_samples, noise, generator)
        propose = self._propose_stopped if stop_density else self._propose
        latents, ratios, densities, above = propose(encoding.features, noise)
        params = self._params(above, noise.shape[:2])
        return Draw(
            latents=tuple(latents),
            log_likelihood=self.likelihood.log_prob(x, params),
            log_ratio=tuple(ratios),
            params=params,
            densities=tuple(densities),
            surrogate=self.likelihood.surrogate(x, params),
        )

    def forward(
        self, features: tuple[Tensor, ...], latents: tuple[Float[Tensor, "K B _ _ _"], ...]
    ) -> tuple[Float[Tensor, "K B"], ...]:
        """log q(z_i | z_>i, x) of any latents (K, B, z, H, W), the top first, at the features of ``encode``."""
        found, above, rows = [], None, latents[0].shape[:2]
        for layer, z in zip(reversed(range(self.num_layers)), latents, strict=True):
            q = self._posterior(layer, features[layer], above, self._prior_if_merged(layer, above, rows), rows)
            found.append(q.log_prob(z.flatten(2)))
            above = self._down(layer, z, above) if layer else None
        return tuple(found)

    def log_prior(self, epsilon: Float[Tensor, "*rows E"], encoding: Encoding | None = None) -> Float[Tensor, "*rows"]:
        """Standard normal: z_i = μ_p(z_>i) + σ_p(z_>i) ε_i."""
        return standard_normal_log_prob(epsilon)

    def sample_prior(
        self, num_samples: int, generator: torch.Generator | None = None, encoding: Encoding | None = None
    ) -> Float[Tensor, "n E"]:
        """Standard-normal numbers."""
        like = next(self.parameters())
        return torch.randn(num_samples, self.noise_size, generator=generator, dtype=like.dtype, device=like.device)

    def base(self, encoding: Encoding) -> Gaussian | None:
        """The posterior of a ladder of one layer, whitened; None of deeper ones, which are no Gaussians."""
        if self.num_layers > 1:
            return None
        q, p = self._of_one_layer(encoding)
        assert q.scale is not None
        assert p.scale is not None
        return Gaussian(p.standardize(q.mean), q.scale / p.scale)

    def closed_posterior(self, encoding: Encoding) -> Gaussian | None:
        """q(z | x) (B, D) of a ladder of one layer; None of deeper ones."""
        return None if self.num_layers > 1 else self._of_one_layer(encoding)[0]

    def _of_one_layer(self, encoding: Encoding) -> tuple[Gaussian, Gaussian]:
        """q(z | x) and p(z)."""
        (features,) = encoding.features
        p = self._prior(0, None, (1, len(features)))
        return self._posterior(0, features, None, p, (1, len(features))), p

    def latents_at(self, epsilon: Float[Tensor, "*rows E"]) -> tuple[Tensor, ...]:
        """z_L, …, z_1 (*rows, z, H, W)."""
        rows = epsilon.shape[:-1]
        latents, _ = self._descend(epsilon.reshape(-1, epsilon.shape[-1]))
        return tuple(z.reshape(*rows, *z.shape[1:]) for z in latents)

    def epsilon_of(self, *latents: Tensor) -> Float[Tensor, "*rows E"]:
        """The inverse of ``latents_at``."""
        rows = self._rows(latents)
        found, above = [], None
        for layer, z in zip(reversed(range(self.num_layers)), latents, strict=True):
            z = z.reshape(1, -1, *z.shape[-3:])
            found.append(self._prior(layer, above, z.shape[:2]).standardize(z.flatten(2)))
            above = self._down(layer, z, above) if layer else None
        return torch.cat(found, -1).reshape(*rows, -1)

    def decode(self, *latents: Tensor) -> PixelDistribution:
        """p(x | z_L, …, z_1), latents (*rows, z, H, W) each, the top first.

        Raises:
            ValueError: other shapes.
        """
        rows = self._rows(latents)
        above = None
        for layer, z in zip(reversed(range(self.num_layers)), latents, strict=True):
            above = self._down(layer, z.reshape(1, -1, *z.shape[-3:]), above)
        count = math.prod(rows)
        return PixelDistribution(
            self.likelihood, self._params(above, (1, count)).reshape(*rows, -1, *self.image_shape[1:])
        )

    def params_at(self, epsilon: Float[Tensor, "*rows E"]) -> Tensor:
        """The likelihood's parameters (*rows, P, H, W) at flat coordinates: one pass."""
        rows = epsilon.shape[:-1]
        maps = self._last_maps(*self._descend(epsilon.reshape(-1, epsilon.shape[-1])))
        return self._params(maps, (1, math.prod(rows))).reshape(*rows, -1, *self.image_shape[1:])

    def sample(
        self,
        num_images: int,
        generator: torch.Generator | None = None,
        *,
        mode_layers: Collection[int] = (),
        constant_layers: Collection[int] = (),
        latents: Mapping[int, Tensor] | None = None,
        temperature: float = 1.0,
    ) -> PixelDistribution:
        """p(x | z) of n samples of the prior, layer by layer; its ``mean`` and ``sample()`` are images.

        Args:
            num_images: n.
            generator: of the latents.
            mode_layers: layers, counted from the bottom from 1, that are at the mode of p(z_i | z_>i).
            constant_layers: layers whose z_i all images share: that of the first.
            latents: given latents (n, z, H, W) of layers.
            temperature: the noise of all layers that are not given or at their mode is multiplied by it.

        Raises:
            ValueError: a layer that is not there or is named twice, latents of another shape, or a temperature that is
                negative or not finite.
        """
        given = {} if latents is None else latents
        self._check_layers([*mode_layers, *constant_layers, *given])
        if not 0 <= temperature < math.inf:
            raise ValueError(f"expected a finite temperature of at least 0; got {temperature:g}")
        epsilon = temperature * self.sample_prior(num_images, generator)
        for layer, group in zip(reversed(range(1, self.num_layers + 1)), self.groups, strict=True):
            if layer in mode_layers:
                epsilon[:, group.slice] = 0
            if layer in given and given[layer].shape != (num_images, *group.shape):
                raise ValueError(
                    f"expected latents {(num_images, *group.shape)} of layer {layer}; got {tuple(given[layer].shape)}"
                )
        maps = self._last_maps(*self._descend(epsilon, given, constant_layers))
        params = self._params(maps, (1, num_images)).squeeze(0)
        return PixelDistribution(self.likelihood, params)

    def _check_layers(self, named: Sequence[int]) -> None:
        for layer in named:
            if layer not in range(1, self.num_layers + 1):
                raise ValueError(f"expected layers from 1 to {self.num_layers}, the bottom first; got {layer}")
            if named.count(layer) > 1:
                raise ValueError(f"expected a layer to be at its mode, constant or given; got {layer} as two of these")

    def _propose(self, features: tuple[Tensor, ...], noise: Tensor) -> _Proposed:
        """Samples, log p − log q and (q, p) of each layer, the top first, and the last maps."""
        latents, ratios, densities = [], [], []
        above, rows = None, noise.shape[:2]
        for layer, group in zip(reversed(range(self.num_layers)), self.groups, strict=True):
            p = self._prior(layer, above, rows)
            q = self._posterior(layer, features[layer], above, p, rows)
            z, log_q = q.sample_and_log_prob(noise[..., group.slice])
            latents.append(z.unflatten(-1, group.shape))
            ratios.append(p.log_prob(z) - log_q)
            densities.append((q, p))
            above = self._down(layer, latents[-1], above)
        return latents, ratios, densities, above

    def _propose_stopped(self, features: tuple[Tensor, ...], noise: Tensor) -> _Proposed:
        """The same numbers, with maps that are made three times, as a weight between layers serves p and q alike.

        z = T(noise; φ) are all layers' samples, φ whatever they depend on. Then log w = log p_θ(x, z) − log q_φ'(z | x)
        with z, the whole of it, between T and the densities, and φ' = φ detached. First T is made, whose maps give
        the next sample; then log q_φ' at z, by ``forward``; then log p_θ at z. What a weight does in T and in log p_θ
        thus adds up, and all that reaches T comes through ``latents``, from every density of the layers below too, and
        through each of them once: the samples below were made of tensors before them.
        """
        latents: list[Tensor] = []
        above, rows = None, noise.shape[:2]
        for layer, group in zip(reversed(range(self.num_layers)), self.groups, strict=True):
            q = self._posterior(layer, features[layer], above, self._prior_if_merged(layer, above, rows), rows)
            z = q.sample(noise[..., group.slice]).unflatten(-1, group.shape)
            latents.append(z.view_as(z))
            above = self._down(layer, z, above) if layer else None
        log_q = call_detached(self, tuple(maps.detach() for maps in features), tuple(latents))
        ratios, above = [], None
        for layer, z, log_q_z in zip(reversed(range(self.num_layers)), latents, log_q, strict=True):
            ratios.append(self._prior(layer, above, rows).log_prob(z.flatten(2)) - log_q_z)
            above = self._down(layer, z, above)
        return latents, ratios, [None] * self.num_layers, above

    def _descend(
        self, epsilon: Tensor, given: Mapping[int, Tensor] | None = None, constant: Collection[int] = ()
    ) -> tuple[list[Tensor], Tensor | None]:
        """Latents (N, z, H, W), the top first, at flat coordinates (N, E), and the maps above the bottom layer."""
        latents, above = [], None
        for layer, group in zip(reversed(range(self.num_layers)), self.groups, strict=True):
            z = None if given is None else given.get(layer + 1)
            if z is None:
                p = self._prior(layer, above, (1, len(epsilon)))
                z = p.sample(epsilon[:, group.slice].unsqueeze(0)).squeeze(0).unflatten(-1, group.shape)
            if layer + 1 in constant:
                z = z[:1].expand_as(z)
            latents.append(z)
            above = self._down(layer, z.unsqueeze(0), above) if layer else above
        return latents, above

    def _last_maps(self, latents: Sequence[Tensor], above: Tensor | None) -> Tensor:
        """What the bottom layer makes of its latents, the last of these."""
        return self._down(0, latents[-1].unsqueeze(0), above)

    def _prior(self, layer: int, above: Tensor | None, rows: tuple[int, ...]) -> Gaussian:
        """p(z_i | z_>i): (K, B, units), at the top (units)."""
        if above is not None:
            return self._gaussian(self.generation[layer](above).unflatten(0, rows))
        if self.top_prior is not None:
            own = self.top_prior.flatten().clone()  # a step of training leaves a draw as it was
            return self._gaussian(own)
        like = next(self.parameters())
        mean = torch.zeros(self.groups[0].slice.stop, dtype=like.dtype, device=like.device)
        return Gaussian(mean, torch.ones_like(mean))

    def _prior_if_merged(self, layer: int, above: Tensor | None, rows: tuple[int, ...]) -> Gaussian | None:
        """p(z_i | z_>i) where q is made of it."""
        return self._prior(layer, above, rows) if self.by_precision and above is not None else None

    def _posterior(
        self, layer: int, features: Tensor, above: Tensor | None, p: Gaussian | None, rows: tuple[int, ...]
    ) -> Gaussian:
        """q(z_i | z_>i, x): (K, B, units), at the top (B, units). p where it is made of it, which may else be None."""
        network = self.inference[layer]
        if above is None or self.by_precision:
            own = self._gaussian(network(features))
            if above is None:
                return own
            assert p is not None
            return _product(own, p)
        expanded = features.expand(rows[0], *features.shape).flatten(0, 1)
        return self._gaussian(network(expanded, above).unflatten(0, rows))

    @staticmethod
    def _gaussian(moments: Tensor) -> Gaussian:
        """Of means and raw log-scales (*rows, 2·units), (*rows, units)."""
        mean, raw = moments.chunk(2, -1)
        return Gaussian(mean, exp_soft_clamp(raw, *_LOG_SCALE_RANGE))

    def _down(self, layer: int, z: Tensor, above: Tensor | None) -> Tensor:
        """Maps (K·B, C, H, W) for the layer below, of latents (K, B, z, H, W)."""
        z = z.flatten(0, 1)
        network = self.top_down[layer]
        return network(z) if above is None or not self.skip else network(z, above)

    def _params(self, maps: Tensor | None, rows: tuple[int, ...]) -> Tensor:
        """(K, B, P, H, W): without the padding."""
        assert maps is not None
        left, _, top, _ = self.padding
        _, height, width = self.image_shape
        params = self.output(maps)[..., top : top + height, left : left + width]
        return params.contiguous().unflatten(0, rows)

    def _rows(self, latents: tuple[Tensor, ...]) -> tuple[int, ...]:
        wanted = tuple(group.shape for group in self.groups)
        if tuple(z.shape[-3:] for z in latents) != wanted:
            got = ", ".join(str(tuple(z.shape)) for z in latents) or "none"
            raise ValueError(f"expected latents (*rows, z, H, W) of {wanted}, the top first; got {got}")
        return tuple(latents[0].shape[:-3])


def _product(own: Gaussian, p: Gaussian) -> Gaussian:
    """The normalized product of two diagonal Gaussians."""
    assert own.scale is not None
    assert p.scale is not None
    precision, other = own.scale.square().reciprocal(), p.scale.square().reciprocal()
    variance = (precision + other).reciprocal()
    return Gaussian(variance * (own.mean * precision + p.mean * other), variance.sqrt())


def _groups(shapes: Iterator[tuple[int, int, int]]) -> Iterator[LatentGroup]:
    start = 0
    for shape in shapes:
        size = math.prod(shape)
        yield LatentGroup(slice(start, start + size), shape)
        start += size


def _sizes(
    image_shape: tuple[int, int, int], downsample: tuple[int, ...], initial: bool
) -> tuple[tuple[int, int, int, int], list[tuple[int, int]]]:
    """Zeros around the image (left, right, top, bottom), and the size of each layer's maps, the bottom first."""
    padded = _padded(image_shape, int(initial) + sum(downsample))
    extra_h, extra_w = (large - small for large, small in zip(padded, image_shape[1:], strict=True))
    sizes, done = [], int(initial)
    for times in downsample:
        done += times
        sizes.append((padded[0] >> done, padded[1] >> done))
    return (extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2), sizes


def _padded(image_shape: tuple[int, int, int], halvings: int) -> tuple[int, int]:
    """Height and width as multiples of all factors together."""
    factor = 2**halvings
    height, width = (-(-pixels // factor) * factor for pixels in image_shape[1:])
    return height, width


def _cheap_halvings(image_shape: tuple[int, int, int]) -> int:
    """How many leave the padded image less than four times the pixels: as many as take a square down to one."""
    halvings = 0
    while math.prod(_padded(image_shape, halvings + 1)) < 4 * math.prod(image_shape[1:]):
        halvings += 1
    return halvings


def _halvings(image_shape: tuple[int, int, int], layers: int, initial: bool) -> tuple[int, ...]:
    """Layer by layer down to two pixels along the longer side, while padding does not cost four times the pixels."""
    done, most, halvings = int(initial), _cheap_halvings(image_shape), []
    for _ in range(layers):
        longest = max(_padded(image_shape, done)) >> done
        halvings.append(int(longest > 2 and done < most))
        done += halvings[-1]
    return tuple(halvings)


def _check(latent_channels: tuple[int, ...], downsample: tuple[int, ...], blocks: int, kernel_size: int) -> None:
    if not latent_channels:
        raise RecipeError("model.latent_channels: got []; a ladder has at least one layer", hint="such as [32, 32, 32]")
    if len(latent_channels) != len(downsample):
        raise RecipeError(
            f"model.downsample: got {len(downsample)} numbers; there are {len(latent_channels)} layers",
            hint="give one number a layer, the bottom first",
        )
    if max(downsample) > blocks:
        raise RecipeError(
            f"model.downsample: a layer is to halve its maps {max(downsample)} times and has {blocks} blocks",
            hint="give it more blocks, or halve in more layers",
        )
    if kernel_size % 2 == 0:
        raise RecipeError(
            f"model.kernel_size: got {kernel_size}; an even kernel does not keep a map's size", hint="such as 3 or 5"
        )


def _check_padding(image_shape: tuple[int, int, int], downsample: tuple[int, ...], initial: bool) -> None:
    """Halvings beyond the one that leaves a single pixel of the longer side halve nothing but padding."""
    halvings, most = int(initial) + sum(downsample), max((max(image_shape[1:]) - 1).bit_length(), 1)
    if halvings > most:
        asked = f"{list(downsample)}{' and model.initial_downscale' if initial else ''}"
        height, width = _padded(image_shape, halvings)
        raise RecipeError(
            f"model.downsample: got {asked}, {halvings} halvings; images of {image_shape[1]} × {image_shape[2]} "
            f"would be padded to {height:,} × {width:,}",
            hint=f"at most {most} in all, or model.downsample=null to have them chosen",
        )
