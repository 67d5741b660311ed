from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.toy import ToySplit, run, toy_model, weights
from tightbound.core import Loss, Step
from tightbound.errors import RecipeError
from tightbound.training import compilation
from tightbound.training.compilation import COMPILE_STEPS, ForwardBackward, resolve_compile, resolve_cuda_graph

ROOT = Path(__file__).parents[2]


def test_auto_compiles_long_runs_where_there_is_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert resolve_compile("auto", "cpu", COMPILE_STEPS)[0] is True
    compiled, note = resolve_compile("auto", "cpu", COMPILE_STEPS - 1)
    assert (compiled, "too few to repay it" in note) == (False, True)
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    compiled, note = resolve_compile("auto", "cpu", COMPILE_STEPS)
    assert (compiled, "no compiler was found" in note) == (False, True)
    assert "from 3,000 on" in resolve_compile("auto", "cuda", 2_999)[1]
    assert "from 100,000 on" in resolve_compile("auto", "cuda", 99_999, replayed=True)[1]  # little is left to save
    assert resolve_compile(True, "cpu", 1) == (True, "compile: on, as asked")
    assert resolve_compile(False, "cpu", COMPILE_STEPS) == (False, "compile: off, as asked")


def test_a_missing_compiler_costs_one_warning_and_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eager, fallen = toy_model(), toy_model()
    run(tmp_path / "eager", eager, compile=False)

    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nlong trace")

    monkeypatch.setattr(torch, "compile", lambda module, **options: broken)
    result = run(tmp_path / "fallen", fallen, compile=True)
    warnings = [line for line in (tmp_path / "fallen" / "log.txt").read_text().splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "compilation failed, training goes on without it: InvalidCxxCompiler: No working C++ compiler" in warnings[0]
    assert result.decisions.compile is False
    assert all(torch.equal(a, b) for a, b in zip(weights(eager).values(), weights(fallen).values(), strict=True))


class NormalizedSum(torch.nn.Module):
    """A training step with batch statistics: the sum of a batch norm's output."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(1, momentum=0.1)

    def forward(self, x: torch.Tensor, noise: torch.Tensor, step: Step) -> Loss:
        return Loss(self.norm(x).sum(), {})


def test_a_compilation_that_fails_late_counts_no_batch_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    module, warnings = NormalizedSum(), []

    def fails_after_the_backward_pass(*args: Any) -> None:
        module(*args).value.backward()
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", lambda module, **options: fails_after_the_backward_pass)
    forward_backward = ForwardBackward(module, compiled=True, warn=warnings.append)
    x = torch.tensor([[1.0], [3.0]])  # mean 2, variance 2
    forward_backward(x, x, Step(torch.tensor(0), torch.tensor(0.0)))
    assert len(warnings) == 1
    assert module.norm.num_batches_tracked == 1
    assert module.norm.running_mean.item() == pytest.approx(0.1 * 2, rel=1e-14)
    assert module.norm.running_var.item() == pytest.approx(0.9 + 0.1 * 2, rel=1e-14)
    assert module.norm.bias.grad.item() == 2.0  # one for each of two images


def test_a_graph_that_cannot_be_captured_costs_one_warning_and_no_batch() -> None:
    """As on a processor, which has no such graphs: the step is taken once, with its own gradients."""
    module, warnings = NormalizedSum(), []
    forward_backward = ForwardBackward(module, compiled=False, cuda_graph=True, warn=warnings.append)
    x = torch.tensor([[1.0], [3.0]])  # mean 2, variance 2
    forward_backward(x, x, Step(torch.tensor(0), torch.tensor(0.0)))
    assert len(warnings) == 1
    assert "the capture of a CUDA graph failed, training goes on without it" in warnings[0]
    assert forward_backward.cuda_graph is False
    assert module.norm.num_batches_tracked == 1
    assert module.norm.running_mean.item() == pytest.approx(0.1 * 2, rel=1e-14)
    assert module.norm.bias.grad.item() == 2.0


def test_graphs_are_for_gpus() -> None:
    assert resolve_cuda_graph("auto", "cuda") is resolve_cuda_graph(True, "cuda") is True
    assert resolve_cuda_graph(False, "cuda") is resolve_cuda_graph("auto", "cpu") is False
    with pytest.raises(RecipeError, match=r"training\.cuda_graph: got true; the device is cpu"):
        resolve_cuda_graph(True, "cpu")


def compare_compiled_with_eager(folder: Path) -> None:
    """A compiled run against an eager one, in a process whose functions are not wrapped by the type checker."""
    torch.set_default_dtype(torch.float64)
    rows = {}
    for compiled in (False, True):
        torch.manual_seed(0)
        result = run(folder / str(compiled), toy_model(), validation=ToySplit(9, 1), compile=compiled, log_every=1)
        assert result.decisions.compile is compiled
        lines = (folder / str(compiled) / "metrics.jsonl").read_text().splitlines()
        rows[compiled] = [json.loads(line)["elbo"] for line in lines]
    assert rows[True] == pytest.approx(rows[False], rel=1e-10)
    # Validation switches to eval mode and back in between: no step may compile anew for it.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a processor needs a C++ compiler")
def test_a_compiled_run_follows_the_eager_one_with_one_compilation(tmp_path: Path) -> None:
    code = f"from tests.training.{Path(__file__).stem} import *; compare_compiled_with_eager(Path({str(tmp_path)!r}))"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
