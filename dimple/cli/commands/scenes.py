"""`dimple scenes`: the list of built-in scenes, the geometry of a scene, and checks of scene files."""

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
from dimple.cli.commands.tangents import tangents
from dimple.cli.examples import format_examples
from dimple.cli.flags import JsonOption, OverridesOption, SceneArgument

if TYPE_CHECKING:
    from dimple.experiment.simulation.manifold_geometry import SceneGeometry

scenes = typer.Typer(help="List the built-in scenes; show, check or start one.", rich_markup_mode=None)

# Relative error below which the printed digits of a number are exact.
PRINTED_ACCURACY = 1e-4
# Ratio of the bounds of a covering radius up to which one number stands for both.
COVERING_ACCURACY = 1.002

STARTER_SCENE = """\
# One sentence that describes the scene; dimple scenes shows the first line.
#
# Only the manifold is required; the lines that are commented out below are the defaults. Each kind has settings of its
# own: `dimple scenes schema` lists all kinds with their settings, for people and for editors.
# seed: 0

# The manifold of the data: circle, spiral, torus, swiss_roll, ...; `embed` places any of them in more dimensions:
# {kind: embed, base: {kind: sphere}, ambient_dim: 100}
manifold: {kind: sphere, dim: 2, radius: 0.3}

# Evenly spread points whose neighbors have the other class, so that only the fine pattern can be learned.
# data:
#   sampling: {kind: farthest_point, count: 60}
#   labels: {kind: alternating}
#   test_points: 500
#   heldout_points: 300

# The initial weights decide whether the boundary clings. It clings more with larger weights off the manifold
# (first_layer_weight_scale, one factor or one for each coordinate), and when the network starts with one class
# everywhere (initial_logit_bias 1 to 2).
# network: {widths: [128, 128], activation: relu, first_layer_weight_scale: 1.0, bias_scale: 1.0,
#           output_scale: 1.0, initial_logit_bias: 0.0}

# training: {kind: standard, steps: 1000, lr: 0.001}
# snapshots: {count: 50, spacing: log}

# The measurements at every snapshot. In many dimensions `{kind: margin, method: deepfool}` is faster.
# probes:
#   - {kind: margin}
#   - {kind: onoff}
#   - {kind: offset}

# The extraction of the boundary for drawing: in 2 or 3 dimensions, or in a slice of more dimensions that holds the
# manifold. A manifold that spans more than three dimensions needs {kind: none}.
# levelset: {kind: adaptive, resolution: 64}
"""


@scenes.callback(invoke_without_command=True)
def list_scenes(context: typer.Context) -> None:
    """List the built-in scenes with one line each; or show, check or start one."""
    if context.invoked_subcommand is None:
        list_built_in()


@scenes.command("list", epilog=format_examples("scenes list"))
def list_built_in() -> None:
    """List the built-in scenes with one line each."""
    from dimple.scene import shipped_scenes

    lines = {name: file.read_text(encoding="utf-8").partition("\n")[0] for name, file in shipped_scenes().items()}
    # Without a terminal, for other programs, each scene is one line.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in format_columns({name: line.removeprefix("#").strip() for name, line in lines.items()}, width):
        typer.echo(line)


def format_columns(rows: Mapping[str, str], width: int | None) -> list[str]:
    """Return lines of two columns, names and texts, wrapped to `width` characters unless it is None.

    Example:
        >>> format_columns({"a": "one two", "bc": "three"}, 9)
        ['a   one', '    two', 'bc  three']
    """
    names = max(map(len, rows), default=0)
    lines = []
    for name, text in rows.items():
        parts = [text] if width is None else textwrap.wrap(text, max(width - names - 2, 1))
        lines += [f"{first:<{names}}  {part}" for first, part in zip_longest([name], parts, fillvalue="")]
    return lines


@scenes.command(epilog=format_examples("scenes kinds"))
def kinds(
    family: Annotated[
        str | None, typer.Argument(metavar="FAMILY", help="Key of a scene, such as manifold, sampling or objective.")
    ] = None,
) -> None:
    """List what can stand in a scene file.

    With a family, each of its kinds has a sentence and a line of YAML with all its defaults.
    """
    from dimple.scene.kinds import choose_kinds, describe_kind, scene_kinds

    if family is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for line in format_columns({key: ", ".join(members) for key, members in scene_kinds().items()}, width):
            typer.echo(line)
        return
    for key, members in choose_kinds(family).items():
        typer.echo(f"{key}:")
        for kind, schema in members.items():
            for line in describe_kind(kind, schema):
                typer.echo(textwrap.fill(line, 116, initial_indent="  ", subsequent_indent="      "))


