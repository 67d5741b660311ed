from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch

from tightbound.training.metrics import Meter, MetricsFile, by_layer, plain

YES, NO = torch.tensor(True), torch.tensor(False)


def test_means_are_those_by_hand_and_skipped_steps_do_not_count() -> None:
    meter = Meter("cpu")
    meter.add({"elbo": torch.tensor(1.0), "kl_groups": torch.tensor([1.0, 10.0])}, YES)
    meter.add({"elbo": torch.tensor(math.nan), "kl_groups": torch.tensor([math.inf, 0.0])}, NO)
    meter.add({"elbo": torch.tensor(4.0), "kl_groups": torch.tensor([2.0, 30.0])}, YES)
    assert meter.read() == {"elbo": 2.5, "kl_groups": [1.5, 20.0]}
    meter.add({"elbo": torch.tensor(7.0), "kl_groups": torch.tensor([0.0, 0.0])}, YES)
    assert meter.read()["elbo"] == 7.0


def test_rows_count_layers_from_the_bottom() -> None:
    assert by_layer({"kl": 6.0, "kl_groups": [1.0, 2.0, 3.0]}) == {"kl": 6.0, "kl_layers": [3.0, 2.0, 1.0]}
    assert by_layer({"kl": 6.0}) == {"kl": 6.0}


def test_an_interval_without_a_step_has_no_means() -> None:
    meter = Meter("cpu")
    meter.add({"elbo": torch.tensor(math.nan)}, NO)
    assert meter.read() == {}


def test_a_restored_meter_goes_on() -> None:
    meter, other = Meter("cpu"), Meter("cpu")
    meter.add({"a": torch.tensor(1.0), "b": torch.tensor([2.0])}, YES)
    other.restore({name: value.clone() for name, value in meter.tensors().items()}, meter.names())
    other.add({"a": torch.tensor(2.0), "b": torch.tensor([4.0])}, YES)
    assert other.read() == {"a": 1.5, "b": [3.0]}


def test_file_is_cut_at_the_offset(tmp_path: Path) -> None:
    with MetricsFile(tmp_path, 0) as file:
        file.write({"step": 1})
        offset = file.sync()
        file.write({"step": 2})
    with MetricsFile(tmp_path, offset) as file:
        file.write({"step": 3})
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == [{"step": 1}, {"step": 3}]


def test_an_offset_behind_the_end_adds_no_bytes(tmp_path: Path) -> None:
    with MetricsFile(tmp_path, 1000) as file:
        file.write({"step": 1})
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"step": 1}\n'


def test_plain_values() -> None:
    values = {"a": torch.tensor([1.0, math.nan]), "b": np.float64(2.5), "c": math.inf, "d": (1, "x")}
    assert plain(values) == {"a": [1.0, None], "b": 2.5, "c": None, "d": [1, "x"]}
