"""What is freed during training stays with the process, counted in page faults."""

from __future__ import annotations

import os
import resource

import pytest
import torch

from tightbound.training.memory import memory_kept

pytestmark = pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}), reason="the C library is not glibc"
)


def faults_of_a_block() -> int:
    """Page faults of 64 MiB that were asked for, written and freed once before."""
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_freed_memory_is_kept_inside_and_given_back_after() -> None:
    """64 MiB are 16,384 pages, or 32 where the system gives 2 MiB at a time."""
    outside = faults_of_a_block()
    with memory_kept("cpu"):
        inside = faults_of_a_block()
    assert outside >= 32
    assert inside * 10 < outside
    assert faults_of_a_block() >= 32


@pytest.mark.parametrize(("device", "name"), [("cuda", "UNRELATED"), ("cpu", "MALLOC_TRIM_THRESHOLD_")])
def test_left_alone(device: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, and where the environment says how memory is to be had."""
    monkeypatch.setenv(name, "1")
    with memory_kept(device):
        assert faults_of_a_block() >= 32
