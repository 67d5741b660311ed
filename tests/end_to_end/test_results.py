"""The page of results: complete, up to date, and every number of ours from a row."""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tightbound.errors import RunError
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.source import shipped

ROOT = Path(__file__).parents[2]
KEYS = {"nll": "log_likelihood", "elbo": "elbo", "log_likelihood": "distortion", "kl": "rate"}
KEYS |= {"rmse": "reconstruction_rmse", "mae": "reconstruction_mae"}
FLIPPED = ("nll", "log_likelihood")


@pytest.fixture(scope="module")
def results() -> ModuleType:
    specification = importlib.util.spec_from_file_location("results", ROOT / "docs" / "results.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def content(results: ModuleType) -> dict[str, Any]:
    return results.read_published()


@pytest.fixture(scope="module")
def lines(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [line for source in content["sources"] for line in source["lines"]]


def made_up_rows(results: ModuleType, names: list[str], seeds: int = 3) -> dict[str, dict[int, dict[str, Any]]]:
    """Rows of these recipes with numbers drawn at random."""
    template = next(iter(results.read_rows()["mnist-mlp"].values()))
    generator = np.random.default_rng(0)
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for name in names:
        for seed in range(seeds):
            row = copy.deepcopy(template) | {"recipe": name, "seed": seed}
            for key in (*KEYS.values(), "pareto_k_over_0_7"):
                row["evaluations"][0][key] = generator.uniform(0.2, 0.9)
            main = row["evaluations"][0]
            main["curve"] = [[k, bound + generator.uniform(-1, 1)] for k, bound in (*main["curve"], (40, -90.0))]
            for metric in ("elbo", "rmse"):
                row["last_steps"][metric] = {
                    key: generator.uniform(0.2, 0.9) for key in ("mean", "standard_error", "smallest", "largest")
                }
            row["last_minibatch"] = {
                name: generator.uniform(0.2, 0.9) for name in ("elbo", "log_likelihood", "kl", "rmse", "objective")
            }
            rows.setdefault(name, {})[seed] = row
    return rows


def numbers(text: str) -> list[float]:
    """Mean and error, as printed."""
    found = re.findall(r"−?\d[\d,]*\.?\d*", text)
    return [float(number.replace("−", "-").replace(",", "")) for number in found]


def check_mean(text: str, values: list[float]) -> None:
    """``mean ± error`` is of these values, to half of the last digit printed."""
    half = 0.51 * 10.0 ** -len(text.split()[0].partition(".")[2])
    found = numbers(text)
    assert found[0] == pytest.approx(np.mean(values), abs=half)
    if len(values) > 1:
        assert found[1] == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)), abs=half)


