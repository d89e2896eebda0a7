"""The networks of table 1 of Szegedy et al., as changes of a scene."""

from typing import Literal, TypeAlias

NetworkChanges: TypeAlias = tuple[str, ...]
Penalty: TypeAlias = Literal["divided", "half", "full"]

# The mean distortions of the paper, by network.
PAPER_DISTORTIONS = {
    "fc10_weak": 0.062,
    "fc10_medium": 0.1,
    "fc10_strong": 0.14,
    "fc100": 0.058,
    "fc200": 0.065,
    "ae400": 0.086,
}
# The three linear classifiers in the order of their weight decay.
LINEAR = ("fc10_weak", "fc10_medium", "fc10_strong")


def table_networks(
    penalty: Penalty, epochs: int, widths: tuple[int, int], units: int, classes: int = 10
) -> dict[str, NetworkChanges]:
    """Return the changes of a scene that train each network.

    The linear ones have a weight decay lambda of 1e-4, 1e-2 and 1; the sigmoid networks 1e-5, 1e-5 and 1e-6 by layer;
    the linear classifier on the code of an autoencoder 1e-6.

    Args:
        penalty: of a layer of k units, times the sum of its squared weights: lambda / k (`divided`), as the paper
            writes it, lambda / 2 (`half`) or lambda (`full`).
        epochs: of training of the linear networks; the sigmoid networks are trained four times as long.
        widths: units of each layer in the two sigmoid networks.
        units: of the code of the autoencoder, which is fitted in five steps for each.
        classes: of the data.

    Example:
        >>> table_networks("half", 1, (4, 8), 4)["fc10_medium"][1]
        'training.objective={kind: standard, layer_decay: [0.05]}'
    """
    networks: dict[str, NetworkChanges] = {
        name: ("network={kind: mlp, widths: []}", _objective(penalty, (decay,), (classes,)), *_fit(0.003, epochs))
        for name, decay in zip(LINEAR, (1e-4, 1e-2, 1.0), strict=True)
    }
    for name, width in zip(("fc100", "fc200"), widths, strict=True):
        networks[name] = (
            f"network={{kind: mlp, widths: [{width}, {width}], activation: sigmoid}}",
            _objective(penalty, (1e-5, 1e-5, 1e-6), (width, width, classes)),
            *_fit(0.003, 4 * epochs),
        )
    networks["ae400"] = (
        f"network={{kind: autoencoder_classifier, units: {units}, steps: {5 * units}}}",
        _objective(penalty, (0.0, 1e-6), (units, classes)),
        *_fit(0.01, 4 * epochs),
    )
    return networks


def _objective(penalty: Penalty, decays: tuple[float, ...], sizes: tuple[int, ...]) -> str:
    """Return the change of the objective to these decays of layers of these sizes, whose penalty is divided by them."""
    factors = [{"divided": 1.0, "half": size / 2, "full": float(size)}[penalty] for size in sizes]
    values = ", ".join(f"{decay * factor:.6g}" for decay, factor in zip(decays, factors, strict=True))
    return f"training.objective={{kind: standard, layer_decay: [{values}]}}"


def _fit(lr: float, epochs: int) -> tuple[str, ...]:
    return (
        f"training.optimizer={{kind: adam, lr: {lr}}}",
        "training.schedule={kind: cosine}",
        f"training.epochs={epochs}",
    )
