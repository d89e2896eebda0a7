"""The colors of ten classes are distinguishable with full color vision and without one type of cone."""

import itertools

import numpy as np

from dimple.views.style.colors import CLASS_COLORS

# Machado, Oliveira, Fernandes 2009, table 1, severity 1: linear sRGB light as it is seen without one type of cone.
CONES = {
    "all": np.eye(3),
    "no long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no medium": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no short": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# The matrix from linear sRGB to CIE XYZ, IEC 61966-2-1.
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(light: np.ndarray) -> np.ndarray:
    """Return the CIE L*a*b* coordinates of linear sRGB light, with the white point D65."""
    relative = light @ TO_XYZ.T / TO_XYZ.sum(1)
    f = np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_ten_classes_are_distinguishable_with_every_type_of_color_vision() -> None:
    assert len(set(CLASS_COLORS)) == 10
    values = np.array(CLASS_COLORS) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    for cones in CONES.values():
        colors = lab((light @ np.array(cones).T).clip(0, 1))
        distances = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(colors, 2)]
        # A just noticeable difference is about 2.3.
        assert min(distances) > 4 * 2.3
