"""Tangent fields by local PCA against the loop that everybody writes: neighbours and one PCA a point by scikit-learn.

    python benchmarks/tangents.py [--quick] [--json FILE]

Both sides get the same cloud, the same number of neighbours and the same threads, one after the other in this process.
Angles are largest principal angles to the exact tangent spaces of spheres, in radians, medians over the points. A row:
`ratio` is peer over ours, so that above 1 is faster or more accurate; the rows `slope` hold the exponent of the error
in the number of points instead, beside the -1/d that a plain local PCA obeys on a d-dimensional manifold.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from dimple.manifolds import Lift, Sphere
from dimple.tangents import LocalPCA
from dimple.tangents.principal_angles import largest_angle
from dimple.tensors import generator

LOOP = "scikit-learn NearestNeighbors + PCA a point"
NEIGHBOURS = 30
CHOICES = (10, 20, 30, 45, 60)


def main() -> None:
    """Measure, print the table, and write the rows where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller clouds: a look, no claim")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    count, quick = (2000, True) if options.quick else (10_000, False)
    sizes = ((100, torch.float32), (100, torch.float64), (3072, torch.float32))
    print(f"{'case':62} {'ours':>10} {'peer':>10} {'ratio':>8}  unit, peer")
    rows = []
    for line in itertools.chain(*(speed(count, n, dtype) for n, dtype in sizes), accuracy(quick)):
        rows.append(line)
        print(
            f"{line['case']:62} {line['ours']:10.4g} {line['peer']:10.4g} {line['ratio']:8.3g}  "
            f"{line['unit']}, {line['peer_name']}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def row(case: str, ours: float, peer: float, peer_name: str, unit: str) -> dict[str, Any]:
    """One line of the table."""
    return {
        "case": case, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": unit, "ratio": peer / ours,
    }  # fmt: skip


def cloud_of(sphere: Lift, count: int, seed: int, noise: float = 0.0) -> Tensor:
    """Uniform points of the sphere, with noise in every direction of the space."""
    points = sphere.sample(count, generator(seed, "cloud"))
    return points + noise * torch.randn(points.shape, generator=generator(seed, "noise"), dtype=points.dtype)


def loop(cloud: Tensor, dim: int, neighbours: int, x: Tensor) -> Tensor:
    """The peer: principal axes of each sample's neighbours, itself left out, one PCA at a time."""
    points, search = cloud.numpy(), NearestNeighbors(n_neighbors=neighbours).fit(cloud.numpy())
    index = search.kneighbors(None if x is cloud else x.numpy(), return_distance=False)
    bases = [PCA(n_components=dim, random_state=0).fit(points[near]).components_.T for near in index]
    return torch.from_numpy(np.stack(bases))


def timed(work: Callable[[], Tensor]) -> tuple[Tensor, float, float]:
    """What it gives, the seconds that passed, and those that this process had: the same on a quiet machine."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def speed(count: int, n: int, dtype: torch.dtype) -> Iterator[dict[str, Any]]:
    """Seconds for the tangents at every point of a noisy cloud, and the error of each side."""
    sphere = Lift(of=Sphere(dim=2), ambient_dim=n)
    # Noise fills every direction, so that neither side may profit from a cloud that is flat in most of them.
    cloud = cloud_of(sphere, count, seed=0, noise=0.02 / n**0.5).to(dtype)
    truth = sphere.tangent_basis(cloud[:1000].double())
    LocalPCA(cloud[:200], 2, NEIGHBOURS).tangent_basis(cloud[:50])
    loop(cloud[:200], 2, NEIGHBOURS, cloud[:50])
    ours, our_wall, our_cpu = timed(lambda: LocalPCA(cloud, 2, NEIGHBOURS).tangent_basis(cloud))
    peer, peer_wall, peer_cpu = timed(lambda: loop(cloud, 2, NEIGHBOURS, cloud))
    case = f"{count} points in R^{n}, k {NEIGHBOURS}, {str(dtype).removeprefix('torch.')}"
    errors = [float(largest_angle(basis[:1000].double(), truth).median()) for basis in (ours, peer)]
    yield row(f"time, {case}", our_wall, peer_wall, LOOP, "s")
    yield row(f"processor time, {case}", our_cpu, peer_cpu, LOOP, "s")
    yield row(f"error, {case}", errors[0], errors[1], LOOP, "rad")


def accuracy(quick: bool) -> Iterator[dict[str, Any]]:
    """The error on clean spheres in R^100 against the number of points, at the k that is best for each side."""
    counts, queries = ((500, 2000), 60) if quick else ((500, 2000, 8000), 1000)
    for dim in (2, 3):
        sphere = Lift(of=Sphere(dim=dim), ambient_dim=100)
        x = sphere.sample(queries, generator(9, "x"))
        truth = sphere.tangent_basis(x)
        best: dict[str, list[float]] = {"plain": [], "order 2": []}
        for count in counts:
            cloud = cloud_of(sphere, count, seed=1)
            plain = min(median_error(LocalPCA(cloud, dim, k).tangent_basis(x), truth) for k in CHOICES)
            curved = min(median_error(LocalPCA(cloud, dim, k, order=2).tangent_basis(x), truth) for k in CHOICES[1:])
            peer = min(median_error(loop(cloud, dim, k, x), truth) for k in CHOICES)
            best["plain"].append(plain)
            best["order 2"].append(curved)
            for name, ours in (("plain", plain), ("order 2", curved)):
                yield row(f"error, S^{dim} in R^100, {count} points, best k, {name}", ours, peer, LOOP, "rad")
        for name, errors in best.items():
            exponent = slope(counts, errors)
            yield row(
                f"slope, S^{dim} in R^100, best k, {name}", exponent, -1 / dim, "theory of the plain one", "exponent"
            )


def median_error(basis: Tensor, truth: Tensor) -> float:
    """The median over samples of the largest angle."""
    return float(largest_angle(basis, truth).median())


def slope(counts: Sequence[int], errors: Sequence[float]) -> float:
    """The exponent of the power law through the errors, by least squares."""
    return float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


if __name__ == "__main__":
    main()
