"""`dimple doctor`: what the installation and the machine have, and what to install for what is missing."""

import dataclasses

import typer

from dimple.cli import console
from dimple.cli.flags import JsonOption

MISSING_EXIT_CODE = 7


def doctor(as_json: JsonOption = False) -> None:
    """Show what this installation has, and what to install.

    Versions, device, drawing libraries and folders are listed, and the installation is tested in some seconds.

    The exit code is 7 where something that dimple needs is missing; optional libraries do not count.
    """
    from dimple.experiment.doctor import examine

    findings = examine()
    if as_json:
        console.print_json({"findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            mark = "ok " if finding.works else "-- " if not finding.is_needed else "!! "
            remedy = "" if finding.works else f"; {finding.remedy}"
            typer.echo(f"{mark} {finding.name:{width}}  {finding.detail}{remedy}")
    if any(not finding.works and finding.is_needed for finding in findings):
        raise typer.Exit(MISSING_EXIT_CODE)
