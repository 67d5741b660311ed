"""What README and CONTRIBUTING show is run, so that it stays true."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.laws.laws import contract_by_quadrature
from tests.laws.subjects import small_images, small_vae
from tightbound import registry
from tightbound.evaluation import importance

ROOT = Path(__file__).parents[2]


def blocks(document: str) -> list[str]:
    """The Python blocks of a document."""
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


def test_ten_lines_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate that they print is the one that the evaluator makes of the same images."""
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (130, 12, 12), dtype=np.uint8)
    np.save("images.npy", images)
    (code,) = blocks("README.md")
    names: dict[str, object] = {}
    exec(code.replace("num_samples=5000", "num_samples=50").replace("epochs=30", "epochs=2"), names)
    x = torch.from_numpy(images[:100]).unsqueeze(1).float() / 255
    again = importance(names["model"], x, 50)  # pyright: ignore[reportArgumentType]
    assert names["estimate"].log_likelihood == pytest.approx(again.log_likelihood, rel=1e-6)  # pyright: ignore
    assert len(names["images"]) == 16  # pyright: ignore[reportArgumentType]


def test_the_posterior_that_contributing_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one file, recipes know it, and it keeps the contract."""
    monkeypatch.setattr(registry, "_components", dict(registry._components))
    (code,) = blocks("CONTRIBUTING.md")
    exec(code, {"__name__": "isotropic"})
    assert "isotropic" in registry.kinds("posterior")
    model = small_vae("isotropic", "standard_normal", "bernoulli", 2)
    base = model.posterior.base(model.encode(small_images("bernoulli")).features)
    assert base.scale is not None
    assert torch.equal(base.scale[:, 0], base.scale[:, 1])
    contract_by_quadrature(model, small_images("bernoulli"), points=(161, 201))
