"""The linear probe: against features known by construction, against chance, and what it refuses."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from tests.laws.ladders import small_ladder
from tightbound.core import Model
from tightbound.errors import DataError, RecipeError
from tightbound.evaluation import linear_probe
from tightbound.evaluation import probe as module
from tightbound.evaluation.classifier import binomial_error, classify, most_frequent
from tightbound.evaluation.codes import encode_images
from tightbound.evaluation.probe import by_layer, check_size
from tightbound.evaluation.result import Estimate
from tightbound.evaluation.source import Images
from tightbound.models import VAE
from tightbound.registry import Factory


class Labeled:
    """Images with labels, without pixel noise."""

    def __init__(self, x: Tensor, labels: Tensor | None) -> None:
        self.x, self.labels = x, labels

    def __len__(self) -> int:
        return len(self.x)

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        return self.x[start:stop]


WEIGHT = torch.tensor([[1.0, -1.0, 0.5, 0.0, 2.0, 0.0], [0.0, 1.0, 1.0, -2.0, 0.0, 0.3]], dtype=torch.float64)


def linear_encoder() -> Model:
    """Posterior means W x of 6 pixels, W above."""
    affine = {"hidden": ()}
    coders = {"encoder": Factory("encoder", "mlp", affine), "decoder": Factory("decoder", "mlp", affine)}
    likelihood = Factory("likelihood", "gaussian", {"scale": 1.0, "learned": False})
    model = VAE((1, 2, 3), latent_dim=2, likelihood=likelihood, **coders)
    with torch.no_grad():
        model.posterior.moments.bias.zero_()
        model.posterior.moments.weight[:2] = WEIGHT
        means = model.posterior.base(model.encode(torch.eye(6).reshape(6, 1, 2, 3)).features).mean
    torch.testing.assert_close(means, WEIGHT.T)
    return model


def _images(count: int, seed: int) -> Tensor:
    return torch.rand(count, 1, 2, 3, generator=torch.Generator().manual_seed(seed))


def test_accuracy_is_that_of_a_regression_fitted_directly_to_the_known_means() -> None:
    """The label is which of three directions W x points to most: linearly separable, up to what is learned."""
    model, train, test = linear_encoder(), _images(300, 1), _images(200, 2)
    directions = torch.tensor([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])
    known = [x.flatten(1) @ WEIGHT.T for x in (train, test)]
    center = known[0].mean(0)
    labels = [((features - center) @ directions.T).argmax(1) for features in known]
    probed = linear_probe(model, Labeled(train, labels[0]), Labeled(test, labels[1]), C=10.0)
    scaler = StandardScaler().fit(known[0].numpy())
    fitted = LogisticRegression(C=10.0, max_iter=1000).fit(scaler.transform(known[0].numpy()), labels[0].numpy())
    expected = fitted.score(scaler.transform(known[1].numpy()), labels[1].numpy())
    assert 0.9 < expected < 1
    assert probed.accuracy == expected
    assert probed.accuracy_error == math.sqrt(expected * (1 - expected) / 200)
    assert probed.accuracy == (probed.per_image["predicted"] == probed.per_image["label"]).mean()
    assert [row["layer"] for row in probed.layers] == [1]
    assert {"train_images": 300, "classes": 3, "features": 2, "mean_samples": 0}.items() <= probed.probe.items()
    assert probed.sentence == (
        "labels read off 2 latents (posterior means in closed form) by logistic regression, fitted to 300 training "
        "images"
    )


def test_labels_at_random_are_found_at_chance() -> None:
    model, generator = linear_encoder(), torch.Generator().manual_seed(5)
    train, test = (
        Labeled(_images(count, seed), torch.randint(4, (count,), generator=generator))
        for count, seed in ((800, 1), (2000, 2))
    )
    probed = linear_probe(model, train, test)
    assert abs(probed.accuracy - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)
    assert test.labels is not None
    assert train.labels is not None
    most = int(train.labels.bincount().argmax())
    assert probed.majority_accuracy == pytest.approx(float((test.labels == most).double().mean()))


def test_the_layers_of_a_ladder_are_probed_from_the_bottom_up_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each on the means of K draws, which ``test_codes`` holds to the draws themselves."""
    model, x = small_ladder(3), torch.rand(70, 1, 2, 2)
    labels = torch.arange(70) % 3
    seen: list[tuple[np.ndarray, ...]] = []

    def recording(*given: np.ndarray, C: float):
        seen.append(given)
        return classify(*given, C=C)

    monkeypatch.setattr(module, "classify", recording)
    probed = linear_probe(model, Labeled(x[:40], labels[:40]), Labeled(x[40:], labels[40:]), 5, seed=3)
    for at, part, purpose in ((0, x[:40], "probe, training"), (2, x[40:], "probe, scored")):
        means = encode_images(model, Images(model, part, 3), mean_samples=5, seed=3, purpose=purpose).means
        for call, mean in zip(seen, reversed(means), strict=False):
            np.testing.assert_allclose(call[at], mean.numpy(), rtol=1e-10)
        np.testing.assert_allclose(seen[3][at], np.concatenate([mean.numpy() for mean in reversed(means)], 1))
    assert [(row["layer"], row["features"]) for row in probed.layers] == [(1, 1), (2, 1), (3, 1), ("all", 3)]
    assert probed.accuracy == probed.layers[-1]["accuracy"]
    assert probed.probe["mean_samples"] == 5
    assert "3 latents of 3 layers (means over 5 posterior samples)" in probed.sentence


