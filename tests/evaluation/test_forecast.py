"""How long annealing will take: arithmetic on a clock of the test's own; no test here waits for a real one."""

from __future__ import annotations

import time

import pytest
import torch

from tests.laws.subjects import small_images, small_vae
from tightbound.errors import RecipeError
from tightbound.evaluation import Annealing, Forecast, annealed, bidirectional
from tightbound.evaluation.chunks import tiles
from tightbound.evaluation.forecast import foresee, roughly
from tightbound.evaluation.shares import Alone, longest_share, most_images
from tightbound.evaluation.source import Images
from tightbound.models import Ladder

PILOT = 32 * 4 * (32 + 4 * 63)  # transitions of all its chains


class _Clock:
    """A second passes for every chain of every image that a decoder sees, and some for each call."""

    def __init__(self, model, monkeypatch: pytest.MonkeyPatch, *, of_a_call: int = 0) -> None:
        self.now, self.calls, self.of_a_call = 0.0, [], of_a_call
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        model.decoder.register_forward_hook(lambda *call: self.tick(len(call[2])))

    def tick(self, rows: int) -> None:
        self.now += rows + self.of_a_call
        self.calls.append(rows)


class _Several(Alone):
    """The first of several processes, of which the others never come."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size


@pytest.fixture
def model():
    return small_vae("diagonal", "standard_normal", "bernoulli", 2)


def test_the_time_is_that_of_all_gradients() -> None:
    """T − 2 transitions of L gradients and one to begin, for 5 forward chains of 10 images; then of 4 both ways."""
    forecast = Forecast(10, 5, Annealing(temperatures=22, leapfrog_steps=3), 0.01)
    assert forecast.gradients == 10 * 5 * (1 + 20 * 3) + 128 + PILOT * 3
    assert forecast.seconds == pytest.approx(0.01 * forecast.gradients)
    both = Forecast(10, 5, Annealing(temperatures=22, leapfrog_steps=3), 0.01, simulated=4)
    assert both.gradients - forecast.gradients == 2 * 4 * 5 * (1 + 20 * 3)
    assert Forecast(10, 5, Annealing(temperatures=2), 1.0).gradients == 50 + 128 + PILOT * 10


@pytest.mark.parametrize(("chunk", "calls"), [(1000, [15] * 6 + [128] * 6), (7, [6] * 6), (2, [2] * 6)])
def test_one_transition_is_timed_of_as_many_chains_as_go_together(model, monkeypatch, chunk, calls) -> None:
    """3 images of 5 chains: a beginning, a transition of one step to warm up, and one of 4 steps, which takes the time.

    Of the pilot's 32 images of 4 chains the same, as more than twice as many go together. With a chunk of 7 two chains
    of each image go together, with one of 2 one chain of two images.
    """
    clock = _Clock(model, monkeypatch)
    images = Images(model, small_images("bernoulli", 3), 0)
    with torch.no_grad():
        forecast = foresee(model, images, 5, Annealing(10, 4), seed=0, chunk=chunk)
    assert clock.calls == calls
    assert forecast.seconds_per_gradient == pytest.approx(1.0)


def test_what_is_predicted_is_kept_beside_what_it_took(model, monkeypatch) -> None:
    """The clock knows gradients only, so that prediction and truth differ by what else the decoder did."""
    clock, said = _Clock(model, monkeypatch), []
    x = small_images("bernoulli", 3)
    estimate = annealed(model, x, 5, Annealing(12, 2), chunk=1000, say=said.append)
    timing, pilot_images = (15 + 128) * (1 + 1 + 2), 32
    assert estimate.predicted_seconds == pytest.approx(15 * (1 + 10 * 2) + 128 + PILOT * 2)
    assert estimate.seconds == sum(clock.calls) == pytest.approx(estimate.predicted_seconds + timing + pilot_images)
    assert said == ["annealing 3 images × 5 chains × 12 temperatures × 2 leapfrog steps: about 20 h 19 min"]
    assert estimate.to_row()["predicted_seconds"] == estimate.predicted_seconds
    both = bidirectional(model, x, 5, Annealing(12, 2), chunk=1000, simulated=4, say=said.append)
    assert both.predicted_seconds == pytest.approx(estimate.predicted_seconds + 2 * 20 * (1 + 10 * 2))
    assert said[1].startswith("annealing 3 images (and 4 simulated, both ways) × 5 chains × 12 temperatures")


def test_calls_that_cost_more_than_their_chains_are_foreseen(model, monkeypatch) -> None:
    """A pilot of many chains a call is not foreseen as so many calls of a few."""
    clock, x = _Clock(model, monkeypatch, of_a_call=1000), small_images("bernoulli", 1)
    estimate = annealed(model, x, 2, Annealing(12, 2), chunk=1000, most_hours=None)
    assert estimate.predicted_seconds is not None
    timing, pilot_images = (2 + 128 + 2 * 1000) * (1 + 1 + 2), 32 + 1000
    assert estimate.seconds == clock.now
    assert clock.now == pytest.approx(estimate.predicted_seconds + timing + pilot_images)


def test_a_ladder_of_ten_thousand_latents_tells_its_time_and_is_refused() -> None:
    """By a real clock: whatever machine this is, 20 images of 16 chains and 100,000 temperatures are days."""
    options = {"latent_channels": (8, 8), "downsample": (0, 1), "initial_downscale": False, "branch_scale": 0.2}
    model = Ladder((1, 32, 32), channels=4, blocks=1, **options).eval()  # pyright: ignore[reportArgumentType]
    assert model.noise_size == 8 * 32 * 32 + 8 * 16 * 16 == 10_240
    x = torch.rand(20, 1, 32, 32).round()
    with pytest.raises(RecipeError, match=r"most_hours: 20 images .* would take about .*; expected at most 1 h"):
        bidirectional(model, x, 16, Annealing(100_000, 10), simulated=20, most_hours=1)


def test_what_would_take_too_long_is_refused_before_the_pilot(model, monkeypatch) -> None:
    clock = _Clock(model, monkeypatch)
    with pytest.raises(RecipeError) as refused:
        annealed(model, small_images("bernoulli", 3), 5, Annealing(12, 2), chunk=1000, most_hours=20)
    work = "3 images × 5 chains × 12 temperatures × 2 leapfrog steps"
    assert refused.value.message == f"most_hours: {work} would take about 20 h 19 min; expected at most 20 h"
    assert refused.value.hint == (
        "the pilot alone takes about 20 h 14 min: lower leapfrog_steps; or allow more with most_hours (null for any "
        "time)"
    )
    assert sum(clock.calls) == (15 + 128) * (1 + 1 + 2)
    forecast = Forecast(100, 16, Annealing(), 0.1, simulated=9)
    with pytest.raises(RecipeError, match="would take about") as refused:
        forecast.check(24)
    assert refused.value.hint == (
        "lower limit (images), samples (chains), temperatures, simulated or leapfrog_steps; or allow more with "
        "most_hours (null for any time)"
    )
    assert Forecast(1, 1, Annealing(leapfrog_steps=1), 1.0).work == (
        "1 image × 1 chain × 500 temperatures × 1 leapfrog step"
    )
    shared = Forecast(100, 16, Annealing(12, 2), 0.1, processes=4)
    assert shared.work == "100 images × 16 chains × 12 temperatures × 2 leapfrog steps in 4 processes"
    forecast.check(None)
    forecast.check(forecast.seconds / 3600)


@pytest.mark.parametrize(("world_size", "one_by_one"), [(1, 100 + 2 * 40), (2, 64 + 2 * 32), (8, 32 + 2 * 32)])
def test_processes_wait_for_the_largest_tile_of_each_turn(model, world_size: int, one_by_one: int) -> None:
    """100 images are tiles of 32, 32, 32 and 4; 40 simulated ones, both ways, of 32 and 8. More processes have none."""
    images = Images(model, small_images("bernoulli", 100), 0)
    shared = {"simulated": 40, "processes": _Several(world_size)}
    with torch.no_grad():
        forecast = foresee(model, images, 5, Annealing(12, 2), seed=0, chunk=1000, **shared)
    gradients = one_by_one * 5 * (1 + 10 * 2) + 128 + PILOT * 2
    assert forecast.seconds == pytest.approx(gradients * forecast.seconds_per_gradient)
    assert forecast.gradients == (100 + 2 * 40) * 5 * (1 + 10 * 2) + 128 + PILOT * 2


@pytest.mark.parametrize(
    ("device", "world_size", "num_images", "most", "longest"),
    [
        ("cpu", 16, 512, 32, 32),
        ("cpu", 16, 513, 64, 64),
        ("cpu", 8, 513, 64, 64 + 1),
        ("cpu", 16, 1100, 96, 96),
        ("cpu", 16, 10_000, 640, 640),
        ("cpu", 1, 10_000, 640, 10_000),
        ("cuda", 8, 10_000, 1280, 1280),
        ("cuda", 8, 300, 64, 64),
    ],
)
def test_as_many_processes_as_tiles_are_meant_for_have_one_turn(device, world_size, num_images, most, longest) -> None:
    several = _Several(world_size)
    assert most_images(num_images, torch.device(device), several) == most
    assert longest_share(several, tiles(num_images, 1, 10_000, most)) == longest


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "1 s"),
        (99, "99 s"),
        (100, "2 min"),
        (59.4 * 60, "59 min"),
        (59.6 * 60, "1 h"),
        (12000, "3 h 20 min"),
        (47.99 * 3600, "47 h 59 min"),
        (124 * 3600, "5 days 4 h"),
        (48 * 3600, "2 days"),
    ],
)
def test_times_in_words(seconds: float, expected: str) -> None:
    assert roughly(seconds) == expected
