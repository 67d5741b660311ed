"""Runs of several processes, for ``test_processes``: ``torchrun ... -m tests.training.spread FOLDER CASE...``.

Every process but the first gets a folder of its own, in which nothing may be written: as on a node that does not see
the run folder. What each met is written by ``record``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from tests.training.toy import ToySplit, run, toy_model, weights
from tightbound.core import Model
from tightbound.errors import DataError, TightboundError
from tightbound.evaluation import Annealing, annealed, bidirectional, importance
from tightbound.numerics import generator_for
from tightbound.objectives import ELBO, IWAE
from tightbound.registry import Factory
from tightbound.training import Processes, common, compilation, flat, join, leave, parallel, session
from tightbound.training.flat import Flat
from tightbound.training.parallel import Replicas

# Models, objectives and settings whose runs do not depend on the number of processes.
EQUAL: dict[str, dict[str, Any]] = {
    "plain": {"clip_norm": 3.0, "validation": 150},
    "free_bits": {"free_bits": 0.35, "free_bits_per": "unit"},
    "importance": {"iwae": 3, "posterior": Factory("posterior", "flow", {"flows": (Factory("flow", "iaf"),)})},
    "initialized": {"normalization": "weight", "kind": "convolutional", "ema": 0.9},
    "hamiltonian": {"posterior": Factory("posterior", "hamiltonian", {"steps": 2})},
    "unreached": {"posterior": Factory("posterior", "hamiltonian", {"base": Factory("posterior", "standard")})},
    "skipped": {"bad": (3, 4)},
    "sharded": {  # and one weight that is a scalar
        "sharding": "full",
        "posterior": Factory("posterior", "hamiltonian", {"steps": 2}),
        "clip_norm": 3.0,
        "ema": 0.9,
        "validation": 150,
    },
}


# And those whose batch statistics, and so all else, are of the first process's share of every batch.
_BATCH_NORM: dict[str, Any] = {"normalization": "batch", "validation": 150}
STATISTICS: dict[str, dict[str, Any]] = {
    "normalized": _BATCH_NORM,
    "normalized_shards": {**_BATCH_NORM, "sharding": "full"},
}


def _flat_by_sockets(processes: Processes, weights: list[torch.nn.Parameter]) -> Flat:
    with mock.patch.object(flat, "common_vectors", return_value=None):
        return Flat(processes, weights)


# What has gradients exchanged by PyTorch's engine: parts of one vector on several machines, and separate weights.
SOCKETS: dict[str, tuple[Callable[..., Replicas], str]] = {
    "parts_by_sockets": (_flat_by_sockets, "plain"),
    "apart_by_sockets": (Replicas, "plain"),
    "unreached_by_sockets": (_flat_by_sockets, "unreached"),
    "normalized_by_sockets": (Replicas, "normalized"),
}
HAS_COMMON_MEMORY = sys.platform == "linux" and hasattr(os, "memfd_create")
_EXITING = 0x4  # PF_EXITING among the flags of a task of Linux, set before whoever joins the thread goes on


def equal_case(folder: Path, name: str, **options: Any) -> Model:
    """Trains one of these; the model."""
    case = {**(EQUAL | STATISTICS)[name], **options}
    network = {key: case.pop(key) for key in ("kind", "normalization", "posterior") if key in case}
    bits = {key: case.pop(key) for key in ("free_bits", "free_bits_per") if key in case}
    case["objective"] = IWAE(num_samples=case.pop("iwae")) if "iwae" in case else ELBO(**bits)
    model, split = toy_model(network.pop("kind", "mlp"), **network), ToySplit()
    split.bad_batches = case.pop("bad", ())
    validation = case.pop("validation", None)
    run(folder, model, split=split, validation=validation and ToySplit(validation, 1), **case)
    return model


class _Signaled(ToySplit):
    """Gets a polite kill with its fourth batch."""

    def batch(self, indices, generator, rows=slice(None)):
        if self.num_batches == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().batch(indices, generator, rows)


def _outcome(action: Callable[[], Any]) -> dict[str, Any]:
    try:
        action()
    except (Exception, SystemExit) as error:
        return {"error": type(error).__name__, "message": str(error), "status": getattr(error, "exit_status", None)}
    return {}


class _Unreadable(ToySplit):
    """Images of which those behind the first 32 cannot be read."""

    def fixed(self, start, stop, seed):
        if start:
            raise DataError("image 33 is damaged")
        return super().fixed(start, stop, seed)


def evaluations(processes: Processes | None = None) -> list[dict[str, Any]]:
    """75 images, in float32 as evaluation is, by each method: all but the time that it took."""
    model, split = toy_model().float(), ToySplit(75, 2)
    shared: dict[str, Any] = {} if processes is None else {"processes": processes}
    short = Annealing(temperatures=6, leapfrog_steps=2)
    found = [importance(model, split, 300, **shared), annealed(model, split, 4, short, **shared)]
    found.append(bidirectional(model, split, 4, short, simulated=40, **shared))
    rows = [{**item.to_row(), **{name: list(map(float, v)) for name, v in item.per_image.items()}} for item in found]
    left_out = ("seconds", "predicted_seconds", "images_per_second")
    return [{key: value for key, value in row.items() if key not in left_out} for row in rows]


def _refused(source: Any, processes: Processes) -> None:
    with processes.alike(TightboundError):
        importance(toy_model(), source, 30, processes=processes)


def _compiler(processes: Processes) -> Callable[..., Any]:
    def compiler(module: torch.nn.Module, **options: Any) -> torch.nn.Module:
        if processes.is_first:
            return module
        raise RuntimeError("no compiler here")

    return compiler


def _in_common_memory(folder: Path) -> int:
    """Trains without PyTorch's engine; how often means were taken."""
    average = mock.Mock(wraps=common.CommonVectors.average)
    with (
        mock.patch.object(parallel, "DistributedDataParallel", mock.Mock(side_effect=AssertionError)),
        mock.patch.object(common.CommonVectors, "average", lambda vectors: average(vectors)),
    ):
        equal_case(folder, "plain")
    return average.call_count


