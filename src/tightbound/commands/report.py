"""``tightbound report``: the one place that calls the report."""

from __future__ import annotations

from pathlib import Path

from tightbound.commands.console import say
from tightbound.commands.pictures import check_writable
from tightbound.data import Split
from tightbound.errors import DataError, RecipeError
from tightbound.recipes.run import Run, open_run
from tightbound.report import collect_pictures, read_run, write_report


def report_path(path: Path, out: Path | None = None) -> Path:
    """Opens a run and writes its report; see ``report_run``.

    Raises:
        RecipeError: the run is a zip and nothing says where the page goes, or that is no .html file.
        RunError: the run is damaged.
    """
    if out is not None and out.suffix != ".html":
        raise RecipeError(f"--out: got {str(out)!r}; expected a file that ends in .html")
    run = open_run(path)
    if out is None:
        check_writable(run, path)
    return report_run(run, out)


def report_run(run: Run, out: Path | None = None) -> Path:
    """Writes report.html and figures/ of a run folder, and returns the path of the page.

    Where the data are not at hand the page is made without pictures of them.

    Args:
        run: a run; if it is a zip, ``out`` has to be given.
        out: the page, as one file with its pictures inside; then nothing is written into the run.

    Raises:
        RunError: the run is damaged.
    """
    found = read_run(run.folder)
    main = found.main
    checkpoint = "auto" if main is None else str(main.row.get("checkpoint") or "auto")
    name = "test" if main is None else str(main.row.get("split") or "test")
    pictures = collect_pictures(run.model(checkpoint), _images(run, name), main, split_name=name)
    return write_report(run.folder, pictures, out=out)


def _images(run: Run, name: str) -> Split | None:
    try:
        return getattr(run.data(), name)
    except DataError as error:
        say(f"report without held-out images: {error.message}")
        return None
