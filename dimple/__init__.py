"""dimple: a synthetic-manifold laboratory with eyes, and one boundary-probe API for it and for image networks.

The names below are imported on first use, so that the command line starts without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dimple.boundary import Boundary
    from dimple.data import load_images
    from dimple.experiment import ProbeRequest, probe, simulate
    from dimple.networks import MLP, build_model, frozen, load_model, load_weights
    from dimple.probes import Margin, Offset, OnOff
    from dimple.runs import Run
    from dimple.scene import Scene, load_scene
    from dimple.tangents.local_pca import LocalPCA
    from dimple.tangents.random_subspace import RandomSubspace
    from dimple.tensors import Box

__version__ = "0.1.0"

_HOMES = {
    "Boundary": "boundary",
    "Box": "tensors",
    "LocalPCA": "tangents",
    "MLP": "networks",
    "Margin": "probes",
    "Offset": "probes",
    "OnOff": "probes",
    "ProbeRequest": "experiment",
    "RandomSubspace": "tangents",
    "Run": "runs",
    "Scene": "scene",
    "build_model": "networks",
    "frozen": "networks",
    "load_images": "data",
    "load_model": "networks",
    "load_scene": "scene",
    "load_weights": "networks",
    "probe": "experiment",
    "simulate": "experiment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dimple' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"dimple.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


__all__ = [
    "MLP",
    "Boundary",
    "Box",
    "LocalPCA",
    "Margin",
    "Offset",
    "OnOff",
    "ProbeRequest",
    "RandomSubspace",
    "Run",
    "Scene",
    "build_model",
    "frozen",
    "load_images",
    "load_model",
    "load_scene",
    "load_weights",
    "probe",
    "simulate",
]
