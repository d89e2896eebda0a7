"""Probes; the table's keys are the values of `kind` under `probes` in a scene file and of `--probe`."""

from dimple.probes.angles import angles_between, principal_angles
from dimple.probes.autoencoder import AutoencoderJacobian
from dimple.probes.base import Measurement, Probe
from dimple.probes.dimension import intrinsic_dimension
from dimple.probes.global_pca import ClassPCA, GlobalPCA
from dimple.probes.local_pca import LocalPCA
from dimple.probes.margin import Margin
from dimple.probes.measure import measure
from dimple.probes.nulls import RandomSubspace
from dimple.probes.offset import Offset
from dimple.probes.onoff import OnOff
from dimple.probes.phases import Phases, phases
from dimple.probes.split import Split, split

PROBES: dict[str, type[Probe]] = {
    "margin": Margin,
    "offset": Offset,
    "onoff": OnOff,
}

__all__ = [
    "PROBES",
    "AutoencoderJacobian",
    "ClassPCA",
    "GlobalPCA",
    "LocalPCA",
    "Margin",
    "Measurement",
    "Offset",
    "OnOff",
    "Phases",
    "Probe",
    "RandomSubspace",
    "Split",
    "angles_between",
    "intrinsic_dimension",
    "measure",
    "phases",
    "principal_angles",
    "split",
]
