"""q(z | x): proposals whose log-density keeps the evidence contract."""

from tightbound.posteriors.flow import FlowPosterior
from tightbound.posteriors.gaussian import Diagonal, FullCovariance

__all__ = ["Diagonal", "FlowPosterior", "FullCovariance"]