def section(page: str, title: str) -> str:
    """What stands under a title."""
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table_cells(page: str, start: str) -> list[str]:
    """The cells of the one line that begins so."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_page_is_what_the_rows_say(results: ModuleType) -> None:
    assert results.PAGE.read_text(encoding="utf-8") == results.page(), "run `make results`"
    assert results.LOCATION.read_text(encoding="utf-8") == results.location_page(), "run `make results`"


def test_every_published_number_and_every_footnote_is_there_once(results: ModuleType) -> None:
    page = results.page()
    ids = re.findall(r"^\| \*\*(P[\d.]+)\*\* \|", page, re.MULTILINE)
    assert len(ids) == len(set(ids))
    assert [*dict.fromkeys(one.partition(".")[0] for one in ids)] == [f"P{number}" for number in range(1, 22)]
    assert [one for one in ids if "." in one] == [f"P21.{number}" for number in range(1, 6)]
    assert re.findall(r'^\*\*(C\d+)\*\*<a id="c\d+"></a> ', page, re.MULTILINE) == [f"C{n}" for n in range(1, 14)]
    assert {mark for mark, link in re.findall(r"\[(C\d+)\]\(#c(\d+)\)", page) if mark == f"C{link}"} == {
        f"C{number}" for number in range(1, 14)
    }


def test_every_line_has_a_recipe_or_the_reason_why_not(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        assert sum(bool(line.get(key)) for key in ("missing", "recipes", "study")) == 1, line["id"]


def is_recipe(name: str) -> bool:
    return name in shipped() or bool(list((ROOT / "benchmarks").glob(f"*/{name}.yaml")))


def test_every_recipe_that_is_named_is_there_or_said_to_be_missing(
    results: ModuleType, content: dict[str, Any]
) -> None:
    page = results.page()
    compared = [name for one in content["comparisons"] for name in (one["baseline"], *one["recipes"])]
    published = [name for source in content["sources"] for line in source["lines"] for name in line.get("recipes", ())]
    for name in published:
        assert is_recipe(name) or f"there is no recipe `{name}`" in page
    for name in compared:
        assert is_recipe(name), name
    assert "no such recipe yet" not in page
    assert results.state_text("not-there") == "no such recipe yet"
    assert results.state_text("mnist-uncertainty-corner") == "no row yet"
    assert "there is no recipe `not-there`" in results.recipe_text("not-there", [], {})


def test_recipes_quote_the_numbers_of_their_line(results: ModuleType, lines: list[dict[str, Any]]) -> None:
    """What a recipe says was published is in its line of the page, and nothing else is."""
    for name in shipped():
        for entry in load_recipe(name).published:
            (line,) = [line for line in lines if line["id"] == entry.id and name in line.get("recipes", ())]
            quoted = [
                (value["metric"], value.get("split", "test"), int(value["samples"]) if "samples" in value else None)
                for value in results.of_recipe(line, name)
                if float(value["value"]) == entry.value
            ]
            assert entry.quantity in quoted, (name, entry)


def test_links_lead_to_rows_and_rows_are_named_after_what_they_hold(results: ModuleType) -> None:
    linked = set(re.findall(r"\]\((results/[^)]+\.json)\)", results.page()))
    there = {f"results/{path.name}" for path in (ROOT / "docs" / "results").glob("*.json")}
    assert linked == there
    for name in there:
        row = json.loads((ROOT / "docs" / name).read_text(encoding="utf-8"))
        assert name == f"results/{row['recipe']}-{row['seed']}.json"
        main = row["evaluations"][0]
        for key, kept in (("value", "log_likelihood"), ("error", "standard_error"), ("sentence", "sentence")):
            assert row[key] == main[kept]


def test_two_ways_to_bound_the_same_images(results: ModuleType) -> None:
    """The difference of both bounds, with the error of independent noise where that of the samples is to be trusted."""
    rows = made_up_rows(results, ["mnist-mlp"], seeds=1)
    assert list(results.annealed_lines(rows)) == []
    (row,) = rows["mnist-mlp"].values()
    main = row["evaluations"][0]
    main |= {"log_likelihood": -90.0, "standard_error": 0.03, "pareto_k_over_0_7": 0.0, "samples": 5000}
    same = {key: main[key] for key in ("images", "split", "seed", "checkpoint")}
    annealed = {**same, "method": "annealed", "samples": 16, "log_likelihood": -89.9}
    annealed |= {"standard_error": 0.04, "annealing": {"temperatures": 1000, "start": "prior"}}
    row["evaluations"].append(annealed)
    line = list(results.annealed_lines(rows))[-2]
    assert "| −90.00 ± 0.03 (K = 5,000) | −89.90 ± 0.04 (16 chains of 1,000 temperatures from the prior) |" in line
    assert "| 0.10 ± 0.05 | not measured |" in line
    annealed |= {"simulated_gap": 0.25, "simulated": {"gap_error": 0.02, "images": 100}}
    assert "| 0.25 ± 0.02 (100 images) |" in list(results.annealed_lines(rows))[-2]
    main["pareto_k_over_0_7"] = 0.5
    assert "| 0.10 | 0.25" in list(results.annealed_lines(rows))[-2]
    for other in ({"images": same["images"] - 1}, {"seed": 1}, {"checkpoint": "last"}):  # not to be compared
        row["evaluations"][1] = annealed | other
        assert list(results.annealed_lines(rows)) == []
    # A later evaluation of the annealed images alone is set beside them, that of the most samples.
    row["evaluations"] += [main | other | {"log_likelihood": -90 + k, "samples": 100 * k} for k in (2, 1)]
    (line,) = [text for text in results.annealed_lines(rows) if text.startswith("| `")]
    assert "| −88.00 (K = 200) | −89.90 ± 0.04 (16 chains" in line


def test_learning_curves_of_runs_beside_published_numbers(results: ModuleType) -> None:
    """Validations from the first to the last, closest where most is learned; none without a published line."""
    rows = made_up_rows(results, ["mnist-iaf-hour", "mnist-mlp"], seeds=1)
    assert list(results.curve_lines(rows)) == []
    curve = [
        {"step": 275 * (k + 1), "epoch": k + 1.0, "elbo": -100.0 + k, "seconds": 60.0 * (k + 1)} for k in range(20)
    ]
    for seeds in rows.values():
        seeds[0]["curve"] = curve
    epochs, elbo, time = [line.split("|")[2:-1] for line in results.curve_lines(rows) if line.endswith(" |")][1:]
    assert [cell.strip() for cell in epochs[:4] + epochs[-1:]] == ["epoch", "1", "2", "3", "20"]
    assert [cell.strip() for cell in elbo[:4] + elbo[-1:]] == ["ELBO", "−100.00", "−99.00", "−98.00", "−81.00"]
    assert time[-1].strip() == results.duration(1200.0)


def test_a_number_of_some_images_or_of_rounded_networks_says_so(
    results: ModuleType, lines: list[dict[str, Any]]
) -> None:
    (line,) = [line for line in lines if line["id"] == "P1"]
    rows = made_up_rows(results, ["static-mnist-ladder-3-hour"], seeds=1)
    (row,) = rows["static-mnist-ladder-3-hour"].values()
    row["evaluations"][0]["samples"] = 100
    row["evaluations"].append(row["evaluations"][0] | {"samples": 1000, "images": 500, "log_likelihood": -81.25})
    row["evaluations"][1]["precision"] = "bf16"
    elbo, few, many, _ = results.recipe_text("static-mnist-ladder-3-hour", line["values"], rows).split("<br>")
    assert "images" not in elbo + few
    assert many.startswith("bound on −log p(x), K = 1,000, test: 81.25")
    assert many.endswith(" (first 500 images, bf16)")


def test_without_rows_there_is_no_number_of_ours(results: ModuleType, lines: list[dict[str, Any]]) -> None:
    page = results.page({})
    for line in lines:  # a study has rows of its own, which the page only links to
        begins = f"`{line['study']}`: [d = " if "study" in line else "none yet: "
        assert table_cells(page, f"**{line['id']}**")[4].startswith(begins)
    assert "±" not in page.partition("## ")[2]
    assert "results/" not in page.partition("## ")[2]


def test_published_numbers_keep_their_digits(results: ModuleType) -> None:
    page = results.page({})
    for text in (
        "ELBO, test: −80.50<br>",
        "K = 100, test: 78.50<br>",
        "train: about 75<br>",
        "| 3.17e-4 |",
        "| 154.000 |",
    ):
        assert text in page


@pytest.mark.parametrize("seeds", [1, 3])
def test_ours_is_the_mean_over_seeds_in_the_line_of_the_number(
    results: ModuleType, lines: list[dict[str, Any]], seeds: int
) -> None:
    rows = made_up_rows(results, [name for line in lines for name in line.get("recipes", ())], seeds)
    page = results.page(rows)
    for line in (line for line in lines if "recipes" in line):
        written = table_cells(page, f"**{line['id']}**")[4].split("<br>")
        for name in line["recipes"]:
            values = [one for one in line["values"] if "metric" in one and name in one.get("recipes", [name])]
            parts, (source, *written) = written[: len(values)], written[len(values) :]
            assert source.startswith(f"`{name}`, seed")
            assert len(re.findall(rf"results/{name}-\d\.json", source)) == seeds
            for value, part in zip(values, parts, strict=True):
                check_part(value, part, list(rows[name].values()))
        assert written == []


def check_part(value: dict[str, Any], part: str, rows: list[dict[str, Any]]) -> None:
    """One number of ours, of the quantity that was published."""
    label, _, number = part.partition(": ")
    split, metric = value.get("split", "test"), value["metric"]
    assert label.endswith(split)
    if metric == "mae":
        assert number == "none: training does not log it"
    elif split == "last minibatch":
        check_mean(number, [row["last_minibatch"][metric] for row in rows])
    elif split in ("train", "validation"):
        assert number == f"none: not evaluated on {split} images"
    elif metric == "elbo":
        check_mean(number, [row["evaluations"][0]["elbo"] for row in rows])
    elif metric == "nll" and "samples" not in value:
        check_mean(number, [-row["evaluations"][0]["log_likelihood"] for row in rows])
    else:
        mains = [row["evaluations"][0] for row in rows]
        at = [
            dict(map(tuple, main["curve"]))[int(value["samples"])] if "samples" in value else main["elbo"]
            for main in mains
        ]
        own = [main["log_likelihood"] for main in mains]
        bits = [main["bits_per_dim"] + (b - a) / (784 * math.log(2)) for main, a, b in zip(mains, at, own, strict=True)]
        check_mean(number, [-bound for bound in at] if metric == "nll" else bits)


def test_the_same_runs_are_shown_on_test_images(results: ModuleType) -> None:
    rows = made_up_rows(results, ["mnist-uncertainty"])
    for index, row in enumerate(rows["mnist-uncertainty"].values()):
        row["last_steps"]["elbo"] = {"mean": 600.0 + index, "standard_error": 9.0}
    page = section(results.page(rows), "VAE with uncertainty likelihoods")
    found = table_cells(page, "`mnist-uncertainty`")
    mains = [row["evaluations"][0] for row in rows["mnist-uncertainty"].values()]
    for metric, text in zip(("elbo", "log_likelihood", "kl", "rmse", "mae", "nll"), found[2:8], strict=True):
        check_mean(text, [(-1 if metric in FLIPPED else 1) * main[KEYS[metric]] for main in mains])
    assert found[1] == "10,000"
    assert found[7].endswith("(K = 5,000)")
    check_mean(found[8], [600.0, 601.0, 602.0])


def test_seeds_of_two_k_are_shown_at_the_smaller_one(results: ModuleType) -> None:
    """In the table of test images and in a comparison; the list of rows has the larger one's own."""
    rows = made_up_rows(results, ["mnist-tvae-tps-iwae"])
    seeds = rows["mnist-tvae-tps-iwae"]
    bounds = [dict(map(tuple, seeds[0]["evaluations"][0]["curve"]))[1000]]
    for seed in (1, 2):
        seeds[seed]["evaluations"][0]["samples"] = 1000
        bounds.append(seeds[seed]["evaluations"][0]["log_likelihood"])
    page = results.page(rows)
    shown = table_cells(section(page, "VAE and IWAE with spatial transformation"), "`mnist-tvae-tps-iwae`")
    assert shown[7].endswith("(K = 1,000)")
    check_mean(shown[7], [-bound for bound in bounds])
    check_mean(
        table_cells(section(page, "What the published spatial transformer has otherwise"), "`mnist-tvae-tps-iwae`")[2],
        bounds,
    )
    own = table_cells(page, "[mnist-tvae-tps-iwae-0](results/mnist-tvae-tps-iwae-0.json)")[4]
    assert own.endswith("(K = 5,000)")


