"""Findings: what a careful reader would notice in the numbers, in plain words, each computed by one function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tightbound.report.curves import series
from tightbound.report.formatting import count, fixed, percent, plural
from tightbound.report.layer_names import layer_name
from tightbound.report.pictures import Pictures
from tightbound.report.realism import fraction_farther
from tightbound.report.run_folder import Row, Run, of_group
from tightbound.report.tables import is_likelihood, quantity
from tightbound.report.weights import PARETO_LIMIT

COLLAPSED = 0.5  # of a group's units unused: a warning; fewer: a note
UNEVEN = 0.05  # of the images with k̂ > 0.7: a warning; fewer: a note
FARTHER = 0.8  # of (sample, reconstruction) pairs; 0.5 is no difference, 0.05 the standard error for 64 of each
GAP = 0.05  # of |validation ELBO|, and at least GAP_NATS
GAP_NATS = 2.0
FEWEST_IMAGES = 100  # fewer say little of a variance over images
CARRIED = 0.1  # nats an inactive unit: above it, its KL contradicts that it carries nothing
STILL_RISING = 0.5  # nats over the last step of the K curve
_NAMED_LAYERS = 6  # in one sentence
_AGAINST_COLLAPSE = "Try a KL warm-up or free bits (objective.warm_up, objective.free_bits), or fewer latent units."


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Args:
        kind: its short name, for scripts and tests.
        level: a warning puts a number or a picture in doubt; a note only explains.
        text: what was found, with the numbers.
        advice: what to do about it.
    """

    kind: str
    level: Literal["warning", "note"]
    text: str
    advice: str = ""


def findings(run: Run, pictures: Pictures | None) -> list[Finding]:
    """All findings of a run, warnings first."""
    row = run.row
    found = [
        not_a_likelihood(row),
        density(row),
        *(collapsed_units(row) if run.amortized else []),
        samples_far_off(pictures),
        uneven_weights(row),
        still_rising(row),
        overfitting(run.metrics),
        past_best(run.metrics),
        skipped_steps(run.metrics),
    ]
    known = [finding for finding in found if finding is not None]
    return sorted(known, key=lambda finding: finding.level != "warning")


def not_a_likelihood(row: Row) -> Finding | None:
    """The published protocol scores gray levels with a Bernoulli: no number here is a likelihood."""
    if is_likelihood(row):
        return None
    return Finding(
        "not_a_likelihood",
        "warning",
        "The numbers of this run are not likelihoods: gray levels are scored with a distribution of binary pixels.",
        "Compare them only with numbers of the same published protocol.",
    )


def density(row: Row) -> Finding | None:
    """A continuous density has units: it can exceed one, and says nothing beside a probability."""
    if row.get("measure") != "density":
        return None
    if row.get("dequantized"):
        return Finding(
            "density",
            "note",
            "log p(x) is a density of dequantized pixels (integers plus uniform noise): it can be positive. "
            "Its bits per dimension bound those of the integers from above.",
            "Compare bits per dimension, not nats, with models of the integers.",
        )
    return Finding(
        "density",
        "note",
        "log p(x) is a density of pixels in 0 to 1, not a probability: it can be positive.",
        "Compare it only with densities of the same data on the same scale. Its bits per dimension include that scale, "
        "but are no code length.",
    )


def collapsed_units(row: Row) -> list[Finding]:
    """Latent units that no image uses, where enough images were looked at and their KL agrees."""
    if (row.get("images") or 0) < FEWEST_IMAGES:
        return []
    layers = list(enumerate(zip(row.get("active_units") or [], row.get("units") or [], strict=False)))
    unused = {
        index: (size - used, size)
        for index, (used, size) in layers
        if used is not None and used < size and _kl_of_inactive(row, index, used, size) <= CARRIED * (size - used)
    }
    if not unused:
        return []
    if len(layers) == 1:
        return [_collapsed(*unused[0])]
    total = sum(size for _, (_, size) in layers)
    return [_collapsed_of_layers({index + 1: of for index, of in unused.items()}, len(layers), total)]


def _kl_of_inactive(row: Row, index: int, used: int, size: int) -> float:
    """KL of a group's inactive units, nats; infinite if some of an unsplit KL may be theirs, 0 if none is recorded."""
    kl, mask = (of_group(row, key, index) for key in ("kl_units", "active_mask"))
    if not kl or any(value is None for value in kl):
        return 0.0
    if len(kl) != size:
        return sum(kl) if used == 0 else np.inf
    if mask is None or len(mask) != size:
        return sum(sorted(kl)[: size - used])
    return sum(value for value, active in zip(kl, mask, strict=True) if not active)


def _collapsed(unused: int, size: int) -> Finding:
    text = f"{count(unused)} of {plural(size, 'latent unit')} {_carry(unused)}."
    if unused == size:
        text = f"All {plural(size, 'latent unit')} have collapsed: the decoder ignores them."
    if unused / size < COLLAPSED:
        return Finding("collapsed_units", "note", text)
    return Finding("collapsed_units", "warning", text, _AGAINST_COLLAPSE)


def _carry(units: int) -> str:
    return "carries nothing: no image moves it" if units == 1 else "carry nothing: no image moves them"


