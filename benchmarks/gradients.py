"""Signal and noise of gradients by K: `python benchmarks/gradients.py [--out FILE.json]`, some minutes on one thread.

The model of Rainforth et al. 2018 that Tucker et al. 2019 use too: z ~ N(μ, I) and x ~ N(z, I) of 20 units, and
q(z | x) = N(A x + b, 2/3 I). An image is drawn at μ ~ N(0, I), the bound is best at A = I/2 and b = μ/2, and all
parameters are moved off that by N(0, 0.01²). Measured are the library's own draws and objectives, for one image and
every K in as many repeats as are asked for: the gradient of the bound with respect to the 20 means of q(z | x), of
which that of b and A is a multiple, entry by entry.

The ratio is |mean| / standard deviation over repeats, averaged over entries. Means are those of DReG: IWAE has the same
(``same_mean`` says how nearly, in standard errors), and its own would be lost in its noise where K is large.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tightbound.core import Objective, Step
from tightbound.models import VAE
from tightbound.objectives import IWAE, DReG
from tightbound.registry import Factory

UNITS = 20
SAMPLES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
START = Step(torch.tensor(0.0), torch.tensor(0.0))
_PAIRS_AT_ONCE = 200_000


def linear_gaussian(generator: torch.Generator, moved: float = 0.01) -> tuple[VAE, Tensor]:
    """The model, moved off its optimum, and one image (1, 1, 4, 5) drawn from it; float64."""
    affine = {"hidden": ()}
    model = VAE(
        (1, 4, 5),
        latent_dim=UNITS,
        encoder=Factory("encoder", "mlp", affine),
        prior=Factory("prior", "learned_diagonal"),
        decoder=Factory("decoder", "mlp", affine),
        likelihood=Factory("likelihood", "gaussian", {"scale": 1.0, "learned": False}),
    ).double()

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    mean = normal(UNITS)
    x = (mean + math.sqrt(2) * normal(UNITS)).view(1, 1, 4, 5)
    identity = torch.eye(UNITS, dtype=torch.float64)
    prior, moments, decoder = model.prior, model.posterior.moments, model.decoder.output  # pyright: ignore
    with torch.no_grad():
        prior.mean.copy_(mean + moved * normal(UNITS))  # pyright: ignore
        decoder.weight.copy_(identity)  # pyright: ignore
        decoder.bias.zero_()  # pyright: ignore
        moments.weight.zero_()  # pyright: ignore
        moments.weight[:UNITS] = identity / 2 + moved * normal(UNITS, UNITS)  # pyright: ignore
        moments.bias[:UNITS] = mean / 2 + moved * normal(UNITS)  # pyright: ignore
        moments.bias[UNITS:] = 0.5 * math.log(2 / 3)  # pyright: ignore  (its soft bounds are far off)
    return model, x


def gradients(model: VAE, x: Tensor, objective: Objective, repeats: int, generator: torch.Generator) -> Tensor:
    """(repeats, 20), of the bound with respect to the means of q."""
    found, rows = [], max(1, _PAIRS_AT_ONCE // objective.num_samples)
    seen: list[Tensor] = []
    hook = model.posterior.moments.register_forward_hook(lambda module, given, output: seen.append(output))  # pyright: ignore
    for start in range(0, repeats, rows):
        count = min(rows, repeats - start)
        noise = torch.randn(objective.num_samples, count, UNITS, generator=generator, dtype=torch.float64)
        images = x.expand(count, -1, -1, -1)
        draw = model.draw(images, objective.num_samples, noise=noise, stop_density=objective.stop_density)
        (slope,) = torch.autograd.grad(-count * objective(draw, START).value, seen.pop())
        found.append(slope[:, :UNITS])
    hook.remove()
    return torch.cat(found)


def measure(samples: tuple[int, ...] = SAMPLES, repeats: int = 10_000, seed: int = 0) -> list[dict[str, float]]:
    """A row for every K: the ratios of IWAE and DReG, and how far their means are apart in standard errors (rms)."""
    generator = torch.Generator().manual_seed(seed)
    model, x = linear_gaussian(generator)
    rows = []
    for k in samples:
        found = {o: gradients(model, x, o(num_samples=k), repeats, generator) for o in (IWAE, DReG)}
        means, spreads = ({o: f(g) for o, g in found.items()} for f in (lambda g: g.mean(0), lambda g: g.std(0)))
        apart = (means[IWAE] - means[DReG]) / ((spreads[IWAE].square() + spreads[DReG].square()) / repeats).sqrt()
        row = {name: (means[DReG].abs() / spreads[o]).mean().item() for name, o in (("iwae", IWAE), ("dreg", DReG))}
        rows.append({"samples": k, **row, "same_mean": apart.square().mean().sqrt().item()})
    return rows


def slope(rows: list[dict[str, float]], name: str) -> float:
    """Of log ratio on log K, by least squares."""
    log_k, log_ratio = (torch.tensor([row[key] for row in rows]).double().log() for key in ("samples", name))
    centered = log_k - log_k.mean()
    return float((centered * log_ratio).sum() / centered.square().sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    rows = measure(repeats=given.repeats, seed=given.seed)
    for row in rows:
        print(
            f"K = {row['samples']:5}  IWAE {row['iwae']:.4f}  DReG {row['dreg']:.4f}  apart {row['same_mean']:.2f} s.e."
        )
    slopes = {name: slope(rows, name) for name in ("iwae", "dreg")}
    print(f"slope of log ratio on log K: IWAE {slopes['iwae']:.3f}, DReG {slopes['dreg']:.3f}")
    if given.out is not None:
        facts: dict[str, Any] = {"torch": torch.__version__, "repeats": given.repeats, "seed": given.seed}
        facts["seconds"] = round(time.perf_counter() - started, 1)
        given.out.write_text(json.dumps({**facts, "slopes": slopes, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
