from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.training.toy import run
from tightbound.errors import RunError
from tightbound.training import run_lock


def test_a_second_run_in_one_folder_is_refused(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(RunError, match=f"{tmp_path} is in use: process {os.getpid()} is training"):
        run(tmp_path)
    run(tmp_path)  # released


def test_a_lock_file_that_was_left_behind_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("999999\n")
    with run_lock(tmp_path):
        assert (tmp_path / "run.lock").read_text() == f"{os.getpid()}\n"
