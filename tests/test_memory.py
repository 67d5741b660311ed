"""What is freed during training and evaluation stays with the process, counted in page faults and in memory held."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from tests.training.toy import ToySplit, run, toy_model
from tightbound import memory
from tightbound.evaluation import checks, importance
from tightbound.memory import memory_kept
from tightbound.training import loop

SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")

only_glibc = pytest.mark.skipif(memory._glibc() is None, reason="another C library, or settings in the environment")


def fewest_faults() -> int:
    """Page faults of 256 MiB that are written and freed again and again, in the best of some turns."""
    counted = []
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**26)
        counted.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(counted)


def held() -> float:
    """MiB that the process holds."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def compare() -> None:
    """A block that glibc maps anew each time: before, inside and after."""
    outside, before = fewest_faults(), held()
    with memory_kept("cpu"):
        inside, kept = fewest_faults(), held()
    assert outside >= 128  # pages of 2 MiB; of 4 KiB it is 65,536
    assert inside * 10 < outside
    assert kept > before + 200
    assert held() < before + 50


@only_glibc
def test_freed_memory_is_kept_inside_and_given_back_after() -> None:
    """In a process of its own, whose heap has nothing else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    code = f"from {__name__} import compare; compare()"
    ended = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What mallopt is called with from now on."""
    calls: list[tuple[int, int]] = []

    class Library:
        """glibc, as far as it is called."""

        mallopt: Callable[..., Any] = staticmethod(lambda *given: calls.append(given) or 1)
        malloc_trim: Callable[..., Any] = staticmethod(lambda pad: 1)

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Library)
    monkeypatch.setattr(memory.os, "confstr", lambda name: "glibc 2.36", raising=False)
    for name in os.environ:
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)
    return calls


@pytest.mark.parametrize(
    ("device", "name", "used"),
    [("cpu", "UNRELATED", True), ("cuda", "UNRELATED", False), ("cpu", "MALLOC_TRIM_THRESHOLD_", False)],
)
def test_when_it_is_set(device: str, name: str, used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on a GPU, and not where the environment says how memory is to be had."""
    calls = called(monkeypatch)
    monkeypatch.setenv(name, "1")
    with memory_kept(device):
        assert calls == ([(-3, 2**30), (-1, -1)] if used else [])
    assert calls[2:] == ([(-3, 2**25), (-1, 2**26)] if used else [])


@pytest.mark.parametrize("error", [OSError(22, "Invalid argument"), ValueError("unrecognized configuration name")])
def test_another_c_library_is_left_alone(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """musl knows the name of glibc's version, and has none."""
    calls = called(monkeypatch)

    def confstr(name: str) -> str:
        raise error

    monkeypatch.setattr(memory.os, "confstr", confstr, raising=False)
    with memory_kept("cpu"):
        pass
    assert calls == []


def test_inside_of_itself_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an evaluation within training: its end must not be the training's."""
    calls = called(monkeypatch)
    with memory_kept("cpu"):
        with memory_kept("cpu"):
            pass
        assert len(calls) == 2
    assert len(calls) == 4
    with memory_kept("cpu"):
        assert len(calls) == 6


def test_training_and_evaluation_keep_memory(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []
    for module in (loop, checks):
        monkeypatch.setattr(module, "memory_kept", lambda device: devices.append(device) or nullcontext())
    model = toy_model()
    run(tmp_path, model, validation=ToySplit(9, 1))
    assert devices == ["cpu"]
    importance(model, torch.rand(2, *model.image_shape), 2)
    assert devices == ["cpu", "cpu"]
