"""Evaluations in less than float32: asked for, said, and what they are of."""

from __future__ import annotations

import numpy as np
import torch

from tightbound.evaluation import importance
from tightbound.recipes.evaluate import evaluate_run, open_images, read_method
from tightbound.recipes.result_row import find_evaluation
from tightbound.training import autocast

METHOD = {"method": "importance", "samples": 30, "limit": 12}


def test_bf16_bodies_are_evaluated_where_that_is_asked_and_the_row_says_so(copied):
    full, rounded = (evaluate_run(copied, read_method(METHOD | more)) for more in ({}, {"precision": "bf16"}))
    difference = rounded.per_image["log_likelihood"] - full.per_image["log_likelihood"]
    assert np.any(difference != 0)
    assert np.abs(difference).max() < 0.2  # of about -30 nats
    assert (full.precision, rounded.precision) == (None, "bf16")
    assert rounded.protocol == f"{full.protocol}, network bodies in bf16"
    copied.add_evaluation(full)
    copied.add_evaluation(rounded)
    kept = [row["precision"] for row in copied.evaluations() if row["images"] == 12]
    assert kept == [None, "bf16"]
    for more, row in (({}, None), ({"precision": "bf16"}, "bf16")):
        found = find_evaluation(copied, read_method(METHOD | more))
        assert found is not None
        assert found["precision"] == row


def test_what_is_evaluated_in_bf16_is_the_model_so_rounded_and_it_is_left_as_it_was(trained):
    model, images = trained.model(), open_images(trained)
    rounded = read_method(METHOD | {"precision": "bf16"})()(model, images)
    assert {module.autocast_dtype for module in model.modules() if hasattr(module, "autocast_dtype")} == {None}
    with autocast(model, torch.bfloat16):
        expected = importance(model, images, 30, limit=12)
    assert rounded.log_likelihood == expected.log_likelihood
    assert rounded.elbo == expected.elbo
