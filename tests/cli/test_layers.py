"""``tightbound layers``: arrays are what the run's ladder gives, pictures are files, wrong requests are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from tests.cli.test_bad_input import check
from tightbound.cli import app
from tightbound.recipes.run import open_run
from tightbound.report.layers import layer_grids

RECIPE = {
    "data": {"name": "digits", "train_limit": 64, "validation": 20},
    "model": {
        "kind": "ladder",
        "latent_channels": [2, 3, 2],
        "channels": 4,
        "blocks": 1,
        "likelihood": {"kind": "bernoulli"},
    },
    "training": {
        "epochs": None,
        "steps": 6,
        "batch_size": 32,
        "tensorboard": False,
        "compile": False,
        "precision": "float32",
    },
    "evaluation": [{"method": "importance", "samples": 30, "limit": 12}],
}


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a ladder of three layers, with its report."""
    folder = tmp_path_factory.mktemp("ladders")
    (folder / "ladder.yaml").write_text(yaml.safe_dump(RECIPE))
    result = CliRunner().invoke(app, ["train", str(folder / "ladder.yaml"), "--out", str(folder / "run")])
    assert result.exit_code == 0, result.stderr
    return folder / "run"


def arrays_of(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_arrays_are_grids_of_the_layers(tightbound, ladder, tmp_path):
    out = tmp_path / "layers.npz"
    given = ("--rows", 2, "--columns", 3, "--seed", 5, "--temperature", 0.5)
    assert tightbound("layers", ladder, "--layer", 3, "--layer", 1, *given, "--out", out).exit_code == 0
    found = arrays_of(out)
    assert set(found) == {"mean", "std", "samples", "layers"}
    assert found["layers"].tolist() == [1, 3]
    assert {found[name].dtype for name in ("mean", "std", "samples")} == {np.dtype(np.float32)}
    with torch.no_grad():
        expected = layer_grids(open_run(ladder).model(), [1, 3], 2, 3, seed=5, temperature=0.5)
    np.testing.assert_array_equal(found["mean"], expected.images)
    np.testing.assert_allclose(found["std"], np.sqrt(found["mean"] * (1 - found["mean"])), atol=1e-6)  # a Bernoulli's
    assert set(np.unique(found["samples"])) == {0.0, 1.0}


def test_all_layers_are_one_picture_in_figures(tightbound, ladder):
    result = tightbound("layers", ladder)
    assert result.stdout.strip() == str(ladder / "figures" / "layers-seed0.png"), result.stderr
    with Image.open(ladder / "figures" / "layers-seed0.png") as image:
        assert image.width == 12 * (64 + 8) - 8
        assert image.height == 3 * (26 + image.width) + 2 * 16


def test_pictures_have_names_of_their_own_and_repeat(tightbound, ladder, tmp_path):
    given = ("--layer", 2, "--layer", 1, "--rows", 2, "--columns", 2, "--show", "sample", "--temperature", 0.7)
    result = tightbound("layers", ladder, *given, "--seed", 3)
    path = ladder / "figures" / "layers-1-2-samples-temperature0.7-seed3.png"
    assert result.stdout.strip() == str(path), result.stderr
    assert tightbound("layers", ladder, *given, "--seed", 3, "--out", tmp_path / "again.png").exit_code == 0
    assert path.read_bytes() == (tmp_path / "again.png").read_bytes()
    with Image.open(path) as image:
        pixels = np.array(image)[26 : 26 + 136]
    shown = pixels[pixels[..., 3] > 0][:, 0]
    assert set(np.unique(shown)) == {0, 255}  # samples of binary pixels


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--layer", "4"], "--layer: got 4; expected 1 to 3, as there are 3 layers, the bottom first", ""),
        (["--layer", "0"], "--layer: got 0; expected 1 to 3", ""),
        (["--layer", "2", "--layer", "2"], "--layer: got 2 twice; expected each layer once", ""),
        (["--rows", "0"], "--rows: got 0; expected a whole number >= 1", ""),
        (["--columns", "0"], "--columns: got 0; expected a whole number >= 1", ""),
        (["--show", "mode"], "--show: got 'mode'; expected one of sample, mean", ""),
        (["--temperature", "-1"], "--temperature: got -1.0; expected a number >= 0", ""),
        (["--temperature", "nan"], "--temperature: got nan; expected a number >= 0", ""),
        (["--out", "layers.gif"], "--out: got 'layers.gif'; expected a file that ends in .png or .npz", ""),
    ],
)
def test_a_wrong_request_is_status_2(tightbound, ladder, arguments, message, hint):
    check(tightbound("layers", ladder, *arguments), 2, message, hint)


