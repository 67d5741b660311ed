"""The arrays of a report that only the model and the data can give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from tightbound.report.layer_arrays import Layers
    from tightbound.report.warp_arrays import Warps

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class RankedImages:
    """Images with what the evaluation says of each.

    Args:
        images: (n, C, H, W) in [0, 1], the very pixels that were evaluated.
        index: (n) index in the split.
        log_likelihood: (n) nats.
        standard_error: (n) nats, or None.
        pareto_k: (n), or None.
        label: (n), or None.
    """

    images: Array
    index: Array
    log_likelihood: Array
    standard_error: Array | None = None
    pareto_k: Array | None = None
    label: Array | None = None


@dataclass(frozen=True, eq=False)
class Pipeline:
    """What the model does, from left to right, one row an image or a sample of the prior.

    Args:
        z: (n, U), where the pixels are decoded: the posterior mean of an image, or a sample of the prior.
        mean: (n, C, H, W), the mean of the pixels there.
        std: (n, C, H, W), the standard deviation of the pixels there.
        prior_mean: (U), of z under the prior.
        prior_std: (U), of z under the prior.
        units: (u) the units to show, ascending; fewer than U where there are many.
        groups: units of each latent group, top first.
        originals: (n, C, H, W), the images; or None.
        z_std: (n, U), the posterior standard deviation; or None.
        samples: (n, C, H, W), pixels drawn at z; or None.
        mean_samples: 0 where the posterior moments are in closed form, else of how many samples they are.
    """

    z: Array
    mean: Array
    std: Array
    prior_mean: Array
    prior_std: Array
    units: Array
    groups: tuple[int, ...]
    originals: Array | None = None
    z_std: Array | None = None
    samples: Array | None = None
    mean_samples: int = 0


@dataclass(frozen=True, eq=False)
class Interpolation:
    """Decoded means between four images, or two.

    Args:
        means: (R, S, C, H, W); the corners are the images' own. R is 1 between two.
        originals: (4, C, H, W), top left, top right, bottom left, bottom right; or (2, C, H, W).
        index: (4) or (2), of the originals in their split.
        label: (4) or (2), or None.
        split: what the images are of.
    """

    means: Array
    originals: Array
    index: Array
    label: Array | None = None
    split: str = "test"


@dataclass(frozen=True, eq=False)
class Traversal:
    """Decoded means along one latent unit at a time.

    Args:
        means: (n, S, C, H, W), from −3 to 3 standard deviations of the prior.
        units: (n), flat indices.
        order: in words, how the units are sorted.
        held_at: in words, where the other units are.
        layers: (n), of a ladder the layer of each unit, else None.
        part: of the latents, where they have several: ``"where"`` or ``"what"``.
    """

    means: Array
    units: Array
    order: str
    held_at: str
    layers: Array | None = None
    part: str = ""


@dataclass(frozen=True, eq=False)
class Codes:
    """Posterior means of many images.

    Args:
        mean: (n, U), of all latent groups.
        label: (n), or None.
        mean_samples: 0 where they are in closed form, else of how many samples they are.
        groups: how many latent groups there are.
    """

    mean: Array
    label: Array | None = None
    mean_samples: int = 0
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Correlations:
    """Correlations of the latent units under q(z | x).

    Args:
        mean_absolute: (D, D), the mean over the images of |ρ|.
        example: (D, D), ρ of the first image.
        images: how many the mean is over.
    """

    mean_absolute: Array
    example: Array
    images: int


@dataclass(frozen=True, eq=False)
class Carried:
    """Posterior samples before and after what carries them on, in two latent units.

    Args:
        before: (n, S, 2), of the Gaussian base.
        after: (n, S, 2), the same samples carried on.
        index: (n), of the images in their split.
        units: the two.
        split: what the images are of.
        by: what carries them: the flow, or the leapfrog of a Hamiltonian posterior.
    """

    before: Array
    after: Array
    index: Array
    units: tuple[int, int]
    split: str = "test"
    by: str = "flow"


@dataclass(frozen=True, eq=False)
class Pictures:
    """What ``collect_pictures`` hands to ``write_report``; whatever is None leaves out its part of the page.

    Args:
        samples: (n, C, H, W), pixels drawn from the model.
        sample_means: (n, C, H, W), the mean of the pixels for the same z.
        originals: (m, C, H, W) in [0, 1], held-out images.
        reconstructions: (m, C, H, W), the mean of the pixels at one posterior sample of each.
        uncertainty: (m, C, H, W), the standard deviation of the pixels there.
        best: the images of largest log p(x), best first.
        worst: the images of smallest log p(x), worst first.
        sample_distance: (a) distance of sample means to the nearest held-out image, see ``realism``.
        reconstruction_distance: (b) the same of reconstructions.
        split: name of the held-out split.
        encoded: held-out images from the image to the uncertainty.
        generated: samples of the prior from z to the uncertainty.
        interpolation: between four held-out images.
        traversal: along the most used latent units.
        codes: posterior means of held-out images.
        correlations: of a posterior that is not factorized.
        carried: samples of a posterior that is no Gaussian, beside those of the Gaussian that it starts from.
        layers: of a ladder of several layers.
        warps: of a decoder that warps; its walks are then in place of ``traversal``.
    """

    samples: Array
    sample_means: Array | None = None
    originals: Array | None = None
    reconstructions: Array | None = None
    uncertainty: Array | None = None
    best: RankedImages | None = None
    worst: RankedImages | None = None
    sample_distance: Array | None = None
    reconstruction_distance: Array | None = None
    split: str = "test"
    encoded: Pipeline | None = None
    generated: Pipeline | None = None
    interpolation: Interpolation | None = None
    traversal: Traversal | None = None
    codes: Codes | None = None
    correlations: Correlations | None = None
    carried: Carried | None = None
    layers: Layers | None = None
    warps: Warps | None = None
