"""dimple: decision boundaries of neural networks, simulated on synthetic manifolds and measured on any classifier.

The names below are imported on first use, so that the command line starts without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dimple.renamed import missing_attribute

if TYPE_CHECKING:
    from dimple.boundary import Boundary
    from dimple.data import load_images
    from dimple.experiment import ProbeConfig, measure, probe, simulate
    from dimple.networks import MLP, build_model, freeze, load_model, load_weights
    from dimple.probes import Margin, Offset, OnOff
    from dimple.runs import Run
    from dimple.scene import Scene, load_scene
    from dimple.tangents.local_pca import LocalPCA
    from dimple.tangents.random_subspace import RandomSubspace
    from dimple.tensors import Box

__version__ = "0.2.0"

# Public names, each with the subpackage that defines it.
_LAZY_IMPORTS = {
    "Boundary": "boundary",
    "Box": "tensors",
    "LocalPCA": "tangents",
    "MLP": "networks",
    "Margin": "probes",
    "Offset": "probes",
    "OnOff": "probes",
    "ProbeConfig": "experiment",
    "RandomSubspace": "tangents",
    "Run": "runs",
    "Scene": "scene",
    "build_model": "networks",
    "freeze": "networks",
    "load_images": "data",
    "load_model": "networks",
    "load_scene": "scene",
    "load_weights": "networks",
    "measure": "experiment",
    "probe": "experiment",
    "simulate": "experiment",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY_IMPORTS:
        return missing_attribute("dimple")(name)
    value = globals()[name] = getattr(importlib.import_module(f"dimple.{_LAZY_IMPORTS[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY_IMPORTS])


__all__ = [
    "MLP",
    "Boundary",
    "Box",
    "LocalPCA",
    "Margin",
    "Offset",
    "OnOff",
    "ProbeConfig",
    "RandomSubspace",
    "Run",
    "Scene",
    "build_model",
    "freeze",
    "load_images",
    "load_model",
    "load_scene",
    "load_weights",
    "measure",
    "probe",
    "simulate",
]
