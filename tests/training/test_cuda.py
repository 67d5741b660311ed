"""What a GPU does is what the processor does; these tests run where there is one, and are skipped elsewhere."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.laws.subjects import linear_gaussian
from tests.models.test_ladder import odd_ladder
from tests.training.test_resume import _Failing, _ladder_with_dropout, _StoppedError
from tests.training.toy import IMAGE_SHAPE, ToySplit, run, toy_model, weights
from tightbound.core import Model, Step
from tightbound.evaluation import Annealing, annealed, bidirectional, importance
from tightbound.evaluation.checks import evaluating
from tightbound.numerics import Replayed
from tightbound.objectives import ELBO
from tightbound.registry import Factory
from tightbound.training import TrainingStep
from tightbound.training.compilation import ForwardBackward

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

# Not weight-normalized, as PyTorch's kernel for that takes its roots in float32 on a GPU, of float64 too.
_STEPS = Factory("flow", "iaf", {"repeat": 2, "hidden": (12,), "normalization": "none"})
IAF = Factory("posterior", "flow", {"flows": (_STEPS,)})
HAMILTONIAN = Factory("posterior", "hamiltonian", {"steps": 3})

SUBJECTS = {
    "mlp": toy_model,
    "convolutional": lambda: toy_model("convolutional", normalization="batch"),
    "flow": lambda: toy_model(posterior=IAF),
    "hamiltonian": lambda: toy_model(posterior=HAMILTONIAN, likelihood="bernoulli"),
    "ladder": lambda: odd_ladder(normalization="batch"),
}


def _gradients(model: Model) -> list[torch.Tensor]:
    return [p.grad.cpu() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", list(SUBJECTS))
def test_a_captured_step_is_the_step_of_the_processor(name: str) -> None:
    model = SUBJECTS[name]().train()
    shape = (9, 7) if name == "ladder" else IMAGE_SHAPE[1:]
    there = copy.deepcopy(model).cuda()
    warnings: list[str] = []
    eager = ForwardBackward(TrainingStep(model, ELBO()), compiled=False, warn=warnings.append)
    captured = ForwardBackward(TrainingStep(there, ELBO()), compiled=False, cuda_graph=True, warn=warnings.append)
    for count in range(3):
        x, noise = torch.rand(6, 1, *shape).round(), torch.randn(1, 6, model.noise_size)
        step = Step(torch.tensor(count), torch.tensor(count / 2))
        expected = eager(x, noise, step)
        found = captured(x.cuda(), noise.cuda(), Step(*(tensor.cuda() for tensor in step)))
        assert not warnings
        assert found.value.item() == pytest.approx(expected.value.item(), rel=1e-10)
        for a, b in zip(_gradients(model), _gradients(there), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)
        for p in [*model.parameters(), *there.parameters()]:
            p.grad = None
    assert captured.cuda_graph
    for a, b in zip(model.buffers(), there.buffers(), strict=True):
        torch.testing.assert_close(a, b.cpu())


def test_a_function_is_replayed_from_its_third_call_on_with_what_it_is_given_then() -> None:
    calls: list[int] = []

    def function(x: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        calls.append(1)
        return x * factor, x.sum(0)

    replayed, kept = Replayed(function, torch.cuda.graph_pool_handle()), []
    for count in range(6):
        x, factor = torch.randn(4, 3, device="cuda"), torch.full((), 0.5 + count, device="cuda")
        kept.append((replayed(x, factor), (x * factor, x.sum(0))))
    assert len(calls) == 4  # twice as it is, once to warm up, once recorded
    for found, expected in kept:
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b)


def test_a_function_that_waits_for_the_device_is_called_as_it_is() -> None:
    replayed = Replayed(lambda x: (x * float(x.sum()),))
    for count in range(5):
        x = torch.full((2,), 1.0 + count, device="cuda")
        assert replayed(x)[0].tolist() == [2 * (1.0 + count) ** 2] * 2


@pytest.mark.parametrize("bad", [(), (3, 4)])
def test_a_run_with_a_graph_is_one_without(tmp_path: Path, bad: tuple[int, ...]) -> None:
    found = []
    for graph in (True, False):
        model, split = toy_model("convolutional", normalization="batch"), ToySplit()
        split.bad_batches = bad
        result = run(tmp_path / str(graph), model, split=split, device="cuda", cuda_graph=graph, compile=False)
        assert result.decisions.cuda_graph is graph
        assert result.skipped_steps == len(bad)
        found.append(weights(model))
    for a, b in zip(found[0].values(), found[1].values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_a_captured_run_that_is_stopped_and_resumed_draws_the_same_masks(tmp_path: Path) -> None:
    """Dropout draws from PyTorch's own generator, which a graph reads at every replay."""
    options = {"device": "cuda", "compile": False, "checkpoint_every": 4}
    finals = {}
    for graph in (True, False):
        model = _ladder_with_dropout()
        run(tmp_path / str(graph), model, cuda_graph=graph, **options)
        finals[graph] = weights(model)
    with pytest.raises(_StoppedError):
        run(tmp_path / "cut", _ladder_with_dropout(), split=_Failing(6), **options)
    resumed = _ladder_with_dropout()
    run(tmp_path / "cut", resumed, resume=True, **options)
    for other in (weights(resumed), finals[False]):
        for a, b in zip(finals[True].values(), other.values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_the_bounds_of_a_gpu_hold_the_exact_evidence() -> None:
    model = linear_gaussian(8, side=4, widen=1.05).cuda()
    x, _ = model.simulate(64, torch.Generator("cuda").manual_seed(1))
    importance_bound = importance(model, x, 2_000)
    ratio = np.exp(importance_bound.per_image["log_likelihood"] - importance_bound.per_image["log_likelihood_exact"])
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(64)
    whole = importance_bound.per_image["log_likelihood"]
    np.testing.assert_allclose(importance(model, x, 2_000, chunk=37).per_image["log_likelihood"], whole, rtol=1e-9)
    annealing = Annealing(temperatures=60, leapfrog_steps=3)
    for estimate in (annealed(model, x, 16, annealing), bidirectional(model, x, 16, annealing)):
        ratio = np.exp(estimate.per_image["log_likelihood"] - estimate.per_image["log_likelihood_exact"])
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(64)


def test_an_evaluation_in_float32_does_not_round_what_convolutions_multiply() -> None:
    model = toy_model("convolutional").float()
    x = torch.rand(8, *IMAGE_SHAPE, dtype=torch.float32).round()
    there = copy.deepcopy(model).cuda()
    with evaluating(there):
        draw = there.draw(x.cuda(), 1, noise=torch.zeros(1, 8, model.noise_size, device="cuda", dtype=torch.float32))
    with evaluating(model):
        expected = model.draw(x, 1, noise=torch.zeros(1, 8, model.noise_size, dtype=torch.float32))
    torch.testing.assert_close(draw.log_weight.cpu(), expected.log_weight, rtol=1e-5, atol=1e-4)
