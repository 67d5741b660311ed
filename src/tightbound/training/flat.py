"""Many small weights on a processor as one vector, which the optimizer sees in a few pieces."""

# The multi-tensor operations of PyTorch's own optimizers; one call for all gradients.
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tightbound.training.common import CommonVectors, common_vectors
from tightbound.training.parallel import Replicas
from tightbound.training.processes import Processes

PIECE = 2**18  # elements of one piece: fewer make more calls, many more leave a core's caches between two of them
_WORTH_COPYING = 2**15  # elements of a tensor that are copied in the time in which an optimizer's calls for one pass
_ALIGNMENT = 16  # elements: where PyTorch's own memory begins


def replicas(processes: Processes, weights: Sequence[nn.Parameter]) -> Replicas:
    """``Flat`` where it pays: for weights on a processor, so many and small that calls for each take the time.

    Args:
        processes: that train.
        weights: that are trained.
    """
    return Flat(processes, weights) if pays(weights) else Replicas(processes, weights)


def pays(weights: Sequence[Tensor]) -> bool:
    """Whether ``Flat`` does for these; never where two of them share memory."""
    kinds = {(p.device.type, p.dtype) for p in weights}
    if [device for device, _ in kinds] != ["cpu"]:
        return False
    addresses = [p.data_ptr() for p in weights if p.numel()]
    elements = sum(p.numel() for p in weights)
    return len(set(addresses)) == len(addresses) and elements < _WORTH_COPYING * len(weights)


class Flat(Replicas):
    """Replicas whose weights are parts of one vector, as are their gradients and what is kept of each.

    An optimizer has ten operations or so for every tensor, which on a processor take longer to be called than to be
    done: of the 1,359 weights of a ladder of 12 layers 40 ms a step, where pieces of 2¹⁸ elements take 11. Optimizers
    and averages that do the same to each element by itself find the same numbers, but for the last bits. A weight
    without a gradient has one of 0: moments go on, and a decay of weights acts on it.

    Between two weights there may be elements of no weight. They are 0 and have gradients of 0.

    Several processes of one machine have all gradients in common memory, where it has such, and take their means there
    at the end of a step. PyTorch's engine sends them through sockets while the step is under way, and the compiler has
    to cut the step in pieces for it.

    Args:
        processes: that train.
        weights: that are trained. Their values go on in the vector; channels_last as such, all else contiguous.
    """

    def __init__(self, processes: Processes, weights: Sequence[nn.Parameter]) -> None:
        super().__init__(processes, weights)
        self._weights, self._starts, end, gaps = list(weights), list[int](), 0, list[slice]()
        for weight in weights:
            if not weight.is_contiguous() and not weight.is_contiguous(memory_format=torch.channels_last):
                weight.data = weight.data.contiguous()
            self._starts.append(end)
            last, end = end + weight.numel(), end + -(-weight.numel() // _ALIGNMENT) * _ALIGNMENT
            if last < end:
                gaps.append(slice(last, end))
        vector = weights[0].detach().new_zeros(end)
        for weight, part in zip(weights, self._parts(vector), strict=True):
            weight.data = part.copy_(weight.data)
        common = common_vectors(processes, end, vector.dtype) if processes.are_several else None
        self._common: CommonVectors | None = common
        gradient = torch.zeros_like(vector) if common is None else common.own
        self._gradients, self._gaps = self._parts(gradient), [gradient[gap] for gap in gaps]
        self._pieces_of_gradient = gradient.split(PIECE)
        self.parameters = [nn.Parameter(piece) for piece in vector.split(PIECE)]

    def wrap(self, step: nn.Module, device: torch.device, *, unreached: Callable[[], bool]) -> nn.Module:
        """The step as it is, where gradients become means when they are collected."""
        return step if self._common is not None else super().wrap(step, device, unreached=unreached)

    @torch.no_grad()
    def collect(self) -> None:
        """Copies the weights' gradients to where the pieces' are, clears them, and takes means over processes."""
        pairs = [(part, weight.grad) for part, weight in zip(self._gradients, self._weights, strict=True)]
        given = [(part, gradient) for part, gradient in pairs if gradient is not None]
        if given:
            torch._foreach_copy_([part for part, _ in given], [gradient for _, gradient in given])
        # A clipped gradient that was not finite has reached the gaps too.
        if rest := [*self._gaps, *(part for part, gradient in pairs if gradient is None)]:
            torch._foreach_zero_(rest)
        for weight in self._weights:
            weight.grad = None
        if self._common is not None:
            self._common.average()
        for piece, gradient in zip(self.parameters, self._pieces_of_gradient, strict=True):
            piece.grad = gradient

    def release(self) -> None:
        """The weights have memory of their own again, and the pieces are theirs no more."""
        for weight in self._weights:
            weight.data = weight.data.clone()

    def gather(self, values: Mapping[int, Tensor], *, counts: bool = False) -> dict[int, Tensor]:
        """The parts of each weight, made of all pieces, which all have the same count."""
        if counts:
            return dict.fromkeys(range(len(self._weights)), values[0])
        vector = torch.cat([values[index] for index in range(len(self.parameters))])
        return dict(enumerate(self._parts(vector)))

    def cut(self, values: Mapping[int, Tensor], *, counts: bool = False) -> dict[int, Tensor]:
        """The pieces: 0 where nothing is known of a weight, as its gradient has been 0; of counts the highest."""
        if counts:
            count = max(values.values(), key=float)
            return {index: count.clone() for index in range(len(self.parameters))}
        some = next(iter(values.values()))
        vector = torch.zeros(sum(piece.numel() for piece in self.parameters), dtype=some.dtype, device=some.device)
        for index, part in enumerate(self._parts(vector)):
            if index in values:
                part.copy_(values[index])
        return dict(enumerate(vector.split(PIECE)))

    def _parts(self, vector: Tensor) -> list[Tensor]:
        """What of a vector belongs to each weight, in its shape and memory layout."""
        first = int(vector.storage_offset())
        return [
            vector.as_strided(weight.shape, weight.stride(), first + start)
            for weight, start in zip(self._weights, self._starts, strict=True)
        ]
