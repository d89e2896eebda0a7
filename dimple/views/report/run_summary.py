"""Summary of a finished run, simulated or measured, for pages that compare several runs."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Any, final

import yaml
from numpy.typing import NDArray

from dimple.names import MODEL_FIELDS
from dimple.runs.run import RunFolder
from dimple.views.content.columns import rows_to_columns
from dimple.views.content.run_header import describe_phases, run_subtitle
from dimple.views.report.robustness import last_step_points
from dimple.views.report.simulation import load_stills

Columns = dict[str, NDArray[Any]]
SCENE_FILE = "scene.yaml"
SHA256_PATTERN = re.compile("[0-9a-f]{64}")


@final
@dataclasses.dataclass(frozen=True)
class RunSummary:
    """Summary of one run.

    Attributes:
        name, seed, subtitle: name, seed, and the line below the title.
        folder: the name of the run folder or of the packed file.
        results: the summary in `run.json`.
        phases: the date of each phase in words, by name; empty where the phases are not dated.
        settings: every setting as text, by its path from the top.
        environment: versions and device.
        statistics: the last row of aggregates of each split; a simulated run has one split, whose name is empty.
        series: the aggregates along the steps `(T,)`, by split.
        samples: the columns of the samples at the last step, by split.
        units: the units of aggregates and columns.
        stills: the last key frame, where there is one.
        seconds, passes: the cost by stage and by probe.
        config_text: all settings as YAML.
        bounds: the range of the inputs in words, where it is known.
    """

    name: str
    folder: str
    seed: int
    subtitle: str
    results: Mapping[str, Any]
    phases: Mapping[str, str]
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    statistics: Mapping[str, Mapping[str, Any]]
    series: Mapping[str, Columns]
    samples: Mapping[str, Columns]
    units: Mapping[str, str]
    stills: list[dict[str, str]]
    seconds: Mapping[str, float]
    passes: Mapping[str, dict[str, int]]
    config_text: str
    bounds: str = ""

    @property
    def last_step(self) -> int:
        """The step of the last aggregates."""
        return max((int(columns["step"][-1]) for columns in self.series.values() if "step" in columns), default=0)


def summarize_run(run: RunFolder) -> RunSummary:
    """Return the summary of a run.

    Raises:
        RunError: if a file of it is missing or damaged.
    """
    info = run.info
    summary: dict[str, Any] = info.get("summary") or {}
    settings = dict(run.settings) if run.kind == "simulation" else measured_settings(run)
    statistics, series, samples, units = _read_simulation(run) if run.kind == "simulation" else _read_measurement(run)
    return RunSummary(
        name=str(info.get("name", run.path.name)),
        folder=(run.archive_path or run.path).name,
        seed=int(info.get("seed", 0)),
        subtitle=run_subtitle(run, summary),
        results=summary,
        phases=_describe_phase_dates(summary, series[""]["step"].tolist()) if "cling_step" in summary else {},
        settings=flatten_settings(settings),
        environment={**info.get("versions", {}), "device": str(info.get("device", ""))},
        statistics=statistics,
        series=series,
        samples=samples,
        units=units,
        stills=load_stills(run, last_only=True) if run.kind == "simulation" else [],
        seconds=info.get("seconds", {}),
        passes=info.get("passes", {}),
        config_text=run.settings_text if run.kind == "simulation" else _settings_text(settings),
        bounds=str(run.info.get("bounds") or ""),
    )


def measured_settings(run: RunFolder) -> dict[str, Any]:
    """Return the settings of a measurement as they were used: of a run its scene in place of model and data."""
    settings = dict(run.settings)
    if settings.get("run") is None:
        return settings
    used = {name: value for name, value in settings.items() if name not in (*MODEL_FIELDS, "checksums")}
    sums: dict[str, str] = settings.get("checksums", {})
    snapshots = "".join(value for name, value in sorted(sums.items()) if name != SCENE_FILE)
    used["checksums"] = {"weights of the snapshots": hashlib.sha256(snapshots.encode()).hexdigest()}
    return used | {"scene": run.info.get("scene", sums.get(SCENE_FILE, ""))}


def _settings_text(settings: Mapping[str, Any]) -> str:
    """Return settings as YAML, without check sums."""
    shown = {name: value for name, value in settings.items() if name != "checksums"}
    return str(yaml.safe_dump(shown, sort_keys=False))


def flatten_settings(settings: Any, prefix: str = "") -> dict[str, str]:
    """Return nested settings as text by their path; members of a list of kinds are named by their kind.

    Check sums are shortened to their first 12 digits.

    Example:
        >>> flatten_settings({"manifold": {"dim": 2}, "probes": [{"kind": "margin", "restarts": 4}], "low": [0, 1]})
        {'manifold.dim': '2', 'probes.margin.restarts': '4', 'low': '[0, 1]'}
    """
    within = f"{prefix}." if prefix else ""
    if isinstance(settings, dict):
        parts = [flatten_settings(value, f"{within}{key}") for key, value in settings.items()]
    elif isinstance(settings, list) and settings and all(isinstance(one, dict) and "kind" in one for one in settings):
        parts = [
            flatten_settings({k: v for k, v in one.items() if k != "kind"}, f"{within}{one['kind']}")
            for one in settings
        ]
    else:
        text = "none" if settings is None else str(settings)
        return {prefix: text[:12] if SHA256_PATTERN.fullmatch(text) else text}
    return {key: value for part in parts for key, value in part.items()}


def _describe_phase_dates(summary: Mapping[str, Any], steps: list[int]) -> dict[str, str]:
    dated = describe_phases(summary, steps)
    return {phase["name"]: ", ".join(filter(None, (phase["step"], phase["interval"]))) for phase in dated}


def _read_simulation(run: RunFolder) -> tuple[dict[str, Any], dict[str, Columns], dict[str, Columns], dict[str, str]]:
    metrics, units = run.read_table("metrics")
    points, point_units = run.read_table("points")
    last = {name: float(values[-1]) for name, values in metrics.items()}
    train, tested = last_step_points(points)
    return {"": last}, {"": metrics}, {"": train | tested}, point_units | units


def _read_measurement(run: RunFolder) -> tuple[dict[str, Any], dict[str, Columns], dict[str, Columns], dict[str, str]]:
    summary = run.info["summary"]
    table, units = run.read_table("measurements")
    splits = dict.fromkeys(row["split"] for row in summary["rows"])
    rows = {split: [row for row in summary["rows"] if row["split"] == split] for split in splits}
    last = table["step"] == table["step"].max()
    samples = {split: {n: v[last & (table["split"] == split)] for n, v in table.items()} for split in splits}
    series = {split: rows_to_columns(mine) for split, mine in rows.items()}
    return {split: mine[-1] for split, mine in rows.items()}, series, samples, units | summary["units"]
