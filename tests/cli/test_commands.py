"""What each command prints and writes."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.tiny import TINY
from tightbound.commands.dry_run import data_bytes
from tightbound.commands.step_cost import saved_storages
from tightbound.data import Data, DataSettings, load_data
from tightbound.errors import RunError
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.run import open_run
from tightbound.report.formatting import with_error
from tightbound.report.run_folder import read_run

KEYS = {
    *("method", "split", "images", "samples", "elbo", "log_likelihood", "standard_error", "standard_error_images"),
    *("bits_per_dim", "ess_median", "pareto_k_over_0_7", "curve", "simulated_lower", "simulated_upper"),
    *("simulated_gap", "reconstruction_rmse", "seconds", "threads", "images_per_second"),
}


def test_train_ends_with_the_numbers_and_the_report(trained):
    lines = (trained / "stdout.txt").read_text().splitlines()
    assert lines[0] == "test: 12 images, best weights, digits, binarized at random (seed 0)"
    assert any("log p(x)" in line and "nats per image" in line and "±" in line for line in lines)
    assert any(line.strip().startswith("ELBO") for line in lines)
    assert lines[-1] == f"report: {trained / 'report.html'}"
    assert "<html" in (trained / "report.html").read_text()[:300]


def test_evaluate_json_is_one_object_and_nothing_else(tightbound, copied, tmp_path):
    out = tmp_path / "values.npz"
    result = tightbound("evaluate", copied, "--samples", 30, "--limit", 12, "--json", "--out", out, "--seed", 4)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    row = json.loads(result.stdout)
    assert set(row) >= KEYS
    assert (row["samples"], row["images"], row["seed"], row["split"]) == (30, 12, 4, "test")
    assert [point[0] for point in row["curve"]] == [1, 10, 30]
    assert row["simulated_gap"] is None
    with np.load(out) as arrays:
        assert arrays["log_likelihood"].mean() == pytest.approx(row["log_likelihood"], abs=1e-9)
        assert arrays["label"].shape == arrays["ess"].shape == (12,)
    assert open_run(copied).evaluations()[-1] == row


def test_evaluate_takes_options_of_the_method_as_keys(tightbound, copied):
    result = tightbound("evaluate", copied, "samples=25", "limit=5", "split=validation", "--json")
    row = json.loads(result.stdout)
    assert (row["samples"], row["images"], row["split"]) == (25, 5, "validation")


def test_evaluate_prints_the_sentence(tightbound, copied):
    result = tightbound("evaluate", copied, "--samples", 30, "--limit", 12, "--checkpoint", "last")
    assert result.stdout.startswith("test: 12 images, last weights")
    assert "Lower bound on log p(x), K = 30" in result.stdout


ANNEALING = ("temperatures=12", "leapfrog_steps=2", "--limit", 5)


def test_annealed_evaluations_are_kept_beside_each_other(tightbound, copied):
    """Another number of temperatures, or another start, is another evaluation; the same again replaces the older."""
    for given in (("start=base",), ("start=prior",), ("start=prior", "temperatures=6"), ("start=base",)):
        result = tightbound("evaluate", copied, "--method", "annealed", *ANNEALING, *given, "--json")
        assert result.exit_code == 0, result.stderr
        row = json.loads(result.stdout)
        assert (row["method"], row["samples"], row["elbo"], row["simulated_gap"]) == ("annealed", 16, None, None)
    rows = [row for row in open_run(copied).evaluations() if row["method"] == "annealed"]
    settings = [(row["annealing"]["start"], row["annealing"]["temperatures"]) for row in rows]
    assert settings == [("prior", 12), ("prior", 6), ("base", 12)]
    assert len(list((copied / "evaluation").glob("annealed-*.npz"))) == 3
    shown = read_run(copied)
    for evaluation in shown.evaluations:  # the report finds the images of each
        assert evaluation.per_image is not None
        assert evaluation.per_image["log_likelihood"].mean() == pytest.approx(evaluation.row["log_likelihood"])


def test_bidirectional_prints_the_gap_and_whose_it_is(tightbound, copied):
    given = ("--method", "bidirectional", "--samples", 8, "simulated=7", *ANNEALING)
    lines = tightbound("evaluate", copied, *given).stdout
    row = open_run(copied).evaluations()[-1]
    assert row["simulated"]["images"] == len(row["simulated"]["upper"]) == 7
    assert row["simulated_gap"] == pytest.approx(
        np.mean(row["simulated"]["upper"]) - np.mean(row["simulated"]["lower"])
    )
    assert with_error(row["simulated_gap"], row["simulated_gap_error"]) in lines
    assert "upper − lower bound on 7 images drawn from the model, not of the data" in lines
    assert "lower bound, 8 chains of 12 temperatures" in lines
    assert "on 7 images drawn from the model the same settings leave a gap of" in lines
    assert "no upper bound exists for a real image." in lines
    page = tightbound("report", copied)
    assert page.exit_code == 0, page.stderr
    text = (copied / "report.html").read_text(encoding="utf-8")
    assert "Simulated images: gap, nats per image" in text
    assert "8 chains of 12 temperatures" in text


def test_an_annealing_that_would_take_too_long_is_refused_before_it_begins(tightbound, copied):
    before = (copied / "evaluation.json").read_text()
    given = ("evaluate", copied, "--method", "bidirectional", "--samples", 3, "simulated=7", *ANNEALING)
    result = tightbound(*given, "most_hours=1e-9")
    assert result.exit_code == 2
    work = "5 images (and 7 simulated, both ways) × 3 chains × 12 temperatures × 2 leapfrog steps"
    assert result.stderr.startswith(f"error: most_hours: {work} would take about ")
    assert "hint: the pilot alone takes about " in result.stderr
    assert (copied / "evaluation.json").read_text() == before
    result = tightbound(*given, "most_hours=null", "--json")
    assert f"annealing {work}: about " in result.stderr
    assert json.loads(result.stdout)["predicted_seconds"] > 0


def test_a_refused_evaluation_leaves_a_training_its_others_and_its_report(tightbound, tmp_path):
    wanted = "[{method: annealed, most_hours: 1.0e-9}, {method: importance, samples: 30, limit: 12}]"
    result = tightbound("train", "digits-vae", *TINY, f"evaluation={wanted}", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "error: most_hours: 300 images × 16 chains × 500 temperatures × 10 leapfrog steps" in result.stderr
    assert [row["method"] for row in open_run(tmp_path / "run").evaluations()] == ["importance"]
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_probe_is_printed_kept_and_reported_beside_what_bounds_log_p(tightbound, copied):
    """Another C is another probe; the probe is never the page's main number."""
    before = read_run(copied).main
    for given in ((), ("C=0.1",), ("--limit", 50, "--json"), ("--limit", 50)):
        result = tightbound("evaluate", copied, "--method", "probe", *given)
        assert result.exit_code == 0, result.stderr
    rows = [row for row in open_run(copied).evaluations() if row["method"] == "probe"]
    assert [(row["probe"]["C"], row["images"]) for row in rows] == [(1, 300), (0.1, 300), (1, 50)]
    assert len(list((copied / "evaluation").glob("probe-*.npz"))) == 3
    row = rows[-1]
    assert row["accuracy_error"] == pytest.approx((row["accuracy"] * (1 - row["accuracy"]) / 50) ** 0.5)
    with np.load(next((copied / "evaluation").glob("probe-*-n50-*.npz"))) as arrays:
        assert (arrays["predicted"] == arrays["label"]).mean() == row["accuracy"]
    assert f"Probe  {100 * row['accuracy']:.1f} % ±" in result.stdout
    assert "(3 features; " in result.stdout
    assert "fitted to 64 training images." in result.stdout
    found = read_run(copied)
    assert (found.main is None) == (before is None)
    assert found.main is not None
    assert found.main.row["method"] == "importance"
    assert len(found.probes) == 3
    assert tightbound("report", copied).exit_code == 0
    page = (copied / "report.html").read_text(encoding="utf-8")
    assert page.count("<summary>Linear probe") == 3
    assert f'<th scope="row">The latents</th><td>3</td><td>{100 * row["accuracy"]:.1f} % ±' in page
    assert "Most frequent class, always" in page


