"""Small things to train: real models of a few hundred weights on random images, and a run in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import tightbound.models
import tightbound.objectives  # noqa: F401  (registers the kinds)
from tightbound.core import Model
from tightbound.networks import initialize_from_data
from tightbound.numerics import generator_for
from tightbound.objectives import ELBO
from tightbound.registry import Factory
from tightbound.training import TrainingResult, TrainingSettings, train

IMAGE_SHAPE = (1, 5, 6)


class ToySplit:
    """Gray images of a few blobs, binarized dynamically; batches whose indices are in ``bad`` hold NaN."""

    def __init__(self, num_images: int = 40, seed: int = 0, device: torch.device | str = "cpu") -> None:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand((num_images, 1, 2, 2), generator=generator, dtype=torch.float32)
        self.pixels = torch.nn.functional.interpolate(coarse, size=IMAGE_SHAPE[1:], mode="bilinear").to(device)
        self.num_batches = 0
        self.bad_batches: range | tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def to(self, device: torch.device) -> ToySplit:
        self.pixels = self.pixels.to(device)
        return self

    def batch(self, indices: Tensor, generator: torch.Generator | None, rows: slice = slice(None)) -> Tensor:
        gray = self.pixels[indices]
        x = (gray > torch.rand(gray.shape, generator=generator, dtype=gray.dtype, device=gray.device)).to(gray.dtype)
        if self.num_batches in self.bad_batches:
            x[0, 0, 0, 0] = torch.nan
        self.num_batches += 1
        return x[rows]

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        return torch.stack([self._one(index, seed) for index in range(start, stop)])

    def _one(self, index: int, seed: int) -> Tensor:
        generator = generator_for(seed, "toy pixels", index)
        return (self.pixels[index] > torch.rand(IMAGE_SHAPE, generator=generator, dtype=torch.float32)).float()


def toy_model(
    kind: str = "mlp",
    *,
    likelihood: str = "bernoulli",
    posterior: Factory = Factory("posterior", "diagonal"),
    **options: Any,
) -> Model:
    """A VAE with 3 latents whose weights depend on nothing but the arguments."""
    small: dict[str, Any] = {"hidden": (8,)} if kind == "mlp" else {"channels": (4, 6), "features": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        recipe = {
            "latent_dim": 3,
            "encoder": Factory("encoder", kind, small | options),
            "decoder": Factory("decoder", kind, small | options),
            "posterior": posterior,
            "likelihood": Factory("likelihood", likelihood),
        }
        return Factory("model", "vae", recipe)(image_shape=IMAGE_SHAPE)


def settings(**changes: Any) -> TrainingSettings:
    """Ten batches of 8 in two epochs, float64, no clock, no TensorBoard."""
    defaults: dict[str, Any] = {
        "epochs": 2.0,
        "batch_size": 8,
        "precision": "float64",
        "device": "cpu",
        "log_every": 3,
        "checkpoint_minutes": None,
        "tensorboard": False,
    }
    return TrainingSettings(**(defaults | changes))


def run(folder: Path, model: Model | None = None, *, split: ToySplit | None = None, **options: Any) -> TrainingResult:
    """``train`` on toy images; options that are settings go there, the others to ``train``.

    Both have an ``initialize``: ``initializer`` is the function that ``train`` gets.
    """
    names = TrainingSettings.__dataclass_fields__
    chosen = settings(**{name: value for name, value in options.items() if name in names})
    rest = {name: value for name, value in options.items() if name not in names}
    objective = rest.pop("objective", None) or ELBO()
    model = toy_model() if model is None else model
    split = ToySplit() if split is None else split
    validation = rest.pop("validation", None)
    rest = {"initialize": rest.pop("initializer", initialize_from_data), "folder": folder, "quiet": True, **rest}
    return train(model, objective, split, validation, chosen, **rest)


def weights(model: Model) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