def _collapsed_of_layers(unused: dict[int, tuple[int, int]], layers: int, total: int) -> Finding:
    """One finding for all layers; that a whole layer is unused is a warning, whatever the others do.

    Args:
        unused: layer -> its unused units, and all of its units; of layers with any.
        layers: L.
        total: units of all layers.
    """
    units = sum(number for number, _ in unused.values())
    collapsed = sorted(layer for layer, (number, size) in unused.items() if number == size)
    parts = sorted(((number, layer, size) for layer, (number, size) in unused.items() if number < size), reverse=True)
    words = [f"all of layer {layer_name(layer, layers)}" for layer in collapsed]
    words += [f"{count(number)} of {count(size)} of layer {layer_name(layer, layers)}" for number, layer, size in parts]
    more = [] if len(words) <= _NAMED_LAYERS else [f"and of {plural(len(words) - _NAMED_LAYERS, 'other layer')}"]
    text = (
        f"{count(units)} of {plural(total, 'latent unit')} {_carry(units)}: {', '.join(words[:_NAMED_LAYERS] + more)}."
    )
    if not collapsed and units / total < COLLAPSED:
        return Finding("collapsed_units", "note", text)
    return Finding("collapsed_units", "warning", text, _AGAINST_COLLAPSE)


def samples_far_off(pictures: Pictures | None) -> Finding | None:
    """Samples are much farther from held-out images than reconstructions are; ``realism`` says how it is measured."""
    if pictures is None or pictures.sample_distance is None or pictures.reconstruction_distance is None:
        return None
    farther = fraction_farther(pictures.sample_distance, pictures.reconstruction_distance)
    if farther <= FARTHER:
        return None
    samples, reconstructions = (
        float(np.median(d)) for d in (pictures.sample_distance, pictures.reconstruction_distance)
    )
    return Finding(
        "samples_far_off",
        "warning",
        f"Samples fall far below reconstructions: in {percent(farther)} of comparisons a sample is farther from its "
        f"nearest held-out image than a reconstruction is (50 % would be no difference; median distance "
        f"{fixed(samples, 3)} against {fixed(reconstructions, 3)}, pixels in 0 to 1).",
        "The prior puts much of its mass where no real image is encoded. A learned prior, fewer latent units or a "
        "better posterior bring the two together.",
    )


def uneven_weights(row: Row) -> Finding | None:
    """Images whose importance weights have too heavy a tail."""
    fraction = row.get("pareto_k_over_0_7")
    if not fraction:
        return None
    images = row.get("images_k_over_0_7")
    if images is None:
        images = round(fraction * row.get("images", 0))
    text = (
        f"In {count(images)} of {plural(row.get('images', 0), 'image')} ({percent(fraction)}) the importance weights "
        f"are too uneven to trust (k̂ > {PARETO_LIMIT}): {quantity(row)} of these images is likely larger than stated, "
        "and its error unknown."
    )
    if fraction <= UNEVEN:
        return Finding("uneven_weights", "note", text)
    return Finding("uneven_weights", "warning", text, "Evaluate with more samples, or use a more flexible posterior.")


def still_rising(row: Row) -> Finding | None:
    """The bound has not settled at the largest K."""
    curve = row.get("curve") or []
    if len(curve) < 2:
        return None
    (before, low), (last, high) = curve[-2], curve[-1]
    if low is None or high is None or not high - low > STILL_RISING:
        return None
    text = f"The bound still rose by {fixed(high - low)} nats from K = {count(before)} to K = {count(last)}."
    return Finding("still_rising", "note", text, f"The true {quantity(row)} lies above it; evaluate with more samples.")


def overfitting(metrics: Sequence[Row]) -> Finding | None:
    """The last training ELBO is well above the last validation ELBO."""
    (_, train), (_, validation) = (series(metrics, split, "elbo") for split in ("train", "validation"))
    if not len(train) or not len(validation):
        return None
    gap = float(train[-1] - validation[-1])
    if gap <= max(GAP_NATS, GAP * abs(validation[-1])):
        return None
    text = (
        f"The ELBO of training images ({fixed(train[-1])} nats, training mode) is {fixed(gap)} nats above that of "
        f"validation images ({fixed(validation[-1])} nats): the model has learned its training images by heart in part."
    )
    return Finding("overfitting", "warning", text, "Use more data, weight decay, a smaller network or early stopping.")


def past_best(metrics: Sequence[Row]) -> Finding | None:
    """The validation ELBO ended below its best by more than a hundredth of it (and half a nat)."""
    epochs, validation = series(metrics, "validation", "elbo")
    if len(validation) < 2:
        return None
    best = int(validation.argmax())
    fall = float(validation[best] - validation[-1])
    if fall <= max(0.5, 0.01 * abs(validation[best])):
        return None
    text = f"The validation ELBO fell by {fixed(fall)} nats after its best, at epoch {epochs[best]:g}."
    return Finding("past_best", "note", text, "The best weights are in checkpoints/best.safetensors.")


def skipped_steps(metrics: Sequence[Row]) -> Finding | None:
    """Steps whose loss or gradient was not finite; metrics count them from the start."""
    skipped = max((int(row.get("skipped_steps") or 0) for row in metrics), default=0)
    if not skipped:
        return None
    text = f"{plural(skipped, 'training step')} had a loss or gradient that was not finite and left the weights alone."
    return Finding("skipped_steps", "warning", text, "Lower the learning rate or clip gradients (training.clip_norm).")