def test_a_probe_without_labels_is_bad_data(tightbound, copied, tmp_path):
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).integers(0, 17, (40, 8, 8), np.uint8))
    result = tightbound("evaluate", copied, "--method", "probe", "--data", tmp_path / "mine.npy")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: expected a label for every image, as a probe reads labels off latents; the")
    result = tightbound(
        *("train", "digits-vae", *TINY, f"data.name={tmp_path / 'mine.npy'}", "data.train_limit=null"),
        *("data.validation=4", "evaluation=[probe]", "--out", tmp_path / "run"),
    )
    assert result.exit_code == 3
    assert "evaluation.0: method 'probe' needs labels, and mine.npy has none" in result.stderr


def test_a_run_with_a_probe_alone_is_reported(tightbound, copied):
    (copied / "evaluation.json").unlink()
    shutil.rmtree(copied / "evaluation")
    assert tightbound("evaluate", copied, "--method", "probe").exit_code == 0
    assert tightbound("report", copied).exit_code == 0
    assert "<summary>Linear probe" in (copied / "report.html").read_text(encoding="utf-8")


def test_a_run_with_an_annealed_evaluation_alone_is_reported(tightbound, copied):
    (copied / "evaluation.json").unlink()
    shutil.rmtree(copied / "evaluation")
    assert tightbound("evaluate", copied, "--method", "annealed", "--samples", 1, *ANNEALING).exit_code == 0
    assert tightbound("report", copied).exit_code == 0
    assert "1 chain of 12 temperatures" in (copied / "report.html").read_text(encoding="utf-8")


