"""``tightbound reproduce gaussian-location``: the study's cells run, kept, and set in tables and charts."""

from __future__ import annotations

import json
import multiprocessing
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
import typer

from tightbound.commands.console import say
from tightbound.errors import RecipeError, RunError
from tightbound.recipes.components import load_components
from tightbound.recipes.files import write_text
from tightbound.recipes.location.study import NAME, Cell, StudySettings, cells, protocol_of, run_cell
from tightbound.recipes.origin import checkout, processor
from tightbound.recipes.sections import read_settings
from tightbound.recipes.source import read_override
from tightbound.report.formatting import plural
from tightbound.report.location import charts, tables

FIGURES = "figures"
_KEYS = {"table", "method", "dimension", "rows", "data_sets", "passes", "curve"}


def reproduce_location(arguments: Sequence[str], runs: Path, rows: Path | None, commit: str | None) -> None:
    """Runs what of the study is not there yet, prints its tables, and writes its charts.

    A cell, one method in one dimension of one table, is a file of ``runs/gaussian-location``: what is there is used as
    it is, so a study that was stopped goes on.

    Args:
        arguments: ``key=value`` of ``StudySettings``, such as ``dimensions=25``.
        runs: where the folder ``gaussian-location`` is, or will be.
        rows: where the rows of each dimension are written, ``gaussian-location/<d>.json``, beside those of cells that
            were not asked for; None for nowhere.
        commit: of the source, where that is not known.

    Raises:
        RecipeError: an unknown key or a wrong value.
        RunError: a cell that is there is damaged or was run otherwise, or rows are wanted and no commit is known.
    """
    settings = read_study(arguments)
    folder, asked = runs / NAME, list(cells(settings))
    origin = _origin(arguments, commit, wanted=rows is not None)
    done = {cell: _read(folder, cell, settings) for cell in asked}
    missing = [cell for cell in asked if done[cell] is None]
    say(f"{NAME}: {len(asked) - len(missing)} of {plural(len(asked), 'cell')} are there already")
    for index, (cell, row) in enumerate(_run_all(missing, settings), len(asked) - len(missing) + 1):
        done[cell] = {**origin, **row}
        write_text(folder / f"{cell.name}.json", json.dumps(done[cell], ensure_ascii=False) + "\n")
        say(f"{index} of {len(asked)}, {cell.name}: {row['seconds']:.0f} s, {row['updates']:,} updates{_end(row)}")
    found = [row for cell in asked if (row := done[cell]) is not None]
    for exhibit in charts(found):
        _write_picture(folder / FIGURES / f"{exhibit.name}.png", exhibit.png)
    say(f"charts: {folder / FIGURES}")
    if rows is not None:
        for dimension in settings.dimensions:
            path = rows / NAME / f"{dimension}.json"
            of_it = _beside_others(path, [row for row in found if row["dimension"] == dimension])
            write_text(
                path, json.dumps(of_it, ensure_ascii=False, indent=None).replace('}, {"study"', '},\n{"study"') + "\n"
            )
            say(f"wrote {path}")
    typer.echo("\n".join(tables(found)))


def read_study(arguments: Sequence[str]) -> StudySettings:
    """``dimensions=25,50`` and so on; a value is YAML, and a list needs no brackets."""
    given: dict[str, Any] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise RecipeError(
                f"{argument}: the study {NAME} stands alone; got another recipe beside it", hint="run it by itself"
            )
        listed = key in ("dimensions", "methods", "tables") and not value.startswith("[")
        given |= read_override(f"{key}=[{value}]" if listed else argument)
    return read_settings("", StudySettings, given)


def _beside_others(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """These rows and those of the file's other methods and tables, which stay, in the study's order."""

    def key(row: dict[str, Any]) -> tuple[str, str]:
        return row["table"], row["method"]

    new = {key(row): row for row in rows}
    old = _json_of(path) if path.is_file() else []
    joined = {key(row): row for row in old} | new
    order = list(dict.fromkeys((cell.table, cell.method) for cell in cells(StudySettings())))
    gone = [name for name in joined if name not in order]  # methods of an older study come last
    return sorted(joined.values(), key=lambda row: [*order, *gone].index(key(row)))


def _run_all(missing: Sequence[Cell], settings: StudySettings) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Rows in the order in which they are done."""
    if settings.processes == 1 or len(missing) < 2:
        load_components()
        yield from ((cell, run_cell(cell, settings)) for cell in missing)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.processes, mp_context=context, initializer=_begin_process) as pool:
        # The longest first: one that begins last would leave the other processes idle.
        running = {pool.submit(run_cell, cell, settings): cell for cell in sorted(missing, key=_length, reverse=True)}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin_process() -> None:
    torch.set_num_threads(1)
    load_components()


def _length(cell: Cell) -> tuple[bool, int]:
    return protocol_of(cell, StudySettings()).passes is not None, cell.dimension


def _read(folder: Path, cell: Cell, settings: StudySettings) -> dict[str, Any] | None:
    """The row of a cell that is there; None if it is not."""
    path = folder / f"{cell.name}.json"
    if not path.is_file():
        return None
    row, passes = _json_of(path), protocol_of(cell, settings).passes
    for key, asked in (("rows", settings.rows), ("data_sets", settings.data_sets), ("passes", passes)):
        if row[key] != asked:
            raise RunError(
                f"{path} was run with {key} = {row[key]}; asked for is {asked}",
                hint="move it away, or give another --runs",
            )
    return row


def _json_of(path: Path) -> Any:
    """A cell's row, or the rows of a dimension, written whole or not at all by this command."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        whole = all(row.keys() >= _KEYS for row in (content if isinstance(content, list) else [content]))
    except (ValueError, AttributeError):
        whole, content = False, None
    if not whole:
        raise RunError(f"{path} is damaged: expected rows of the study", hint="move it away, and they are run again")
    return content


def _origin(arguments: Sequence[str], commit: str | None, *, wanted: bool) -> dict[str, Any]:
    source = checkout()
    if source is None and commit is None and wanted:
        raise RunError("the commit of the source is not known", hint="give it with --commit HASH")
    command = shlex.join(["tightbound", "reproduce", NAME, *arguments, "--rows", "docs/results"])
    return {
        "study": NAME,
        "command": command,
        "commit": commit if source is None else source["commit"],
        "clean": None if source is None else not source["changed"],
        "machine": f"{processor()}, 1 thread a process",
        "torch": torch.__version__,
    }


def _end(row: dict[str, Any]) -> str:
    if row["passes"] is not None:
        return f", {row['passes']:,} passes"
    return "" if row["converged"] else ", stopped before it had converged"


def _write_picture(path: Path, png: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png)
