"""What a number depends on besides the scene: versions, the device, and the threads."""

import contextlib
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version

import torch

import dimple

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


@contextlib.contextmanager
def silent(_stage: str, _total: int, /) -> Iterator[Callable[[], None]]:
    """Progress that nobody watches."""
    yield lambda: None
