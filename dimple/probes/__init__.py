"""Probes; the table's keys are the values of `kind` under `probes` in a scene file and of `--probe`."""

from dimple.probes.base import Cost, Measurement, Probe
from dimple.probes.calibration import calibration_error, confidence_row, rank_correlation, reliability
from dimple.probes.certified import Certified
from dimple.probes.curvature import Curvature
from dimple.probes.exact_margin import ExactMargin
from dimple.probes.margin import Margin
from dimple.probes.measure import measure
from dimple.probes.offset import Offset
from dimple.probes.on_off import OnOff
from dimple.probes.spectra import Spectra, spectra
from dimple.probes.speed import Speed, speed_shares
from dimple.probes.transfer import Transfer, boundary_points, transfer
from dimple.probes.weight_directions import descent, difference, moved, random_direction

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
    "Certified",
    "Cost",
    "Curvature",
    "ExactMargin",
    "Margin",
    "Measurement",
    "Offset",
    "OnOff",
    "Probe",
    "Spectra",
    "Speed",
    "Transfer",
    "boundary_points",
    "calibration_error",
    "confidence_row",
    "descent",
    "difference",
    "measure",
    "moved",
    "random_direction",
    "rank_correlation",
    "reliability",
    "spectra",
    "speed_shares",
    "transfer",
]
