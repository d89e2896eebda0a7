"""`dimple scenes`: what ships, what a scene looks like, and whether one's own makes sense."""

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimple.cli import console
from dimple.cli.flags import AsJson, Changes, Named

if TYPE_CHECKING:
    from dimple.experiment.simulation.manifold_geometry import Geometry

scenes = typer.Typer(
    help="List the scenes that ship, show one, check a file, or begin a new one.", rich_markup_mode=None
)

STARTER = """\
# One sentence that says what the scene is; dimple scenes shows the first line.
#
# Every setting but the manifold may be left out; what is commented out below is what holds then. Settings of a kind
# belong to that kind: `dimple scenes schema` lists all kinds with their settings, for people and for editors.
# seed: 0

# Where the data lie: circle, spiral, torus, swiss_roll, ...; `lift` places any of them in more dimensions:
# {kind: lift, of: {kind: sphere}, ambient_dim: 100}
manifold: {kind: sphere, dim: 2, radius: 0.3}

# Points spread evenly, and neighbours of unlike class: the only thing to learn is the fine pattern.
# data:
#   sampling: {kind: spread, count: 60}
#   labels: {kind: alternating}
#   test_points: 500
#   probe_points: 300

# Whether the boundary clings is decided here. It does so rather with larger weights across the manifold (input_scale,
# one factor or one a coordinate) and when the network starts sure of one class (offset 1 to 2).
# network: {widths: [128, 128], activation: relu, input_scale: 1.0, bias_scale: 1.0, output_scale: 1.0, offset: 0.0}

# training: {kind: standard, steps: 1000, lr: 0.001}
# snapshots: {count: 50, spacing: log}

# What is measured at every snapshot. In many dimensions `{kind: margin, method: deepfool}` is quicker.
# probes:
#   - {kind: margin, starts: 4}
#   - {kind: onoff}
#   - {kind: offset}

# How the boundary is extracted to be drawn: in 2 or 3 dimensions, or in a section of more that holds the manifold. A
# manifold that spans more than three needs {kind: none}.
# levelset: {kind: adaptive, cells: 64}
"""


@scenes.callback(invoke_without_command=True)
def list_scenes(context: typer.Context) -> None:
    """List the scenes that ship, with one line each; or show, check or begin one."""
    if context.invoked_subcommand is not None:
        return
    from dimple.scene import shipped_scenes

    firsts = {name: file.read_text(encoding="utf-8").partition("\n")[0] for name, file in shipped_scenes().items()}
    # A program that reads the list gets a line a scene.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in listed({name: first.removeprefix("#").strip() for name, first in firsts.items()}, width):
        typer.echo(line)


def listed(rows: Mapping[str, str], width: int | None) -> list[str]:
    """Names and what they stand for in two columns, wrapped to so many characters where there is a width.

    Example:
        >>> listed({"a": "one two", "bc": "three"}, 9)
        ['a   one', '    two', 'bc  three']
    """
    names = max(map(len, rows), default=0)
    lines = []
    for name, text in rows.items():
        parts = [text] if width is None else textwrap.wrap(text, max(width - names - 2, 1))
        lines += [f"{shown:<{names}}  {part}" for shown, part in zip_longest([name], parts, fillvalue="")]
    return lines


@scenes.command()
def show(
    scene: Named,
    changes: Changes = None,
    out: Annotated[Path | None, typer.Option(help="The picture; <scene>-geometry.png without it.")] = None,
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Draw nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a scene's geometry, and draw its manifold with the training points where three dimensions hold it."""
    import dataclasses

    from dimple.experiment.simulation.manifold_geometry import geometry_of, write_picture
    from dimple.runs.atomic_io import without_infinities
    from dimple.scene import load_scene

    loaded = load_scene(scene, changes or ())
    geometry = geometry_of(loaded)
    path = out or Path(f"{loaded.name}-geometry.png")
    drawn = not no_picture and write_picture(loaded, path)
    if as_json:
        line = {"name": loaded.name, **dataclasses.asdict(geometry), "codim": geometry.codim}
        line |= {"cover_asked": geometry.cover_asked, "picture": str(path) if drawn else None}
        typer.echo(json.dumps(without_infinities(line)))
        return
    _print_geometry(geometry)
    if drawn:
        typer.echo(path)
    elif not no_picture:
        console.note(f"dimple: {loaded.name} is no curve or surface that three dimensions hold, so there is no picture")


def _print_geometry(shown: "Geometry") -> None:
    from dimple.cli.tables import number

    bent = math.isfinite(shown.reach)

    def length(value: float) -> str:
        return f"{number(value)}, which is {number(value / shown.reach)} of the reach" if bent else number(value)

    counts = ", ".join(f"{count} of class {label}" for label, count in enumerate(shown.class_counts))
    reach = number(shown.reach) + ("" if shown.reach_is_exact else ", at most: the least that a search found")
    met = "met" if shown.is_covered else "not met"
    lines = {
        "dimension": f"{shown.dim} in R^{shown.ambient_dim}, codimension {shown.codim}",
        "pieces": str(shown.pieces),
        {1: "length", 2: "area"}.get(shown.dim, "volume"): number(shown.volume),
        "reach": reach if bent else "infinite: it is flat",
        "training points": f"{shown.points}: {counts}",
        "opposite labels": f"at least {length(shown.opposite)} (labels shuffled: {number(shown.opposite_null)})",
        "covering radius": f"{length(shown.cover)} (uniform points: {number(shown.cover_null)})",
        "theory asks": f"a covering radius below {number(shown.cover_asked)}: {met}" if bent else "no covering radius",
    }
    for name, text in lines.items():
        typer.echo(f"{name:<15}  {text}")


@scenes.command()
def check(file: Named, changes: Changes = None) -> None:
    """Say whether a scene can be simulated: read it, draw its points, build its network; write nothing."""
    from dimple.scene import load_scene
    from dimple.tensors import generator

    scene = load_scene(file, changes or ())
    samples = scene.samples()
    scene.domain(samples)
    manifold = scene.manifold
    scene.network.build(manifold.ambient_dim, generator(scene.seed, "network"))
    typer.echo(
        f"{file}: sound; {len(samples.train)} training points on a manifold of dimension {manifold.dim} "
        f"in R^{manifold.ambient_dim}"
    )


@scenes.command()
def schema() -> None:
    """Print the JSON Schema of scene files, by which an editor completes keys and marks mistakes."""
    from dimple.scene.scene import FAMILIES, Scene
    from dimple.scene.schema import schema as schema_of

    typer.echo(json.dumps(schema_of(Scene, FAMILIES), indent=2))


@scenes.command()
def new(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("scene.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")] = False,
) -> None:
    """Write a commented scene to begin from."""
    from dimple.errors import UsageError
    from dimple.runs.atomic_io import write_bytes

    if path.exists() and not force:
        raise UsageError(f"{path}: is there already; choose another name or give --force")
    write_bytes(path, STARTER.encode())
    typer.echo(path)
