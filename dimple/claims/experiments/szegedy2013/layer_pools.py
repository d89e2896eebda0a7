"""Test errors of training with adversarial examples for the input and for the outputs of layers."""

from collections.abc import Mapping
from typing import ClassVar, final

from torch import nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import accuracy, train_network
from dimple.data import DataSplits
from dimple.settings import Count, Fraction, Positive, settings

# The pools of each arm.
POOLS = {"input": "[input]", "layers": "[1, 2]", "all": "[all]"}


@final
@settings
class LayerPools(Experiment):
    """A network of two hidden layers, trained with weight decay, with dropout, or with pools of adversarial examples.

    Columns: `error_decay`, `error_dropout`, and `error_input`, `error_layers`, `error_all` with pools for the input
    alone, for the outputs of both hidden layers, and for all of these; `all_over_best`, the last one over the smaller
    one of the first two; `input_over_decay`, and `all_over_input`.

    Args:
        set: changes of the scene `digits` that give the data.
        width: units of each hidden layer.
        epochs: of training.
        pool_size: entries of each pool.
        refreshed: entries that each step replaces.
        decay: of each layer, as in the objective `standard`.
        dropout: fraction of the hidden units that are left out.
    """

    set: tuple[str, ...] = ("data.subset=400",)
    width: Count = 50
    epochs: Count = 20
    pool_size: Count = 200
    refreshed: Count = 10
    decay: Positive = 1e-3
    dropout: Fraction = 0.3

    version: ClassVar[int] = 1

    @property
    def scenes(self) -> tuple[str, ...]:
        return ("digits",)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        networks: dict[str, nn.Module] = {}
        for name, changes in self._arms().items():
            settings = [*self.set, f"training.epochs={self.epochs}", *changes]
            networks[name], samples = train_network("digits", settings, seed, resources)
        return {"": describe_arms(networks, samples)}

    def _arms(self) -> dict[str, list[str]]:
        """Return the changes of the scene that give each arm."""
        widths = f"widths: [{self.width}, {self.width}]"
        plain = f"network={{kind: mlp, {widths}}}"
        sizes = f"pool_size: {self.pool_size}, refreshed: {self.refreshed}"
        pools = {
            name: [plain, f"training.objective={{kind: hard_negative, layers: {layers}, {sizes}}}"]
            for name, layers in POOLS.items()
        }
        return {
            "decay": [plain, f"training.objective={{kind: standard, layer_decay: {self.decay}}}"],
            "dropout": [
                f"network={{kind: mlp, {widths}, dropout: {self.dropout}}}",
                "training.objective={kind: standard}",
            ],
            **pools,
        }


def describe_arms(networks: Mapping[str, nn.Module], samples: DataSplits) -> Row:
    """Return the columns of the networks of all arms; an error counts as at least half of one image."""
    least = 0.5 / len(samples.test)
    errors = {
        name: max(1 - accuracy(network, samples.test, samples.test_labels), least) for name, network in networks.items()
    }
    return {
        **{f"error_{name}": error for name, error in errors.items()},
        "all_over_best": errors["all"] / min(errors["decay"], errors["dropout"]),
        "input_over_decay": errors["input"] / errors["decay"],
        "all_over_input": errors["all"] / errors["input"],
    }