def _means(processes: Processes) -> dict[str, Any]:
    """Of 2¹⁹ + 3 elements, a share of more than one piece and not the same in both, time and again."""
    found = common.common_vectors(processes, 2**19 + 3, torch.float32)
    assert found is not None
    ramp, right = torch.arange(2.0**19 + 3), list[bool]()
    for number in range(7):  # all sums are below 2²⁴
        found.own.copy_(ramp * 2 * (processes.rank + number))
        found.average()
        right.append(torch.equal(found.own, ramp * (2 * number + 1)))
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    mapped = mock.Mock(side_effect=common._mapped if processes.is_first else [None])
    with mock.patch.object(common, "_mapped", mapped):
        refused = common.common_vectors(processes, 5, torch.float64)
    return {
        "right": all(right),
        "seen_by_one": refused is None,
        "left_open": len(list(Path("/proc/self/fd").iterdir())) - open_files,
    }


def main(folder: Path, names: list[str]) -> None:
    processes = join()
    own = folder if processes.is_first else folder / f"elsewhere-{processes.rank}"
    record: dict[str, Any] = {}
    for name in names:
        if name in EQUAL:
            model = equal_case(own / name, name)
            record[name] = float(sum(value.double().sum() for value in weights(model).values()))
        elif name in STATISTICS:
            model = equal_case(own / name, name)
            record[name] = [buffer.tolist() for buffer in model.buffers()]
        elif name == "resumed":  # one process has begun it
            equal_case(own / name, "plain", resume=True)
        elif name == "begun":
            equal_case(own / name, "plain", epochs=None, steps=6)
        elif name == "begun_sharded":
            equal_case(own / name, "sharded", epochs=None, steps=6)
            equal_case(own / name, "sharded", epochs=None, steps=8, resume=True)
        elif name in ("half_compiled", "half_compiled_by_sockets"):
            # In the first process alone, which has then been through a step.
            replicas = Replicas if name == "half_compiled_by_sockets" else flat.replicas
            with (
                mock.patch.object(torch, "compile", _compiler(processes)),
                mock.patch.object(session, "replicas", replicas),
            ):
                equal_case(own / name, "free_bits", compile=True)
        elif name in SOCKETS:
            replicas, case = SOCKETS[name]
            with mock.patch.object(session, "replicas", replicas):
                model = equal_case(own / name, case)
            record[name] = [buffer.tolist() for buffer in model.buffers()]
        elif name == "means":
            record[name] = _means(processes)
        elif name == "in_common_memory":
            record[name] = _in_common_memory(own / name)
        elif name == "auto_sharded":
            objective = ELBO(free_bits=0.35)
            with mock.patch.object(compilation, "COMPILE_STEPS", 0), mock.patch.object(compilation.shutil, "which"):
                run(own / name, objective=objective, sharding="full", steps=1, epochs=None)
            record[name] = "over_processes" in vars(objective) and objective.over_processes is not ELBO.over_processes
        elif name == "signaled":
            split = _Signaled() if processes.rank == 1 else ToySplit()
            record[name] = _outcome(lambda split=split: run(own / "signaled", split=split, epochs=5000.0))
        elif name == "unequal":
            record[name] = _outcome(lambda: run(own / "unequal", batch_size=9))
        elif name == "sharded_compiled":
            record[name] = _outcome(lambda: run(own / "refused", sharding="full", compile=True))
        elif name == "captured":
            record[name] = _outcome(lambda: run(own / "refused", cuda_graph=True))
        elif name == "occupied":
            record[name] = _outcome(lambda: run(own / "plain"))
        elif name == "diverged":
            split = ToySplit()
            split.bad_batches = range(100)
            record[name] = _outcome(lambda split=split: run(own / "diverged", split=split, max_nonfinite=3))
        elif name == "evaluated":
            record[name] = evaluations(processes)
        elif name == "not_finite":
            x = ToySplit(40).fixed(0, 40, 0).double()
            x[35] = torch.nan
            record[name] = _outcome(lambda x=x: _refused(x, processes))
        elif name == "unreadable":
            record[name] = _outcome(lambda: _refused(_Unreadable(), processes))
        elif name == "different":  # each process would start elsewhere
            model = toy_model()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator_for(processes.rank, "start")))
            run(own / "different", model, steps=1, epochs=None, ema=0.9)
            record[name] = {key: value.tolist() for key, value in weights(model).items()}
    leave()
    record["threads"] = [name for name in _threads() if "gloo" in name]
    (folder / f"record-{processes.rank}.json").write_text(json.dumps(record))


def _threads() -> list[str]:
    """The names of this process's threads, none but on Linux; one that has ended runs nothing, though listed."""
    names: list[str] = []
    for task in Path("/proc/self/task").glob("*/stat"):
        with suppress(OSError):  # gone meanwhile
            name, rest = task.read_text().split("(", 1)[1].rsplit(")", 1)
            if not int(rest.split()[6]) & _EXITING:
                names.append(name)
    return names


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    main(Path(sys.argv[1]), sys.argv[2:])
