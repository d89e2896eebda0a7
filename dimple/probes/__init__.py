"""Probes; the table's keys are the values of `kind` under `probes` in a scene file and of `--probe`."""

from dimple.probes.base import Measurement, Probe
from dimple.probes.local_pca import LocalPCA
from dimple.probes.margin import Margin
from dimple.probes.measure import measure
from dimple.probes.nulls import RandomSubspace
from dimple.probes.offset import Offset
from dimple.probes.onoff import OnOff
from dimple.probes.phases import Phases, phases

PROBES: dict[str, type[Probe]] = {
    "margin": Margin,
    "offset": Offset,
    "onoff": OnOff,
}

__all__ = [
    "PROBES",
    "LocalPCA",
    "Margin",
    "Measurement",
    "Offset",
    "OnOff",
    "Phases",
    "Probe",
    "RandomSubspace",
    "measure",
    "phases",
]