def test_every_k_of_a_row_is_listed_with_it(results: ModuleType) -> None:
    """Of the same images; other splits are not."""
    rows = made_up_rows(results, ["mnist-mlp"], seeds=1)
    row = rows["mnist-mlp"][0]
    main = row["evaluations"][0] | {"pareto_k_over_0_7": 1.0, "log_likelihood": -1.25}
    more = [main | {"samples": 50, "log_likelihood": -1.5}, main | {"split": "train", "log_likelihood": -1.75}]
    row["evaluations"] = [main, *more]
    shown = table_cells(results.page(rows), "[mnist-mlp-0](results/mnist-mlp-0.json)")
    assert shown[4] == "−1.25 (K = 5,000)<br>−1.50 (K = 50)"


def test_numbers_of_gray_levels_are_named_where_they_stand_beside_others(results: ModuleType) -> None:
    rows = made_up_rows(results, ["mnist-tvae-plain-iwae", "mnist-tvae-plain-gray"])
    for row in rows["mnist-tvae-plain-gray"].values():
        row["evaluations"][0]["is_likelihood"] = False
    page = section(results.page(rows), "VAE and IWAE with spatial transformation")
    assert "| `mnist-tvae-plain-iwae` |" in page
    assert "| `mnist-tvae-plain-gray` (gray levels: no likelihoods) |" in page


