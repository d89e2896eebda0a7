"""Time of many replicas of one scene trained at once, over the time of one training.

    python benchmarks/replicas.py [--quick] [--json FILE]

The scene is sphere_in_3d: networks 3-128-128-2 on 60 points, each replica with its own points, labels and weights. One
training is that of `dimple simulate` without replicas, on one thread. `ratio` is the process time over that of one
training, on one thread; `wall_ratio` the wall clock on two threads over that of one training on one. `dimple` trains
stacked parameters, `loop` one replica after the other on one thread, and `vmap` stacked parameters through
torch.func.vmap and fused Adam. --quick takes 1 and 32 replicas and fewer steps. Each time is the smallest of three
trainings, after a short one that is not counted.
"""

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from dimple.scene import Scene, load_scene
from dimple.training.optimizers import Adam
from dimple.training.stacked.fit import fit_replicas

REPLICAS = (1, 8, 32)
QUICK_REPLICAS = (1, 32)
STEPS = 1000
QUICK_STEPS = 200
REPEATS = 3
HEADING = f"{'method':8} {'replicas':>8} {'ratio':>7} {'wall_ratio':>10} {'ms a step':>10}"

Data = tuple[list[nn.Module], Tensor, Tensor]
Train = Callable[[Scene, Data, int], None]


@functools.cache
def make_samples(scene: Scene, replicas: int) -> tuple[Tensor, Tensor]:
    """Return the points `(R, N, n)` and labels `(R, N)` of the seeds 0 to R - 1."""
    samples = [scene.replica(index).samples() for index in range(replicas)]
    return torch.stack([data.train.float() for data in samples]), torch.stack([data.train_labels for data in samples])


def make_data(scene: Scene, replicas: int) -> Data:
    """Return the networks before training, points and labels of the seeds 0 to R - 1."""
    x, y = make_samples(scene, replicas)
    return [scene.replica(index).build_network(x.shape[2:], 2) for index in range(replicas)], x, y


def train_stacked(scene: Scene, data: Data, threads: int) -> None:
    """Train all replicas by dimple; one alone as `dimple simulate` does."""
    networks, x, y = data
    if len(networks) == 1:
        train_loop(scene, data, threads)
    else:
        fit_replicas(scene.training, networks, x, y, [], lambda *_: None, seeds=range(len(networks)), threads=threads)


def train_loop(scene: Scene, data: Data, _threads: int) -> None:
    """Train one replica after the other; threads of torch would only slow down products of this size."""
    torch.set_num_threads(1)
    for seed, (network, x, y) in enumerate(zip(*data, strict=True)):
        scene.training.fit(network, x, y, [], lambda *_: None, seed=seed)


def train_vmap(scene: Scene, data: Data, _threads: int) -> None:
    """Train stacked parameters with gradients by torch.func, and Adam for each stacked parameter."""
    networks, x, y = data
    parameters, _ = stack_module_state(networks)
    optimizer = scene.training.optimizer
    assert isinstance(optimizer, Adam)

    def loss(weights: dict[str, Tensor], points: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(networks[0], weights, (points,)), labels)

    differentiate = vmap(grad(loss))
    weights = {name: parameter.detach() for name, parameter in parameters.items()}
    memory = [optimizer.start(parameter) for parameter in weights.values()]
    for _step in range(scene.training.last_step(x.shape[1])):
        gradients = differentiate(weights, x, y)
        optimizer.update(
            list(weights.values()), [gradients[name] for name in weights], memory, optimizer.lr, fused=True
        )


METHODS: dict[str, Train] = {"dimple": train_stacked, "loop": train_loop, "vmap": train_vmap}


def measure(scene: Scene, train: Train, replicas: int, threads: int) -> tuple[float, float]:
    """Return the process time and the wall clock of a training, in seconds."""
    torch.set_num_threads(threads)
    stop = dataclasses.replace(scene.training.stop, steps=5)
    warm_up = dataclasses.replace(scene, training=dataclasses.replace(scene.training, stop=stop))
    train(warm_up, make_data(scene, replicas), threads)
    times = []
    for _ in range(REPEATS):
        data = make_data(scene, replicas)
        process = time.process_time()
        wall = time.perf_counter()
        train(scene, data, threads)
        times.append((time.process_time() - process, time.perf_counter() - wall))
    return min(process for process, _ in times), min(wall for _, wall in times)


def main() -> None:
    """Measure, print the table and write the file of --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 32 replicas, fewer steps")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    steps = QUICK_STEPS if options.quick else STEPS
    scene = load_scene("sphere_in_3d", [f"training.steps={steps}"])
    one_process, one_wall = measure(scene, train_loop, 1, 1)
    rows: list[dict[str, Any]] = []
    print(HEADING)
    for replicas in QUICK_REPLICAS if options.quick else REPLICAS:
        for method, train in METHODS.items():
            process, _ = measure(scene, train, replicas, 1)
            _, wall = measure(scene, train, replicas, 2)
            row = {
                "method": method,
                "replicas": replicas,
                "ratio": process / one_process,
                "wall_ratio": wall / one_wall,
                "steps": steps,
                "seconds": process,
            }
            rows.append(row)
            print(
                f"{method:8} {replicas:8} {row['ratio']:7.2f} {row['wall_ratio']:10.2f} {1e3 * process / steps:10.3f}",
                flush=True,
            )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
