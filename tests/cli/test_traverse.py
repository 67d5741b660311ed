"""``tightbound traverse``: arrays are walks of the run's model, pictures are files, wrong requests are refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.test_bad_input import check
from tightbound.cli import _with_value_of_dims
from tightbound.commands.traverse import _name
from tightbound.recipes.run import open_run
from tightbound.report.trajectory_grid import shown


def arrays_of(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def posterior_means(run, index):
    x = torch.cat([run.data().test.fixed(i, i + 1, seed=0) for i in index])
    model = run.model()
    with torch.no_grad():
        return model, model.posterior.base(model.encode(x).features).mean


def decoded(model, epsilon):
    with torch.no_grad():
        params = model.params_at(torch.as_tensor(epsilon))
        return model.likelihood.mean(params).numpy(), model.likelihood.std(params).numpy()


def test_between_four_images(tightbound, copied, tmp_path):
    out = tmp_path / "walk.npz"
    assert tightbound("traverse", copied, "--images", "5,2,11,0", "--steps", 5, "--out", out).exit_code == 0
    found = arrays_of(out)
    assert set(found) == {"means", "std", "epsilon", "index"}
    assert found["index"].tolist() == [5, 2, 11, 0]
    assert found["means"].shape == found["std"].shape == (5, 5, 1, 8, 8)
    model, corners = posterior_means(open_run(copied), [5, 2, 11, 0])
    np.testing.assert_allclose(found["epsilon"][[0, 0, -1, -1], [0, -1, 0, -1]], corners, atol=1e-6)
    own, own_std = decoded(model, corners)
    np.testing.assert_allclose(found["means"][[0, 0, -1, -1], [0, -1, 0, -1]], own, atol=1e-6)
    np.testing.assert_allclose(found["std"][0, 0], own_std[0], atol=1e-6)
    np.testing.assert_allclose(found["means"][2, 2], decoded(model, corners.mean(0, keepdim=True))[0][0], atol=1e-6)


def test_between_two_images_of_other_data(tightbound, copied, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 17, (6, 8, 8), np.uint8)
    np.save(tmp_path / "mine.npy", pixels)
    out = tmp_path / "walk.npz"
    result = tightbound("traverse", copied, "--images", "5,2", "--data", tmp_path / "mine.npy", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert arrays_of(out)["means"].shape == (1, 10, 1, 8, 8)


def test_along_units_from_an_image(tightbound, copied, tmp_path):
    out = tmp_path / "walk.npz"
    arguments = ["--dims", "[2,0]", "--images", "7", "--steps", 7, "--out", out]
    assert tightbound("traverse", copied, *arguments).exit_code == 0
    found = arrays_of(out)
    assert (found["units"].tolist(), found["index"].tolist()) == ([2, 0], [7])
    model, mean = posterior_means(open_run(copied), [7])
    for row, unit in enumerate([2, 0]):
        others = [i for i in range(3) if i != unit]
        np.testing.assert_allclose(found["epsilon"][row][:, others], mean[:, others].expand(7, -1), atol=1e-6)
        np.testing.assert_allclose(found["epsilon"][row][:, unit], np.arange(-3, 4), atol=1e-6)
    means, std = decoded(model, found["epsilon"])
    np.testing.assert_allclose(found["means"], means, atol=1e-6)
    np.testing.assert_allclose(found["std"], std, atol=1e-6)


def test_the_most_used_units_come_first(tightbound, copied, tmp_path):
    (kl,) = open_run(copied).evaluations()[0]["kl_units"]
    out = tmp_path / "walk.npz"
    for arguments in (["--dims", "--out", out], ["--dims", "all", "--out", out]):
        assert tightbound("traverse", copied, *arguments).exit_code == 0
        found = arrays_of(out)
        assert found["units"].tolist() == np.argsort(-np.array(kl)).tolist()
        assert found["index"].size == 0
        assert np.abs(found["epsilon"]).sum(-1).max() == 3  # all other units are at 0, the prior's mean


def test_along_trajectories(tightbound, copied, tmp_path):
    """All points and the numbers beside them, of Hamiltonian Monte Carlo from samples of a Gaussian posterior."""
    out = tmp_path / "walk.npz"
    arguments = ["--trajectory", "--images", "5,2,11", "--steps", 6, "--out", out]
    assert tightbound("traverse", copied, *arguments).exit_code == 0
    found = arrays_of(out)
    assert found["index"].tolist() == [5, 2, 11]
    assert found["means"].shape == found["std"].shape == (3, 6, 1, 8, 8)
    assert found["epsilon"].shape == (3, 6, 3)
    means, std = decoded(open_run(copied).model(), found["epsilon"])
    np.testing.assert_allclose(found["means"], means, atol=1e-6)
    np.testing.assert_allclose(found["std"], std, atol=1e-6)
    assert found["energy_error"][:, 0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found["acceptance"], np.minimum(1, np.exp(-found["energy_error"][:, -1])), rtol=1e-5)
    assert 0 < found["step_size"] < 3


def test_points_shown_are_evenly_spaced_with_both_ends():
    assert shown(16, 6).tolist() == [0, 3, 6, 9, 12, 15]
    assert shown(4, 10).tolist() == [0, 1, 2, 3]


def test_pictures_have_names_of_their_own(tightbound, copied):
    for arguments, name in (
        (["--images", "5,2,11,0"], "interpolation-images-5-2-11-0-seed0.png"),
        (["--dims", "1,2", "--images", "4", "--seed", 3], "traversal-1-2-images-4-seed3.png"),
        (["--dims"], "traversal-active-seed0.png"),
        (["--trajectory", "--images", "3,1"], "trajectory-images-3-1-seed0.png"),
        (["--trajectory", "--seed", 2], "trajectory-seed2.png"),
    ):
        result = tightbound("traverse", copied, *arguments)
        assert result.stdout.strip() == str(copied / "figures" / name), result.stderr
        with Image.open(copied / "figures" / name) as image:
            assert image.width > 900


def test_equal_requests_give_equal_bytes_also_from_a_zip(tightbound, trained, tmp_path):
    path = shutil.make_archive(str(tmp_path / "run"), "zip", trained)
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for run, out in zip((trained, path), files, strict=True):
        assert tightbound("traverse", run, "--images", "1,2", "--out", out).exit_code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    result = tightbound("traverse", path, "--images", "1,2")
    check(result, 2, f"error: {path} is a zip: nothing is written into it", "name a file with --out")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "expected --images, --dims or --trajectory; got none", "--images 0,1,2,3"),
        (["--images", "1,2,3"], "--images: got 3; expected two or four images to walk between", ""),
        (["--images", "1,2", "--dims"], "--images: got 2 with --dims; expected one", "leave out --dims"),
        (["--images", "1,x"], "--images: got '1,x'; expected whole numbers with commas, such as 3,7", ""),
        (["--images", "1,300"], "--images: got 300; expected 0 to 299, as there are 300 images", ""),
        (["--images=-1,2"], "--images: got -1; expected 0 to 299", ""),
        (["--dims", "0,3"], "--dims: got 3; expected 0 to 2, as there are 3 latent units", ""),
        (
            ["--dims", "most"],
            "--dims: got 'most'; expected whole numbers with commas, such as 3,7, or active, all, where or what",
            "",
        ),
        (["--dims", "actve"], "such as 3,7, or active, all, where or what", "did you mean 'active'?"),
        (["--dims", "where"], "--dims: got 'where'; this model's decoder does not warp, so its latents have no", ""),
        (["--dims", "1,0,1"], "--dims: got 1 twice; expected each number once", ""),
        (["--images", "3,3"], "--images: got 3 twice; expected each number once", ""),
        (["--dims", "0", "--split", "train"], "--split and --data choose images: without --images they have no", ""),
        (["--dims", "1", "--trajectory"], "--dims: a trajectory moves all units; leave out --dims or", ""),
        (["--trajectory", "--images", "300"], "--images: got 300; expected 0 to 299, as there are 300 images", ""),
        (["--dims", "--steps", "1"], "--steps: got 1; expected a whole number >= 2", ""),
        (["--dims", "--out", "walk.gif"], "--out: got 'walk.gif'; expected a file that ends in .png or .npz", ""),
    ],
)
def test_a_wrong_request_is_status_2(tightbound, trained, arguments, message, hint):
    check(tightbound("traverse", trained, *arguments), 2, message, hint)


def test_a_picture_has_rows_that_can_be_seen(tightbound, trained, monkeypatch):
    monkeypatch.setattr("tightbound.commands.traverse.MOST_ROWS", 2)
    result = tightbound("traverse", trained, "--dims", "0,1,2")
    check(result, 2, "--dims: got 3 units; a picture has at most 2 rows", "write an .npz with --out")


def test_many_units_are_counted_in_the_name_of_the_file():
    assert _name(None, "7,6,5,4,3,2,1,0", 0) == "traversal-7-6-5-4-3-2-1-0-seed0"
    assert _name(None, "8,7,6,5,4,3,2,1,0", 0) == "traversal-9-units-seed0"


def test_dims_without_a_value(tmp_path):
    assert _with_value_of_dims(["traverse", "run", "--dims"]) == ["traverse", "run", "--dims", "active"]
    assert _with_value_of_dims(["--dims", "--steps", "3"]) == ["--dims", "active", "--steps", "3"]
    assert _with_value_of_dims(["--dims", str(tmp_path)]) == ["--dims", "active", str(tmp_path)]
    assert _with_value_of_dims(["--dims", "3,4", "run"]) == ["--dims", "3,4", "run"]
