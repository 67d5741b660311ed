"""What makes a row of ``evaluation.json`` another evaluation than another, and what its files are called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

COMMON = ("method", "split", "samples", "images", "seed", "checkpoint")
PROBE = ("train_limit", "C")
ANNEALING = ("start", "schedule", "temperatures", "leapfrog_steps", "refresh", "target_acceptance")

Row = Mapping[str, Any]


def identity(row: Row) -> dict[str, Any]:
    """The settings of a row; two rows that agree in them are one evaluation made twice.

    Of chains also how they were annealed, and on how many simulated images that was certified; of rounded network
    bodies their precision; of a probe how it was fitted.
    """
    found = {key: row.get(key) for key in COMMON}
    annealing, probe, simulated = (row.get(key) or {} for key in ("annealing", "probe", "simulated"))
    found |= {key: annealing[key] for key in ANNEALING if key in annealing}
    found |= {"precision": row["precision"]} if row.get("precision") else {}
    found |= {key: probe[key] for key in PROBE if key in probe}
    return found | ({"simulated": simulated["images"]} if "images" in simulated else {})


def file_stem(row: Row) -> str:
    """The name, without an ending, of what is kept of a row's images; rows of another identity have another."""
    settings = identity(row)
    method, split, samples, images, seed, checkpoint = (settings.pop(key) for key in COMMON)
    name = f"{method}-{split}-k{samples}-n{images}-seed{seed}-{checkpoint}"
    name += f"-{settings.pop('precision')}" if "precision" in settings else ""
    if not settings:
        return name
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=3).hexdigest()
    if "temperatures" in settings:
        name = f"{name}-t{settings['temperatures']}-{settings['schedule']}-{settings['start']}"
    return f"{name}-{digest}"
