"""Copies of one model, each with weights and data of its own, trained as one batch of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Objective, Step
from tightbound.models import GaussianLocation


class Ensemble:
    """S models of one kind whose every parameter has a leading axis S; nothing passes between them.

    What a copy learns is what it would learn alone from the same noise.

    Args:
        models: S of them, as they are to begin.
        objective: of each.
        location: the name of a parameter whose first D numbers are added to z, if there is one. The optimizer then sees
            Δ + location in place of Δ: the data fix that sum far more sharply than the prior fixes its two parts, and
            along such a ridge no optimizer of first order gets anywhere. The optimum is the same.
    """

    def __init__(self, models: Sequence[GaussianLocation], objective: Objective, location: str | None = None) -> None:
        self._models = list(models)
        self._one = _Bound(models[0], objective)
        stacked, _ = torch.func.stack_module_state(self._models)  # pyright: ignore[reportArgumentType]
        self.parameters: dict[str, Tensor] = {
            name: nn.Parameter(value.detach().clone()) for name, value in stacked.items()
        }
        self.location = location
        if location is not None:
            with torch.no_grad():
                self.parameters["shift"] += self._located(self.parameters)
        # Buffers are the masks of networks: the same in every copy, and left where they are.
        self._losses = torch.func.vmap(self._call, in_dims=(0, 0, 0))

    def __len__(self) -> int:
        return len(self._models)

    @property
    def noise_size(self) -> int:
        """Width of the noise of one sample."""
        return self._models[0].noise_size

    def losses(
        self, features: Float[Tensor, "S B F"], noise: Float[Tensor, "S K B E"]
    ) -> tuple[Float[Tensor, " S"], Float[Tensor, " S"]]:
        """The loss of each copy and its honest ELBO, nats a data set, means over K and B."""
        return self._losses(self.named(), features, noise)

    def named(self) -> dict[str, Tensor]:
        """The parameters as the models have them."""
        if self.location is None:
            return self.parameters
        return {**self.parameters, "shift": self.parameters["shift"] - self._located(self.parameters)}

    def value(self, name: str) -> Tensor:
        """A parameter of all copies (S, ...), such as ``shift``."""
        return self.named()[name].detach()

    def write_back(self) -> list[GaussianLocation]:
        """The models with what was learned."""
        with torch.no_grad():
            named = self.named()
            for index, model in enumerate(self._models):
                for name, parameter in model.named_parameters():
                    parameter.copy_(named[name][index])
        return self._models

    def _located(self, parameters: dict[str, Tensor]) -> Tensor:
        assert self.location is not None
        return parameters[self.location][:, : parameters["shift"].shape[-1]]

    def _call(self, parameters: dict[str, Tensor], features: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        named = {f"model.{name}": value for name, value in parameters.items()}
        return torch.func.functional_call(self._one, named, (features, noise))


class _Bound(nn.Module):
    """Statistics and noise in, loss and honest ELBO out."""

    def __init__(self, model: GaussianLocation, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, features: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and ELBO, 0-d."""
        now = torch.zeros(())  # nothing here is warmed up
        loss = self.objective(self.model.draw_from(features, noise), Step(now, now))
        return loss.value, loss.parts["elbo"]
