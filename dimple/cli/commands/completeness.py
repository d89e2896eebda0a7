"""`dimple certify`: whether a run's boundary is complete."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from dimple.cli import console


def certify(
    run: Annotated[Path, typer.Argument(help="A run of dimple simulate, its folder or packed.")],
    cells: Annotated[int, typer.Option(help="Along each axis of the box, a power of two.")] = 64,
    steps: Annotated[
        list[int] | None, typer.Option("--step", help="A snapshot; repeatable. The last one without it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON on stdout.")] = False,
) -> None:
    """Prove that the boundary a run shows lacks no part larger than a cell, or say how much is undecided."""
    import torch

    from dimple import experiment

    torch.set_num_threads(1)
    proofs = experiment.certify_run(run, cells, steps or (), console.progress)
    if as_json:
        rows = [{**dataclasses.asdict(proof), "complete": proof.complete} for proof in proofs]
        typer.echo(json.dumps({"run": str(run), "cells": cells, "proofs": rows}))
        return
    for proof in proofs:
        typer.echo(str(proof))
