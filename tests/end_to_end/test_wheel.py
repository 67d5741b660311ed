"""The wheel holds all it needs: recipes, templates, commands; run from it, outside the repository."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tightbound.report.formatting import with_error

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sources and installed into an empty folder."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


def run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, "-m", "tightbound", *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_recipes_are_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    listed = run(installed, tmp_path, "recipes")
    assert listed.returncode == 0, listed.stderr
    shipped = sorted(path.stem for path in (ROOT / "src/tightbound/recipes").glob("*.yaml"))
    assert shipped == [name for name in shipped if re.search(rf"\b{name}\b", listed.stdout)]
    assert (installed / "tightbound" / "py.typed").exists()
    assert (installed / "bin" / "tightbound").exists()


def test_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """It prints the numbers that it keeps; log p(x) lies above the ELBO and in the range that this model reaches.

    The annealed bound is another estimate of the same: they agree within their errors and what the gap leaves open.
    """
    where = "import tightbound; print(tightbound.__file__)"
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    found = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert Path(found.stdout.strip()).is_relative_to(installed)

    demo = run(installed, tmp_path, "demo", "--out", "demo")
    assert demo.returncode == 0, demo.stderr
    report = tmp_path / "demo" / "report.html"
    assert str(Path("demo") / "report.html") in demo.stdout.splitlines()[-1]
    row, annealed = json.loads((tmp_path / "demo" / "evaluation.json").read_text())
    for found in (row, annealed):
        assert f"{with_error(found['log_likelihood'], found['standard_error'])} nats per image" in demo.stdout
    gap = with_error(annealed["simulated_gap"], annealed["simulated_gap_error"])
    assert f"Gap, simulated images  {gap} nats per image" in demo.stdout
    errors = math.hypot(row["standard_error"], annealed["standard_error"], annealed["simulated_gap_error"])
    left = max(annealed["simulated_gap"], 0) + 4 * errors
    assert abs(annealed["log_likelihood"] - row["log_likelihood"]) < left
    assert -26 < row["elbo"] < row["log_likelihood"] < -21
    assert row["images"] == 300
    page = report.read_text(encoding="utf-8")
    assert "<svg" in page
    assert "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", page)
