"""Models: what turns an image into weighted posterior samples."""

from tightbound.models.gaussian_location import GaussianLocation
from tightbound.models.ladder import Ladder
from tightbound.models.vae import VAE

__all__ = ["VAE", "GaussianLocation", "Ladder"]
