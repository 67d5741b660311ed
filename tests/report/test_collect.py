"""Pictures are what the model gives for the stated noise, on the very pixels that were evaluated."""

from __future__ import annotations

import copy
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch

from tightbound.numerics import generator_for
from tightbound.report import Evaluation, collect_pictures
from tightbound.report.realism import nearest_distance

from .models import Images, correlated_model, small_model


def evaluated(n: int, split: str = "test") -> Evaluation:
    values = -torch.randperm(n, generator=torch.Generator().manual_seed(1)).double().numpy()
    arrays = {
        "index": np.arange(n),
        "log_likelihood": values,
        "standard_error": values / 100,
        "label": np.arange(n) + 50,
    }
    return Evaluation({"split": split, "seed": 7}, arrays)


def spread(images: Images, seed: int) -> torch.Tensor:
    """Sixteen of forty images without labels, which may be sorted by what they show."""
    return torch.cat([images.fixed(i * 40 // 16, i * 40 // 16 + 1, seed) for i in range(16)])


def test_samples_and_reconstructions_are_those_of_the_model() -> None:
    model, images = small_model(), Images(40)
    pictures = collect_pictures(model, images, seed=3)
    with torch.no_grad():
        samples, epsilon = model.simulate(64, generator_for(3, "report samples"))
        means = torch.sigmoid(model.params_at(epsilon))
        shown = spread(images, 3)
        draw = model.draw(shown, 1, generator=generator_for(3, "report reconstructions"))
        reconstructions = torch.sigmoid(draw.params[0])
    assert pictures.sample_means is not None
    assert pictures.reconstructions is not None
    assert pictures.uncertainty is not None
    np.testing.assert_allclose(pictures.samples, samples, rtol=1e-6)
    np.testing.assert_allclose(pictures.sample_means, means, rtol=1e-6)
    np.testing.assert_array_equal(pictures.originals, shown)
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
    np.testing.assert_array_equal(pictures.originals, spread(images, 7))


def test_an_evaluation_of_another_split_ranks_nothing() -> None:
    pictures = collect_pictures(small_model(), Images(40), evaluated(40, split="validation"), seed=3)
    assert pictures.best is None
    np.testing.assert_array_equal(pictures.originals, spread(Images(40), 3))


def test_distances_are_to_images_that_were_not_reconstructed() -> None:
    model, images = small_model(), Images(50)
    pictures = collect_pictures(model, images, seed=3)
    references = images.fixed(25, 50, 3).numpy()
    assert pictures.sample_means is not None
    assert pictures.sample_distance is not None
    expected = nearest_distance(pictures.sample_means, references)
    np.testing.assert_allclose(pictures.sample_distance, expected, rtol=1e-12)
    assert pictures.reconstruction_distance is not None
    assert len(pictures.reconstruction_distance) == 25
    assert collect_pictures(model, Images(31), seed=3).sample_distance is None  # too few to compare


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))


def test_latents_are_those_of_the_evaluated_pixels() -> None:
    model, images = correlated_model(), Images(40, labels=[0, 0, 1, 2, *(36 * [3])])
    pictures = collect_pictures(model, images, evaluated(40), seed=3)
    x = torch.cat([images.fixed(i, i + 1, 7) for i in (0, 2, 3, 4)])  # the first of each label, and seed 7
    with torch.no_grad():
        means = model.posterior.base(model.encode(x).features).mean
        corners = torch.sigmoid(model.params_at(means))
    assert pictures.interpolation is not None
    assert pictures.interpolation.index.tolist() == [0, 2, 3, 4]
    assert pictures.interpolation.label is not None
    assert pictures.interpolation.label.tolist() == [0, 1, 2, 3]
    assert pictures.interpolation.means.shape == (10, 10, 1, 3, 4)
    np.testing.assert_allclose(pictures.interpolation.means[[0, 0, -1, -1], [0, -1, 0, -1]], corners, atol=1e-6)
    assert pictures.encoded is not None
    np.testing.assert_array_equal(pictures.encoded.originals, images.fixed(0, 5, 7))  # five labels there are not
    assert pictures.traversal is not None
    assert pictures.traversal.held_at == "the posterior mean of test image 0"
    assert pictures.codes is not None
    assert pictures.codes.mean.shape == (40, 3)
    assert pictures.correlations is not None
    assert pictures.correlations.images == 40


def test_without_an_encoder_there_is_no_way_between_images() -> None:
    pictures = collect_pictures(small_model(encoder=None), Images(40), seed=3)
    assert pictures.interpolation is None
    assert pictures.traversal is not None


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
        elif is_dataclass(a):
            assert same(a, b), field.name
    assert model.training
    assert not model.posterior.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_without_held_out_images_still_shows_samples() -> None:
    pictures = collect_pictures(small_model(), None)
    assert pictures.samples.shape == (64, 1, 3, 4)
    assert set(np.unique(pictures.samples)) == {0.0, 1.0}
    assert pictures.originals is None
    assert pictures.encoded is pictures.codes is pictures.interpolation is None
    assert pictures.generated is not None
    assert pictures.traversal is not None
    assert pictures.traversal.held_at == "the prior's mean"
