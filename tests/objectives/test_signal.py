"""Signal and noise against K: the benchmark in little, and what its recorded run and its page say."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tightbound.objectives import IWAE

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "benchmarks" / "results" / "gradients.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    specification = importlib.util.spec_from_file_location("gradients", ROOT / "benchmarks" / "gradients.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_ratio_falls_with_k_for_iwae_alone(benchmark: ModuleType) -> None:
    """Rainforth et al. 2018: by 1/√K; Tucker et al. 2019: not for DReG. Ratios are near those of the long run."""
    rows = benchmark.measure((1, 10, 100), repeats=1000, seed=RECORDED["seed"])
    assert benchmark.slope(rows, "iwae") == pytest.approx(-0.5, abs=0.15)
    assert benchmark.slope(rows, "dreg") >= -0.1
    long = {row["samples"]: row for row in RECORDED["rows"]}
    for row in rows:
        assert row["same_mean"] < 2
        for name in ("iwae", "dreg"):
            assert row[name] == pytest.approx(long[row["samples"]][name], rel=0.1)


def test_the_recorded_run_is_as_wide_as_claimed() -> None:
    assert RECORDED["repeats"] >= 10_000
    assert [row["samples"] for row in RECORDED["rows"]][:: len(RECORDED["rows"]) - 1] == [1, 1000]
    assert RECORDED["slopes"]["iwae"] == pytest.approx(-0.5, abs=0.15)
    assert RECORDED["slopes"]["dreg"] >= -0.1
    assert all(row["same_mean"] < 2 for row in RECORDED["rows"])


def test_the_page_shows_the_recorded_run() -> None:
    text = (ROOT / "docs" / "gradients.md").read_text(encoding="utf-8").replace("−", "-")
    shown = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    assert shown == [(str(r["samples"]), f"{r['iwae']:.4f}", f"{r['dreg']:.4f}") for r in RECORDED["rows"]]
    slopes = RECORDED["slopes"]
    assert f"| slope of log ratio on log K | {slopes['iwae']:.3f} | {slopes['dreg']:.3f} |" in text


def test_the_benchmark_takes_the_gradient_of_the_mean(benchmark: ModuleType) -> None:
    """∂bound/∂b of each repeat; their mean is the gradient of the bias in the library's own backward pass."""
    model, x = benchmark.linear_gaussian(torch.Generator().manual_seed(0))
    found = benchmark.gradients(model, x, IWAE(num_samples=3), 5, torch.Generator().manual_seed(1))
    noise = torch.randn(3, 5, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    IWAE(num_samples=3)(model.draw(x.expand(5, -1, -1, -1), 3, noise=noise), benchmark.START).value.backward()
    torch.testing.assert_close(-model.posterior.moments.bias.grad[:20], found.mean(0))
