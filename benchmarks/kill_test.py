"""Kills training with SIGKILL at random moments, resumes it, and compares it bit for bit with a run left alone.

    python benchmarks/kill_test.py --kills 200

A small convolutional model in channels_last with a fused optimizer, moving average, schedule and validation saves a
checkpoint every few steps. Whenever a run reaches its end, its weights, best weights and metrics are compared with
those of the straight run and a new run begins, until all kills are spent. Exit status 1 on any difference.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CLOCKED = ("seconds", "images_per_second")


def session(folder: str, steps: int) -> None:
    """One process: begins or resumes the run."""
    import torch
    from tests.training.toy import ToySplit, run, toy_model

    from tightbound.registry import Factory

    torch.set_num_threads(1)
    run(
        Path(folder),
        toy_model("convolutional"),
        validation=ToySplit(11, 1),
        resume=True,
        epochs=None,
        steps=steps,
        precision="float32",
        ema=0.99,
        schedule=Factory("schedule", "cosine", {"warm_up_steps": 10}),
        log_every=10,
        validate_every=4.0,
        checkpoint_every=7,
    )


def newest(folder: Path) -> int:
    """The step of the newest checkpoint, -1 without one."""
    from tightbound.training.checkpoint import saved_steps

    return max(saved_steps(folder), default=-1)


def outcome(folder: Path) -> dict[str, Any]:
    """All that a run leaves behind, but for the clock."""
    from tightbound.training.checkpoint import load

    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    files = sorted(p for p in folder.rglob("*") if p.is_file() and ".safetensors" in p.name)
    tensors = {str(path.relative_to(folder)): load(path).tensors for path in files}
    return {
        "rows": [{key: value for key, value in row.items() if key not in CLOCKED} for row in rows],
        "tensors": {
            f"{file} {name}": (value.dtype, value.tolist()) for file in tensors for name, value in tensors[file].items()
        },
    }


def kill_test(kills: int, steps: int, seed: int, root: Path) -> bool:
    """Whether every run that was killed and resumed equals the straight one."""
    context = multiprocessing.get_context("forkserver")  # PyTorch is loaded once, each session is a fork of that
    os.environ["PYTHONPATH"] = str(ROOT)  # the server looks there for what it loads
    context.set_forkserver_preload(["torch", "accelerate", "torch._dynamo", "tests.training.toy"])
    chance = random.Random(seed)

    def start(folder: Path) -> BaseProcess:
        process = context.Process(target=session, args=(str(folder), steps))
        process.start()
        return process

    start(root / "warm").join()
    began = time.monotonic()
    straight = start(root / "straight")
    straight.join()
    length = time.monotonic() - began
    expected = outcome(root / "straight")
    print(f"the straight run took {length:.2f} s for {steps} steps", flush=True)

    done = runs = advanced = while_saving = 0
    while done < kills:
        folder, finished = root / f"run-{runs}", False
        while not finished:
            before = newest(folder)
            process = start(folder)
            if done < kills:
                process.join(chance.uniform(0, 0.7 * length))
            else:
                process.join()
            finished = process.exitcode == 0
            if process.exitcode is None:
                process.kill()
                process.join()
                done += process.exitcode == -signal.SIGKILL
                finished = process.exitcode == 0
                advanced += newest(folder) > before
                while_saving += any(folder.rglob("*.tmp"))
            elif not finished:
                print(f"a session failed with exit status {process.exitcode}")
                return False
        runs += 1
        found = outcome(folder)
        for part in expected:
            if found[part] != expected[part]:
                print(f"run {runs} after {done} kills: its {part} differ from those of the straight run")
                return False
        shutil.rmtree(folder)
    print(
        f"{done} kills ({advanced} of sessions that had saved a checkpoint, {while_saving} in the middle of a file), "
        f"{runs} runs: each equals the straight one"
    )
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--steps", type=int, default=120, help="length of one run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        return 0 if kill_test(options.kills, options.steps, options.seed, Path(root)) else 1


if __name__ == "__main__":
    sys.exit(main())
