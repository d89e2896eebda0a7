"""Where the scores of a classifier change fastest, near given samples."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.boundary.boundary import Boundary
from dimple.tensors import flatten


def climbed(boundary: Boundary, x: Tensor, steps: int, radius: float) -> tuple[Tensor, Tensor]:
    """The Jacobian's norm at each sample, and the largest met on the way from it, both `(B,)`.

    A Jacobian is constant inside each piece of a ReLU network, so the climb follows the change of the scores over a
    chord of `radius` along the fastest direction, which feels the pieces around.
    """
    first, axis = jacobian_norm(boundary, x)
    best, here = first, x
    for _ in range(steps):
        with torch.enable_grad():
            leaf = here.detach().requires_grad_(True)
            chord = boundary.classifier(leaf + radius * axis) - boundary.classifier(leaf - radius * axis)
            (uphill,) = torch.autograd.grad(chord.square().sum(), leaf)
        boundary.forwards += 2 * len(x)
        boundary.backwards += 2 * len(x)
        here = here + radius * normalize(flatten(uphill), dim=1).reshape(x.shape)
        here = here if boundary.box is None else boundary.box.clamp(here)
        now, axis = jacobian_norm(boundary, here)
        best = torch.maximum(best, now)
    return first, best


def jacobian_norm(boundary: Boundary, x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest singular value of the scores' Jacobian at each sample `(B,)`, and its direction in the input."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_(True)
        scores = boundary.classifier(leaf)
        rows = []
        for column in range(scores.shape[1]):
            last = column == scores.shape[1] - 1
            (gradient,) = torch.autograd.grad(scores[:, column].sum(), leaf, retain_graph=not last)
            rows.append(flatten(gradient))
    boundary.forwards += len(x)
    boundary.backwards += scores.shape[1] * len(x)
    jacobian = torch.stack(rows, dim=1)
    squares, mixes = torch.linalg.eigh(jacobian @ jacobian.mT)
    axis = normalize(torch.einsum("bk,bkn->bn", mixes[:, :, -1], jacobian), dim=1)
    return squares[:, -1].clamp(min=0).sqrt(), axis.reshape(x.shape)
