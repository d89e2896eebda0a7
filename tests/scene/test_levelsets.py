"""Tests of the level sets of the shipped scenes: the adaptive mesh has the topology of the dense grid."""

import copy

import pytest
import torch
from torch import nn

from benchmarks.mesh_measures import euler_number
from dimple.boundary import Boundary, restrict_to_slice
from dimple.levelsets import Adaptive, Dense
from dimple.levelsets.mesh import components
from dimple.scene import Scene, load_scene, shipped_scenes
from dimple.scene.display_slice import build_display_slice
from dimple.tensors import generator

CPU = torch.device("cpu")
DRAWABLE_SCENES = [name for name in shipped_scenes() if load_scene(name).is_drawable]


def snapshots(scene: Scene) -> list[nn.Module]:
    samples = scene.samples()
    states: list[nn.Module] = []
    network = scene.network.build(scene.manifold.ambient_dim, generator(scene.seed, "network"))

    def record(_step: int, network: nn.Module, _loss: float) -> None:
        states.append(copy.deepcopy(network).requires_grad_(False).double())

    steps = scene.snapshots.steps(scene.training.last_step(len(samples.train)))
    x = samples.train.float()
    scene.training.fit(network, x, samples.train_labels, steps, record, tangents=scene.manifold)
    return states


@pytest.mark.parametrize("name", DRAWABLE_SCENES)
def test_the_adaptive_mesh_has_the_faces_and_the_topology_of_the_dense_grid(name: str) -> None:
    scene = load_scene(name, ["training.steps=400", "snapshots.count=3"])
    samples = scene.samples()
    affine_slice = None
    num_faces = 0
    boundaries = [Boundary(network) for network in snapshots(scene)]
    if scene.has_display_slice:
        affine_slice = build_display_slice(scene.manifold, scene.seed, samples.train, boundaries[-1]).affine_slice
        boundaries = [restrict_to_slice(boundary, affine_slice) for boundary in boundaries]
    low, high = (corner.tolist() for corner in scene.display_bounds(samples, affine_slice))
    resolution = 256 if len(low) == 2 else 64
    for boundary in boundaries:
        dense = Dense(resolution=resolution).extract(boundary, 1, low, high, CPU)
        found = Adaptive(resolution=resolution).extract(boundary, 1, low, high, CPU)
        assert len(found.faces) == len(dense.faces)
        assert components(found)[0] == components(dense)[0]
        assert euler_number(found) == euler_number(dense)
        num_faces += len(found.faces)
    assert num_faces > 100
