"""The laws of the families, as checks for plug-ins: `check_probe(MyProbe())` raises at the first law that is broken.

Each family is a tuple of laws, functions of one member, for test suites that name each of them.
"""

from dimple.testing.law import LawError
from dimple.testing.manifolds import MANIFOLD_LAWS, check_manifold
from dimple.testing.objectives import OBJECTIVE_LAWS, check_objective
from dimple.testing.probes import PROBE_LAWS, check_probe

__all__ = [
    "MANIFOLD_LAWS",
    "OBJECTIVE_LAWS",
    "PROBE_LAWS",
    "LawError",
    "check_manifold",
    "check_objective",
    "check_probe",
]
