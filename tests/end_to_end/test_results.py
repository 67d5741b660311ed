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


def table_cells(page: str, start: str) -> list[str]:
    """The cells of the one line that begins so."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_page_is_what_the_rows_say(results: ModuleType) -> None:
    assert results.PAGE.read_text(encoding="utf-8") == results.page(), "run `make results`"


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
        assert ("missing" in line) != bool(line.get("recipes")), line["id"]


def test_every_recipe_that_is_named_is_there_or_said_to_be_missing(
    results: ModuleType, content: dict[str, Any]
) -> None:
    page = results.page()
    compared = [name for one in content["comparisons"] for name in (one["baseline"], *one["recipes"])]
    published = [name for source in content["sources"] for line in source["lines"] for name in line.get("recipes", ())]
    for name in published:
        assert name in shipped() or f"there is no recipe `{name}`" in page
    for name in compared:
        assert name in shipped() or f"| `{name}` | no such recipe yet |" in page
    assert "there is no recipe `not-there`" in results.recipe_text("not-there", [], {})


def test_recipes_quote_the_numbers_of_their_line(lines: list[dict[str, Any]]) -> None:
    """What a recipe says was published is in its line of the page, and nothing else is."""
    for name in shipped():
        for entry in load_recipe(name).published:
            (line,) = [line for line in lines if name in line.get("recipes", ())]
            assert line["id"].partition(".")[0] == entry.id.partition(".")[0], name
            quoted = [
                (value["metric"], value.get("split", "test"), int(value["samples"]) if "samples" in value else None)
                for value in line["values"]
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


def test_without_rows_there_is_no_number_of_ours(results: ModuleType, lines: list[dict[str, Any]]) -> None:
    page = results.page({})
    for line in lines:
        assert table_cells(page, f"**{line['id']}**")[4].startswith("none yet: ")
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
        (name,) = line["recipes"]
        *parts, source = table_cells(page, f"**{line['id']}**")[4].split("<br>")
        assert source.startswith(f"`{name}`, seed")
        assert len(re.findall(rf"results/{name}-\d\.json", source)) == seeds
        for value, part in zip(line["values"], parts, strict=True):
            label, _, number = part.partition(": ")
            assert label.endswith("last minibatch")
            if value["metric"] == "mae":
                assert number == "none: training does not log it"
            else:
                check_mean(number, [row["last_minibatch"][value["metric"]] for row in rows[name].values()])


def test_the_same_runs_are_shown_on_test_images(results: ModuleType) -> None:
    rows = made_up_rows(results, ["mnist-uncertainty"])
    for index, row in enumerate(rows["mnist-uncertainty"].values()):
        row["last_steps"]["elbo"] = {"mean": 600.0 + index, "standard_error": 9.0}
    found = table_cells(results.page(rows), "`mnist-uncertainty`")
    mains = [row["evaluations"][0] for row in rows["mnist-uncertainty"].values()]
    for metric, text in zip(("elbo", "log_likelihood", "kl", "rmse", "mae", "nll"), found[1:7], strict=True):
        check_mean(text, [(-1 if metric in FLIPPED else 1) * main[KEYS[metric]] for main in mains])
    assert found[6].endswith("(K = 5,000)")
    check_mean(found[7], [600.0, 601.0, 602.0])


def test_comparisons_are_means_and_paired_differences(results: ModuleType, content: dict[str, Any]) -> None:
    (comparison,) = content["comparisons"]
    rows = made_up_rows(results, [comparison["baseline"], *comparison["recipes"][:2]])
    baseline = [row["evaluations"][0] for row in rows[comparison["baseline"]].values()]
    del rows[comparison["recipes"][1]][1], rows[comparison["recipes"][1]][2]
    page = results.page(rows)
    for name in rows:
        cells = table_cells(page, f"`{name}`")
        mains = [row["evaluations"][0] for row in rows[name].values()]
        check_mean(cells[1], [main["elbo"] for main in mains])
        assert cells[2].endswith(" (K = 5,000)")
        if len(mains) > 1:
            check_mean(cells[2], [main["log_likelihood"] for main in mains])
        uneven = np.mean([main["pareto_k_over_0_7"] for main in mains])
        assert float(cells[3].removesuffix(" %")) == pytest.approx(100 * uneven, abs=0.51)
        if name == comparison["baseline"]:
            assert cells[4:6] == ["", ""]
            continue
        for cell, key in zip(cells[4:6], ("elbo", "log_likelihood"), strict=True):
            check_mean(cell, [ours[key] - theirs[key] for ours, theirs in zip(mains, baseline, strict=False)])
            assert cell.endswith("(3 seeds, paired)" if len(mains) > 1 else "(1 seed)")
    assert table_cells(page, f"`{comparison['recipes'][2]}`")[1] in ("no row yet", "no such recipe yet")


def test_the_committed_comparison_is_recomputed_from_the_rows(results: ModuleType, content: dict[str, Any]) -> None:
    rows, page = results.read_rows(), results.PAGE.read_text(encoding="utf-8")
    (comparison,) = content["comparisons"]
    for name in (comparison["baseline"], *comparison["recipes"]):
        paths = sorted((ROOT / "docs" / "results").glob(f"{name}-[0-9]*.json"))
        assert len(paths) == len(rows.get(name, {}))
        mains = [json.loads(path.read_text(encoding="utf-8"))["evaluations"][0] for path in paths]
        if mains:
            cells = table_cells(page, f"`{name}`")
            check_mean(cells[1], [main["elbo"] for main in mains])
            assert numbers(cells[2])[0] == pytest.approx(np.mean([main["log_likelihood"] for main in mains]), abs=0.051)


def test_every_row_has_its_command_and_its_commit(results: ModuleType) -> None:
    page = results.page()
    for name, seeds in results.read_rows().items():
        for seed, row in seeds.items():
            cells = table_cells(page, f"[{name}-{seed}](results/{name}-{seed}.json)")
            assert cells[1] == f"`{row['command']}`"
            assert row["commit"][:7] in cells[2]
            assert ("\\*" in cells[2]) is (row["clean"] is False)
            assert cells[8] == row["machine"]
