"""Writes docs/results.md from docs/published.yaml and the rows of docs/results: `make results`.

A test keeps the committed page up to date. Rows are written by `tightbound reproduce RECIPE --rows docs/results`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tightbound.commands.beside import ours, write_mean
from tightbound.errors import RunError
from tightbound.recipes.agreement import check_recipes, check_seeds, with_fewest_samples
from tightbound.recipes.published import Quantity, find_ours, trusted_error
from tightbound.recipes.seeds import interval_over_seeds, mean_over, paired_difference
from tightbound.recipes.source import shipped
from tightbound.report.exhibit import Exhibit
from tightbound.report.formatting import MINUS, count, duration, fixed, percent, with_error
from tightbound.report.location import TITLES, error_chart, tables

SEEDS_OF_INTERVAL = 5  # with fewer, an interval says little
HERE = Path(__file__).parent
PAGE, PUBLISHED, ROWS = HERE / "results.md", HERE / "published.yaml", HERE / "results"
LOCATION, OURS = HERE / "location.md", "## Ours"
BENCHMARKS = HERE.parent / "benchmarks"
INTRODUCTION = """# Results

Made by `make results` from [published.yaml](published.yaml) and the rows in [results](results); do not edit. Every
number of ours is computed from a row, and a row has the command that makes it again. Nats per image unless a name says
otherwise; −log p(x) is bounded from above by K samples an image, in evaluation mode. ± is the standard error over
seeds. With one seed, that of the last steps of training is over these steps, and that of a bound is the Monte Carlo
error. It is left out where the weights of more than 5 % of the images are too uneven for it (k̂ > 0.7, or not known):
the bound holds there, and nothing is known of its error. Rows are averaged and compared only where data, images, K and
protocol agree. Published numbers are quoted with their digits. Those of another protocol are not comparable, and MNIST
stands for five different data sets ([C12](#c12)).
"""
DIFFERENCES = """Differences are to `{baseline}`, within each seed. That of the bounds mixes how well the models fit
with how tight the bounds are: a bound is looser where the posterior fits worse."""
ANNEALED = (
    "Two ways to bound the same images",
    "Both are lower bounds in expectation of the same log p(x), by independent noise: the higher one is the tighter. "
    "The gap is between a lower and an upper bound that the same annealing leaves on images drawn from the model; it "
    "certifies the settings, and no upper bound exists for real images.",
)
CURVES = (
    "Learning curves",
    "The ELBO of the validation images, in evaluation mode, and the time of training and validation so far.",
)
MOST_POINTS = 10
LAST_STEPS = ("ELBO, last 100 logged steps of training", "smallest to largest", "RMSE, the same steps")

Row = Mapping[str, Any]
Rows = Mapping[str, Mapping[int, Row]]


def page(rows: Rows | None = None) -> str:
    """The page's text.

    Args:
        rows: by recipe and seed; None reads docs/results.

    Raises:
        RunError: rows that would be averaged or compared are not of the same data or were evaluated differently.
    """
    written = read_rows() if rows is None else rows
    rows = {name: alike(seeds) for name, seeds in written.items()}
    for seeds in rows.values():
        check_seeds(list(seeds.values()))
    content = read_published()
    lines = [INTRODUCTION]
    for source in content["sources"]:
        lines += [*source_lines(source, rows), ""]
    for comparison in content["comparisons"]:
        lines += [*comparison_lines(comparison, rows), ""]
    lines += [*annealed_lines(rows), *curve_lines(rows), *row_lines(written), "", "## Footnotes", ""]
    for mark, text in content["footnotes"].items():
        lines += [f"**{mark}**{anchor(mark)} {text}", ""]
    return "\n".join(lines).rstrip() + "\n"


def alike(seeds: Mapping[int, Row]) -> dict[int, Row]:
    """Their first evaluations at the smallest K."""
    return dict(zip(seeds, with_fewest_samples(seeds.values()), strict=True))


def read_published() -> dict[str, Any]:
    """The content of published.yaml; every number as text, so that no digit is lost."""
    return yaml.load(PUBLISHED.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def read_rows(folder: Path = ROWS) -> dict[str, dict[int, Row]]:
    """The rows of a folder, by recipe and seed."""
    found: dict[str, dict[int, Row]] = {}
    for path in sorted(folder.glob("*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(row["recipe"], {})[row["seed"]] = row
    return {recipe: dict(sorted(seeds.items())) for recipe, seeds in sorted(found.items())}


def source_lines(source: Mapping[str, Any], rows: Rows) -> Iterator[str]:
    """One code base: a line for each of its published numbers."""
    yield from (f"## {source['title']}", "", f"Published with {source['where']}.", "")
    if "note" in source:
        yield from (source["note"], "")
    yield from head("", "data", "model", "published", "ours", "notes")
    for line in source["lines"]:
        marks = ", ".join(f"[{mark}](#{mark.lower()})" for mark in line["marks"])
        notes = " ".join(filter(None, (remark_text(line, rows), marks)))
        published = "<br>".join(map(published_text, line["values"]))
        yield cells(f"**{line['id']}**", line["data"], line["model"], published, ours_text(line, rows), notes)
    for table in source.get("tables", ()):
        yield from (
            "",
            f"{table['title']} ({' and '.join(table['lines'])}, as published).",
            "",
            *head(*table["columns"]),
        )
        for numbers in table["rows"]:
            yield cells(*numbers)
    recipes = dict.fromkeys(name for line in source["lines"] for name in line.get("recipes", ()))
    yield from test_image_lines([name for name in recipes if name in rows], rows)


def published_text(value: Mapping[str, Any]) -> str:
    """One published number, with what it is of: ``−log p(x), K = 100, test: 79.47``."""
    name = (
        quantity_of(value).label
        if "metric" in value
        else value["name"] + (f", {split(value)}" if "value" in value else "")
    )
    number = value["text"] if "text" in value else value["value"].replace("-", MINUS)
    parts = (
        f"{value['of']}: " if "of" in value else "",
        name,
        ": ",
        "about " if value.get("approximate") else "",
        number,
    )
    return "".join(parts)


def remark_text(line: Mapping[str, Any], rows: Rows) -> str:
    """A line's remark. ``remark_of_rows`` has places such as ``{rmse}`` for numbers of ours, and needs rows.

    A name is of the last minibatch; with ``_lowest``, ``_highest`` or ``_mean`` of the last logged steps.
    """
    remark = line.get("remark", "").strip()
    if "remark_of_rows" not in line or line["recipes"][0] not in rows:
        return remark
    seeds = list(rows[line["recipes"][0]].values())
    metrics = ("elbo", "rmse", "mae")
    numbers = {metric: number(Quantity(metric, "last minibatch"), seeds) for metric in metrics}
    for metric in metrics:
        texts = (last_steps_text(seeds, metric), extreme_text(seeds, metric, min), extreme_text(seeds, metric, max))
        numbers |= {f"{metric}_{name}": text for name, text in zip(("mean", "lowest", "highest"), texts, strict=True)}
    return " ".join(filter(None, (remark, line["remark_of_rows"].strip().format_map(numbers))))


def quantity_of(value: Mapping[str, Any]) -> Quantity:
    """What a published number is of."""
    return Quantity(value["metric"], split(value), int(value["samples"]) if "samples" in value else None)


def split(value: Mapping[str, Any]) -> str:
    """Of the data."""
    return value.get("split", "test")


def ours_text(line: Mapping[str, Any], rows: Rows) -> str:
    """Our numbers in the order of the published ones, with their rows; or why there are none."""
    if "missing" in line:
        return f"none yet: {line['missing']}"
    if "study" in line:
        there = sorted(int(path.stem) for path in study_files(line["study"]))
        dimensions = f"d = {', '.join(map(str, there))}" if there else "no dimension so far"
        return f"`{line['study']}`: [{dimensions}](location.md#ours)"
    return "<br>".join(recipe_text(name, of_recipe(line, name), rows) for name in line["recipes"])


def of_recipe(line: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The published numbers that a recipe of ours is set beside: all, but those of other recipes alone."""
    return [value for value in line["values"] if name in value.get("recipes", [name])]


def study_files(name: str) -> list[Path]:
    """The rows of a study, one file a dimension; see commands/location.py."""
    return list((ROWS / name).glob("*.json"))


def recipe_text(name: str, values: Sequence[Mapping[str, Any]], rows: Rows) -> str:
    """Our numbers by one recipe."""
    if name not in rows:
        return f"none yet: {'no row of' if is_recipe(name) else 'there is no recipe'} `{name}`"
    seeds = list(rows[name].values())
    quantities = [quantity_of(value) for value in values if "metric" in value]
    written = [f"{one.label}: {number(one, seeds)}{part_text(one, seeds)}" for one in quantities]
    return "<br>".join([*written, f"`{name}`, {links(seeds)}"])


def is_recipe(name: str) -> bool:
    """Whether a recipe is shipped, or lies in a folder of benchmarks."""
    return name in shipped() or any(BENCHMARKS.glob(f"*/{name}.yaml"))


def number(quantity: Quantity, seeds: Sequence[Row]) -> str:
    """The mean over seeds with its error, or why there is none."""
    found = ours(quantity, seeds)
    return f"none: {found}" if isinstance(found, str) else write_mean(quantity, *found)


def part_text(quantity: Quantity, seeds: Sequence[Row]) -> str:
    """How many images a number is of, where that is not the whole split, and a precision that was asked for."""
    found, whole = find_ours(seeds[0], quantity), (seeds[0].get("data") or {}).get(quantity.split)
    said = [] if None in (found.images, whole) or found.images == whole else [f"first {count(found.images)} images"]
    said += [found.precision] if found.precision else []
    return f" ({', '.join(said)})" if said else ""


def links(seeds: Sequence[Row]) -> str:
    """``seeds [0](...), [1](...)``."""
    listed = ", ".join(f"[{row['seed']}](results/{row['recipe']}-{row['seed']}.json)" for row in seeds)
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {listed}"


def test_image_lines(names: Sequence[str], rows: Rows) -> Iterator[str]:
    """What the recipes of a source give on test images, and the end of their training."""
    if not names:
        return
    metrics = ("elbo", "log_likelihood", "kl", "rmse", "mae")
    labels = (
        "ELBO",
        "log p(x | z)",
        "KL",
        "RMSE",
        "MAE",
        "bound on −log p(x)",
        "ELBO of the last 100 logged steps, training mode",
    )
    yield from ("", "The same runs on test images.", "", *head("recipe", "images", *labels, "rows"))
    for name in names:
        seeds = list(rows[name].values())
        samples = seeds[0]["evaluations"][0]["samples"]
        tested = [number(Quantity(metric, "test"), seeds) for metric in metrics]
        precision = seeds[0]["evaluations"][0].get("precision")
        how = f"K = {count(samples)}" + (f", {precision}" if precision else "")
        bound = f"{number(Quantity('nll', 'test', samples), seeds)} ({how})"
        images = count(seeds[0]["evaluations"][0]["images"])
        gray = "" if seeds[0]["evaluations"][0].get("is_likelihood", True) else " (gray levels: no likelihoods)"
        yield cells(f"`{name}`{gray}", images, *tested, bound, last_steps_text(seeds, "elbo"), links(seeds))


def last_steps_text(seeds: Sequence[Row], metric: str) -> str:
    """The mean over the last logged steps; of one seed with the error over these steps."""
    found = [row["last_steps"].get(metric) for row in seeds]
    if None in found:
        return "not logged"
    mean = mean_over([one["mean"] for one in found])
    error = found[0]["standard_error"] if mean.error is None else mean.error
    return with_error(mean.value, error, decimals(metric))


def extreme_text(seeds: Sequence[Row], metric: str, of: Callable[[Iterable[float]], float]) -> str:
    """The smallest or largest value of the last logged steps, over all seeds."""
    key = "smallest" if of is min else "largest"
    found = [(row["last_steps"].get(metric) or {}).get(key) for row in seeds]
    known = [value for value in found if value is not None]
    return fixed(of(known), decimals(metric)) if len(known) == len(found) else "not known"


def decimals(metric: str) -> int:
    """Places of a number without an error."""
    return 4 if metric in ("rmse", "mae") else 2


def comparison_lines(comparison: Mapping[str, Any], rows: Rows) -> Iterator[str]:
    """Recipes that differ in one thing, their differences within a seed, and a picture where there is one.

    Raises:
        RunError: they were not evaluated in the same way.
    """
    baseline = comparison["baseline"]
    names = [baseline, *comparison["recipes"]]
    every = {(name, seed): row for name in names for seed, row in rows.get(name, {}).items()}
    every = dict(zip(every, with_fewest_samples(every.values()), strict=True))
    rows = {name: {seed: row for (one, seed), row in every.items() if one == name} for name in names if name in rows}
    there = [next(iter(seeds.values())) for seeds in rows.values()]
    for row in there[1:]:
        check_recipes(there[0], row)
    samples = f", K = {count(there[0]['evaluations'][0]['samples'])}" if there else ""
    bound = f"bound on log p(x){samples}"
    text = comparison.get("text", "").strip()
    yield from (f"## {comparison['title']}", "", *((text, "") if text else ()))
    yield from (DIFFERENCES.format(baseline=baseline), "")
    steps = LAST_STEPS if "last_steps" in comparison else ()
    yield from head("recipe", "ELBO", bound, "images with k̂ > 0.7", "ELBO − its", "bound − its", *steps, "rows")
    for name in names:
        found = comparison_row(name, baseline, rows) if name in rows else [state_text(name), *[""] * 5]
        if steps:
            found[-1:-1] = training_cells(list(rows[name].values())) if name in rows else [""] * len(steps)
        yield cells(f"`{name}`", *found)
    picture = comparison.get("picture")
    if picture is not None and (HERE / picture["file"]).is_file():
        yield from ("", f"![{picture['alt'].strip()}]({picture['file']})", "", picture["caption"].strip())


def comparison_row(name: str, baseline: str, rows: Rows) -> list[str]:
    """Means over seeds and the differences to the baseline."""
    seeds = list(rows[name].values())
    mains = [row["evaluations"][0] for row in seeds]
    means = [comparison_mean(mains, key) for key in ("elbo", "log_likelihood")]
    differences = [difference_text(rows, name, baseline, key) for key in ("elbo", "log_likelihood")]
    return [*means, uneven_text(mains), *differences, links(seeds)]


def training_cells(seeds: Sequence[Row]) -> list[str]:
    """The end of training, as ``LAST_STEPS`` heads it."""
    extremes = [extreme_text(seeds, "elbo", of) for of in (min, max)]
    return [last_steps_text(seeds, "elbo"), f"{extremes[0]} to {extremes[1]}", last_steps_text(seeds, "rmse")]


def state_text(name: str) -> str:
    """Why a recipe has no numbers."""
    return "no row yet" if is_recipe(name) else "no such recipe yet"


def uneven_text(mains: Sequence[Row]) -> str:
    """How many images have weights too uneven for the error of their bound to mean anything, over all seeds."""
    fractions = [main["pareto_k_over_0_7"] for main in mains]
    return "not known" if None in fractions else percent(mean_over(fractions).value)


def comparison_mean(mains: Sequence[Row], key: str) -> str:
    """The mean over seeds; of one seed with the Monte Carlo error, where it is known."""
    mean = mean_over([main[key] for main in mains])
    known = trusted_error(mains[0]) if key == "log_likelihood" else None
    return with_error(mean.value, known if mean.error is None else mean.error)


def difference_text(rows: Rows, name: str, baseline: str, key: str) -> str:
    """The paired difference with its error over seeds, over how many seeds, and of many its 95 % interval."""
    if name == baseline or baseline not in rows:
        return ""
    values = ({seed: row["evaluations"][0][key] for seed, row in rows[one].items()} for one in (name, baseline))
    mean = paired_difference(*values)
    if mean is None:
        return "no seed in common"
    how = f"{mean.seeds} seed{'' if mean.seeds == 1 else 's, paired'}"
    interval = interval_over_seeds(mean)
    if interval is not None and mean.seeds >= SEEDS_OF_INTERVAL:
        how += f"; 95 %: {fixed(interval[0], 2)} to {fixed(interval[1], 2)}"
    return f"{with_error(mean.value, mean.error)} ({how})"


def annealed_lines(rows: Rows) -> Iterator[str]:
    """Bounds by samples and by annealed chains on the same images, where a row has both; nothing where none has."""
    found = [(row, *pair) for seeds in rows.values() for row in seeds.values() for pair in bounded_twice(row)]
    if not found:
        return
    columns = ("images", "importance", "annealed", "annealed − importance", "gap on simulated images", "row")
    yield from (f"## {ANNEALED[0]}", "", ANNEALED[1], "", *head("recipe", *columns))
    for row, main, annealed in found:
        settings, simulated = annealed["annealing"], annealed.get("simulated")
        errors = (trusted_error(main), annealed["standard_error"])
        error = None if None in errors else math.hypot(*errors)
        chains = f"{count(annealed['samples'])} chains of {count(settings['temperatures'])} temperatures"
        gap = "not measured"
        if simulated is not None:
            gap = (
                f"{with_error(annealed['simulated_gap'], simulated['gap_error'])} ({count(simulated['images'])} images)"
            )
        yield cells(
            f"`{row['recipe']}`",
            count(annealed["images"]),
            f"{with_error(main['log_likelihood'], errors[0])} (K = {count(main['samples'])})",
            f"{with_error(annealed['log_likelihood'], errors[1])} ({chains} from the {settings['start']})",
            with_error(annealed["log_likelihood"] - main["log_likelihood"], error),
            gap,
            links([row]),
        )
    yield ""


def bounded_twice(row: Row) -> Iterator[tuple[Row, Row]]:
    """Its annealed evaluations, each after that of the very same images by the most posterior samples, if any."""
    keys = ("images", "split", "seed", "checkpoint")
    for annealed in row["evaluations"]:
        same = [other for other in row["evaluations"] if all(other[key] == annealed[key] for key in keys)]
        sampled = [other for other in same if other["method"] == "importance"]
        if annealed.get("annealing") and sampled:
            yield max(sampled, key=lambda other: other["samples"]), annealed


def curve_lines(rows: Rows) -> Iterator[str]:
    """How a run that stands beside a published number learned, where its row says so; nothing where none does."""
    published = (line for source in read_published()["sources"] for line in source["lines"])
    names = [name for line in published for name in line.get("recipes", ()) if name in rows]
    found = [row for name in names for row in rows[name].values() if row.get("curve")]
    if not found:
        return
    yield from (f"## {CURVES[0]}", "", CURVES[1], "", *head("run", "", *("" for _ in range(MOST_POINTS))))
    for row in found:
        curve = row["curve"]
        last = len(curve) - 1
        points = [curve[i] for i in sorted({round(last * (k / (MOST_POINTS - 1)) ** 2) for k in range(MOST_POINTS)})]
        run = f"[{row['recipe']}-{row['seed']}](results/{row['recipe']}-{row['seed']}.json)"
        yield cells(run, "epoch", *(f"{point['epoch']:.4g}" for point in points))
        yield cells("", "ELBO", *(fixed(point["elbo"], 2) for point in points))
        yield cells("", "time", *(duration(point["seconds"]) for point in points))
    yield ""


def row_lines(rows: Rows) -> Iterator[str]:
    """Every row: how it was made and how long that took."""
    yield from (
        "## Rows",
        "",
        "The commit is that of the source; * says that files of the package had been changed.",
        "",
    )
    yield from head(
        "row", "command", "commit", "seed", "bound on log p(x)", "parameters", "training", "evaluation", "machine"
    )
    for seeds in rows.values():
        for row in seeds.values():
            main = row["evaluations"][0]
            commit = (
                f"`{row['commit'][:7]}`" + {True: "", False: "\\*", None: " (not recorded by the run)"}[row["clean"]]
            )
            yield cells(
                f"[{row['recipe']}-{row['seed']}](results/{row['recipe']}-{row['seed']}.json)",
                f"`{row['command']}`",
                "; ".join(filter(None, (commit, row["note"]))),
                str(row["seed"]),
                "<br>".join(map(bound_text, [main, *further(row)])),
                count(row["parameters"]),
                duration(row["training_seconds"]),
                f"{duration(row['evaluation_seconds'])}{threads_text(row)}",
                row["machine"],
            )


def bound_text(evaluation: Row) -> str:
    """A bound on log p(x), its Monte Carlo error where that holds, and its K."""
    return f"{with_error(evaluation['log_likelihood'], trusted_error(evaluation))} (K = {count(evaluation['samples'])})"


def further(row: Row) -> list[Row]:
    """Evaluations by another K of what the first one is of."""
    main, *others = row["evaluations"]
    alike = ("method", "split", "images", "protocol", "precision")
    return [one for one in others if all(one.get(key) == main.get(key) for key in alike)]


def threads_text(row: Row) -> str:
    """On how many threads the first evaluation ran, where that is known and not how training did."""
    threads = row["evaluations"][0].get("threads")
    if threads is None or f", {count(threads)} thread{'' if threads == 1 else 's'}," in row["machine"]:
        return ""
    return f" ({count(threads)} thread{'' if threads == 1 else 's'})"


def head(*names: str) -> tuple[str, str]:
    """The first two lines of a table."""
    return cells(*names), "|---" * len(names) + "|"


def cells(*texts: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def anchor(mark: str) -> str:
    """A place that footnote marks lead to."""
    return f'<a id="{mark.lower()}"></a>'


def location_page(text: str | None = None) -> str:
    """docs/location.md with the tables of ours, from the rows of docs/results/gaussian-location."""
    text = LOCATION.read_text(encoding="utf-8") if text is None else text
    before, _, _ = text.partition(OURS)
    return f"{before}{OURS}\n\n" + "\n".join(location_lines(location_rows())).rstrip() + "\n"


def location_rows() -> list[Row]:
    """The rows of all dimensions, small ones first."""
    found = [row for path in study_files("gaussian-location") for row in json.loads(path.read_text(encoding="utf-8"))]
    return sorted(found, key=lambda row: row["dimension"])


def location_charts(found: Sequence[Row]) -> Iterator[tuple[str, Exhibit]]:
    """File names in docs and the error of σ against the dimension, of each table that has several dimensions."""
    for table in TITLES:
        there = [row for row in found if row["table"] == table]
        if len({row["dimension"] for row in there}) > 1:
            yield f"location-{table}.png", error_chart(there, table, "scale")


def location_lines(found: Sequence[Row]) -> Iterator[str]:
    """Where the rows are from, and the tables."""
    seconds = sum(row["seconds"] for row in found)
    made = sorted({(row["commit"][:7], row["machine"]) for row in found})
    origin = "; ".join(f"commit {commit}, {machine}" for commit, machine in made)
    yield f"Made by `make results` from [the rows](results/gaussian-location); do not edit below. {origin}."
    yield f"All updates took {duration(seconds)}, summed over the processes."
    yield ""
    for name, exhibit in location_charts(found):
        yield from (f"![{exhibit.title}]({name})", "", exhibit.caption, "")
    yield from tables(found)


if __name__ == "__main__":
    try:
        text = page()
    except RunError as error:
        sys.exit(f"error: {error.message}\n  hint: {error.hint}")
    for path, content in ((PAGE, text), (LOCATION, location_page())):
        path.write_text(content, encoding="utf-8")
        print(f"wrote {path}")
    for name, exhibit in location_charts(location_rows()):
        (HERE / name).write_bytes(exhibit.png)
        print(f"wrote {HERE / name}")
