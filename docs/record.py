"""Keeps a run's evaluation as a row in docs/results: `python docs/record.py RUN "COMMAND" [COMMIT]`.

COMMIT is the one that the run was made with; without it, the checkout's own, which then has to be clean.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def record(run: Path, command: str, commit: str = "HEAD") -> Path:
    """Writes docs/results/<recipe>-seed<n>.json from the run's own files; the numbers are not touched."""
    resolved = json.loads((run / "resolved.json").read_text(encoding="utf-8"))
    evaluations = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    main = evaluations[0]
    seed = resolved["recipe"]["training"]["seed"]
    row = {
        "recipe": resolved["recipe"]["name"],
        "command": command,
        "commit": subprocess.check_output(["git", "rev-parse", commit], text=True, cwd=RESULTS.parent).strip(),
        "seed": seed,
        "machine": f"{processor()}, {os.cpu_count()} cores, {resolved['threads']} threads, {resolved['machine']}",
        "versions": resolved["versions"],
        "training": resolved["training"],
        "training_seconds": max(row["seconds"] for row in rows if "seconds" in row),
        "evaluation_seconds": main["seconds"],
        "protocol": main["protocol"],
        "value": main["log_likelihood"],
        "error": main["standard_error"],
        "sentence": main["sentence"],
        "evaluations": evaluations,
    }
    path = RESULTS / f"{row['recipe']}-seed{seed}.json"
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return path


def processor() -> str:
    """The processor's name."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    print(record(Path(sys.argv[1]), *sys.argv[2:]))
