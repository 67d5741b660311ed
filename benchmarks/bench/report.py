"""The table, on the terminal and in `benchmarks/results/`, and every round as JSON."""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.bench.setting import Bench, Row, spread
from tightbound.recipes.origin import checkout, processor

HEAD = ("case", "what", "ours", "peers", "ratio", "target", "met", "of the limit")
PACKAGES = ("tightbound", "torch", "numpy", "accelerate", "pythae")


def facts_of(bench: Bench) -> dict[str, Any]:
    """Where and how it was measured."""
    name = torch.cuda.get_device_name(bench.device) if bench.on_gpu else ""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "processor": processor(),
        "device": f"{bench.device.type} {name}".strip(),
        "threads": torch.get_num_threads(),
        "precision": bench.precision,
        "compile": bench.compile,
        "rounds": bench.rounds,
        "seconds_a_round": bench.seconds,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "checkout": checkout(),
        "float32_products_in_tf32": torch.backends.cuda.matmul.allow_tf32 if bench.on_gpu else None,
        "float32_convolutions_in_tf32": torch.backends.cudnn.allow_tf32 if bench.on_gpu else None,
    }


def write(folder: Path, bench: Bench, facts: dict[str, Any], rows: Sequence[Row], failures: dict[str, str]) -> Path:
    """Both files, named by date and processor; called after each case, so that nothing measured is lost."""
    folder.mkdir(parents=True, exist_ok=True)
    name = facts["device"].removeprefix("cuda ") if bench.on_gpu else facts["processor"]
    path = folder / f"{facts['date'][:10]}-{slug(name)}.md"
    path.write_text(markdown(bench, facts, rows, failures), encoding="utf-8")
    limits = {key: vars(value) for key, value in bench.limits.items()}
    content = {**facts, "limits": limits, "failures": failures, "rows": [vars(row) for row in rows]}
    path.with_suffix(".json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def slug(name: str) -> str:
    """Letters, digits and dashes: part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def markdown(bench: Bench, facts: dict[str, Any], rows: Sequence[Row], failures: dict[str, str]) -> str:
    """The page."""
    versions = ", ".join(f"{name} {found}" for name, found in facts["versions"].items() if found)
    lines = [
        f"# Speed, {facts['date']}, {facts['device'] if bench.on_gpu else facts['processor']}",
        "",
        f"By `make bench`: {facts['processor']}; device {facts['device']}, {facts['threads']} threads, precision "
        f"{facts['precision']} where a case leaves it open; Python {facts['python']}, {versions}. Medians and, in "
        f"parentheses, quartiles of {facts['rounds']} rounds, the contenders in turn, each about "
        f"{facts['seconds_a_round']:g} s a round. Images are random. A ratio is the median over the rounds.",
        "",
        *table(rows),
        "",
        *(f"- Case {row.case}, {row.what}: {note}" for row in rows for note in row.notes),
        *(f"- Case {case} failed: {reason}" for case, reason in failures.items()),
    ]
    if bench.limits:
        lines += [
            "",
            "The machine's limits, 10⁹ operations a second:",
            "",
            "| limit | median (quartiles) |",
            "|---|---|",
        ]
        for name, rate in bench.limits.items():
            scaled = type(rate)(*(1e-9 * value for value in vars(rate).values()))
            lines.append(f"| {name} | {spread(scaled, 1)} |")
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of Markdown."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for row in rows:
        met = {True: "yes", False: "no", None: ""}[row.met]
        cells = (str(row.case), row.what, row.ours, row.peers, row.ratio, row.target, met, row.share)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