def test_an_annealing_that_cannot_be_is_refused_in_one_line(tightbound, copied):
    for given, text in (
        (("--method", "bidirectional", "start=posterior"), "start: got 'posterior'; expected one of prior, base"),
        (("--method", "annealed", "temperatures=1"), "temperatures: got 1; expected a whole number >= 2"),
        (("--method", "annealed", "refresh=0"), "refresh: got 0; expected a number > 0 and <= 1"),
        (("--method", "importance", "temperatures=10"), "temperatures: unknown key"),
    ):
        result = tightbound("evaluate", copied, *given)
        assert result.exit_code == 2
        assert text in result.stderr


def test_a_zip_is_evaluated_without_being_changed(tightbound, trained, tmp_path):
    path = shutil.make_archive(str(tmp_path / "run"), "zip", trained)
    result = tightbound("evaluate", path, "--samples", 30, "--limit", 12, "--json")
    assert json.loads(result.stdout)["log_likelihood"] == open_run(trained).evaluations()[0]["log_likelihood"]
    assert "is a zip: the numbers are not kept in it" in result.stderr


def test_evaluating_other_data_leaves_the_run_as_it_is(tightbound, copied, tmp_path):
    before = (copied / "evaluation.json").read_text()
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).integers(0, 17, (6, 8, 8), np.uint8))
    result = tightbound("evaluate", copied, "--data", tmp_path / "mine.npy", "--samples", 25, "--json")
    row = json.loads(result.stdout)
    assert (row["images"], row["split"]) == (6, "data")
    assert row["protocol"] == f"{tmp_path / 'mine.npy'}, binarized at random (seed 0)"
    assert (copied / "evaluation.json").read_text() == before


