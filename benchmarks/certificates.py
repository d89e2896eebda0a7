"""Certified radii and margins of networks trained for verification: no radius may exceed the margin.

    python benchmarks/certificates.py [--samples N] [--hidden carried | optimized] [--tolerance FRACTION]

Reads the published networks in $DIMPLE_DATA or ../shared/data, and the first N test images of each. The default bound
is interval propagation, which is loose but cheap enough for every image. A violation is an image whose certified radius
exceeds the distance to a verified boundary point.
"""

import argparse
import os
import time
from pathlib import Path

import torch

from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.networks import load_model
from dimple.probes import CertifiedRadius, Margin
from dimple.tensors import chunks

# Images in a batch.
BATCH = 256
# Method by value of the option --hidden.
METHODS = {"interval": "ibp", "carried": "crown", "optimized": "optimized"}
CASES = (
    ("mnist_convnet", "mnist_certified_linf01.pth", None, "mnist", "linf"),
    ("cifar_convnet", "cifar10_small_certified_l2.pth", "state_dict[0]", "cifar10", "l2"),
)


def main() -> None:
    """Measure and print batch by batch, so that an interrupted run has printed its first batches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--hidden", choices=tuple(METHODS), default="interval")
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument("--only", help="mnist or cifar10")
    options = parser.parse_args()
    folder = Path(os.environ.get("DIMPLE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    for model, weights, key, data, kind in CASES:
        if options.only not in (None, data):
            continue
        images = load_images(f"{data}:{folder / data}", "test")
        boundary = Boundary(load_model(model, folder / "checkpoints" / weights, key), images.bounds)
        certified = CertifiedRadius(norm=kind, method=METHODS[options.hidden], tolerance=options.tolerance)  # type: ignore[arg-type]
        seconds = 0.0
        ratios = torch.empty(0)
        for chunk in chunks(min(options.samples, len(images)), BATCH):
            x, y = images.batch(range(len(images))[chunk])
            start = time.perf_counter()
            lower = certified(boundary, x, y).columns["certified_radius"]
            seconds += time.perf_counter() - start
            margin = Margin(norm=kind)(boundary, x, y).columns["margin"]  # type: ignore[arg-type]
            ratios = torch.cat([ratios, (lower / margin)[margin > 0]])
            print(
                f"{weights} {kind}: {chunk.stop} images, {len(ratios)} correct, certified in {seconds:.0f} s; "
                f"{int((ratios > 1).sum())} violations; radius / margin: median {float(ratios.median()):.3f}, "
                f"largest {float(ratios.max()):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
