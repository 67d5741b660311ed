from __future__ import annotations

import pytest

from tightbound.data import DataSettings
from tightbound.errors import RecipeError
from tightbound.registry import read_options


def test_every_setting_follows_the_registry_rule() -> None:
    options = read_options(DataSettings)
    assert list(options) == [
        *("name", "binarize", "dequantize", "validation", "train_limit", "train_split"),
        *("size", "resize", "color", "levels", "skip_bad", "partial", "seed"),
    ]
    assert options["validation"].optional
    assert not options["seed"].optional


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"binarize": "dynamik"},
            r"data\.binarize: expected one of auto, .*; got 'dynamik'\n  hint: did you mean 'dynamic'",
        ),
        ({"dequantize": "gauss"}, r"data\.dequantize: expected one of none, uniform; got 'gauss'"),
        ({"train_split": "valid"}, r"data\.train_split: expected one of train, test; got 'valid'"),
        ({"resize": "pad"}, r"data\.resize: expected one of crop, stretch; got 'pad'"),
        ({"color": "grey"}, r"data\.color: expected one of auto, rgb, gray; got 'grey'"),
        ({"validation": -1}, r"data\.validation: expected 0 or more; got -1"),
        ({"train_limit": 0}, r"data\.train_limit: expected 1 or more; got 0"),
        ({"size": (64,)}, r"data\.size: expected \(height, width\); got \(64,\)"),
        ({"size": (64, 0)}, r"data\.size: expected 1 or more; got 0"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        DataSettings(**settings)
