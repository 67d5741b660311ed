"""The command line: arguments in, exit status out. What a command does is in ``commands``, imported when it runs."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tightbound.commands.failures import one_line_failures
from tightbound.errors import RecipeError

_ARGUMENTS = "tightbound.arguments"


class _Commands(TyperGroup):
    """``--debug`` and ``--import`` before or after the command; expected failures as one line and a hint."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Brings the global options to the front."""
        ctx.meta[_ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, _with_value_of_dims(_global_options_first(args)))

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        with one_line_failures(ctx.meta[_ARGUMENTS], debug=ctx.params["debug"]):
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Variational autoencoders with likelihoods you can trust.",
    epilog="Exit status: 0 done, 1 failure, 2 wrong usage or recipe, 3 bad data.",
)


def _at_least(least: int) -> Callable[[typer.CallbackParam, int], int]:
    """A check of a whole number that fails as values of a recipe do: in one line."""

    def check(param: typer.CallbackParam, value: int) -> int:
        if value < least:
            raise RecipeError(f"{param.opts[0]}: got {value}; expected a whole number >= {least}")
        return value

    return check


def _at_least_if_given(least: int) -> Callable[[typer.CallbackParam, int | None], int | None]:
    """The same for an option that may be left out."""
    check = _at_least(least)

    def check_given(param: typer.CallbackParam, value: int | None) -> int | None:
        return None if value is None else check(param, value)

    return check_given


NumberOfProcesses = Annotated[
    int | None,
    typer.Option("--processes", metavar="N", callback=_at_least_if_given(1), help="In N processes of this machine."),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a zip of one.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as training.epochs=10.")]
Device = Annotated[str | None, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute.")]
Seed = Annotated[int, typer.Option(callback=_at_least(0), help="Of the random numbers.")]
SplitName = Annotated[
    str | None, typer.Option("--split", metavar="test|validation|train", help="Which images. [default: test]")
]
OtherData = Annotated[
    str | None, typer.Option("--data", help="Other data: a shipped name, a folder, an .npy or .npz file.")
]
PictureFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help=".png or .npz [default: the run's figures/]")
]
CheckpointName = Annotated[
    str, typer.Option("--checkpoint", metavar="auto|last|best", help="Weights; auto is the best, where there is one.")
]


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"tightbound {version('tightbound')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. Anywhere in the line.")
    ] = False,
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--import", metavar="MODULE", help="Import a module with components of yours. Anywhere in the line."
        ),
    ] = None,
) -> None:
    """Read the options of all commands."""
    if modules:
        from tightbound.recipes.components import import_plug_ins

        sys.path.insert(0, str(Path.cwd()))
        import_plug_ins(modules)


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="The run folder. [default: runs/digits-vae-TIME-seed0]")] = None,
) -> None:
    """Train on embedded real data, offline, and write the report."""
    from tightbound.commands.train import train_and_report

    train_and_report("digits-vae", (), out=out)


@app.command()
def train(
    ctx: typer.Context,
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A shipped name (tightbound recipes) or a YAML file.")
    ],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="The run folder. [default: runs/RECIPE-TIME-seedN]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the model, memory and time; write nothing.")] = False,
    no_evaluate: Annotated[bool, typer.Option("--no-evaluate", help="Stop after training.")] = False,
    device: Device = None,
    processes: NumberOfProcesses = None,
) -> None:
    """Train a recipe, evaluate as it says, and write the report."""
    changes = [*(overrides or ()), *([] if device is None else [f"training.device={device}"])]
    if resume and out is None:
        raise RecipeError("--resume needs the run to go on with", hint="add --out RUN")
    if dry_run and (resume or out is not None):
        raise RecipeError("--dry-run writes nothing: --out and --resume have no effect", hint="leave them out")
    if dry_run and processes is not None:
        raise RecipeError("--dry-run trains nothing: --processes has no effect", hint="leave it out")
    if dry_run:
        from tightbound.commands.dry_run import dry_run as show

        return show(recipe, changes)
    if _launched(ctx, processes):
        return None
    from tightbound.commands.train import train_and_report

    modules = ctx.parent.params["modules"] if ctx.parent else None
    train_and_report(recipe, changes, out=out, resume=resume, evaluate=not no_evaluate, modules=modules or ())


def _launched(ctx: typer.Context, processes: int | None) -> bool:
    """Runs this command in so many processes, until they have ended; whether there was more than one to run it in."""
    if processes is None:
        return False
    from tightbound.commands.launch import launch, refuse_nested

    refuse_nested()
    if processes > 1:
        launch(processes, ctx.meta[_ARGUMENTS])
    return processes > 1


