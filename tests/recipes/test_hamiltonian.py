"""A run with a Hamiltonian posterior: trained, evaluated in every way, reported, and shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tiny import TINY
from tightbound import api
from tightbound.commands.trajectory import write_trajectories

GIVEN = {"dims": None, "steps": 9, "split": None, "data": None, "checkpoint": "last", "seed": 0, "device": "cpu"}
POSTERIOR = "model.posterior={kind: hamiltonian, steps: 3, step_size: 0.1, flows: [{kind: iaf, hidden: [16]}]}"


def test_a_run_of_digits(tmp_path):
    """Importance sampling and annealing from the prior agree on log p(x)."""
    torch.set_default_dtype(torch.float32)
    chains = "leapfrog_steps: 3, limit: 4, temperatures: 60"
    rows = [
        "{method: importance, samples: 500, limit: 4}",
        f"{{method: annealed, samples: 8, {chains}}}",
        f"{{method: bidirectional, samples: 2, {chains}}}",
    ]
    options = [*TINY, POSTERIOR, f"evaluation=[{', '.join(rows)}]"]
    run = api.train("digits-vae", out=tmp_path / "run", overrides=options, quiet=True)
    importance, annealed, bidirectional = run.evaluations()
    error = np.hypot(annealed["standard_error"], importance["standard_error"])
    assert annealed["log_likelihood"] == pytest.approx(importance["log_likelihood"], abs=4 * error)
    assert bidirectional["simulated_upper"] > bidirectional["simulated_lower"] - 0.2
    assert importance["elbo"] < importance["log_likelihood"]
    page = (run.folder / "report.html").read_text()
    assert "a Hamiltonian posterior of 3 leapfrog steps" in page
    assert "What the leapfrog makes of the posterior" in page
    write_trajectories(run.folder, tmp_path / "walk.npz", images="4,2", **GIVEN)
    with np.load(tmp_path / "walk.npz") as file:
        assert file["epsilon"].shape == (2, 5, 3)  # z_0 to z_3, and after the flow
        np.testing.assert_allclose(file["step_size"], run.model().posterior.step_sizes.detach(), rtol=1e-6)


def test_a_dry_run_says_what_it_could_not_measure(capsys, tmp_path, monkeypatch):
    from tightbound.commands.dry_run import dry_run

    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    dry_run("digits-vae", [*TINY, POSTERIOR])
    assert "in all, activations, which were not measured, and PyTorch apart" in capsys.readouterr().out
