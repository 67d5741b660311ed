"""``tightbound report``: the one place that calls the report."""

from __future__ import annotations

from pathlib import Path

from tightbound.commands.console import say
from tightbound.data import Split
from tightbound.errors import DataError, RunError
from tightbound.recipes.run import Run, open_run
from tightbound.report import collect_pictures, read_run, write_report


def report_path(path: Path) -> Path:
    """Opens a run and writes its report; see ``report_run``."""
    return report_run(open_run(path))


def report_run(run: Run) -> Path:
    """Writes report.html and figures/ of a run folder, and returns the path of the page.

    Where the data are not at hand the page is made without pictures of them.

    Raises:
        RunError: the run is damaged, or is a zip.
    """
    if not run.writable:
        raise RunError(f"{run.name} is a zip; a report is written into a run folder", hint="unpack it first")
    found = read_run(run.folder)
    main = found.main
    checkpoint = "auto" if main is None else str(main.row.get("checkpoint") or "auto")
    name = "test" if main is None else str(main.row.get("split") or "test")
    pictures = collect_pictures(run.model(checkpoint), _images(run, name), main, split_name=name)
    return write_report(run.folder, pictures)


def _images(run: Run, name: str) -> Split | None:
    try:
        return getattr(run.data(), name)
    except DataError as error:
        say(f"report without held-out images: {error.message}")
        return None
