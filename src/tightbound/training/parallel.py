"""One model in several processes: how its weights and gradients lie in them, and PyTorch's own engines.

What else in training has to know how the weights lie asks a ``Parallel``: each process has them all, or a part.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tightbound.core import Step
from tightbound.errors import RecipeError
from tightbound.training.checkpoint import Checkpoint
from tightbound.training.processes import Processes
from tightbound.training.settings import TrainingSettings

# Newer versions of PyTorch have another name for it. What is kept of each batch's statistics has no part in training:
# whoever evaluates the model gives all processes those of the first.
_NAMES = inspect.signature(DistributedDataParallel.__init__).parameters
_SYNC_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers"


class Parallel(ABC):
    """How weights, gradients and the state of the optimizer lie in the processes.

    Tensors of a parameter's shape, such as its moving average, lie as it does.

    Attributes:
        processes: that train.
        parameters: what the optimizer is to see.
    """

    processes: Processes
    parameters: list[nn.Parameter]

    @abstractmethod
    def collect(self) -> None:
        """Brings the gradients of a backward pass to the parameters of the optimizer."""

    @abstractmethod
    def norm(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """The length of a whole vector: a tensor for every parameter, or None for those that have none."""

    @abstractmethod
    def whole(self) -> AbstractContextManager[None]:
        """Inside, the model has all of its weights, to be called outside of a training step: all processes together."""

    @abstractmethod
    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's state dict in whole tensors: all processes together."""

    @abstractmethod
    def load(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Puts a whole state dict into the model."""

    @abstractmethod
    def gather(self, values: Mapping[int, Tensor], *, counts: bool = False) -> dict[int, Tensor]:
        """What is kept of the model's trained weights, by their index, whole: all processes together.

        Args:
            values: of the optimizer's parameters, by theirs: each lies as its parameter does.
            counts: whether each is one number instead, of the updates of its parameter.
        """

    @abstractmethod
    def cut(self, values: Mapping[int, Tensor], *, counts: bool = False) -> dict[int, Tensor]:
        """The opposite of ``gather``: what of it belongs to the optimizer's parameters in this process."""

    @abstractmethod
    def release(self) -> None:
        """Training has ended, and the model is its owner's alone."""


def check_settings(settings: TrainingSettings, processes: Processes) -> None:
    """Refuses what is asked for and cannot be done in several processes. What is ``auto`` is left out where it cannot.

    Raises:
        RecipeError: the compilation of a step whose weights are shared out, or the capture of one that exchanges.
    """
    if not processes.are_several:
        return
    if settings.compile is True and settings.sharding != "none":
        raise RecipeError(
            f"training.compile: got true; with training.sharding={settings.sharding} the step is not compiled",
            hint="leave it at auto, or give training.sharding=none",
        )
    if settings.cuda_graph is True:
        raise RecipeError(
            f"training.cuda_graph: got true; a step of {processes.world_size} processes is not captured, as it "
            "exchanges gradients",
            hint="leave it at auto, or train in one process",
        )


class Replicas(Parallel):
    """Every process has everything; gradients are means over all of them. One process alone is the same."""

    def __init__(self, processes: Processes = Processes(), weights: Sequence[nn.Parameter] = ()) -> None:
        self.processes = processes
        self.parameters = list(weights)

    def wrap(self, step: nn.Module, device: torch.device, *, unreached: Callable[[], bool]) -> nn.Module:
        """The training step with such gradients.

        Each process keeps statistics of its own share of every batch.

        Args:
            step: loss of a batch.
            device: where it is.
            unreached: tells whether there are weights that the loss does not depend on; PyTorch then looks for them at
                each step, where it would wait for their gradients otherwise.
        """
        if not self.processes.are_several:
            return step
        for parameter in step.parameters():
            if parameter.is_contiguous():
                # Strides along axes of length 1 mean nothing, but PyTorch warns where a gradient has others.
                parameter.data = parameter.data.as_strided(
                    parameter.shape, torch.empty(parameter.shape, device="meta").stride()
                )
        options: dict[str, Any] = {_SYNC_BUFFERS: False, "gradient_as_bucket_view": True}
        options["find_unused_parameters"] = unreached()
        return DistributedDataParallel(step, device_ids=[device] if device.type == "cuda" else None, **options)

    def collect(self) -> None:
        """They are there."""

    def norm(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """Of what is here."""
        return torch.nn.utils.get_total_norm([value for value in tensors if value is not None])

    def whole(self) -> AbstractContextManager[None]:
        """It has."""
        return nullcontext()

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """As they are."""
        return dict(model.state_dict())

    def load(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """As it is."""
        model.load_state_dict(tensors)

    def gather(self, values: Mapping[int, Tensor], *, counts: bool = False) -> dict[int, Tensor]:
        """As they are."""
        return dict(values)

    def cut(self, values: Mapping[int, Tensor], *, counts: bool = False) -> dict[int, Tensor]:
        """All of it."""
        return dict(values)

    def release(self) -> None:
        """It is."""


class Shards(Parallel):
    """Every process has a part of each weight, its gradient and the optimizer's state: PyTorch's fully sharded data
    parallel training, with the whole step as one group.

    The weights are whole within a step, and within ``whole``. All else, optimizer and average, sees the parts as the
    plain tensors that they are: what is done to each element by itself is the same.

    Args:
        processes: that train.
        step: the training step; sharded in place. Its weights are contiguous.
        device: where it is.

    Raises:
        RecipeError: a weight is frozen.
    """

    def __init__(self, processes: Processes, step: nn.Module, device: torch.device) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        frozen = next((name for name, p in step.named_parameters() if not p.requires_grad), None)
        if frozen is not None:
            raise RecipeError(
                f"training.sharding: {frozen} is frozen, and only weights that are trained can be shared out",
                hint="training.sharding=none",
            )
        self.processes = processes
        names = [name for name, _ in step.named_parameters()]
        scalars = {p for p in step.parameters() if p.dim() == 0}  # they cannot be cut; each process has them
        mesh = init_device_mesh(device.type, (processes.world_size,))
        ignored: dict[str, Any] = {"ignored_params": scalars} if scalars else {}
        self.module = fully_shard(step, mesh=mesh, **ignored)
        if device.type == "cpu" and hasattr(self.module, "set_force_sum_reduction_for_comms"):
            self.module.set_force_sum_reduction_for_comms(True)  # gloo has no means
        with self.whole():
            pass  # settles where the parts are
        found = dict(step.named_parameters())
        self._shared = [found[name] for name in names]
        self.parameters = [nn.Parameter(_part(p)) if p.dim() else p for p in self._shared]

    def collect(self) -> None:
        """Each process's part of the means; of scalars the mean."""
        for shared, own in zip(self._shared, self.parameters, strict=True):
            gradient = shared.grad
            if gradient is None:
                continue
            if shared.dim() == 0:
                own.grad = self.processes.mean(gradient)
            else:
                own.grad, shared.grad = _part(gradient), None

    def norm(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """Of all parts, and of the scalars once."""
        given = [(p.dim(), value) for p, value in zip(self._shared, tensors, strict=True) if value is not None]
        parts, scalars = ([value for dim, value in given if bool(dim) == cut] for cut in (True, False))
        square = self.processes.sum(torch.nn.utils.get_total_norm(parts).square())
        return (square + torch.nn.utils.get_total_norm(scalars).square()).sqrt() if scalars else square.sqrt()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Every process gets all parts."""
        self.module.unshard()
        try:
            yield
        finally:
            self.module.reshard()

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Each made of its parts, into which PyTorch's state dicts put the weights even where they are whole."""
        return {name: _whole(value) for name, value in model.state_dict().items()}

    def load(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Each process takes its parts."""
        with torch.no_grad():
            for index, (name, _) in enumerate(model.named_parameters()):
                self.parameters[index].copy_(self._cut(tensors[name]))
            for name, buffer in model.named_buffers():
                if name in tensors:
                    buffer.copy_(tensors[name])

    def gather(self, values: Mapping[int, Tensor], *, counts: bool = False) -> dict[int, Tensor]:
        """Made of all parts."""
        return {index: self._gathered(index, value) for index, value in values.items()}

    def cut(self, values: Mapping[int, Tensor], *, counts: bool = False) -> dict[int, Tensor]:
        """Rows of the first axis, as PyTorch deals them out."""
        return {index: self._cut(value) for index, value in values.items()}

    def release(self) -> None:
        """Its weights stay shared out."""

    def _gathered(self, index: int, value: Tensor) -> Tensor:
        from torch.distributed.tensor import DTensor

        like = self._shared[index]
        if value.dim() == 0 or not isinstance(like, DTensor):
            return value
        layout = {"shape": like.shape, "stride": like.stride()}
        return _whole(DTensor.from_local(value, like.device_mesh, like.placements, run_check=False, **layout))

    def _cut(self, value: Tensor) -> Tensor:
        if value.dim() == 0:
            return value
        parts = value.chunk(self.processes.world_size)
        return parts[self.processes.rank] if self.processes.rank < len(parts) else value[:0]


def batch_statistics(module: nn.Module) -> list[Tensor]:
    """The buffers of all batch normalization."""
    norms = (m for m in module.modules() if isinstance(m, nn.modules.batchnorm._NormBase))
    return [buffer for norm in norms for buffer in norm.buffers()]


def has_unreached(step: nn.Module, x: Tensor, noise: Tensor, position: Step) -> bool:
    """Whether the loss does not depend on some weights, as on an encoder's whose posterior does not look at it.

    Found by one pass in eval mode, which leaves nothing behind.

    Args:
        step: loss of a batch.
        x: (1, C, H, W), any image.
        noise: (K, 1, N).
        position: the first step.
    """
    was_training = step.training
    step.eval()
    try:
        with torch.random.fork_rng([x.device] if x.is_cuda else []):
            weights = [p for p in step.parameters() if p.requires_grad]
            gradients = torch.autograd.grad(step(x, noise, position).value, weights, allow_unused=True)
    finally:
        step.train(was_training)
    return any(gradient is None for gradient in gradients)


def _whole(value: Tensor) -> Tensor:
    """A sharded tensor made of all its parts; another as it is."""
    from torch.distributed.tensor import DTensor

    with torch.no_grad():
        return value.full_tensor() if isinstance(value, DTensor) else value


def _part(value: Tensor) -> Tensor:
    """The plain tensor in which a process has its part of a sharded one."""
    from torch.distributed.tensor import DTensor

    assert isinstance(value, DTensor)
    with torch.no_grad():
        return value.to_local().detach()


class MeanInLoss:
    """Makes a mean over the whole batch out of the means over shares of it, for use within a loss.

    Its derivative is that of the share's own mean, with nothing to exchange on the way back: a loss L that is the same
    function of the mean m in all processes has dL/dθ = L'(m) dm/dθ, and dm/dθ is the mean over processes of what each
    knows. That mean is taken of all gradients anyway.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes, self._is_apart = processes, False
        # The compiler would put the exchange into its code, where ``apart`` could no longer leave it out.
        self._exchanged: Callable[[Tensor], Tensor] = cast(Any, torch.compiler.disable(self._mean))

    def __call__(self, share: Tensor) -> Tensor:
        """The mean, given that over a share."""
        own = share.detach()
        return share + (self._exchanged(own) - own)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Inside, each process takes its share for the whole."""
        self._is_apart = True
        try:
            yield
        finally:
            self._is_apart = False

    def _mean(self, own: Tensor) -> Tensor:
        # A copy, as the mean is: compiled code asks whether it got its own tensor back.
        return own.clone() if self._is_apart else self._processes.mean(own)


@contextmanager
def apart(wrapped: nn.Module) -> Iterator[None]:
    """Inside, a step of ``Replicas.wrap`` exchanges no gradients; afterwards it does again."""
    with wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext():
        yield


def hand_out(found: Checkpoint | None, processes: Processes) -> Checkpoint | None:
    """The checkpoint that the first process has read, in all: the others need not see the run folder."""
    if not processes.are_several:
        return found
    outline = processes.first(
        lambda: found and (found.kind, {n: (t.shape, t.dtype) for n, t in found.tensors.items()}, found.state)
    )
    if outline is None:
        return None
    kind, layout, state = outline
    tensors = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in layout.items()}
    tensors = tensors if found is None else found.tensors
    processes.copy(tensors[name] for name in layout)
    return Checkpoint(kind, tensors, state)
