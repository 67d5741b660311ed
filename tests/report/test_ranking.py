"""Units in the order of use."""

from __future__ import annotations

from tightbound.report.ranking import units_by_use

BY_KL, BY_ACTIVITY = "sorted by KL, largest first", "sorted by how much their posterior mean varies over the images"


def test_by_kl_where_it_is_known_of_every_unit() -> None:
    assert units_by_use({"kl_units": [[0.1, 3.0, 2.0]], "activity": [[9, 0, 0]]}, [3]) == ([1, 2, 0], BY_KL)
    # Layers have the bottom first, flat indices the top.
    assert units_by_use({"kl_units": [[5.0, 2.0, 4.0], [0.1, 3.0]]}, [2, 3])[0] == [2, 4, 1, 3, 0]


def test_else_by_activity_else_in_order() -> None:
    whole = {"kl_units": [[22.0]], "activity": [[0.1, 0.9, 0.5]]}
    assert units_by_use(whole, [3])[0] == [1, 2, 0]
    assert units_by_use(whole, [3])[1].startswith(BY_ACTIVITY)
    for row in ({}, {"kl_units": None}, {"kl_units": [None]}, {"kl_units": [[1.0, float("nan"), 2.0]]}):
        assert units_by_use(row, [3]) == ([0, 1, 2], "in order")