@scenes.command(epilog=format_examples("scenes show"))
def show(
    scene: SceneArgument,
    overrides: OverridesOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="PNG file of the picture.  [default: <scene>-geometry.png]"),
    ] = None,
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Numbers without a picture.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the geometry of a scene and draw its manifold.

    The picture has the training points too. A manifold that does not fit in three dimensions has no picture.
    """
    import dataclasses

    from dimple.scene.find import check_scene_names, locate_mistakes

    node = check_scene_names(scene, overrides or ())
    from dimple.experiment.simulation.manifold_geometry import compute_scene_geometry, write_picture
    from dimple.scene import load_scene

    with locate_mistakes(node):
        loaded = load_scene(scene, overrides or ())
        geometry = compute_scene_geometry(loaded)
        path = out or Path(f"{loaded.name}-geometry.png")
        drawn = not no_picture and write_picture(loaded, path)
    if as_json:
        line = {"name": loaded.name, **dataclasses.asdict(geometry), "codim": geometry.codim}
        required = geometry.required_covering_radius
        line |= {"required_covering_radius": required, "picture": str(path) if drawn else None}
        console.print_json(line)
        return
    _print_geometry(geometry)
    if drawn:
        typer.echo(path)
    elif not no_picture:
        console.print_note(
            f"dimple: {loaded.name} is not a curve or surface that fits in three dimensions, so there is no picture"
        )


def _print_geometry(geometry: "SceneGeometry") -> None:
    from dimple.views.content.labels import format_number

    is_curved = math.isfinite(geometry.reach)

    def format_length(value: float) -> str:
        relative = f", which is {format_number(value / geometry.reach)} of the reach" if is_curved else ""
        return format_number(value) + relative

    counts = ", ".join(f"{count} of class {label}" for label, count in enumerate(geometry.class_counts))
    reach = format_number(geometry.reach) + (
        "" if geometry.reach_is_exact else " at most, the smallest value that a search found"
    )
    # The printed digits are exact where the error is smaller.
    is_exact = geometry.volume_error <= PRINTED_ACCURACY * geometry.volume
    volume = format_number(geometry.volume) + ("" if is_exact else f" +- {geometry.volume_error:.1g}")
    separation = format_length(geometry.class_separation)
    covering_radius = format_length(geometry.covering_radius)
    if geometry.covering_radius_upper > COVERING_ACCURACY * geometry.covering_radius:
        covering_radius = f"at least {covering_radius}"
    met = {True: "met", False: "not met", None: "undecided, because only a lower bound is known"}
    verdict = met[geometry.is_densely_sampled]
    if geometry.is_densely_sampled and not geometry.reach_is_exact:
        verdict = "met, if this is the reach"
    # Below it a union of balls around the points has the topology of the manifold.
    limit = format_number(geometry.required_covering_radius)
    required = f"a covering radius below {limit} (Niyogi et al. 2008): {verdict}"
    lines = {
        "dimension": f"{geometry.dim} in R^{geometry.ambient_dim}, codimension {geometry.codim}",
        "components": str(geometry.component_count),
        {1: "length", 2: "area"}.get(geometry.dim, "volume"): volume,
        "reach": reach if is_curved else "infinite: the manifold is flat",
        "training points": f"{geometry.point_count}: {counts}",
        "class separation": f"{separation} (labels shuffled: {format_number(geometry.class_separation_null)})",
        "covering radius": f"{covering_radius} (uniform points: {format_number(geometry.covering_radius_null)})",
        "for the topology": required if is_curved else "no covering radius is needed",
    }
    for name, text in lines.items():
        typer.echo(f"{name:<16}  {text}")


@scenes.command(epilog=format_examples("scenes check"))
def check(file: SceneArgument, overrides: OverridesOption = None) -> None:
    """Check that a scene can be simulated.

    The check reads the scene, samples its points and builds its network. It writes no file.
    """
    from dimple.scene.find import check_scene_names, locate_mistakes

    node = check_scene_names(file, overrides or ())
    import torch

    from dimple.errors import MissingDataError
    from dimple.experiment.simulation.simulate_scene import prepare
    from dimple.scene import load_scene

    scene = load_scene(file, overrides or ())
    with locate_mistakes(node):
        try:
            samples = prepare(scene, None, torch.device("cpu"))[0].samples
        except MissingDataError as error:
            typer.echo(f"{file}: valid; {error}")
            return
        if scene.manifold is None:
            shape = " x ".join(map(str, samples.shape))
            count = f"{len(samples.train)} training images of {shape}"
            typer.echo(f"{file}: valid; {count} in {len(samples.classes)} classes")
            return
    typer.echo(
        f"{file}: valid; {len(samples.train)} training points on a manifold of dimension {scene.manifold.dim} "
        f"in R^{scene.manifold.ambient_dim}"
    )


@scenes.command(epilog=format_examples("scenes schema"))
def schema() -> None:
    """Print the JSON Schema of scene files.

    With it an editor completes keys and marks mistakes.
    """
    from dimple.scene.scene import FAMILIES, Scene
    from dimple.scene.schema import json_schema as schema_of

    typer.echo(json.dumps(schema_of(Scene, FAMILIES), indent=2))


@scenes.command(epilog=format_examples("scenes new"))
def new(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")] = Path("scene.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Permission to replace an existing file.")] = False,
) -> None:
    """Write a commented scene file to start from."""
    from dimple.errors import UsageError
    from dimple.runs.atomic_io import write_bytes

    if path.exists() and not force:
        raise UsageError(f"{path}: already exists; choose another name or give --force")
    write_bytes(path, STARTER_SCENE.encode())
    typer.echo(path)


scenes.command(epilog=format_examples("scenes tangents"))(tangents)
