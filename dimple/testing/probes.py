"""Laws of every probe: nothing but the sample, its label and the classifier changes a result."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.networks import MLP
from dimple.probes import Probe, ProbeResult
from dimple.protocols import Classifier, TangentField
from dimple.tangents import LocalPCA, RandomSubspace
from dimple.tensors import generator
from dimple.testing.law import require, require_close

ProbeLaw: TypeAlias = Callable[[Probe], None]
TOLERANCE = 1e-6
# Numbers of the samples and of their coordinates.
SAMPLES = 24
DIMENSION = 12
SHAPE = (3, 2, 2)
# By which scores times 50 change a column whose unit ends so.
SCORE_SCALES = {"score per input unit": 50.0, "score": 50.0}


def check_probe(probe: Probe, scaled: Probe | None = None) -> None:
    """Check a probe against the laws of the family, on a small network in double precision.

    Columns in the unit "score" grow with the scores, columns in "... input units" with the inputs, in "... per input
    unit" inversely, and in "score per input unit", as the norm of a gradient, in both ways; all others stay.

    Args:
        probe: the probe.
        scaled: the probe with its settings in input units, such as a radius, three times as large; None for a probe
            without such settings.

    Raises:
        LawError: naming the law, the column and the values.

    Example:
        >>> from dimple.probes import Margin
        >>> check_probe(Margin(max_passes=10))
    """
    for law in PROBE_LAWS:
        law(probe)
    follows_the_scale_of_the_inputs(probe, scaled or probe)


def has_a_unit_and_a_value_for_each_sample(probe: Probe) -> None:
    """Every column has a unit and the shape (B,)."""
    result = _measure(probe, _network(), *_samples())
    for name, values in result.columns.items():
        require(name in result.units, f"{_name(probe)}: column {name} has no unit")
        require(values.shape == (SAMPLES,), f"{_name(probe)}: column {name} is {tuple(values.shape)}, not ({SAMPLES},)")
    require(bool(result.columns), f"{_name(probe)}: has no column")


def does_not_depend_on_other_samples(probe: Probe) -> None:
    """Neither the size of the batches nor the order of the samples or the other samples change a result."""
    network = _network()
    x, y = _samples()
    together = _measure(probe, network, x, y)
    _require_same(probe, _measure(probe, network, x, y, chunk_size=5), together, "in batches of 5")
    order = torch.randperm(len(x), generator=generator(2, "order"))
    shuffled = _select(_measure(probe, network, x[order], y[order]), order.argsort())
    _require_same(probe, shuffled, together, "in another order of the samples")
    alone = _measure(probe, network, x[3:4], y[3:4])
    _require_same(probe, alone, _select(together, slice(3, 4)), "for a sample alone")


def is_repeated(probe: Probe) -> None:
    """The same measurement gives the same result, and draws no number from a global stream."""
    state = torch.get_rng_state()
    first, again = (_measure(probe, _network(), *_samples()) for _ in range(2))
    require(torch.equal(state, torch.get_rng_state()), f"{_name(probe)}: draws from the global generator of torch")
    _require_same(probe, again, first, "when it is repeated", tolerance=0.0)


def follows_the_scale_of_the_scores(probe: Probe) -> None:
    """Scores times 50 change columns in `score` and `score per input unit` only, by as much."""
    network = _network()
    plain = _measure(probe, network, *_samples())
    scaled = _measure(probe, lambda x: 50 * network(x), *_samples())
    _require_same(probe, scaled, plain, "with scores times 50", SCORE_SCALES)


def does_not_depend_on_the_shape_of_samples(probe: Probe) -> None:
    """Points (B, 12) and images (B, 3, 2, 2) of the same values have the same results."""
    network = _network()
    x, y = _samples()
    cloud = torch.randn(80, DIMENSION, generator=generator(5, "cloud"), dtype=torch.float64)
    points = _measure(probe, network, x, y, LocalPCA(cloud, dim=3, neighbors=20))
    images = _measure(
        probe,
        lambda z: network(z.flatten(1)),
        x.reshape(-1, *SHAPE),
        y,
        LocalPCA(cloud.reshape(-1, *SHAPE), dim=3, neighbors=20),
    )
    _require_same(probe, images, points, f"for samples of the shape {SHAPE}")


def leaves_its_arguments_alone(probe: Probe) -> None:
    """Neither the samples, the labels nor the network change."""
    network = _network()
    x, y = _samples()
    before = [tensor.clone() for tensor in (x, y, *network.parameters())]
    _measure(probe, network, x, y)
    after = [x, y, *network.parameters()]
    require(all(map(torch.equal, before, after)), f"{_name(probe)}: changes its samples, labels or network")


def follows_the_scale_of_the_inputs(probe: Probe, scaled: Probe) -> None:
    """Inputs times three change columns in input units only; `scaled` has settings in input units three times."""
    network = _network()
    x, y = _samples()
    plain = _measure(probe, network, x, y)
    wide = _measure(scaled, lambda z: network(z / 3), 3 * x, y)
    # The name of a column may contain a radius.
    columns = dict(zip(plain.columns, wide.columns.values(), strict=True))
    scales = {"per input unit": 1 / 3, "input units": 3.0}
    _require_same(probe, ProbeResult(columns, plain.units), plain, "with inputs times 3", scales)


PROBE_LAWS: tuple[ProbeLaw, ...] = (
    has_a_unit_and_a_value_for_each_sample,
    leaves_its_arguments_alone,
    is_repeated,
    does_not_depend_on_other_samples,
    follows_the_scale_of_the_scores,
    does_not_depend_on_the_shape_of_samples,
)


def _network() -> nn.Module:
    architecture = MLP(widths=(32, 32), first_layer_weight_scale=2.0)
    return architecture.build(DIMENSION, generator(3, "network")).double().requires_grad_(False)


def _samples() -> tuple[Tensor, Tensor]:
    stream = generator(1, "samples")
    x = torch.randn(SAMPLES, DIMENSION, generator=stream, dtype=torch.float64)
    return x, torch.randint(0, 2, (SAMPLES,), generator=stream)


def _measure(
    probe: Probe,
    model: Classifier,
    x: Tensor,
    y: Tensor,
    tangents: TangentField | None = None,
    chunk_size: int = 256,
) -> ProbeResult:
    field = RandomSubspace(dim=4, seed=7, draw=0) if tangents is None else tangents
    return probe(Boundary(model), x, y, field, chunk_size=chunk_size)


def _select(result: ProbeResult, rows: Tensor | slice) -> ProbeResult:
    return ProbeResult({name: values[rows] for name, values in result.columns.items()}, result.units)


def _require_same(
    probe: Probe,
    found: ProbeResult,
    expected: ProbeResult,
    when: str,
    scales: dict[str, float] | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    for name, values in expected.columns.items():
        unit = expected.units.get(name, "")
        # Rounding changes the number of refinement steps.
        if unit == "passes":
            continue
        scale = next((scale for end, scale in (scales or {}).items() if unit.endswith(end)), None)
        wanted = values if scale is None else scale * values
        units = f", which changes columns in {' and '.join(map(repr, scales or ()))}, and not those in {unit!r}"
        law = "" if not scales else f", by another factor than its unit {unit!r}" if scale else units
        require_close(found.columns[name], wanted, tolerance, f"{_name(probe)}: column {name} is another {when}{law}")


def _name(probe: Probe) -> str:
    return type(probe).__name__
