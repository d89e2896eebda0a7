"""Provenance of a result: the versions, the device and the threads that it depends on, and the passes that it cost."""

import dataclasses
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch

import dimple
from dimple.columns import OWN_COLUMNS
from dimple.probes import PROBES, Cost, Probe

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pyvista", "safetensors", "pyarrow")


def versions() -> dict[str, str]:
    """Return the versions of dimple, Python and the packages that a result depends on."""
    return {"dimple": dimple.__version__, "python": platform.python_version()} | {
        package: version(package) for package in PACKAGES
    }


def own_meanings(names: Iterable[str]) -> dict[str, str]:
    """Return the meanings of those columns that the user's own probes measure, which a run keeps without their code."""
    return {name: OWN_COLUMNS[name] for name in names if name in OWN_COLUMNS}


def describe_device(device: torch.device) -> str:
    """Return the name of a device; of a CPU with the number of threads, which can change the last bits of a result."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    count = torch.get_num_threads()
    return f"{device} ({count} thread{'s' if count > 1 else ''})"


def add_costs(info: dict[str, Any], *costs: Mapping[str, Cost]) -> None:
    """Add the costs of probes, by the name of the probe, to the entry `passes` of a run's `info`.

    Example:
        >>> info = {}
        >>> add_costs(info, {"margin": Cost(2, 5, 3)}, {"margin": Cost(1, 3, 2)})
        >>> info["passes"]
        {'margin': {'samples': 3, 'forwards': 8, 'backwards': 5}}
    """
    total = {name: Cost(**counts) for name, counts in info.get("passes", {}).items()}
    for cost_by_probe in costs:
        for name, cost in cost_by_probe.items():
            total[name] = total.get(name, Cost()) + cost
    info["passes"] = {name: dataclasses.asdict(cost) for name, cost in total.items()}


def probe_names(probes: Sequence[Probe]) -> list[str]:
    """Return the names of probes; a probe of somebody else has that of its class."""
    names = {cls: name for name, cls in PROBES.items()}
    return [names.get(type(probe), type(probe).__name__) for probe in probes]
