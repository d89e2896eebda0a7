"""Tangent fields by local PCA against a plain loop: neighbors and one PCA for each point by scikit-learn.

    python benchmarks/tangents.py [--quick] [--json FILE]

Both methods get the same cloud, the same number of neighbors and the same threads, one after the other in this process.
Angles are largest principal angles to the exact tangent spaces of spheres, in radians, medians over the points. `ratio`
is peer / ours; a value above 1 means that dimple is faster or more accurate. The rows `slope` hold the exponent of the
error in the number of points instead, compared with the -1/d of a plain local PCA on a d-dimensional manifold.
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

from dimple.manifolds import Embedding, Sphere
from dimple.tangents import LocalPCA
from dimple.tangents.principal_angles import largest_principal_angle
from dimple.tensors import generator

LOOP = "scikit-learn NearestNeighbors + PCA a point"
NEIGHBORS = 30
NEIGHBOR_COUNTS = (10, 20, 30, 45, 60)


def main() -> None:
    """Measure, print the table, and write the rows to --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller clouds: a quick check, not a measurement")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    count = 2000 if options.quick else 10_000
    sizes = ((100, torch.float32), (100, torch.float64), (3072, torch.float32))
    print(f"{'case':62} {'ours':>10} {'peer':>10} {'ratio':>8}  unit, peer")
    rows = []
    speeds = [measure_speed(count, n, dtype) for n, dtype in sizes]
    for line in itertools.chain(*speeds, measure_accuracy(options.quick)):
        rows.append(line)
        print(
            f"{line['case']:62} {line['ours']:10.4g} {line['peer']:10.4g} {line['ratio']:8.3g}  "
            f"{line['unit']}, {line['peer_name']}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def make_row(case: str, ours: float, peer: float, peer_name: str, unit: str) -> dict[str, Any]:
    """Return one line of the table."""
    return {
        "case": case, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": unit, "ratio": peer / ours,
    }  # fmt: skip


def sample_cloud(sphere: Embedding, count: int, seed: int, noise: float = 0.0) -> Tensor:
    """Return uniform points of the sphere, with noise in every direction of the space."""
    points = sphere.sample(count, generator(seed, "cloud"))
    return points + noise * torch.randn(points.shape, generator=generator(seed, "noise"), dtype=points.dtype)


def loop_over_points(cloud: Tensor, dim: int, neighbors: int, x: Tensor) -> Tensor:
    """Return the principal axes of the neighbors of each sample without the sample, by one PCA for each: the peer."""
    points = cloud.numpy()
    search = NearestNeighbors(n_neighbors=neighbors).fit(cloud.numpy())
    index = search.kneighbors(None if x is cloud else x.numpy(), return_distance=False)
    bases = [PCA(n_components=dim, random_state=0).fit(points[row]).components_.T for row in index]
    return torch.from_numpy(np.stack(bases))


def measure_time(work: Callable[[], Tensor]) -> tuple[Tensor, float, float]:
    """Return the result, the wall seconds and the processor seconds, which agree on a quiet machine."""
    wall_start = time.perf_counter()
    processor_start = time.process_time()
    result = work()
    return result, time.perf_counter() - wall_start, time.process_time() - processor_start


def measure_speed(count: int, n: int, dtype: torch.dtype) -> Iterator[dict[str, Any]]:
    """Measure the seconds for the tangents at every point of a noisy cloud, and the error of both methods."""
    sphere = Embedding(base=Sphere(dim=2), ambient_dim=n)
    # Noise in every direction, because a cloud that is flat in most directions would be easier for one method.
    cloud = sample_cloud(sphere, count, seed=0, noise=0.02 / n**0.5).to(dtype)
    truth = sphere.tangent_basis(cloud[:1000].double())
    LocalPCA(cloud[:200], 2, NEIGHBORS).tangent_basis(cloud[:50])
    loop_over_points(cloud[:200], 2, NEIGHBORS, cloud[:50])
    dimple, dimple_wall, dimple_cpu = measure_time(lambda: LocalPCA(cloud, 2, NEIGHBORS).tangent_basis(cloud))
    peer, peer_wall, peer_cpu = measure_time(lambda: loop_over_points(cloud, 2, NEIGHBORS, cloud))
    case = f"{count} points in R^{n}, k {NEIGHBORS}, {str(dtype).removeprefix('torch.')}"
    errors = [float(largest_principal_angle(basis[:1000].double(), truth).median()) for basis in (dimple, peer)]
    yield make_row(f"time, {case}", dimple_wall, peer_wall, LOOP, "s")
    yield make_row(f"processor time, {case}", dimple_cpu, peer_cpu, LOOP, "s")
    yield make_row(f"error, {case}", errors[0], errors[1], LOOP, "rad")


def measure_accuracy(quick: bool) -> Iterator[dict[str, Any]]:
    """Measure the error on clean spheres in R^100 by the number of points, at the best k of each method."""
    counts = (500, 2000) if quick else (500, 2000, 8000)
    queries = 60 if quick else 1000
    for dim in (2, 3):
        sphere = Embedding(base=Sphere(dim=dim), ambient_dim=100)
        x = sphere.sample(queries, generator(9, "x"))
        truth = sphere.tangent_basis(x)
        best: dict[str, list[float]] = {"plain": [], "order 2": []}
        for count in counts:
            cloud = sample_cloud(sphere, count, seed=1)
            plain = min(median_error(LocalPCA(cloud, dim, k).tangent_basis(x), truth) for k in NEIGHBOR_COUNTS)
            second_order = [LocalPCA(cloud, dim, k, order=2) for k in NEIGHBOR_COUNTS[1:]]
            curved = min(median_error(field.tangent_basis(x), truth) for field in second_order)
            peer = min(median_error(loop_over_points(cloud, dim, k, x), truth) for k in NEIGHBOR_COUNTS)
            best["plain"].append(plain)
            best["order 2"].append(curved)
            for name, error in (("plain", plain), ("order 2", curved)):
                yield make_row(f"error, S^{dim} in R^100, {count} points, best k, {name}", error, peer, LOOP, "rad")
        for name, errors in best.items():
            exponent = fit_exponent(counts, errors)
            yield make_row(
                f"slope, S^{dim} in R^100, best k, {name}", exponent, -1 / dim, "theory of the plain one", "exponent"
            )


def median_error(basis: Tensor, truth: Tensor) -> float:
    """Return the median over samples of the largest angle."""
    return float(largest_principal_angle(basis, truth).median())


def fit_exponent(counts: Sequence[int], errors: Sequence[float]) -> float:
    """Return the exponent of the power law through the errors, by least squares."""
    return float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


if __name__ == "__main__":
    main()