@pytest.mark.parametrize("index", range(4))
def test_comparisons_are_means_and_paired_differences(results: ModuleType, content: dict[str, Any], index: int) -> None:
    comparison = content["comparisons"][index]
    shown = [comparison["baseline"], *comparison["recipes"][:2]]
    rows = made_up_rows(results, shown)
    baseline = [row["evaluations"][0] for row in rows[comparison["baseline"]].values()]
    if len(shown) > 2:
        del rows[shown[2]][1], rows[shown[2]][2]
    page = section(results.page(rows), comparison["title"])
    assert page.strip().startswith(comparison["text"].strip())
    assert "| bound on log p(x), K = 5,000 |" in page
    for name in rows:
        cells = table_cells(page, f"`{name}`")
        mains = [row["evaluations"][0] for row in rows[name].values()]
        check_mean(cells[1], [main["elbo"] for main in mains])
        check_mean(cells[2], [main["log_likelihood"] for main in mains])
        assert ("±" in cells[2]) is (len(mains) > 1)  # of one seed, k̂ is too large in too many images
        uneven = np.mean([main["pareto_k_over_0_7"] for main in mains])
        assert float(cells[3].removesuffix(" %")) == pytest.approx(100 * uneven, abs=0.51)
        if "last_steps" in comparison:
            check_training(cells[6:9], [row["last_steps"] for row in rows[name].values()])
        if name == comparison["baseline"]:
            assert cells[4:6] == ["", ""]
            continue
        for cell, key in zip(cells[4:6], ("elbo", "log_likelihood"), strict=True):
            check_mean(cell, [ours[key] - theirs[key] for ours, theirs in zip(mains, baseline, strict=False)])
            assert cell.endswith("(3 seeds, paired)" if len(mains) > 1 else "(1 seed)")
    for name in comparison["recipes"][2:]:
        assert table_cells(page, f"`{name}`")[1] == "no row yet"


