"""p(x | z): normalized densities and probabilities of pixels, with mean, mode, sample and an uncertainty map."""

from tightbound.likelihoods.bernoulli import Bernoulli
from tightbound.likelihoods.binomial import Binomial
from tightbound.likelihoods.gaussian import Gaussian
from tightbound.likelihoods.logistic import DiscretizedLogistic
from tightbound.likelihoods.logistic_mixture import DiscretizedLogisticMixture

__all__ = ["Bernoulli", "Binomial", "DiscretizedLogistic", "DiscretizedLogisticMixture", "Gaussian"]
