"""Level sets of the shipped scenes, where they are drawn: the adaptive mesh is the one of the dense grid."""

import copy

import pytest
import torch
from torch import nn

from dimple.boundary import Boundary, restricted
from dimple.levelsets import Adaptive, Grid
from dimple.levelsets.mesh_measures import components, euler_number
from dimple.scene import Scene, load_scene, shipped_scenes
from dimple.scene.display_slice import draw_in
from dimple.tensors import generator

CPU = torch.device("cpu")
DRAWN = [name for name in shipped_scenes() if load_scene(name).drawable]


def snapshots(scene: Scene) -> list[nn.Module]:
    samples, states = scene.samples(), []
    network = scene.network.build(scene.manifold.ambient_dim, generator(scene.seed, "network"))

    def record(_step: int, so_far: nn.Module, _loss: float) -> None:
        states.append(copy.deepcopy(so_far).requires_grad_(False).double())

    steps = scene.snapshots.steps(scene.training.steps)
    scene.training.fit(network, samples.train.float(), samples.train_labels, steps, record)
    return states


@pytest.mark.parametrize("name", DRAWN)
def test_the_adaptive_mesh_has_the_faces_and_the_topology_of_the_dense_grid(name: str) -> None:
    scene = load_scene(name, ["training.steps=400", "snapshots.count=3"])
    samples, section, faces = scene.samples(), None, 0
    boundaries = [Boundary(network) for network in snapshots(scene)]
    if scene.in_section:
        section = draw_in(scene.manifold, scene.seed, samples.train, boundaries[-1]).section
        boundaries = [restricted(boundary, section) for boundary in boundaries]
    low, high = (corner.tolist() for corner in scene.domain(samples, section))
    cells = 256 if len(low) == 2 else 64
    for boundary in boundaries:
        dense = Grid(cells=cells).extract(boundary, 1, low, high, CPU)
        found = Adaptive(cells=cells).extract(boundary, 1, low, high, CPU)
        assert len(found.faces) == len(dense.faces)
        assert components(found)[0] == components(dense)[0]
        assert euler_number(found) == euler_number(dense)
        faces += len(found.faces)
    assert faces > 100
