"""Probes: measurements of a decision boundary at samples, and statistics of networks and their training."""

from dimple.probes.base import Cost, Probe, ProbeResult
from dimple.probes.calibration import calibration_error, confidence_summary, rank_correlation, reliability_diagram
from dimple.probes.certified import CertifiedRadius
from dimple.probes.curvature import Curvature
from dimple.probes.exact_margin import ExactMargin
from dimple.probes.function_probe import function_probe
from dimple.probes.margin import Margin
from dimple.probes.offset import Offset
from dimple.probes.on_off import OnOff
from dimple.probes.robust import Robust, RobustnessCurve
from dimple.probes.run_probes import run_probes
from dimple.probes.spectra import Spectra, spectra
from dimple.probes.speed import Speed, speed_sign_fractions
from dimple.probes.subspaces import SubspaceMargin
from dimple.probes.transfer import Transfer, find_boundary_points, transfer
from dimple.probes.weight_directions import (
    descent_direction,
    gradient_descent_direction,
    move_weights,
    random_direction,
    weight_difference,
)
from dimple.renamed import missing_attribute

# The names are the values of `kind` under `probes` in a scene file, and of `--probe`.
PROBES: dict[str, type[Probe]] = {
    "certified": CertifiedRadius,
    "curvature": Curvature,
    "curve": RobustnessCurve,
    "exact": ExactMargin,
    "margin": Margin,
    "offset": Offset,
    "onoff": OnOff,
    "robust": Robust,
}

__all__ = [
    "PROBES",
    "CertifiedRadius",
    "Cost",
    "Curvature",
    "ExactMargin",
    "Margin",
    "Offset",
    "OnOff",
    "Probe",
    "ProbeResult",
    "Robust",
    "RobustnessCurve",
    "Spectra",
    "Speed",
    "SubspaceMargin",
    "Transfer",
    "calibration_error",
    "confidence_summary",
    "descent_direction",
    "find_boundary_points",
    "function_probe",
    "gradient_descent_direction",
    "move_weights",
    "random_direction",
    "rank_correlation",
    "reliability_diagram",
    "run_probes",
    "spectra",
    "speed_sign_fractions",
    "transfer",
    "weight_difference",
]

__getattr__ = missing_attribute(__name__)
