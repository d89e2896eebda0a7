"""Probes; the table's keys are the values of `kind` under `probes` in a scene file and of `--probe`."""

from dimple.probes.angles import angles_between, principal_angles
from dimple.probes.autoencoder import AutoencoderJacobian
from dimple.probes.base import Cost, Measurement, Probe
from dimple.probes.certified import Certified
from dimple.probes.confidence import calibration_error, confidence_row, rank_correlation, reliability
from dimple.probes.curvature import Curvature
from dimple.probes.dimension import intrinsic_dimension
from dimple.probes.directions import descent, difference, moved, random_direction
from dimple.probes.exact_margin import ExactMargin
from dimple.probes.global_pca import ClassPCA, GlobalPCA
from dimple.probes.local_pca import LocalPCA
from dimple.probes.margin import Margin
from dimple.probes.measure import measure
from dimple.probes.nulls import RandomSubspace
from dimple.probes.offset import Offset
from dimple.probes.onoff import OnOff
from dimple.probes.phases import Phases, phases
from dimple.probes.spectra import Spectra, spectra
from dimple.probes.speed import Speed
from dimple.probes.speed_shares import speed_shares
from dimple.probes.split import Split, split
from dimple.probes.transfer import Transfer, boundary_points, transfer

PROBES: dict[str, type[Probe]] = {
    "certified": Certified,
    "curvature": Curvature,
    "exact": ExactMargin,
    "margin": Margin,
    "offset": Offset,
    "onoff": OnOff,
}

__all__ = [
    "PROBES",
    "AutoencoderJacobian",
    "Certified",
    "ClassPCA",
    "Cost",
    "Curvature",
    "ExactMargin",
    "GlobalPCA",
    "LocalPCA",
    "Margin",
    "Measurement",
    "Offset",
    "OnOff",
    "Phases",
    "Probe",
    "RandomSubspace",
    "Spectra",
    "Speed",
    "Split",
    "Transfer",
    "angles_between",
    "boundary_points",
    "calibration_error",
    "confidence_row",
    "descent",
    "difference",
    "intrinsic_dimension",
    "measure",
    "moved",
    "phases",
    "principal_angles",
    "random_direction",
    "rank_correlation",
    "reliability",
    "spectra",
    "speed_shares",
    "split",
    "transfer",
]
