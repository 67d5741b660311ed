"""Images for a model without its run: on the model's grid, or refused with what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import tightbound as tb
from tightbound.errors import DataError
from tightbound.recipes.facts import DataKind

SMALL = {
    "model": {"latent_dim": 2, "encoder": {"kind": "mlp", "hidden": [4]}, "decoder": {"kind": "mlp", "hidden": [4]}}
}


def built(likelihood, *, kind: DataKind = "binary", levels=1, **sections):
    model = {**SMALL["model"], "likelihood": likelihood}
    return tb.build({"model": model, **sections}, image_shape=(1, 4, 3), data_kind=kind, levels=levels)


def bernoulli():
    return built("bernoulli")


def binomial():
    return built({"kind": "binomial", "levels": 16}, kind="levels", levels=16)


def logistic():
    return built({"kind": "discretized_logistic", "levels": 16}, kind="levels", levels=16)


def gaussian():
    return built("gaussian", kind="levels", levels=255)


def pixels(largest, count=5):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, largest + 1, (count, 1, 4, 3), generator=generator, dtype=torch.uint8)
    x[0, 0, 0, 0] = largest
    return x


def value(model, x, **options):
    return tb.evaluate(model, x, num_samples=25, **options).log_likelihood


def with_nan():
    x = torch.zeros(5, 1, 4, 3)
    x[3, 0, 1, 1] = torch.nan
    return x


@pytest.mark.parametrize(
    ("make", "x", "scale"),
    [(bernoulli, pixels(1), 1), (binomial, pixels(16), 16), (logistic, pixels(16), 16), (gaussian, pixels(255), 255)],
    ids=["bernoulli", "binomial", "discretized_logistic", "gaussian"],
)
def test_every_form_of_the_same_images_gives_the_same_number(make, x, scale):
    whole = make()
    floats = x.float() / scale
    expected = value(whole, x)
    for form in (
        floats,
        floats.numpy(),
        floats.double(),
        floats[:, 0],
        x.numpy(),
        x.numpy()[:, 0],
        TensorDataset(x),
        DataLoader(TensorDataset(x), batch_size=2),
    ):
        assert value(whole.model, form) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("make", "x", "message"),
    [
        (bernoulli, pixels(255), r"expected pixels in \{0, 1\} for a Bernoulli.*gray levels 0 to 255\n.*binarize them"),
        (bernoulli, torch.full((2, 1, 4, 3), 0.3), r"expected pixels in \{0, 1\}.*floats in between\n.*gray_protocol"),
        (binomial, pixels(17), "expected gray levels 0 to 16; got 0 to 17"),
        (logistic, pixels(17), "expected gray levels 0 to 16; got 0 to 17"),
        (binomial, pixels(255).float() / 255, "expected gray levels k/16; got floats in between"),
        (binomial, np.full((2, 4, 3), 16.0), r"expected floats in \[0, 1\]; got 16 to 16"),
        (gaussian, pixels(255).float(), r"expected floats in \[0, 1\]; got 9 to 255\n.*divide by the largest"),
        (gaussian, -torch.rand(2, 1, 4, 3), r"expected floats in \[0, 1\]; got -"),
        (gaussian, with_nan(), "got NaN or infinity in image 3"),
        (gaussian, with_nan().numpy(), "got NaN or infinity in image 3"),
        (gaussian, pixels(16), "got bytes 0 to 16, and the white one is not known\n.*x / 16"),
        (gaussian, torch.zeros(2, 1, 4, 4), r"expected images of shape \(1, 4, 3\); got \(1, 4, 4\)"),
        (gaussian, torch.zeros(2, 1, 4, 3, dtype=torch.int64), "expected pixels of type uint8, bool or float"),
    ],
)
def test_what_is_off_the_grid_is_refused(make, x, message):
    with pytest.raises(DataError, match=message):
        tb.evaluate(make().model, x, num_samples=25)


def test_a_gray_protocol_is_known_or_said():
    gray = pixels(255)
    known = built("bernoulli", kind="levels", levels=255, gray_protocol=True)
    estimate = tb.evaluate(known, gray, num_samples=25)
    assert estimate.measure == "not a likelihood"
    assert value(known.model, gray, gray_protocol=True) == estimate.log_likelihood
    with pytest.raises(DataError, match=r"expected pixels in \{0, 1\}"):
        tb.evaluate(known.model, gray, num_samples=25)


def test_dark_floats_are_floats():
    x = pixels(16).float() / 255
    assert value(gaussian(), x) == pytest.approx(value(gaussian(), x.numpy().astype(np.float64)), abs=1e-6)
