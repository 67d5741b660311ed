"""pythae, where it is installed (`pip install -e '.[bench]'`): the same network, its own loops.

Both VAEs are 784-512-16-512-784 with rectifiers; pythae's default encoder and decoder are just that.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Run = Callable[[int], None]


def has_pythae() -> bool:
    """Whether it can be compared with."""
    return importlib.util.find_spec("pythae") is not None


def pythae_vae(device: torch.device) -> Any:
    """Its VAE of binary 28 × 28 images with 16 latents."""
    with _quiet():
        from pythae.models import VAE, VAEConfig

        torch.manual_seed(0)
        config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce")
        return VAE(config).to(device)


def pythae_training(x: Tensor, batch: int, device: torch.device) -> Run:
    """Its own epochs: ``BaseTrainer.train_step`` over its own data loader, of as many batches as asked.

    Its progress bar goes nowhere. The images it gets are binary already: it is spared the dynamic binarization that
    the others do at every step.

    Args:
        x: binary images (N, 1, 28, 28).
        batch: images a step.
        device: where it trains.
    """
    with _quiet():
        from pythae.data.datasets import BaseDataset
        from pythae.trainers import BaseTrainer, BaseTrainerConfig

        config = BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(prefix="pythae-"),
            per_device_train_batch_size=batch,
            learning_rate=1e-3,
            no_cuda=device.type != "cuda",
        )
        trainer = BaseTrainer(pythae_vae(device), BaseDataset(x, torch.zeros(len(x))), training_config=config)
        trainer.prepare_training()
    most = len(x) // batch
    loaders: dict[int, Any] = {}

    def run(steps: int) -> None:
        with _quiet():
            while steps > 0:
                now = min(steps, most)
                if now not in loaders:
                    part = BaseDataset(x[: now * batch], torch.zeros(now * batch))
                    loaders[now] = trainer.get_train_dataloader(part)
                trainer.train_loader = loaders[now]
                trainer.train_step(1)
                steps -= now

    return run


def pythae_likelihood(x: Tensor, num_samples: int, batch: int, device: torch.device) -> Run:
    """Its ``get_nll``: a step is one image, for which it draws as ``samples_drawn`` says.

    Without gradients, which it would keep itself otherwise: to its advantage.
    """
    model, x = pythae_vae(device).eval(), x.to(device)

    def run(steps: int) -> None:
        with torch.no_grad():
            for start in range(0, steps, len(x)):
                model.get_nll(x[: min(len(x), steps - start)], n_samples=num_samples, batch_size=batch)

    return run


def samples_drawn(num_samples: int, batch: int) -> int:
    """K that ``get_nll`` really draws: always whole batches, one at least."""
    return batch if num_samples <= batch else num_samples // batch * batch


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Its progress bars, log lines and warnings go nowhere."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere, warnings.catch_warnings(), contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