def check_training(cells: list[str], steps: list[dict[str, Any]]) -> None:
    """The end of training: mean ELBO, its range and the mean RMSE, over one seed with the error over the steps."""
    for cell, metric in ((cells[0], "elbo"), (cells[2], "rmse")):
        check_mean(cell, [one[metric]["mean"] for one in steps])
        if len(steps) == 1:
            assert numbers(cell)[1] == pytest.approx(steps[0][metric]["standard_error"], rel=0.5)
    lowest, highest = (float(text.replace("−", "-")) for text in cells[1].split(" to "))
    assert lowest == pytest.approx(min(one["elbo"]["smallest"] for one in steps), abs=0.0051)
    assert highest == pytest.approx(max(one["elbo"]["largest"] for one in steps), abs=0.0051)


def test_a_single_seed_has_an_error_where_it_holds(results: ModuleType) -> None:
    rows = made_up_rows(results, ["mnist-mlp"], seeds=1)
    main = rows["mnist-mlp"][0]["evaluations"][0]
    main["standard_error"] = 0.03
    for fraction, shown in ((0.05, True), (0.0501, False)):
        main["pareto_k_over_0_7"] = fraction
        page = results.page(rows)
        compared = table_cells(section(page, "Priors and posteriors on one network"), "`mnist-mlp`")
        row = table_cells(page, "[mnist-mlp-0](results/mnist-mlp-0.json)")
        assert ("± 0.03" in compared[2], "± 0.03" in row[4]) == (shown, shown)


@pytest.mark.parametrize(
    ("key", "value"), [("samples", 50), ("images", 20), ("split", "train"), ("protocol", "thresholded")]
)
def test_rows_that_differ_are_neither_averaged_nor_compared(results: ModuleType, key: str, value: object) -> None:
    rows = made_up_rows(results, ["mnist-mlp", "mnist-mlp-vamp"], seeds=2)
    for row in rows["mnist-mlp-vamp"].values():
        row["evaluations"][0][key] = value
    with pytest.raises(
        RunError, match=rf"mnist-mlp \(there\) and mnist-mlp-vamp \(here\) cannot .*: evaluation\.{key}"
    ):
        results.page(rows)
    del rows["mnist-mlp-vamp"][0]
    rows["mnist-mlp"][1]["evaluations"][0][key] = value
    with pytest.raises(RunError, match=rf"mnist-mlp: seeds 0 and 1 cannot be averaged: evaluation\.{key}"):
        results.page(rows)


