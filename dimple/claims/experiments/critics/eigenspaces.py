"""Attacks within the widest and within the narrowest principal directions of each class, at equal size."""

from typing import final

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import change_scene, final_network, predict, prepare
from dimple.manifolds.tabulated_tangents import TabulatedTangents
from dimple.probes import SubspaceMargin
from dimple.probes.subspaces import principal_axes
from dimple.settings import Count, Positive, settings


@final
@settings
class Eigenspaces(Experiment):
    """Images moved within the widest (on) and the narrowest (off) principal directions of their class.

    The parts are a network trained on clean images and one trained on adversarial ones.

    Columns: `success_top`, `success_bottom` and `success_random`, the fraction of the images whose class changes within
    the size in the widest, the narrowest and in random directions; `difference`, top minus bottom; `margin_ratio`, the
    median distance to the boundary in the narrowest directions over that in the widest.

    Args:
        scene: a built-in scene with images.
        dim: the number of directions.
        size: the l2 norm of the perturbations, in median distances to the boundary in all directions.
        eps: the radius of the adversarial training, in input units.
        set: changes of the scene.

    Reference: Xiao et al. 2022, Understanding adversarial robustness against on-manifold adversarial examples.
    """

    scene: str = "digits"
    dim: Count = 8
    size: Positive = 2.0
    eps: Positive = 0.6
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        objectives = {
            "standard": "{kind: standard}",
            "adversarial": f"{{kind: adversarial, norm: l2, eps: {self.eps}, steps: 5}}",
        }
        prepared = prepare(self.scene, self.set, seed, resources)
        samples = prepared.samples
        bases = eigenspaces(samples.train.float(), samples.train_labels, self.dim)
        x = samples.test[samples.test_rows].float().to(resources.device)
        y = samples.test_labels[samples.test_rows].to(resources.device)
        rows = {}
        for name, objective in objectives.items():
            arm = change_scene(prepared, self.scene, [*self.set, f"training.objective={objective}"])
            rows[name] = attack_eigenspaces(final_network(arm), x, y, bases, self.size, seed)
        return rows


def eigenspaces(x: Tensor, y: Tensor, dim: int) -> dict[str, Tensor]:
    """Return the widest and the narrowest principal directions of each class, `(K, n, dim)` each."""
    axes = torch.stack([principal_axes(x[y == number]) for number in range(int(y.max()) + 1)])
    return {"top": axes[:, :, :dim], "bottom": axes[:, :, -dim:]}


def attack_eigenspaces(
    network: nn.Module, x: Tensor, y: Tensor, bases: dict[str, Tensor], size: float, seed: int = 0
) -> Row:
    """Return the columns for the images that the network classifies correctly.

    Args:
        network: the network.
        x: `(B, *shape)`.
        y: `(B,)`.
        bases: `(K, n, d)` by name: `top` and `bottom`.
        size: in median distances to the boundary in all directions.
        seed: of the random directions.
    """
    is_right = predict(network, x) == y
    x = x[is_right]
    y = y[is_right]
    fields = {name: TabulatedTangents(x, basis.to(x)[y]) for name, basis in bases.items()}
    result = SubspaceMargin(fields, null_draws=5, seed=seed)(Boundary(network), x, y)
    eps = size * float(result.columns["margin_unbounded"].quantile(0.5, interpolation="lower"))
    margins = {name: result.columns[f"margin_{name}"] for name in bases}
    margins["random"] = result.details["margin_top_draws"]
    row = {f"success_{name}": float((margin <= eps).double().mean()) for name, margin in margins.items()}
    row["difference"] = row["success_top"] - row["success_bottom"]
    median = {name: float(margin.quantile(0.5, interpolation="lower")) for name, margin in margins.items()}
    return row | {"margin_ratio": median["bottom"] / median["top"], "size": eps}
