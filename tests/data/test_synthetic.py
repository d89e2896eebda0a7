"""The points of a scene: each kind has its own random generator, and noise is added after labeling."""

import pytest
import torch

from dimple.data import SyntheticData
from dimple.data.labels import ExplicitLabels, HalfSpaceLabels
from dimple.data.sampling import UniformSampling
from dimple.errors import SceneError
from dimple.manifolds import Flat, Sphere


def test_each_kind_of_points_has_its_own_generator() -> None:
    few, many = (SyntheticData(test_points=count).sample(Sphere(), 3) for count in (5, 50))
    assert torch.equal(few.train, many.train) and torch.equal(few.heldout, many.heldout)
    assert not torch.equal(few.train, SyntheticData().sample(Sphere(), 4).train)


def test_noise_has_its_size_in_every_coordinate_except_at_held_out_points() -> None:
    plane = Flat(low=(0.0,), high=(1.0,), offset=(0.5,) * 9)
    rule = HalfSpaceLabels(normal=(1.0,) + (0.0,) * 9, level=0.5)
    data = SyntheticData(UniformSampling(4000), rule, noise=0.1).sample(plane, 0)
    assert data.heldout[:, 1:].std() == 0
    assert (data.train[:, 1:].std(dim=0) - 0.1).abs().max() < 0.01
    assert torch.equal(SyntheticData(UniformSampling(4000), rule).sample(plane, 0).train_labels, data.train_labels)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(SceneError, match="all 60 training points class 1; a boundary needs two classes"):
        SyntheticData(labels=HalfSpaceLabels(normal=(0.0, 0.0, 1.0), level=-2.0)).sample(Sphere(), 0)
    with pytest.raises(SceneError, match="2 classes for 60 training points"):
        SyntheticData(labels=ExplicitLabels(values=(0, 1))).sample(Sphere(), 0)