@app.command()
def evaluate(
    ctx: typer.Context,
    run: RunPath,
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Of the method: temperatures=500.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="importance|annealed|bidirectional|probe",
            help="How log p(x) is estimated; probe: how often labels are read off the latents.",
        ),
    ] = "importance",
    samples: Annotated[int | None, typer.Option(help="K an image; chains if annealed. [default: the method's]")] = None,
    limit: Annotated[int | None, typer.Option(help="The first so many images only.")] = None,
    split: SplitName = None,
    data: OtherData = None,
    checkpoint: CheckpointName = "auto",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Write the per-image values.")] = None,
    device: Device = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    processes: NumberOfProcesses = None,
) -> None:
    """Bound log p(x) of images, with the uncertainty of the number."""
    if _launched(ctx, processes):
        return
    from tightbound.commands.evaluate import evaluate_and_print

    given = {"method": method, "samples": samples, "limit": limit, "split": split}
    given |= {"checkpoint": checkpoint, "seed": seed}
    given = {key: value for key, value in given.items() if value is not None}
    evaluate_and_print(run, given, options or [], data=data, out=out, device=device, as_json=json)


@app.command()
def sample(
    run: RunPath,
    out: PictureFile = None,
    number: Annotated[int, typer.Option(callback=_at_least(1), help="How many images.")] = 64,
    show: Annotated[str, typer.Option(metavar="sample|mean", help="What a .png shows of p(x|z).")] = "sample",
    checkpoint: CheckpointName = "auto",
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Draw images from the model."""
    from tightbound.commands.pictures import write_samples

    write_samples(run, out, number=number, show=show, checkpoint=checkpoint, seed=seed, device=device)


@app.command()
def reconstruct(
    run: RunPath,
    out: PictureFile = None,
    number: Annotated[int, typer.Option(callback=_at_least(1), help="How many images.")] = 16,
    split: SplitName = None,
    data: OtherData = None,
    checkpoint: CheckpointName = "auto",
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Encode images and decode them: originals, means, uncertainty."""
    from tightbound.commands.pictures import write_reconstructions

    write_reconstructions(
        run, out, number=number, split=split, data=data, checkpoint=checkpoint, seed=seed, device=device
    )


@app.command()
def traverse(
    run: RunPath,
    images: Annotated[
        str | None, typer.Option(metavar="A,B,C,D", help="Walk between these four images, or two; one with --dims.")
    ] = None,
    dims: Annotated[
        str | None,
        typer.Option(
            metavar="[I,J,...|active|all|layerI|where|what]",
            help="Walk along these latent units. [without a value: active]",
        ),
    ] = None,
    trajectory: Annotated[
        bool,
        typer.Option("--trajectory", help="Along Hamiltonian trajectories of images: the posterior's, or HMC."),
    ] = False,
    steps: Annotated[
        int,
        typer.Option(
            callback=_at_least(2),
            help="Images along a side, or of a trajectory's picture (an .npz has all of a Hamiltonian posterior's).",
        ),
    ] = 10,
    out: PictureFile = None,
    split: SplitName = None,
    data: OtherData = None,
    checkpoint: CheckpointName = "auto",
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Decode between images, along one latent unit at a time, or along Hamiltonian trajectories."""
    from tightbound.commands.trajectory import write_trajectories
    from tightbound.commands.traverse import write_traversal

    given = {"split": split, "data": data, "checkpoint": checkpoint, "seed": seed, "device": device}
    write = write_trajectories if trajectory else write_traversal
    write(run, out, images=images, dims=dims, steps=steps, **given)


@app.command()
def layers(
    run: RunPath,
    layer: Annotated[
        list[int] | None, typer.Option(metavar="I", help="Counted from the bottom, 1; can be repeated. [default: all]")
    ] = None,
    rows: Annotated[int, typer.Option(callback=_at_least(1), help="Each has one sample of the layers above.")] = 12,
    columns: Annotated[int, typer.Option(callback=_at_least(1), help="Samples of the layer in a row.")] = 12,
    show: Annotated[str, typer.Option(metavar="sample|mean", help="What a .png shows of p(x|z).")] = "mean",
    temperature: Annotated[float, typer.Option(help="Multiplies all noise of the latents.")] = 1.0,
    out: PictureFile = None,
    checkpoint: CheckpointName = "auto",
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Sample a ladder one layer at a time: those above shared, those below at their mode."""
    from tightbound.commands.layers import write_layers

    given = {"checkpoint": checkpoint, "seed": seed, "device": device}
    write_layers(run, out, layers=layer, rows=rows, columns=columns, show=show, temperature=temperature, **given)


@app.command()
def encode(
    run: RunPath,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A shipped name, a folder, an .npy or .npz file.")],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="What to write.")],
    samples: Annotated[int, typer.Option(callback=_at_least(1), help="Posterior samples an image.")] = 1,
    split: SplitName = None,
    checkpoint: CheckpointName = "auto",
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Write posterior means and samples of every image."""
    from tightbound.commands.encode import write_codes

    write_codes(run, data, out, samples=samples, split=split, checkpoint=checkpoint, seed=seed, device=device)


@app.command()
def report(
    run: RunPath,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="The page alone. [default: report.html and figures/ in RUN]"),
    ] = None,
) -> None:
    """Write the run's report again, from what its folder holds."""
    from tightbound.commands.report import report_path

    typer.echo(report_path(run, out))


@app.command()
def reproduce(
    ctx: typer.Context,
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE", help="Shipped names or YAML files; or gaussian-location [KEY=VALUE]..."),
    ],
    seeds: Annotated[int, typer.Option(callback=_at_least(1), help="How many.")] = 1,
    first_seed: Annotated[
        int | None, typer.Option(callback=_at_least_if_given(0), help="Count from here. [default: the recipe's own]")
    ] = None,
    runs: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the run folders RECIPE-seedN are, or will be.")
    ] = Path("runs"),
    rows: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write one JSON row a run, as docs/results holds them.")
    ] = None,
    commit: Annotated[
        str | None, typer.Option(metavar="HASH", help="In the rows of runs that do not say their commit.")
    ] = None,
    device: Device = None,
) -> None:
    """Run recipes with several seeds and set ours beside the published numbers."""
    from tightbound.commands.reproduce import reproduce as run_all

    modules = (ctx.parent.params["modules"] if ctx.parent else None) or ()
    run_all(
        recipes,
        seeds=seeds,
        first_seed=first_seed,
        runs=runs,
        rows=rows,
        device=device,
        commit=commit,
        modules=modules,
    )


