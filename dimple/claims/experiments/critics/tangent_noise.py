"""Scores under noise along and across the tangent spaces of the data, of standard and of robust networks."""

from typing import final

import torch
from torch import Tensor, nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import change_scene, final_network, prepare
from dimple.errors import SceneError
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, settings
from dimple.tangents import RandomSubspace
from dimple.tensors import broadcast_per_sample, generator, norm, project_onto_span


@final
@settings
class TangentNoise(Experiment):
    """The change of the class probabilities under random noise in the tangent space and orthogonal to it.

    Columns: `tangent_standard`, `normal_standard`, `tangent_robust`, `normal_robust`, the mean l1 change of the softmax
    under noise of equal length; `relative`, the ratio of tangent to normal of the robust network over that of the
    standard one; `relative_null`, the same with a random subspace in place of the tangent spaces; `normal_gain`, the
    normal change of the standard network over that of the robust one.

    Args:
        names: built-in scenes with tangent spaces, the parts.
        eps: the radius of the adversarial training for each, in input units, l2.
        length: of the noise, in radii.
        draws: of noise for each sample.
        set: changes of every scene.

    Reference: Srinivas, Bordt and Lakkaraju 2023, Which models have perceptually-aligned gradients?
    """

    names: tuple[str, ...] = ("mnist1d", "digits")
    eps: tuple[Positive, ...] = (0.3, 0.6)
    length: Positive = 2.0
    draws: Count = 10
    set: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.eps) != len(self.names):
            raise SceneError(f"eps has {len(self.eps)} radii for {len(self.names)} scenes; give one for each")

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        rows = {}
        for name, eps in zip(self.names, self.eps, strict=True):
            objectives = {"standard": "{kind: standard}", "robust": f"{{kind: adversarial, eps: {eps}, steps: 5}}"}
            prepared = prepare(name, self.set, seed, resources)
            networks = {
                arm: final_network(change_scene(prepared, name, [*self.set, f"training.objective={objective}"]))
                for arm, objective in objectives.items()
            }
            measured = prepared.samples.test_rows
            tangents = prepared.tangents
            assert tangents is not None
            x = prepared.samples.test[measured].float().to(resources.device)
            rows[name] = compare_noise(networks, x, tangents, self.length * eps, self.draws, seed)
        return rows


def compare_noise(
    networks: dict[str, nn.Module], x: Tensor, tangents: TangentField, length: float, draws: int, seed: int
) -> Row:
    """Return the columns for a standard and a robust network.

    Args:
        networks: `standard` and `robust`.
        x: `(B, *shape)`.
        tangents: the tangent spaces.
        length: of the noise, l2.
        draws: of noise for each sample.
        seed: of the noise and of the random subspace.
    """
    basis = tangents.tangent_basis(x).to(x)
    null = RandomSubspace(basis.shape[2], seed, 0).tangent_basis(x)
    row: Row = {}
    ratio = {}
    for name, network in networks.items():
        for suffix, columns in (("", basis), ("_null", null)):
            tangent, normal = _mean_changes(network, x, columns, length, draws, seed)
            row |= {f"tangent_{name}{suffix}": tangent, f"normal_{name}{suffix}": normal}
            ratio[name + suffix] = tangent / normal
    return row | {
        "relative": ratio["robust"] / ratio["standard"],
        "relative_null": ratio["robust_null"] / ratio["standard_null"],
        "normal_gain": row["normal_standard"] / row["normal_robust"],
    }


@torch.no_grad()
def _mean_changes(
    network: nn.Module, x: Tensor, basis: Tensor, length: float, draws: int, seed: int
) -> tuple[float, float]:
    """Return the mean l1 change of the softmax under noise in the span of columns, and orthogonal to it."""
    clean = network(x).softmax(1)
    stream = generator(seed, "tangent noise")
    changes = torch.zeros(2, dtype=torch.float64)
    for _ in range(draws):
        noise = torch.randn(x.shape, generator=stream).to(x)
        along = project_onto_span(basis, noise)
        for row, part in enumerate((along, noise - along)):
            step = part * broadcast_per_sample(length / norm(part), part)
            changes[row] += (network(x + step).softmax(1) - clean).abs().sum(1).double().mean().cpu() / draws
    return float(changes[0]), float(changes[1])
