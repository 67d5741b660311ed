"""Pictures are what the model gives for the stated noise, on the very pixels that were evaluated."""

from __future__ import annotations

import copy
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from tightbound.models import VAE
from tightbound.numerics import generator_for
from tightbound.registry import Factory
from tightbound.report import Evaluation, collect_pictures
from tightbound.report.realism import nearest_distance


class Images:
    """Images whose noise tells the seed: pixel (0, 0) is it."""

    def __init__(self, n: int) -> None:
        self.pixels = torch.rand(n, 1, 3, 4, generator=torch.Generator().manual_seed(0)).round()

    def __len__(self) -> int:
        return len(self.pixels)

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        x = self.pixels[start:stop].clone()
        x[:, :, 0, 0] = float(seed == 7)
        return x


def small_model() -> VAE:
    hidden = {"hidden": (5,)}
    return VAE(
        (1, 3, 4), latent_dim=2, encoder=Factory("encoder", "mlp", hidden), decoder=Factory("decoder", "mlp", hidden)
    )


def evaluated(n: int, split: str = "test") -> Evaluation:
    values = -torch.randperm(n, generator=torch.Generator().manual_seed(1)).double().numpy()
    arrays = {
        "index": np.arange(n),
        "log_likelihood": values,
        "standard_error": values / 100,
        "label": np.arange(n) + 50,
    }
    return Evaluation({"split": split, "seed": 7}, arrays)


def test_samples_and_reconstructions_are_those_of_the_model() -> None:
    model, images = small_model(), Images(40)
    pictures = collect_pictures(model, images, seed=3)
    with torch.no_grad():
        samples, epsilon = model.simulate(64, generator_for(3, "report samples"))
        means = torch.sigmoid(model.params_at(epsilon))
        draw = model.draw(images.fixed(0, 16, 3), 1, generator=generator_for(3, "report reconstructions"))
        reconstructions = torch.sigmoid(draw.params[0])
    np.testing.assert_allclose(pictures.samples, samples, rtol=1e-6)
    np.testing.assert_allclose(pictures.sample_means, means, rtol=1e-6)
    np.testing.assert_array_equal(pictures.originals, images.fixed(0, 16, 3))
    np.testing.assert_allclose(pictures.reconstructions, reconstructions, rtol=1e-6)
    deviation = (reconstructions * (1 - reconstructions)).sqrt()
    np.testing.assert_allclose(pictures.uncertainty, deviation, rtol=1e-6)
    assert pictures.best is None


def test_a_model_in_double_precision() -> None:
    """Images are float32: they are given to the model in its own precision."""
    torch.set_default_dtype(torch.float32)
    model, images = small_model(), Images(40)
    single, double = (collect_pictures(m, images, seed=3) for m in (model, copy.deepcopy(model).double()))
    assert double.reconstructions is not None
    assert double.reconstructions.dtype == np.float32
    assert double.reconstruction_distance is not None
    np.testing.assert_array_equal(double.originals, single.originals)


def test_best_and_worst_are_the_evaluated_pixels_in_order() -> None:
    images = Images(40)
    evaluation = evaluated(40)
    pictures = collect_pictures(small_model(), images, evaluation, seed=3)
    assert pictures.best is not None
    assert pictures.worst is not None
    np.testing.assert_array_equal(pictures.best.log_likelihood, -np.arange(8))
    np.testing.assert_array_equal(pictures.worst.log_likelihood, np.arange(-39, -31))
    assert evaluation.per_image is not None
    expected = [int(np.flatnonzero(evaluation.per_image["log_likelihood"] == -i)[0]) for i in range(8)]
    assert pictures.best.index.tolist() == expected
    assert pictures.best.label is not None
    assert pictures.best.label.tolist() == [i + 50 for i in expected]
    rows = torch.cat([images.fixed(i, i + 1, 7) for i in expected])  # seed 7 is the evaluation's
    np.testing.assert_array_equal(pictures.best.images, rows)
    np.testing.assert_array_equal(pictures.originals, images.fixed(0, 16, 7))


def test_an_evaluation_of_another_split_ranks_nothing() -> None:
    pictures = collect_pictures(small_model(), Images(40), evaluated(40, split="validation"), seed=3)
    assert pictures.best is None
    np.testing.assert_array_equal(pictures.originals, Images(40).fixed(0, 16, 3))


def test_distances_are_to_images_that_were_not_reconstructed() -> None:
    model, images = small_model(), Images(50)
    pictures = collect_pictures(model, images, seed=3)
    references = images.fixed(25, 50, 3).numpy()
    assert pictures.sample_means is not None
    expected = nearest_distance(pictures.sample_means, references)
    np.testing.assert_allclose(pictures.sample_distance, expected, rtol=1e-12)
    assert pictures.reconstruction_distance is not None
    assert len(pictures.reconstruction_distance) == 25
    assert collect_pictures(model, Images(31), seed=3).sample_distance is None  # too few to compare


def test_collecting_twice_gives_the_same_and_changes_nothing() -> None:
    model, images, evaluation = small_model(), Images(40), evaluated(40)
    model.train()
    model.posterior.eval()
    state = torch.random.get_rng_state()
    first, second = (collect_pictures(model, images, evaluation, seed=3) for _ in range(2))
    for field in fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
    assert model.training
    assert not model.posterior.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_without_held_out_images_still_shows_samples() -> None:
    pictures = collect_pictures(small_model(), None)
    assert pictures.samples.shape == (64, 1, 3, 4)
    assert set(np.unique(pictures.samples)) == {0.0, 1.0}
    assert pictures.originals is None
