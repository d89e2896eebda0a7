"""What a number depends on besides the scene, and what it cost: versions, the device, the threads, the passes."""

import contextlib
import dataclasses
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

import torch

import dimple
from dimple.probes import Cost

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pyvista", "safetensors", "pyarrow")


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {"dimple": dimple.__version__, "python": platform.python_version()} | {
        package: version(package) for package in PACKAGES
    }


def describe(device: torch.device) -> str:
    """The device by name, with the number of threads where that can change the last bits."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    count = torch.get_num_threads()
    return f"{device} ({count} thread{'s' if count > 1 else ''})"


def add_costs(info: dict[str, Any], *costs: Mapping[str, Cost]) -> None:
    """Add what each probe asked of the networks to the `passes` that a run's `info` keeps.

    Example:
        >>> info = {}
        >>> add_costs(info, {"margin": Cost(2, 5, 3)}, {"margin": Cost(1, 3, 2)})
        >>> info["passes"]
        {'margin': {'samples': 3, 'forwards': 8, 'backwards': 5}}
    """
    total = {name: Cost(**counts) for name, counts in info.get("passes", {}).items()}
    for part in costs:
        for name, cost in part.items():
            total[name] = total.get(name, Cost()) + cost
    info["passes"] = {name: dataclasses.asdict(cost) for name, cost in total.items()}


@contextlib.contextmanager
def silent(_stage: str, _total: int, /) -> Iterator[Callable[[], None]]:
    """Progress that nobody watches."""
    yield lambda: None