def test_a_model_without_layers_is_status_2(tightbound, trained):
    message = "this run's model is no ladder: it has one level of latents and no layers to look at"
    check(tightbound("layers", trained), 2, message, "draw from it with `tightbound sample`")


def test_nothing_is_written_into_a_zip(tightbound, ladder, tmp_path):
    path = shutil.make_archive(str(tmp_path / "run"), "zip", ladder)
    check(
        tightbound("layers", path), 2, f"error: {path} is a zip: nothing is written into it", "name a file with --out"
    )
    assert tightbound("layers", path, "--rows", 1, "--out", tmp_path / "layers.png").exit_code == 0


def test_the_report_of_a_ladder_shows_its_layers(ladder, trained):
    page = (ladder / "report.html").read_text(encoding="utf-8")
    for name in ("layers", "layer_kl", "layer_kl_maps", "temperatures", "active_units"):
        assert f'<figure id="{name}"' in page
        assert (ladder / "figures" / f"{name}.png").is_file()
    assert "Layer 3 (top)" in page
    assert "3 layers of latents" in page
    assert "What each layer does" not in (trained / "report.html").read_text(encoding="utf-8")


def test_a_walk_names_units_by_their_layer(tightbound, ladder, tmp_path):
    result = tightbound("traverse", ladder, "--dims", "0,2,14", "--steps", 3, "--out", tmp_path / "walk.npz")
    assert result.exit_code == 0, result.stderr
    assert arrays_of(tmp_path / "walk.npz")["units"].tolist() == [0, 2, 14]


def test_files_count_layers_from_the_bottom(tightbound, ladder, tmp_path):
    """Digits are padded to 16 × 16: maps of 4 × 4, 2 × 2 and 1 × 1 of 2, 3 and 2 channels."""
    result = tightbound("encode", ladder, "digits", "--out", tmp_path / "codes.npz", "--samples", 2)
    assert result.exit_code == 0, result.stderr
    found, sizes = arrays_of(tmp_path / "codes.npz"), [group.shape for group in open_run(ladder).model().groups][::-1]
    units = [int(np.prod(size)) for size in sizes]
    assert [found[f"mean_{layer}"].shape[1] for layer in (1, 2, 3)] == units
    assert [found[f"samples_{layer}"].shape[2] for layer in (1, 2, 3)] == units
    (row,) = json.loads((ladder / "evaluation.json").read_text())
    assert row["units"] == units
    assert [len(kl) for kl in row["kl_units"]] == units
    last = json.loads((ladder / "metrics.jsonl").read_text().splitlines()[-1])
    assert len(last["kl_layers"]) == 3
    assert sum(last["kl_layers"]) == pytest.approx(last["kl"], rel=1e-5)
    # The bottom has most of the units, and its KL is the sum of theirs.
    kl = [sum(layer) for layer in row["kl_units"]]
    assert sum(kl) == pytest.approx(row["rate"], rel=1e-4)


def test_a_walk_of_one_layer_takes_its_most_used_units(tightbound, ladder, tmp_path):
    (row,) = json.loads((ladder / "evaluation.json").read_text())
    result = tightbound("traverse", ladder, "--dims", "layer2", "--steps", 3, "--out", tmp_path / "walk.npz")
    assert result.exit_code == 0, result.stderr
    above, used = row["units"][2], np.argsort(-np.array(row["kl_units"][1]), kind="stable")[:10]
    assert arrays_of(tmp_path / "walk.npz")["units"].tolist() == (above + used).tolist()
    message = "--dims: got layer4; expected layer1, the bottom, to layer3, the top"
    check(tightbound("traverse", ladder, "--dims", "layer4"), 2, message, "")


def test_a_temperature_at_which_pixels_overflow_is_status_2(tightbound, ladder, tmp_path):
    given = ("--rows", 1, "--columns", 2, "--out", tmp_path / "x.png", "--temperature", "1e40")
    check(
        tightbound("layers", ladder, *given), 2, "--temperature: got 1e+40, where the model's pixels are not finite", ""
    )
