"""`dimple scenes tangents`: errors of tangent spaces that are estimated from points of a scene."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimple.cli import console
from dimple.cli.flags import JsonOption, OverridesOption, SceneArgument

if TYPE_CHECKING:
    from dimple.experiment.tangent_benchmark import TangentBenchmark
    from dimple.views.charts.error_sweeps import ErrorSweep


def tangents(
    scene: SceneArgument,
    overrides: OverridesOption = None,
    points: Annotated[int, typer.Option(metavar="NUMBER", help="Number of points of the largest cloud.")] = 4000,
    neighbors: Annotated[int, typer.Option(metavar="NUMBER", help="Number of points in each estimate.")] = 20,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="PNG file for the curves.  [default: none]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare estimated tangent spaces with the exact ones.

    The estimates use a cloud of points of the scene's manifold, with the noise of the scene (data.noise). Angles are
    largest principal angles in degrees.
    """
    import dataclasses

    from dimple.scene.find import check_scene_names, locate_mistakes

    node = check_scene_names(scene, overrides or ())
    from dimple.experiment.tangent_benchmark import benchmark_tangents
    from dimple.scene import load_scene
    from dimple.views.charts.error_sweeps import write_error_sweeps

    with locate_mistakes(node):
        loaded = load_scene(scene, overrides or ())
        benchmark = benchmark_tangents(loaded, points, neighbors)
    if out is not None:
        dimensions = f"dimension {benchmark.dim} in R^{benchmark.ambient_dim}"
        title = f"{loaded.name}: tangents from {points} points, {neighbors} neighbors; {dimensions}"
        write_error_sweeps(title, benchmark.sweeps, benchmark.null, out)
    if as_json:
        line = {"name": loaded.name, **dataclasses.asdict(benchmark), "unit": "degrees"}
        console.print_json(line | {"picture": None if out is None else str(out)})
        return
    _print_benchmark(loaded.name, benchmark)
    if out is not None:
        typer.echo(out)


def _print_benchmark(name: str, benchmark: "TangentBenchmark") -> None:
    noise = f", noise {benchmark.noise:g}" if benchmark.noise else ""
    typer.echo(
        f"{name}: dimension {benchmark.dim} in R^{benchmark.ambient_dim}; {benchmark.points} points, "
        f"{benchmark.neighbors} neighbors{noise}; angles to the exact tangents, degrees"
    )
    null, low, high = benchmark.null
    expected = f"  expected error {_format_angle(benchmark.expected_error)}"
    reliable = f", reliable at {benchmark.reliable_fraction:.0%} of the points"
    typer.echo(_format_row("", ["median", "90 %"]))
    typer.echo(_format_row("local PCA", map(_format_angle, benchmark.local_pca)) + expected + reliable)
    typer.echo(_format_row("quadratic", map(_format_angle, benchmark.quadratic_pca)) + "  local PCA of order 2")
    typer.echo(
        _format_row("global PCA", map(_format_angle, benchmark.global_pca)) + "  one subspace for the full cloud"
    )
    typer.echo(
        _format_row("random", [_format_angle(null)])
        + f"{'':9}  the null; {_format_angle(low)} to {_format_angle(high)}"
    )
    for sweep in benchmark.sweeps:
        _print_sweep(sweep)


def _print_sweep(sweep: "ErrorSweep") -> None:
    typer.echo()
    typer.echo(_format_row(sweep.name, [f"{value:.4g}" for value in sweep.values]) + f"{_format_slope(sweep)}")
    for name, values in (("median", sweep.median), ("90 %", sweep.quantile_90), ("quadratic", sweep.quadratic_median)):
        typer.echo(_format_row(f"  {name}", map(_format_angle, values)))


def _format_slope(sweep: "ErrorSweep") -> str:
    if sweep.slope is None:
        return ""
    theory = "" if sweep.expected_slope is None else f", theory {sweep.expected_slope:.2f}"
    return f"   slope {sweep.slope:.2f}{theory}"


def _format_row(name: str, values: "Sequence[str] | map[str]") -> str:
    return f"{name:<20}" + "".join(f"{value:>9}" for value in values)


def _format_angle(value: float) -> str:
    """Return three significant digits; 0 for rounding errors, and - for nan."""
    return "-" if math.isnan(value) else "0" if value < 1e-5 else f"{value:.3g}"
