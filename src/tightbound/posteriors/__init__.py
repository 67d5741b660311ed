"""q(z | x): proposals whose log-density keeps the evidence contract."""

from tightbound.posteriors.flow import FlowPosterior
from tightbound.posteriors.gaussian import Diagonal, FullCovariance
from tightbound.posteriors.hamiltonian import Hamiltonian
from tightbound.posteriors.standard import Standard

__all__ = ["Diagonal", "FlowPosterior", "FullCovariance", "Hamiltonian", "Standard"]
