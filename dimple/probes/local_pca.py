"""Tangent spaces estimated from a cloud of points: principal directions of each point's neighbours."""

from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tensors import chunks, flatten


@final
class LocalPCA:
    """The d leading principal directions of the k nearest points of a cloud, at any sample.

    Args:
        cloud: `(N, *shape)` points of the data manifold, such as training images.
        dim: d, the dimension of the estimate.
        neighbours: k > d, how many points each estimate looks at. A point that equals the sample is not counted.

    Raises:
        ShapeError: if the cloud is too small for k, or k for d.

    Example:
        >>> line = torch.stack([torch.linspace(0, 1, 50), torch.zeros(50)], dim=1)
        >>> LocalPCA(line, dim=1, neighbours=5).tangent_basis(torch.tensor([[0.5, 0.0]])).abs().squeeze()
        tensor([1., 0.])
    """

    def __init__(self, cloud: Tensor, dim: int, neighbours: int = 50) -> None:
        if not 1 <= dim < neighbours:
            raise ShapeError(f"LocalPCA: dim is {dim} with {neighbours} neighbours; 1 <= dim < neighbours is needed")
        if len(cloud) <= neighbours:
            raise ShapeError(f"LocalPCA: {len(cloud)} points cannot give {neighbours} neighbours each; ask for fewer")
        self.cloud = flatten(cloud)
        self.dim = dim
        self.neighbours = neighbours
        self._squared = (self.cloud * self.cloud).sum(1)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Orthonormal columns `(B, n, d)`, ordered by falling variance."""
        return torch.cat([self._basis(self._nearest(flatten(x)[part])) for part in chunks(len(x), 64)]).to(x)

    def _nearest(self, rows: Tensor) -> Tensor:
        """The k nearest points of the cloud that are not the sample itself, `(B, k, n)`."""
        rows = rows.to(self.cloud)
        squared = self._squared - 2 * rows @ self.cloud.T
        index = squared.topk(self.neighbours + 1, dim=1, largest=False).indices
        near = self.cloud[index]
        same = (near == rows[:, None]).all(dim=2)
        same[:, -1] |= ~same.any(dim=1)
        first = same.to(torch.int8).argmax(dim=1)
        keep = torch.ones_like(same).scatter(1, first[:, None], False)
        return near[keep].reshape(len(rows), self.neighbours, -1)

    def _basis(self, near: Tensor) -> Tensor:
        """Leading right singular vectors of the centred neighbours, through the small k x k Gram matrix."""
        centred = near - near.mean(dim=1, keepdim=True)
        if near.shape[2] <= near.shape[1]:
            _, vectors = torch.linalg.eigh(centred.transpose(1, 2) @ centred)
            return vectors[:, :, -self.dim :].flip(2)
        _, vectors = torch.linalg.eigh(centred @ centred.transpose(1, 2))
        spread = centred.transpose(1, 2) @ vectors[:, :, -self.dim :].flip(2)
        return torch.linalg.qr(spread).Q
