"""A run folder made of chosen numbers, and pictures made of chosen pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tightbound.report import Evaluation, Pictures, RankedImages, Run
from tightbound.report.pictures import Codes, Correlations, Interpolation, Pipeline, Traversal

ROW: dict[str, Any] = {
    "method": "importance",
    "split": "test",
    "images": 4,
    "samples": 5000,
    "elbo": -101.25,
    "log_likelihood": -97.3125,
    "standard_error": 0.0214,
    "standard_error_images": 0.25,
    "interval": [-97.354, -97.271],
    "bits_per_dim": 0.17907,
    "ess_median": 41.3,
    "pareto_k_over_0_7": 0.0,
    "images_k_over_0_7": 0,
    "exact": None,
    "curve": [[1, -101.25], [10, -98.9], [100, -97.8], [1000, -97.4], [5000, -97.3125]],
    "reconstruction_rmse": 0.1834,
    "rate": 25.5,
    "distortion": 75.75,
    "units": [4],
    "active_units": [4],
    "kl_units": [[3.0, 0.5, 12.0, 10.0]],
    "is_likelihood": True,
    "measure": "probability",
    "sentence": "lower bound on log p(x), K = 5000; the weights are even enough to trust in all 4 images",
    "seed": 7,
    "checkpoint": "best",
    "device": "cpu",
    "seconds": 75.0,
    "images_per_second": 133.0,
}
PER_IMAGE = {
    "index": np.arange(4),
    "elbo": np.array([-60.0, -110.0, -90.0, -145.0]),
    "log_likelihood": np.array([-57.0, -106.25, -86.0, -140.0]),
    "standard_error": np.array([0.02, 0.03, 0.04, 0.05]),
    "ess": np.array([100.0, 40.0, 42.6, 3.0]),
    "pareto_k": np.array([0.2, 0.4, 0.5, 0.69]),
    "label": np.array([1, 7, 4, 8]),
}
RECIPE = "name: mnist-mlp\ndata: {name: mnist}\npublished: [{source: 'https://example.org/<paper>'}]\n"
RESOLVED = {
    "recipe": {
        "name": "mnist-mlp",
        "data": {"name": "mnist"},
        "model": {"kind": "vae", "latent_dim": 4, "likelihood": {"kind": "bernoulli"}},
    },
    "parameters": 1_076_000,
    "measure": "probability",
    "versions": {"torch": "2.13.0"},
    "threads": 2,
    "precision": None,
    "machine": "Linux x86_64",
}


def metrics(
    train: Sequence[float] = (-140.0, -104.0, -101.0),
    validation: Sequence[float] = (-120.0, -104.5, -102.0),
    **last: Any,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for epoch, elbo in enumerate(train, start=1):
        row = {"step": 100 * epoch, "epoch": epoch, "split": "train", "mode": "training", "elbo": elbo, "kl": 24.0}
        rows.append({**row, "images_per_second": 1000.0 * epoch, "skipped_steps": 0})
    for epoch, elbo in enumerate(validation, start=1):
        rows.append({"step": 100 * epoch, "epoch": epoch, "split": "validation", "elbo": elbo, "kl": 25.0})
    rows[-1].update(last)
    return rows


def run(row: dict[str, Any] | None = None, lines: list[dict[str, Any]] | None = None) -> Run:
    """A run in memory; ``row`` changes the usual evaluation."""
    evaluation = Evaluation({**ROW, **(row or {})}, PER_IMAGE)
    return Run(Path("somewhere"), RECIPE, RESOLVED, tuple(metrics() if lines is None else lines), (evaluation,))


def write_run(folder: Path, *, evaluated: bool = True, validated: bool = True) -> Path:
    """A run folder on disk."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "resolved.json").write_text(json.dumps(RESOLVED))
    lines = metrics() if validated else metrics(validation=[])
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if evaluated:
        (folder / "evaluation.json").write_text(json.dumps([ROW]))
        (folder / "evaluation").mkdir()
        np.savez(folder / "evaluation" / "importance-test.npz", **PER_IMAGE)  # pyright: ignore[reportArgumentType]
    return folder


def pictures(channels: int = 1, height: int = 8, width: int = 6) -> Pictures:
    """Random pixels, always the same."""
    random = np.random.default_rng(0)

    def images(n: int) -> np.ndarray:
        return random.random((n, channels, height, width)).astype(np.float32)

    def ranked(index: list[int]) -> RankedImages:
        chosen = {name: PER_IMAGE[name][index] for name in ("log_likelihood", "standard_error", "pareto_k", "label")}
        return RankedImages(images(len(index)), np.array(index), **chosen)

    shape = (channels, height, width)
    z = random.normal(size=(5, 4))
    moments = {"prior_mean": np.zeros(4), "prior_std": np.ones(4), "units": np.arange(4), "groups": (4,)}
    correlations = np.array([[1.0, -0.42, 0.1], [-0.42, 1.0, 0.2], [0.1, 0.2, 1.0]])
    return Pictures(
        images(64),
        images(64),
        images(11),
        images(11),
        images(11) / 2,
        ranked([0, 2]),
        ranked([3, 1]),
        encoded=Pipeline(z, images(5), images(5) / 2, **moments, originals=images(5), z_std=0.1 + np.abs(z)),
        generated=Pipeline(-z, images(5), images(5) / 4, **moments, samples=images(5).round()),
        interpolation=Interpolation(
            random.random((3, 3, *shape)), images(4), np.array([3, 7, 12, 40]), np.array([1, 2, 3, 4])
        ),
        traversal=Traversal(random.random((2, 7, *shape)), np.array([3, 1]), "sorted by KL, largest first", "0"),
        codes=Codes(random.normal(size=(60, 4)), np.arange(60) % 10),
        correlations=Correlations(np.abs(correlations), correlations, 11),
    )
