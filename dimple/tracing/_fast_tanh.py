"""The hyperbolic tangent of many numbers, compiled by numba: ten times as fast as torch's.

Imported only where a network has it: numba takes a second to load.
"""

import numpy as np
from numpy.typing import NDArray

from dimple.jit import compiled

Single = NDArray[np.float32]

# tanh(u) = u P(u^2) / Q(u^2) to 2e-8 for |u| <= TOP, fitted to the least largest relative error; beyond, 1 in float32.
TOP = np.float32(8.6)
P0, P1, P2, P3, P4 = (np.float32(c) for c in (1.0, 0.13406866, 3.5263906e-3, 2.11222e-5, 1.4082217e-8))
Q1, Q2, Q3, Q4 = (np.float32(c) for c in (0.46740188, 0.025993858, 3.3362522e-4, 8.070533e-7))
ONE = np.float32(1)


@compiled
def tanh_in_place(u: Single) -> None:
    """Replace each number of a flat array by its hyperbolic tangent, to 4e-7."""
    for i in range(u.size):
        v = min(max(u[i], -TOP), TOP)
        s = v * v
        upper = (((P4 * s + P3) * s + P2) * s + P1) * s + P0
        lower = (((Q4 * s + Q3) * s + Q2) * s + Q1) * s + ONE
        u[i] = v * upper / lower
