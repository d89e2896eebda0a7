"""What a finished run says of itself, whether it trained a scene or measured a network: for pages that show several."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, final

import yaml
from numpy.typing import NDArray

from dimple.runs.atomic_io import read_table
from dimple.runs.run import Run
from dimple.views.content.columns import columns_of
from dimple.views.content.from_slice import is_section
from dimple.views.content.run_header import lead_of, phases_of
from dimple.views.report.robustness import at_the_end
from dimple.views.report.simulation import stills_of

Columns = dict[str, NDArray[Any]]
DIGEST = re.compile("[0-9a-f]{64}")


@final
@dataclasses.dataclass(frozen=True)
class Account:
    """One run, as a page compares it with others.

    Attributes:
        name, seed, lead: what it is called, and its line under the title.
        summary: of `run.json`.
        phases: their names, and in words when each was complete; none where they are not dated.
        settings: every setting, by its path from the top, as text.
        made_with: versions and device.
        figures: the last row of figures of each split; a simulated run has the one without a name.
        series: the figures along the steps `(T,)`, by split.
        samples: what was measured at each sample at the last step, by split.
        units: of figures and columns.
        stills: the last key frame, where there is one.
        seconds, passes: what it cost, by stage and by probe.
        asked: all settings as YAML.
    """

    name: str
    seed: int
    lead: str
    summary: Mapping[str, Any]
    phases: Mapping[str, str]
    settings: Mapping[str, str]
    made_with: Mapping[str, str]
    figures: Mapping[str, Mapping[str, Any]]
    series: Mapping[str, Columns]
    samples: Mapping[str, Columns]
    units: Mapping[str, str]
    stills: list[dict[str, str]]
    seconds: Mapping[str, float]
    passes: Mapping[str, dict[str, int]]
    asked: str


def account_of(run: Run) -> Account:
    """Read a run.

    Raises:
        RunError: if a file of it is missing or damaged.
    """
    info = run.info
    summary: dict[str, Any] = info.get("summary") or {}
    figures, series, samples, units = _simulated(run) if is_simulated(run) else _measured(run)
    return Account(
        name=str(info.get("name", run.path.name)),
        seed=int(info.get("seed", 0)),
        lead=lead_of(run, summary),
        summary=summary,
        phases=_phases(summary, series[""]["step"].tolist()) if "cling_step" in summary else {},
        settings=flattened(yaml.safe_load(run.scene_text)),
        made_with={**info.get("versions", {}), "device": str(info.get("device", ""))},
        figures=figures,
        series=series,
        samples=samples,
        units=units,
        stills=stills_of(run, last=True) if is_simulated(run) else [],
        seconds=info.get("seconds", {}),
        passes=info.get("passes", {}),
        asked=run.scene_text,
    )


def is_simulated(run: Run) -> bool:
    """Whether a run trained a scene; the others measured networks."""
    return (run.path / "metrics.parquet").is_file() and not is_section(run)


def flattened(settings: Any, path: str = "") -> dict[str, str]:
    """Nested settings by their path, each as text; the members of a list of kinds go by their kind.

    Of a digest its beginning is enough to tell it from others.

    Example:
        >>> flattened({"manifold": {"dim": 2}, "probes": [{"kind": "margin", "starts": 4}], "low": [0, 1]})
        {'manifold.dim': '2', 'probes.margin.starts': '4', 'low': '[0, 1]'}
    """
    within = f"{path}." if path else ""
    if isinstance(settings, dict):
        parts = [flattened(value, f"{within}{key}") for key, value in settings.items()]
    elif isinstance(settings, list) and settings and all(isinstance(one, dict) and "kind" in one for one in settings):
        parts = [flattened({k: v for k, v in one.items() if k != "kind"}, f"{within}{one['kind']}") for one in settings]
    else:
        text = "none" if settings is None else str(settings)
        return {path: text[:12] if DIGEST.fullmatch(text) else text}
    return {key: value for part in parts for key, value in part.items()}


def _phases(summary: Mapping[str, Any], steps: list[int]) -> dict[str, str]:
    dated = phases_of(summary, steps)
    return {phase["name"]: ", ".join(filter(None, (phase["step"], phase["interval"]))) for phase in dated}


def _simulated(run: Run) -> tuple[dict[str, Any], dict[str, Columns], dict[str, Columns], dict[str, str]]:
    metrics, units = read_table(run.path / "metrics.parquet")
    points, point_units = read_table(run.path / "points.parquet")
    last = {name: float(values[-1]) for name, values in metrics.items()}
    train, tested = at_the_end(points)
    return {"": last}, {"": metrics}, {"": train | tested}, point_units | units


def _measured(run: Run) -> tuple[dict[str, Any], dict[str, Columns], dict[str, Columns], dict[str, str]]:
    summary, (table, units) = run.info["summary"], read_table(run.path / "measurements.parquet")
    splits = dict.fromkeys(row["split"] for row in summary["rows"])
    rows = {split: [row for row in summary["rows"] if row["split"] == split] for split in splits}
    last = table["step"] == table["step"].max()
    samples = {split: {n: v[last & (table["split"] == split)] for n, v in table.items()} for split in splits}
    series = {split: columns_of(mine) for split, mine in rows.items()}
    return {split: mine[-1] for split, mine in rows.items()}, series, samples, units | summary["units"]