def test_samples_are_a_function_of_the_seed(tightbound, copied, tmp_path):
    arrays = []
    for seed in (0, 0, 1):
        out = tmp_path / "samples.npz"
        assert tightbound("sample", copied, "--number", 5, "--seed", seed, "--out", out).exit_code == 0
        with np.load(out) as file:
            arrays.append({name: file[name] for name in file.files})
    assert arrays[0]["samples"].shape == (5, 1, 8, 8)
    np.testing.assert_array_equal(arrays[0]["samples"], arrays[1]["samples"])
    assert (arrays[0]["samples"] != arrays[2]["samples"]).any()
    model = open_run(copied).model()
    mean = model.likelihood.mean(model.params_at(torch.from_numpy(arrays[0]["epsilon"])))
    np.testing.assert_allclose(arrays[0]["mean"], mean.detach().numpy(), atol=1e-6)


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_a_picture_is_a_grid_of_the_images(tightbound, copied, tmp_path):
    result = tightbound("sample", copied, "--number", 4, "--show", "mean")
    path = copied / "figures" / "sample-means-seed0.png"
    assert result.stdout.strip() == str(path)
    assert size_of(path) == (2 * 64 + 2, 2 * 64 + 2)
    out = tmp_path / "rows.png"
    assert tightbound("reconstruct", copied, "--number", 3, "--out", out).exit_code == 0
    assert size_of(out) == (3 * 64 + 2 * 2, 3 * 64 + 2 * 2)


def test_reconstructions_are_of_the_test_images(tightbound, copied, tmp_path):
    out = tmp_path / "arrays.npz"
    assert tightbound("reconstruct", copied, "--number", 6, "--out", out).exit_code == 0
    run = open_run(copied)
    with np.load(out) as arrays:
        np.testing.assert_array_equal(arrays["originals"], run.data().test.fixed(0, 6, seed=0).numpy())
        np.testing.assert_allclose(arrays["std"] ** 2, arrays["mean"] * (1 - arrays["mean"]), atol=1e-6)


def test_encode_writes_closed_form_means_and_samples_around_them(tightbound, copied, tmp_path):
    out = tmp_path / "codes.npz"
    result = tightbound("encode", copied, "digits", "--out", out, "--samples", 400, "--split", "validation")
    assert result.exit_code == 0, result.stderr
    run = open_run(copied)
    model, split = run.model(), run.data().validation
    q = model.posterior.base(model.encode(split.fixed(0, 20, seed=0)).features)
    with np.load(out) as arrays:
        assert arrays["mean_samples"] == 0
        assert arrays["samples"].shape == (400, 20, 3)
        np.testing.assert_allclose(arrays["mean"], q.mean.detach().numpy(), atol=1e-6)
        z_score = (arrays["samples"].mean(0) - arrays["mean"]) / (q.scale.detach().numpy() / 20)
        assert np.abs(z_score).max() < 4.5  # 60 means of 400 samples
        np.testing.assert_array_equal(arrays["label"], split.labels.numpy())


def test_encode_without_a_closed_form_averages_samples_and_says_how_many(tightbound, copied, tmp_path, monkeypatch):
    """As of a posterior that is no Gaussian."""
    monkeypatch.setattr("tightbound.models.VAE.closed_posterior", lambda model, encoding: None)
    monkeypatch.setattr(
        "tightbound.evaluation.codes.conditional_mean", lambda draw, level: draw.latents[level].flatten(2)
    )
    out = tmp_path / "codes.npz"
    assert tightbound("encode", copied, "digits", "--out", out, "--samples", 70).exit_code == 0
    with np.load(out) as arrays:
        assert arrays["mean_samples"] == 70
        np.testing.assert_allclose(arrays["mean"], arrays["samples"].mean(0), atol=1e-5)
        assert len(arrays["index"]) == 300


def test_the_report_is_written_again(tightbound, copied):
    (copied / "report.html").unlink()
    result = tightbound("report", copied)
    assert result.stdout.strip() == str(copied / "report.html")
    assert (copied / "report.html").stat().st_size > 10_000


