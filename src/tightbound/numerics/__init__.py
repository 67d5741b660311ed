"""Free functions and value types of tensors: no state, no modules, no knowledge of models."""

from tightbound.numerics.detached import call_detached
from tightbound.numerics.gaussian import Gaussian, standard_normal_log_prob
from tightbound.numerics.gradients import gradient
from tightbound.numerics.hamiltonian import (
    Density,
    HMCInfo,
    Local,
    Phase,
    acceptance_of,
    advance,
    energy,
    hmc_step,
    leapfrog_step,
    reversed_hmc_step,
)
from tightbound.numerics.log_space import log_mean_exp
from tightbound.numerics.logistic import logistic_log_mass
from tightbound.numerics.mixture import mixture_log_prob, mixture_sample
from tightbound.numerics.noise import (
    NOISE_IMAGE_TILE,
    NOISE_SAMPLE_BLOCK,
    EvaluationNoise,
    evaluation_noise,
    generator_for,
)
from tightbound.numerics.orthogonal import orthonormal_columns, reflections
from tightbound.numerics.recording import Recording, Replayed
from tightbound.numerics.scales import exp_soft_clamp, soft_clamp, soft_floor
from tightbound.numerics.triangular import num_strictly_lower, unit_lower

__all__ = [
    "NOISE_IMAGE_TILE",
    "NOISE_SAMPLE_BLOCK",
    "Density",
    "EvaluationNoise",
    "Gaussian",
    "HMCInfo",
    "Local",
    "Phase",
    "Recording",
    "Replayed",
    "acceptance_of",
    "advance",
    "call_detached",
    "energy",
    "evaluation_noise",
    "exp_soft_clamp",
    "generator_for",
    "gradient",
    "hmc_step",
    "leapfrog_step",
    "log_mean_exp",
    "logistic_log_mass",
    "mixture_log_prob",
    "mixture_sample",
    "num_strictly_lower",
    "orthonormal_columns",
    "reflections",
    "reversed_hmc_step",
    "soft_clamp",
    "soft_floor",
    "standard_normal_log_prob",
    "unit_lower",
]
