"""Margins that searches find against the proven optimum, on small networks trained on small images.

    python benchmarks/exact_margins.py [--samples N] [--passes N ...] [--seconds S] [--norm NAME]

The images are those of CIFAR-10 and of MNIST, averaged to 4 x 4 and 7 x 7 pixels, from $DIMPLE_DATA or ../shared/data;
without these files the 8 x 8 digits of scikit-learn. The networks have two hidden layers of 16 units. Only images count
whose margin branch and bound proves within S seconds. `share` is the fraction of them whose margin is more than 5 %
above the proven one.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.networks import MLP
from dimple.probes import ExactMargin, Margin
from dimple.tensors import generator

METHODS = ("closest", "fab", "pgd")
EXCESS = 1.05
TRAIN_SAMPLES = 10_000
TRAIN_STEPS = 600
BATCH_SIZE = 256
LEARNING_RATE = 3e-3
NODES = 20_000


def iterate_data() -> Iterator[tuple[str, str, int]]:
    """Yield name, specification and pooling of the data sets whose files are present."""
    folder = Path(os.environ.get("DIMPLE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    known = [(name, f"{name}:{folder / name}", pool) for name, pool in (("cifar10", 8), ("mnist", 4))]
    present = [each for each in known if (folder / each[0]).is_dir()]
    yield from present or [("digits", "digits", 1)]


def load(data: str, split: str, count: int, pool: int) -> tuple[Tensor, Tensor]:
    """Return the first `count` images, averaged and as rows in double precision, and their labels."""
    images = load_images(data, split)
    x, y = images.batch(torch.randperm(len(images), generator=generator(0, "exact", split))[:count])
    return avg_pool2d(x.double(), pool).flatten(1), y


def train(x: Tensor, y: Tensor) -> nn.Module:
    """Return a network of two hidden layers, trained by Adam."""
    classes = int(y.max()) + 1
    network = MLP(widths=(16, 16)).build(x.shape[1], generator(0, "network"), classes).double()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    stream = generator(0, "batches")
    for _ in range(TRAIN_STEPS):
        rows = torch.randint(len(x), (BATCH_SIZE,), generator=stream)
        optimizer.zero_grad()
        cross_entropy(network(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval().requires_grad_(False)


def main() -> None:
    """Train the networks, prove the margins, and print a row for each search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--passes", type=float, nargs="+", default=[40.0, 100.0, 400.0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--norm", nargs="+", default=["l2", "linf"])
    options = parser.parse_args()
    print(f"{'data':10} {'norm':5} {'method':14} {'proven':>8} {'share':>7} {'median':>8} {'worst':>8} {'seconds':>8}")
    for name, data, pool in iterate_data():
        train_x, train_y = load(data, "train", TRAIN_SAMPLES, pool)
        network = train(train_x, train_y)
        x, y = load(data, "test", 4 * options.samples, pool)
        correct = torch.nonzero(network(x).argmax(1) == y).squeeze(1)[: options.samples]
        x = x[correct]
        y = y[correct]
        for norm in options.norm:
            exact = ExactMargin(norm=norm, nodes=NODES, seconds=options.seconds)(Boundary(network, (0, 1)), x, y)
            optimum = exact.columns["margin_exact"]
            proven = torch.isfinite(optimum)
            for method in METHODS:
                for max_passes in options.passes:
                    boundary = Boundary(network, (0, 1), train_x if method == "closest" else None)
                    start = time.perf_counter()
                    margin = Margin(norm=norm, method=method, max_passes=max_passes)(boundary, x, y).columns["margin"]
                    seconds = time.perf_counter() - start
                    ratio = (margin / optimum)[proven]
                    print(
                        f"{name:10} {norm:5} {f'{method}({max_passes:g})':14} {int(proven.sum()):4}/{len(x):3} "
                        f"{float((ratio > EXCESS).double().mean()):7.3f} {float(ratio.median()):8.5f} "
                        f"{float(ratio.max()):8.3f} {seconds:8.2f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
