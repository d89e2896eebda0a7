"""dimple: decision boundaries of neural networks, simulated on synthetic manifolds and measured on any classifier.

The public names, by what they are for:

- verbs: `measure` (a network in memory), `probe` (checkpoints on disk; `estimate` says how long it takes), `simulate`
  (a scene), `train`, `slice_network`, `report`, `compare`, `export_run`, `pack`, `view`
- somebody's own training: `Recorder`, `LightningCallback`, `TransformersCallback`
- runs and results: `Run`, `Measurement`, `Column`
- boundaries: `Boundary`, `Box`, `AffineSlice`, `restrict_to_slice`
- probes: `Margin`, `OnOff`, `Offset`, `Curvature`, `CertifiedRadius`, `ExactMargin`, `Robust`, `SubspaceMargin`,
  `Speed`, `spectra`, `transfer`; attacks are the methods of `Margin`
- tangent spaces: `LocalPCA`, `GlobalPCA`, `ClassPCA`, `AutoencoderJacobian`, `RandomSubspace`
- level sets: `Adaptive`, `Dense`, `Exact`, `Mesh`
- scenes: `Scene`, `load_scene`, `SyntheticData`, `MLP`, `Training`, `allow_code`; manifolds are in
  `dimple.manifolds`
- networks and data: `build_model`, `load_model`, `load_weights`, `freeze`, `load_images`
- settings of the verbs: `ProbeConfig`, `SliceConfig`

They are imported on first use, so that the command line starts without torch.
"""

from typing import TYPE_CHECKING

from dimple.lazy import import_on_use

if TYPE_CHECKING:
    from dimple.boundary import AffineSlice, Boundary, restrict_to_slice
    from dimple.data import SyntheticData, load_images
    from dimple.experiment import (
        Column,
        LightningCallback,
        Measurement,
        ProbeConfig,
        Recorder,
        Run,
        SliceConfig,
        TransformersCallback,
        compare,
        estimate,
        export_run,
        measure,
        pack,
        probe,
        report,
        simulate,
        slice_network,
        train,
        view,
    )
    from dimple.levelsets import Adaptive, Dense, Exact, Mesh
    from dimple.networks import MLP, build_model, freeze, load_model, load_weights
    from dimple.probes import (
        CertifiedRadius,
        Curvature,
        ExactMargin,
        Margin,
        Offset,
        OnOff,
        Robust,
        Speed,
        SubspaceMargin,
        spectra,
        transfer,
    )
    from dimple.scene import Scene, allow_code, load_scene
    from dimple.tangents import AutoencoderJacobian, ClassPCA, GlobalPCA, LocalPCA, RandomSubspace
    from dimple.tensors import Box
    from dimple.training import Training

__version__ = "0.2.0"

# Public names by the subpackage that defines them.
_PUBLIC_NAMES = {
    "boundary": ("AffineSlice", "Boundary", "restrict_to_slice"),
    "data": ("SyntheticData", "load_images"),
    "experiment": (
        "Column", "LightningCallback", "Measurement", "ProbeConfig", "Recorder", "Run", "SliceConfig",
        "TransformersCallback", "compare", "estimate", "export_run", "measure", "pack", "probe", "report", "simulate",
        "slice_network", "train", "view",
    ),
    "levelsets": ("Adaptive", "Dense", "Exact", "Mesh"),
    "networks": ("MLP", "build_model", "freeze", "load_model", "load_weights"),
    "probes": (
        "CertifiedRadius", "Curvature", "ExactMargin", "Margin", "Offset", "OnOff", "Robust", "Speed",
        "SubspaceMargin", "spectra", "transfer",
    ),
    "scene": ("Scene", "allow_code", "load_scene"),
    "tangents": ("AutoencoderJacobian", "ClassPCA", "GlobalPCA", "LocalPCA", "RandomSubspace"),
    "tensors": ("Box",),
    "training": ("Training",),
}  # fmt: skip
_HOMES = {name: home for home, names in _PUBLIC_NAMES.items() for name in names}

# A list that type checkers can read; a test keeps it equal to the names above.
__all__ = [
    "MLP",
    "Adaptive",
    "AffineSlice",
    "AutoencoderJacobian",
    "Boundary",
    "Box",
    "CertifiedRadius",
    "ClassPCA",
    "Column",
    "Curvature",
    "Dense",
    "Exact",
    "ExactMargin",
    "GlobalPCA",
    "LightningCallback",
    "LocalPCA",
    "Margin",
    "Measurement",
    "Mesh",
    "Offset",
    "OnOff",
    "ProbeConfig",
    "RandomSubspace",
    "Recorder",
    "Robust",
    "Run",
    "Scene",
    "SliceConfig",
    "Speed",
    "SubspaceMargin",
    "SyntheticData",
    "Training",
    "TransformersCallback",
    "allow_code",
    "build_model",
    "compare",
    "estimate",
    "export_run",
    "freeze",
    "load_images",
    "load_model",
    "load_scene",
    "load_weights",
    "measure",
    "pack",
    "probe",
    "report",
    "restrict_to_slice",
    "simulate",
    "slice_network",
    "spectra",
    "train",
    "transfer",
    "view",
]


__getattr__ = import_on_use(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
