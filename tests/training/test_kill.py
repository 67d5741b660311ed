from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_test.py"


def test_twenty_kills_change_no_bit() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 kills" in done.stdout
    assert "each equals the straight one" in done.stdout
