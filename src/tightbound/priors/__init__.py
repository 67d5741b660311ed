"""p(z): what latents look like before any image is seen."""

from tightbound.priors.gaussian import LearnedDiagonal, StandardNormal

__all__ = ["LearnedDiagonal", "StandardNormal"]
