"""p(z): what latents look like before any image is seen."""

from tightbound.priors.flow import FlowPrior
from tightbound.priors.gaussian import LearnedDiagonal, StandardNormal
from tightbound.priors.mixture import Mixture
from tightbound.priors.vamp import Vamp

__all__ = ["FlowPrior", "LearnedDiagonal", "Mixture", "StandardNormal", "Vamp"]