def test_a_picture_stands_under_its_table_where_it_is_there(
    results: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(results, "HERE", tmp_path)
    text = section(results.page({}), "Priors and posteriors on one network")
    assert "correlations.png" not in text
    (tmp_path / "correlations.png").write_bytes(b"")
    text = section(results.page({}), "Priors and posteriors on one network")
    table, _, picture = text.partition("\n\n![")
    assert table.endswith("|")
    assert re.fullmatch(r"Two heat maps [^\]]+\]\(correlations\.png\)\n\nCorrelations of [^\n]+\n", picture)


def test_remarks_take_their_numbers_from_rows(results: ModuleType) -> None:
    names = ["mnist-uncertainty-mlp", "mnist-uncertainty-fixed"]
    rows = made_up_rows(results, names, seeds=1)
    for name in names:
        row = rows[name][0]
        row["last_minibatch"] |= {"rmse": 0.123456, "mae": 0.045678}
        row["last_steps"]["elbo"] |= {"smallest": -12345.678, "largest": 1234.5}
    page = results.page(rows)
    assert "our RMSE is 0.1235 and our MAE 0.0457:" in table_cells(page, "**P21.2**")[5]
    assert "our ELBO ran from −12,345.68 to 1,234.50." in table_cells(page, "**P21.1**")[5]
    page = results.page({})
    assert table_cells(page, "**P21.2**")[5] == "[C12](#c12)"
    assert table_cells(page, "**P21.1**")[5].endswith("did not reach it either. [C12](#c12)")


def test_the_committed_comparisons_are_recomputed_from_the_rows(results: ModuleType, content: dict[str, Any]) -> None:
    """The bounds at the smallest K of a comparison, of a larger one from its curve."""
    rows, page = results.read_rows(), results.PAGE.read_text(encoding="utf-8")
    for comparison in content["comparisons"]:
        mains: dict[str, list[dict[str, Any]]] = {}
        for name in (comparison["baseline"], *comparison["recipes"]):
            paths = sorted((ROOT / "docs" / "results").glob(f"{name}-[0-9]*.json"))
            assert len(paths) == len(rows.get(name, {}))
            mains[name] = [json.loads(path.read_text(encoding="utf-8"))["evaluations"][0] for path in paths]
        least = min((main["samples"] for found in mains.values() for main in found), default=0)
        for name, found in mains.items():
            if found:
                cells = table_cells(section(page, comparison["title"]), f"`{name}`")
                check_mean(cells[1], [main["elbo"] for main in found])
                ends = [(main["samples"], main["log_likelihood"]) for main in found]
                curves = [main["curve"] or () for main in found]
                check_mean(cells[2], [dict([*curve, end])[least] for curve, end in zip(curves, ends, strict=True)])


def test_every_row_has_its_command_and_its_commit(results: ModuleType) -> None:
    listed = section(results.page(), "Rows")
    for name, seeds in results.read_rows().items():
        for seed, row in seeds.items():
            cells = table_cells(listed, f"[{name}-{seed}](results/{name}-{seed}.json)")
            assert cells[1] == f"`{row['command']}`"
            assert row["commit"][:7] in cells[2]
            assert ("\\*" in cells[2]) is (row["clean"] is False)
            assert cells[8] == row["machine"]


def test_the_threads_of_an_evaluation_are_named_where_training_had_others(results: ModuleType) -> None:
    rows = made_up_rows(results, ["mnist-mlp"], seeds=1)
    (row,) = rows["mnist-mlp"].values()
    row["machine"], row["evaluation_seconds"] = "AMD EPYC, 2 cores, 1 thread, Linux x86_64", 61.0
    for threads, text in ((None, "1 min 1 s"), (1, "1 min 1 s"), (2, "1 min 1 s (2 threads)")):
        row["evaluations"][0]["threads"] = threads
        assert table_cells(results.page(rows), "[mnist-mlp-0](results/mnist-mlp-0.json)")[7] == text


def test_the_study_s_page_shows_errors_against_the_dimension_where_there_are_several(results: ModuleType) -> None:
    small = [row for row in results.location_rows() if row["dimension"] == 25]
    large = [{**row, "dimension": 50} for row in small if row["table"] == "bound"]
    assert "![" not in "\n".join(results.location_lines(small))
    text = "\n".join(results.location_lines([*small, *large]))
    assert re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text) == ["location-bound.png"]