def test_the_report_of_a_zip_is_one_page(tightbound, trained, tmp_path):
    path = shutil.make_archive(str(tmp_path / "run"), "zip", trained)
    pages = [tmp_path / "zip.html", tmp_path / "folder.html"]
    before = (trained / "report.html").read_bytes()
    for run, out in zip((path, trained), pages, strict=True):
        assert tightbound("report", run, "--out", out).stdout.strip() == str(out)
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert (trained / "report.html").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.html", "run.zip", "zip.html"]


def test_dry_run_counts_parameters_and_writes_nothing(tightbound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tightbound("train", "digits-vae", *TINY, "--dry-run")
    assert result.exit_code == 0, result.stderr
    counts = dict(line.split() for line in result.stdout.splitlines() if line.split()[1:] and "." in line.split()[0])
    assert counts["encoder.layers"] == f"{64 * 16 + 16:,}"
    assert counts["decoder.output"] == f"{16 * 64 + 64:,}"
    assert "6, 2 an epoch, batches of 32" in result.stdout
    assert "dry run: nothing was written" in result.stdout
    assert not list(tmp_path.iterdir())


def test_dry_run_labels_each_part_of_the_memory_and_adds_them_up(tightbound):
    result = tightbound("train", "digits-vae", *TINY, "training.optimizer=adam", "training.ema=null", "--dry-run")
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    # 64·16 + 16 in the encoder, 16·6 + 6 in the posterior, 3·16 + 16 + 16·64 + 64 in the decoder, 4 bytes each.
    weights = 4 * (1_040 + 102 + 1_152)
    assert rows["weights"] == rows["gradients"] == f"{weights / 1024:.0f} KiB"
    assert rows["optimizer"] == f"{2 * weights / 1024:.0f} KiB of state"
    assert rows["data"] == f"{(64 + 20 + 300) * 64 / 1024:.0f} KiB of images in memory"
    assert rows["activations"].endswith("for a batch of 32")
    kib = [int(rows[name].split()[0]) for name in ("weights", "gradients", "optimizer", "activations", "data")]
    assert int(rows["memory"].split()[1]) == pytest.approx(sum(kib), abs=3)


def test_dry_run_says_what_it_times_after_what_it_found(tightbound, monkeypatch):
    def stop(*_):
        raise RunError("stopped here")

    monkeypatch.setattr("tightbound.commands.dry_run.measure_step", stop)
    result = tightbound("train", "digits-vae", *TINY, "--dry-run")
    assert "binarized dynamically" in result.stdout
    assert "encoder.layers" in result.stdout
    assert result.stderr == "timing a few steps ...\nerror: stopped here\n"


def test_activations_are_the_storages_that_a_forward_pass_keeps():
    layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    x = torch.ones(5, 3)
    with saved_storages(layers) as saved:
        loss = layers(x).sum()
    assert sum(saved.values()) == 8 * (5 * 3 + 5 * 4)  # x, and the output of tanh once though two layers keep it
    loss.backward()
    torch.testing.assert_close(layers[2].bias.grad, torch.full((2,), 5.0))


def test_data_in_memory_are_counted_once_and_mapped_ones_not_at_all(tmp_path):
    np.save(tmp_path / "floats.npy", np.random.default_rng(0).random((20, 4, 4), np.float32))
    data = load_data(DataSettings(name=str(tmp_path / "floats.npy"), validation=5))
    assert data_bytes(data) == 20 * 16 * 4
    train = data.train
    assert data_bytes(Data(data.name, train, train, train, ())) == len(train) * 16 * 4
    mapped = dataclasses.replace(train, images=dataclasses.replace(train.images, rows=torch.arange(len(train))))
    assert data_bytes(dataclasses.replace(data, train=mapped)) == (20 - len(train)) * 16 * 4


def test_log_txt_ends_with_the_numbers(tightbound, copied):
    wanted = [line for line in (copied / "stdout.txt").read_text().splitlines() if not line.startswith("report: ")]
    assert logged(copied)[-len(wanted) :] == wanted
    result = tightbound("evaluate", copied, "--samples", 25, "--limit", 5)
    assert logged(copied)[-len(result.stdout.splitlines()) :] == result.stdout.splitlines()


def logged(folder):
    """The lines of log.txt without their times."""
    return [line.split(" ", 1)[1] for line in (folder / "log.txt").read_text().splitlines()]


def test_training_resumes_where_it_was_done(tightbound, copied):
    result = tightbound("train", "digits-vae", *TINY, "--out", copied, "--resume", "--no-evaluate")
    assert result.exit_code == 0, result.stderr
    assert "resumed at step 6 of 6" in result.stderr
    assert result.stdout == f"report: {copied / 'report.html'}\n"


def test_recipes_are_listed_and_shown_in_full(tightbound):
    listed = tightbound("recipes").stdout
    assert re.search(r"^mnist-mlp +The classic 784-512-16 perceptron", listed, re.MULTILINE)
    shown = yaml.safe_load(tightbound("recipes", "mnist-mlp").stdout)
    assert shown["training"]["optimizer"]["betas"] == [0.9, 0.999]
    assert load_recipe(shown) == load_recipe("mnist-mlp")


def test_data_are_listed_and_explained(tightbound):
    listed = tightbound("data").stdout
    assert "digits" in listed
    assert "data.name=PATH" in listed
    shown = tightbound("data", "digits").stdout
    assert "1 × 8 × 8 (channels, height, width), integers from 0 to 16" in shown
    assert "1,297 images" in shown
    assert "1,000 images" in tightbound("data", "digits", "data.validation=1000").stdout
    refused = tightbound("data", "digits", "validation=1000")
    assert refused.exit_code == 2
    assert "validation: unknown key; expected settings of the data, such as data.validation=0" in refused.stderr


def test_a_plug_in_is_imported_from_the_current_folder(tightbound, tmp_path, monkeypatch):
    from tightbound import registry

    (tmp_path / "my_parts_for_cli.py").write_text(
        "from tightbound.likelihoods import Bernoulli\n"
        "from tightbound.registry import register\n"
        "register('likelihood', 'cli_bernoulli')(type('Mine', (Bernoulli,), {'__doc__': 'Mine.'}))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(registry, "_components", dict(registry._components))
    arguments = ["train", "digits-vae", *TINY, "model.likelihood=cli_bernoulli", "--dry-run"]
    assert tightbound(*arguments, "--import", "my_parts_for_cli").exit_code == 0
    del sys.modules["my_parts_for_cli"]


def test_the_version_is_printed(tightbound):
    assert tightbound("--version").stdout == f"tightbound {version('tightbound')}\n"


def test_demo_runs_the_shipped_recipe(tightbound, tmp_path, monkeypatch):
    from tightbound.recipes import source

    small = load_recipe("digits-vae", TINY).to_dict()
    path = tmp_path / "digits-vae.yaml"
    path.write_text(yaml.safe_dump(small))
    monkeypatch.setattr(source, "shipped", lambda: {"digits-vae": path})
    result = tightbound("demo", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"report: {tmp_path / 'run' / 'report.html'}"


HEAVY = ("torch", "pydantic", "numpy", "scipy", "sklearn", "matplotlib", "rich", "accelerate")


@pytest.mark.parametrize("arguments", [["--help"], ["recipes"]])
def test_help_and_lists_load_nothing_heavy(arguments):
    code = (
        "import sys\n"
        f"sys.argv = ['tightbound', *{arguments!r}]\n"
        "import tightbound.cli\n"
        "try:\n    tightbound.cli.main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        f"print('loaded:', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_importing_the_package_loads_nothing_and_names_are_found():
    code = (
        "import sys, tightbound as tb\n"
        "assert not {'torch', 'pydantic', 'numpy', 'typer'} & set(sys.modules)\n"
        "assert all(getattr(tb, name) is not None for name in tb.__all__)\n"
        "assert set(tb.__all__) <= set(dir(tb))\n"
        "try:\n    tb.nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "module 'tightbound' has no attribute 'nothing'\n"


def test_python_m_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "tightbound", "recipes"],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert "digits-vae" in done.stdout