@app.command()
def recipes(name: Annotated[str | None, typer.Argument(help="Of one recipe, or a YAML file.")] = None) -> None:
    """List the recipes, or print one with every default filled in."""
    from tightbound.commands.show import list_recipes, show_recipe

    if name is None:
        return typer.echo(list_recipes())
    gc.disable()  # to look for garbage among what torch loads takes a quarter of a second, and there is none
    try:
        typer.echo(show_recipe(name))
    finally:
        gc.enable()


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(help="Of one data set, a folder or a file; or pack FOLDER.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="Its settings, such as data.validation=0.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of pack: the new folder. [default: FOLDER-packed, here]")
    ] = None,
) -> None:
    """List the data sets, or explain one; or pack the images of a folder into one file, larger than memory."""
    if name == "pack":
        from tightbound.commands.pack import pack_folder

        return typer.echo(pack_folder(overrides or (), out))
    if out is not None:
        raise RecipeError("--out has an effect with pack alone", hint="tightbound data pack FOLDER --out DIR")
    from tightbound.commands.show import list_data, show_data

    typer.echo(list_data() if name is None else show_data(name, overrides or ()))


def main() -> None:
    """The entry point of the ``tightbound`` command."""
    # Threads that spin while they wait fight with whatever else runs: beside busy neighbors, small steps took ten times
    # as long under the ACTIVE policy. PASSIVE took twice as long as ACTIVE on a quiet machine; a short spin is between.
    # The OpenMP runtime reads this once, when torch is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if sys.argv[1:] == ["recipes"]:  # typer checks arguments with pydantic, which takes longer to load than this to do
        return _list_recipes()
    app(prog_name="tightbound")


def _list_recipes() -> None:
    from tightbound.commands.show import list_recipes

    try:
        with one_line_failures():
            typer.echo(list_recipes())
    except BrokenPipeError:  # as in `tightbound recipes | head -1`; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _global_options_first(args: list[str]) -> list[str]:
    """Moves ``--debug``, ``--import M`` and ``--import=M`` before the command."""
    first: list[str] = []
    rest: list[str] = []
    items = iter(args)
    for item in items:
        if item == "--import":
            first += [item, *([value] if (value := next(items, None)) is not None else [])]
        elif item == "--debug" or item.startswith("--import="):
            first.append(item)
        else:
            rest.append(item)
    return first + rest


def _with_value_of_dims(args: list[str]) -> list[str]:
    """``--dims`` without a value, at the end or before another option or RUN, gets ``active``."""
    given: list[str] = []
    for item, following in zip(args, [*args[1:], "--"], strict=True):
        alone = item == "--dims" and (following.startswith("-") or os.path.exists(following))
        given += [item, "active"] if alone else [item]
    return given
