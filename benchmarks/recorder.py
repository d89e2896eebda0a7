"""Time of a training with a recorder over that of the bare loop, in pairs.

    python benchmarks/recorder.py [--json FILE] [--pairs N] [--steps N]

A convolutional network learns scikit-learn's digits in batches of 64. Each pair trains it without and with
`dimple.Recorder`, in one order and then in the other; the loop alone is timed: copies are measured after it, or beside
it with `live=True`. Rows: `max_overhead` (the fraction that is allowed), `live`, `ratio` (median over the pairs of
recorded over bare), `copying` (the fraction that the recorder says its copies took), `snapshots`, `measured_live` (of
these, measured when the loop ended), and whether both ended in the same bits.
"""

import argparse
import copy
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dimple import Margin, Recorder, build_model, load_images
from dimple.tensors import generator

CASES = ((0.01, False), (0.05, False), (0.05, True))


def train(network: nn.Module, steps: int, record: Any = None) -> float:
    """Train a network, and return the seconds of the loop."""
    images = load_images("digits", "train")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    rows = torch.randint(len(images.y), (steps, 64), generator=generator(0, "batches"))
    x = images.x
    y = images.y
    started = time.perf_counter()
    for step, batch in enumerate(rows):
        if record is not None:
            record(step, network)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
        optimizer.step()
    return time.perf_counter() - started


def compare(max_overhead: float, live: bool, pairs: int, steps: int) -> dict[str, Any]:
    """Train in pairs, and return the row."""
    first = build_model("digits_convnet", generator(0, "network"))
    x, y = load_images("digits", "test").batch(range(8))
    ratios = []
    same = True
    for pair in range(pairs):
        seconds: dict[bool, float] = {}
        networks: dict[bool, nn.Module] = {}
        for recorded in (False, True) if pair % 2 else (True, False):
            networks[recorded] = copy.deepcopy(first)
            if not recorded:
                seconds[recorded] = train(networks[recorded], steps)
                continue
            with tempfile.TemporaryDirectory() as folder:
                recorder = Recorder(
                    f"{folder}/run", x, y, [Margin(max_passes=1)], bounds=(0, 1), max_overhead=max_overhead, live=live
                )
                with recorder as record:
                    seconds[recorded] = train(networks[recorded], steps, record)
        ratios.append(seconds[True] / seconds[False])
        states = [networks[recorded].state_dict() for recorded in (False, True)]
        same = same and all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert recorder.run is not None
    info = recorder.run.info["recorder"]
    return {
        "max_overhead": max_overhead,
        "live": live,
        "ratio": statistics.median(ratios),
        "copying": info["overhead"],
        "snapshots": info["snapshots"],
        "measured_live": info["measured_live"],
        "same_bits": same,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [compare(*case, options.pairs, options.steps) for case in CASES]
    for row in rows:
        print(
            " ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
