"""Certified radii beside the margins found, on networks that were trained to be provable: the first may never exceed.

    python benchmarks/certificates.py [--samples N] [--hidden carried] [--tolerance SHARE]

Takes the published networks that lie in $DIMPLE_DATA or ../shared/data, and the first N test images of each. The bound
that is run by default looks at each layer through the interval of the one before: loose, but cheap enough for every
image. A violation is an image whose certificate exceeds the distance of a boundary point that was found and verified.
"""

import argparse
import os
import time
from pathlib import Path

import torch

from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.networks import load_model
from dimple.probes import Certified, Margin
from dimple.tensors import chunks

# Images that travel together.
CHUNK = 256
CASES = (
    ("mnist_convnet", "mnist_certified_linf01.pth", None, "mnist", "linf"),
    ("cifar_convnet", "cifar10_small_certified_l2.pth", "state_dict[0]", "cifar10", "l2"),
)


def main() -> None:
    """Measure and print, chunk by chunk, so that an interrupt leaves what has been seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--hidden", choices=("interval", "carried"), default="interval")
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument("--only", help="mnist or cifar10")
    options = parser.parse_args()
    folder = Path(os.environ.get("DIMPLE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    for model, weights, key, data, kind in CASES:
        if options.only not in (None, data):
            continue
        images = load_images(f"{data}:{folder / data}", "test")
        boundary = Boundary(load_model(model, folder / "checkpoints" / weights, key), images.box)
        certified = Certified(norm=kind, hidden=options.hidden, tolerance=options.tolerance)  # type: ignore[arg-type]
        seconds, ratios = 0.0, torch.empty(0)
        for part in chunks(min(options.samples, len(images)), CHUNK):
            x, y = images.batch(range(len(images))[part])
            start = time.perf_counter()
            lower = certified(boundary, x, y).columns["margin_lower"]
            seconds += time.perf_counter() - start
            found = Margin(norm=kind)(boundary, x, y).columns["margin"]  # type: ignore[arg-type]
            ratios = torch.cat([ratios, (lower / found)[found > 0]])
            print(
                f"{weights} {kind}: {part.stop} images, {len(ratios)} correct, certified in {seconds:.0f} s; "
                f"{int((ratios > 1).sum())} violations; certified over found: median {float(ratios.median()):.3f}, "
                f"largest {float(ratios.max()):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
