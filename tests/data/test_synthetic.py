"""The points of a scene: reproducible part by part, labelled where they lie, noisy as asked."""

import pytest
import torch

from dimple.data import Synthetic
from dimple.data.labels import Given, HalfSpace
from dimple.data.sampling import Uniform
from dimple.errors import SceneError
from dimple.manifolds import Flat, Sphere


def test_parts_have_streams_of_their_own() -> None:
    few, many = (Synthetic(test_points=count).draw(Sphere(), 3) for count in (5, 50))
    assert torch.equal(few.train, many.train) and torch.equal(few.probe, many.probe)
    assert not torch.equal(few.train, Synthetic().draw(Sphere(), 4).train)


def test_noise_has_its_size_in_every_coordinate_and_spares_the_probe_points() -> None:
    plane = Flat(low=(0.0,), high=(1.0,), offset=(0.5,) * 9)
    rule = HalfSpace(normal=(1.0,) + (0.0,) * 9, level=0.5)
    data = Synthetic(Uniform(4000), rule, noise=0.1).draw(plane, 0)
    assert data.probe[:, 1:].std() == 0
    assert (data.train[:, 1:].std(dim=0) - 0.1).abs().max() < 0.01
    assert torch.equal(Synthetic(Uniform(4000), rule).draw(plane, 0).train_labels, data.train_labels)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(SceneError, match="all 60 training points class 1; a boundary needs two classes"):
        Synthetic(labels=HalfSpace(normal=(0.0, 0.0, 1.0), level=-2.0)).draw(Sphere(), 0)
    with pytest.raises(SceneError, match="2 classes for 60 training points"):
        Synthetic(labels=Given(values=(0, 1))).draw(Sphere(), 0)
