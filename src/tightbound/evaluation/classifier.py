"""A linear classifier on fixed features: multinomial logistic regression, and how often it is right."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np

MOST_ITERATIONS = 1000


@dataclass(frozen=True, eq=False)
class Score:
    """What a classifier made of images that it was not fitted to.

    Args:
        predicted: (n) classes.
        accuracy: fraction of the n images in which they are the labels.
        error: its binomial standard error, √(a (1 − a) / n).
        iterations: of the fit.
        converged: whether the fit came to its end within ``MOST_ITERATIONS``.
    """

    predicted: np.ndarray
    accuracy: float
    error: float
    iterations: int
    converged: bool


def classify(
    train: np.ndarray, train_labels: np.ndarray, features: np.ndarray, labels: np.ndarray, *, C: float = 1.0
) -> Score:
    """Fits to the training features and scores on the others, in float64.

    Every feature is first shifted and scaled to mean 0 and variance 1 over the training images; one that is constant
    there is only shifted. The fit minimizes C Σ −log softmax(W x + b)[label] + ‖W‖²/2 by L-BFGS.

    Args:
        train: (m, D).
        train_labels: (m), two classes at least.
        features: (n, D).
        labels: (n); a class that no training image has is never predicted.
        C: inverse strength of the penalty.
    """
    from sklearn.exceptions import ConvergenceWarning  # lazy: it takes longer to load than the rest together
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train.astype(np.float64))
    classifier = LogisticRegression(C=C, max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.fit(scaler.transform(train.astype(np.float64)), train_labels)
    converged = not any(issubclass(item.category, ConvergenceWarning) for item in caught)
    predicted = np.asarray(classifier.predict(scaler.transform(features.astype(np.float64))))
    accuracy = float((predicted == labels).mean())
    error = binomial_error(accuracy, len(labels))
    return Score(predicted, accuracy, error, int(np.max(classifier.n_iter_)), converged)


def binomial_error(fraction: float, count: int) -> float:
    """√(p (1 − p) / n), the standard error of a fraction p of n independent images."""
    return math.sqrt(fraction * (1 - fraction) / count)


def most_frequent(labels: np.ndarray) -> int:
    """The class of most images; of several, the smallest."""
    classes, counts = np.unique(labels, return_counts=True)
    return int(classes[counts.argmax()])
