"""`dimple scenes tangents`: how well a scene's tangent spaces can be estimated from points alone."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimple.cli.flags import AsJson, Changes, Named

if TYPE_CHECKING:
    from dimple.experiment.tangent_benchmark import TangentScores
    from dimple.views.charts.error_sweeps import Sweep


def tangents(
    scene: Named,
    changes: Changes = None,
    points: Annotated[int, typer.Option(help="Points of the largest cloud.")] = 4000,
    neighbours: Annotated[int, typer.Option(help="Points that each estimate looks at.")] = 20,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Draw the curves into this PNG.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare tangent spaces estimated from a cloud of points with the exact ones of a scene's manifold.

    Angles are largest principal angles in degrees; the cloud has the scene's noise (data.noise).
    """
    import dataclasses

    from dimple.experiment.tangent_benchmark import score_tangents
    from dimple.runs.atomic_io import without_infinities
    from dimple.scene import load_scene
    from dimple.views.charts.error_sweeps import write_sweeps

    loaded = load_scene(scene, changes or ())
    scores = score_tangents(loaded, points, neighbours)
    if out is not None:
        where = f"dimension {scores.dim} in R^{scores.ambient_dim}"
        title = f"{loaded.name}: tangents from {points} points, {neighbours} neighbours; {where}"
        write_sweeps(title, scores.sweeps, scores.null, out)
    if as_json:
        line = {"name": loaded.name, **dataclasses.asdict(scores), "unit": "degrees"}
        typer.echo(json.dumps(without_infinities(line | {"picture": None if out is None else str(out)})))
        return
    _print(loaded.name, scores)
    if out is not None:
        typer.echo(out)


def _print(name: str, scores: "TangentScores") -> None:
    noise = f", noise {scores.noise:g}" if scores.noise else ""
    typer.echo(
        f"{name}: dimension {scores.dim} in R^{scores.ambient_dim}; {scores.points} points, "
        f"{scores.neighbours} neighbours{noise}; angles to the exact tangents, degrees"
    )
    null, low, high = scores.null
    aside = f"  expects {_angle(scores.expected)} of itself, reliable at {scores.reliable:.0%} of the places"
    typer.echo(_row("", ["median", "90 %"]))
    typer.echo(_row("local PCA", map(_angle, scores.local)) + aside)
    typer.echo(_row("quadratic", map(_angle, scores.quadratic)) + "  local PCA of order 2")
    typer.echo(_row("global PCA", map(_angle, scores.overall)) + "  one subspace for the whole cloud")
    typer.echo(_row("random", [_angle(null)]) + f"{'':9}  the null; {_angle(low)} to {_angle(high)}")
    for sweep in scores.sweeps:
        _print_sweep(sweep)


def _print_sweep(sweep: "Sweep") -> None:
    typer.echo()
    typer.echo(_row(sweep.name, [f"{value:.4g}" for value in sweep.at]) + f"{_slope(sweep)}")
    for name, values in (("median", sweep.median), ("90 %", sweep.high), ("quadratic", sweep.quadratic)):
        typer.echo(_row(f"  {name}", map(_angle, values)))


def _slope(sweep: "Sweep") -> str:
    if sweep.slope is None:
        return ""
    theory = "" if sweep.theory is None else f", theory {sweep.theory:.2f}"
    return f"   slope {sweep.slope:.2f}{theory}"


def _row(name: str, cells: "Sequence[str] | map[str]") -> str:
    return f"{name:<20}" + "".join(f"{cell:>9}" for cell in cells)


def _angle(value: float) -> str:
    """Three digits; what only rounding is left of is zero."""
    return "-" if math.isnan(value) else "0" if value < 1e-5 else f"{value:.3g}"
