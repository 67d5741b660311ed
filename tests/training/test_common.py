from __future__ import annotations

import os
import sys

import pytest
import torch

from tests.training.spread import HAS_COMMON_MEMORY
from tightbound.training import common
from tightbound.training.common import CommonVectors, _made, _mapped
from tightbound.training.processes import Processes

TOKEN = b"0123456789abcdef"


@pytest.mark.skipif(not HAS_COMMON_MEMORY, reason="memory that is in no folder is Linux's")
def test_only_the_memory_that_was_made_is_taken() -> None:
    """Not another process's of another machine, which has the same numbers, nor what is shorter, nor what is gone."""
    descriptor = _made(8, TOKEN)
    assert descriptor is not None
    place = f"/proc/{os.getpid()}/fd/{descriptor}"
    memory, again = _mapped(place, 8, TOKEN), _mapped(place, 8, TOKEN)
    assert memory is not None
    assert again is not None
    memory[:8] = b"abcdefgh"
    assert again[:8] == b"abcdefgh"
    assert _mapped(place, 8, TOKEN[::-1]) is None
    assert _mapped(place, 9, TOKEN) is None
    os.close(descriptor)
    assert _mapped(place, 8, TOKEN) is None
    assert again[:8] == b"abcdefgh"


def test_there_is_none_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "platform", "darwin")
        assert _made(8, TOKEN) is None
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert _made(8, TOKEN) is None


@pytest.mark.parametrize("elements", [1, 2, 7, 1000])
def test_each_of_three_averages_a_share_and_no_element_is_left(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other here, with nothing to wait for; pieces of 100 elements."""
    monkeypatch.setattr(common.dist, "barrier", lambda: None)
    monkeypatch.setattr(common, "_PIECE", 100)
    rows = torch.arange(3.0 * elements).view(3, elements)
    wanted = rows.mean(0).expand(3, -1).clone()
    vectors = [CommonVectors(Processes(rank, 3), rows) for rank in range(3)]
    for vector in vectors:
        vector.average()
    assert torch.equal(rows, wanted)
    assert all(torch.equal(vector.own, wanted[0]) for vector in vectors)