def test_layer_one_is_the_last_group() -> None:
    top, bottom = torch.zeros(2, 1), torch.ones(2, 4)
    layers = by_layer((top, bottom))
    assert {name: features.shape[1] for name, features in layers.items()} == {1: 4, 2: 1, "all": 5}
    np.testing.assert_array_equal(layers["all"], [[1, 1, 1, 1, 0]] * 2)


def test_training_images_are_a_choice_by_the_seed_from_the_whole_set() -> None:
    """Sorted by class, as in many folders: the first 40 would be of one class."""
    x = torch.arange(400.0).reshape(400, 1, 1, 1).expand(-1, 1, 2, 3) / 400
    source = Labeled(x, torch.arange(400) // 100)
    first, again, other = (module._Chosen(source, 40, seed) for seed in (0, 0, 1))
    assert first._rows == again._rows == sorted(set(first._rows)) != other._rows
    assert first.labels is not None
    assert first.labels.unique().tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(first.fixed(3, 9, 0), x[first._rows[3:9]])
    torch.testing.assert_close(module._Chosen(source, None, 0).fixed(0, 400, 0), x)
    assert linear_probe(linear_encoder(), source, source, train_limit=40).probe["train_images"] == 40


@pytest.mark.parametrize(("fraction", "count", "expected"), [(0.5, 100, 0.05), (0.9, 900, 0.01), (1.0, 7, 0.0)])
def test_the_standard_error_is_the_binomial_one(fraction: float, count: int, expected: float) -> None:
    assert binomial_error(fraction, count) == pytest.approx(expected)


def test_a_constant_feature_and_a_class_that_is_new_cost_nothing_but_their_images() -> None:
    x = np.stack([np.repeat([-1.0, 1.0], 20), np.full(40, 0.1)], axis=1)
    y = np.repeat([4, 9], 20)
    score = classify(x, y, np.array([[-1.0, 0.1], [1.0, 0.1], [1.0, 0.1], [2.0, 0.1]]), np.array([4, 9, 9, 5]))
    assert score.predicted.tolist() == [4, 9, 9, 9]
    assert (score.accuracy, score.converged) == (0.75, True)
    assert most_frequent(np.array([3, 1, 1, 3, 2])) == 1


def test_a_fit_that_does_not_converge_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.evaluation.classifier.MOST_ITERATIONS", 1)
    source = Labeled(_images(50, 1), torch.arange(50) % 5)
    probed = linear_probe(linear_encoder(), source, source, C=1e6)
    assert (probed.layers[0]["converged"], probed.layers[0]["iterations"]) == (False, 1)
    assert "the fit did not converge" in probed.sentence


def test_a_row_has_the_keys_of_log_p_and_they_are_null() -> None:
    source = Labeled(_images(50, 1), torch.arange(50) % 5)
    row = linear_probe(linear_encoder(), source, source, limit=30).to_row()
    assert json.loads(json.dumps(row)) == row
    own = ("method", "images", "samples", "seed", "seconds", "device")
    names = [name for name in Estimate.__dataclass_fields__ if name not in (*own, "per_image")]
    assert [row[name] for name in names] == [None] * len(names)
    assert (row["method"], row["images"], row["probe"]["train_images"]) == ("probe", 30, 50)
    assert {"accuracy", "accuracy_error", "majority_accuracy", "layers"} < set(row)


def test_what_cannot_be_probed_is_refused() -> None:
    model, x = linear_encoder(), _images(10, 1)
    labeled = Labeled(x, torch.arange(10) % 2)
    with pytest.raises(
        DataError, match=r"expected a label for every image.*; the training images have none"
    ) as refused:
        linear_probe(model, x, labeled)
    assert refused.value.exit_status == 3
    with pytest.raises(DataError, match="the images to evaluate have none"):
        linear_probe(model, labeled, Labeled(x, None))
    with pytest.raises(DataError, match="two classes at least; all have the label 7"):
        linear_probe(model, Labeled(x, torch.full((10,), 7)), labeled)
    with pytest.raises(RecipeError, match="C: got 0; expected a number above 0"):
        linear_probe(model, labeled, labeled, C=0)
    check_size(50_000, 10_000)
    with pytest.raises(RecipeError, match=r"100,000 features each take 7\.5 GiB; expected at most 4") as refused:
        check_size(100_000, 10_000)
    assert refused.value.hint == "use train_limit=5368"
