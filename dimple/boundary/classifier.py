"""Preparation of a model as a classifier: a function of one sample, tried before anything is measured."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dimple.boundary.boundary import compute_logit_margin
from dimple.errors import ModelError, describe_cause, warn
from dimple.protocols import Classifier
from dimple.settings import format_value
from dimple.tensors import broadcast_per_sample, flatten, is_out_of_memory, run_eagerly

# The number of samples with which a model is tried.
TRIAL_SAMPLES = 8
# The largest difference of scores, relative to their size, that counts as rounding: a batch is summed in another order.
SCORE_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
# Two steps at which the slope of the scores is compared with their gradient, as fractions of the way to another sample.
SLOPE_STEPS = (1e-3, 4e-3)
# The difference of the slopes, relative to the larger one, up to which the scores are linear there; and that from which
# on the gradient is another function's.
SLOPE_CURVATURE = 0.1
SLOPE_DIFFERENCE = 0.3

# Mean and standard deviation: numbers, or one for each channel.
Normalization = tuple[float | Sequence[float] | Tensor, float | Sequence[float] | Tensor]


@final
class PreparedClassifier:
    """A model as a map from samples `(B, *shape)` to scores `(B, K)`.

    The model is evaluated in its own precision; the scores come in that of the samples, at least single. One logit s
    stands for the scores (0, s).

    Args:
        model: any function or `nn.Module`.
        output: name or index of the scores in an output that is a dict, an object or a tuple.
        preprocessing: mean and standard deviation, numbers or one for each channel (axis 1); the model is applied to
            `(x - mean) / std`, so that samples and distances are in the units of the data.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Any],
        output: str | int | None = None,
        preprocessing: Normalization | None = None,
    ) -> None:
        self.model = model
        self.output = output
        self.copies_input = False
        self.takes_logarithm = False
        self.dtype = parameter_dtype(model)
        self._normalization = None if preprocessing is None else _check_preprocessing(preprocessing)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores `(B, K)` of samples `(B, *shape)`.

        Raises:
            ModelError: if the output of the model has no scores.
        """
        inputs = x.clone() if self.copies_input else x
        if self._normalization is not None:
            mean, std = (_along_channels(value.to(x), x) for value in self._normalization)
            inputs = (inputs - mean) / std
        scores = self._select(self._evaluate(inputs if self.dtype is None else inputs.to(self.dtype)))
        if scores.dim() == 1 or (scores.dim() == 2 and scores.shape[1] == 1):
            logit = scores.reshape(len(x), 1)
            scores = torch.cat([torch.zeros_like(logit), logit], dim=1)
        if scores.dim() != 2 or len(scores) != len(x):
            raise ModelError(
                f"the model maps samples {tuple(x.shape)} to {tuple(scores.shape)}; scores are (B, K), or (B,) for one "
                "logit"
            )
        scores = scores.to(torch.promote_types(x.dtype, torch.float32))
        return scores.clamp(min=torch.finfo(scores.dtype).tiny).log() if self.takes_logarithm else scores

    def unwrap(self, x: Tensor) -> Classifier:
        """Return the model itself where it needs no preparation for samples such as `x` `(B, *shape)`, else this."""
        is_cast = self.dtype not in (None, x.dtype)
        is_changed = self.copies_input or self.takes_logarithm or is_cast
        if self._normalization is not None or self.output is not None or is_changed:
            return self
        with torch.no_grad():
            scores = self.model(x)
        is_plain = scores.dtype == x.dtype and scores.dim() == 2 and scores.shape[1] > 1
        return self.model if is_plain else self

    def _evaluate(self, inputs: Tensor) -> Any:
        try:
            return self.model(inputs)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            shape = f"{tuple(inputs.shape)} of type {inputs.dtype}"
            raise ModelError(f"the model fails on samples {shape}: {describe_cause(error)}") from error

    def _select(self, found: Any) -> Tensor:
        if self.output is not None:
            try:
                found = _read_output(found, self.output)
            except (KeyError, IndexError, TypeError):
                raise ModelError(
                    f"output is {self.output!r}, and the model returns {_describe_output(found)}"
                ) from None
        if not isinstance(found, Tensor):
            raise ModelError(
                f"the model returns {_describe_output(found)} instead of a tensor of scores; name them by output=, "
                'such as output="logits" or output=0'
            )
        if not found.dtype.is_floating_point:
            raise ModelError(f"the model returns scores of type {found.dtype}; scores are real numbers with a gradient")
        if found.layout != torch.strided:
            raise ModelError(f"the model returns a {found.layout} tensor of scores; return a dense one: to_dense()")
        return found


@contextlib.contextmanager
def prepare_classifier(
    model: Callable[[Tensor], Any],
    x: Tensor,
    *,
    output: str | int | None = None,
    preprocessing: Normalization | None = None,
    gradient_users: Sequence[str] = ("the search",),
    are_logits: bool = False,
) -> Iterator[PreparedClassifier]:
    """Try a model on the first of the samples `x` `(B, *shape)`, and yield it as a classifier in eval mode.

    All modules are in eval mode within the context, and have their own mode again after it; a model that was training
    gives one warning. Scores that look like probabilities are replaced by their logarithms, unless `are_logits` says
    that they are none. A model whose forward pass writes into its buffers is copied, and one that writes into its input
    gets a copy of the samples at each call. The samples never change. What `torch.compile` compiled runs uncompiled
    within the context, since a compiled function gives no second derivative and no second gradient of one forward pass.

    Raises:
        ModelError: if the model returns no scores, or other scores for the same samples, or scores that depend on the
            other samples of a batch, or scores without a gradient where there are `gradient_users`: the
            names of what needs one, for the error.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
        >>> with prepare_classifier(network.eval(), torch.zeros(4, 3)) as classifier:
        ...     classifier(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """
    with _evaluation_mode(model), torch.inference_mode(False), run_eagerly():
        trial = x[:TRIAL_SAMPLES].detach().clone()
        if len(trial) == 1:
            # One sample has no batch mates: its coordinates in reverse are another sample within the same bounds.
            trial = torch.cat([trial, flatten(trial).flip(1).reshape(trial.shape)])
        model = _copy_if_buffers_change(model, lambda candidate: _evaluate(candidate, trial, output, preprocessing))
        classifier = PreparedClassifier(model, output, preprocessing)
        _try_classifier(classifier, trial, gradient_users, are_logits)
        yield classifier


@contextlib.contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    if any(modes):
        warn("the model was in training mode; it is measured in eval mode")
        model.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def _evaluate(model: Any, x: Tensor, output: str | int | None, preprocessing: Normalization | None) -> None:
    with torch.no_grad():
        PreparedClassifier(model, output, preprocessing)(x.clone())


def _copy_if_buffers_change(model: Any, evaluate: Callable[[Any], None]) -> Any:
    """Return a copy of a module whose forward pass writes into its buffers or creates parameters, else the module."""
    if not isinstance(model, nn.Module):
        return model
    if any(nn.parameter.is_lazy(parameter) for parameter in model.parameters()):
        evaluate(model)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    evaluate(model)
    changed = {name: buffer for name, buffer in model.named_buffers() if not _are_equal(before.get(name), buffer)}
    if not changed:
        return model
    for name, buffer in changed.items():
        if name in before:
            buffer.copy_(before[name])
    return copy.deepcopy(model)


def _try_classifier(
    classifier: PreparedClassifier, trial: Tensor, gradient_users: Sequence[str], are_logits: bool = False
) -> None:
    original = trial.clone()
    precision = _Precision()
    with torch.no_grad():
        with precision:
            first = classifier(trial)
        if not torch.equal(trial, original):
            classifier.copies_input = True
            trial.copy_(original)
            first = classifier(trial)
        again = classifier(trial)
        alone = _evaluate_alone(classifier, trial)
    if first.shape[1] < 2:
        raise ModelError(f"the model returns {first.shape[1]} score; give it two classes, or one logit as (B,)")
    if not _agree(first, again, precision.tolerance):
        raise ModelError(
            "the model gives other scores for the same samples when it is called again; a random classifier has no "
            "boundary: make it deterministic, for example by a fixed noise"
        )
    if not _agree(first, alone, precision.tolerance):
        raise ModelError(
            "the scores of a sample depend on the other samples of its batch, and a classifier is a function of one "
            "sample: use batch normalization with running statistics"
        )
    if gradient_users:
        with_gradient = _require_gradient(classifier, trial, gradient_users)
        if not _agree(first, with_gradient, precision.tolerance):
            raise ModelError(
                "the model gives other scores for the same samples where gradients are computed; a classifier is a "
                "function of its samples alone: let its forward pass not ask for is_grad_enabled or requires_grad"
            )
    if gradient_users and not are_logits and _are_probabilities(first):
        classifier.takes_logarithm = True
        warn(
            "the scores of the model are probabilities, whose gradients vanish far from the boundary; their logarithms "
            "are measured, which have the same boundary (better: return the logits)"
        )
    if not are_logits and _is_sigmoid(first):
        warn(
            "the one score of the model lies within (0, 1) for all samples, as the output of a sigmoid does, and a "
            "logit above 0 is class 1: return the logit, which in Python is torch.logit of a probability; in the "
            "terminal give --probabilities, or --logits if it is none"
        )
    if gradient_users:
        _warn_of_gradients(classifier, trial, precision.tolerance)


def _warn_of_gradients(classifier: PreparedClassifier, trial: Tensor, tolerance: float) -> None:
    """Warn where half of the samples or more have a gradient that no search can follow: zero, or no slope."""
    with torch.enable_grad():
        leaf = trial.clone().requires_grad_(True)
        scores = classifier(leaf)
        predicted = scores.argmax(1)
        logit_margin = compute_logit_margin(scores, predicted)
        (gradient,) = torch.autograd.grad(logit_margin.sum(), leaf)
    count = int((flatten(gradient) == 0).all(1).sum())
    is_constant = bool((scores == scores[:1]).all())
    if 2 * count >= len(trial) and not is_constant:
        warn(
            f"the gradient of the scores is zero at {count} of {len(trial)} tried samples, as behind rounding, and of "
            "probabilities that have rounded to 0 and 1: their margins may be severalfold too large; return the "
            "logits, or measure with the method bisection, which needs decisions only"
        )
        return
    rounding = tolerance * scores.detach().abs().amax(1)
    count = _count_other_slopes(classifier, trial, predicted, logit_margin.detach(), gradient, rounding)
    if 2 * count >= len(trial):
        warn(
            f"the gradient of the scores is not their slope at {count} of {len(trial)} tried samples, as behind hooks, "
            "detached parts and functions with a backward pass of their own: the margins may be severalfold too large; "
            "remove them, or measure with the method bisection, which needs decisions only"
        )


def _count_other_slopes(
    classifier: PreparedClassifier,
    trial: Tensor,
    predicted: Tensor,
    logit_margin: Tensor,
    gradient: Tensor,
    rounding: Tensor,
) -> int:
    """Return at how many samples the logit margin changes in proportion to short steps, and otherwise than it should.

    The steps lead towards other samples, so that they stay within the bounds.
    """
    directions = [trial.roll(shift, 0) - trial for shift in (1, 2)]
    expected = torch.stack([flatten(gradient * direction).sum(1) for direction in directions], 1)
    slopes = []
    for step in SLOPE_STEPS:
        with torch.no_grad():
            found = [compute_logit_margin(classifier(trial + step * one), predicted) for one in directions]
        slopes.append((torch.stack(found, 1) - logit_margin[:, None]) / step)
    larger = torch.maximum(slopes[0].norm(dim=1), expected.norm(dim=1))
    is_seen = larger * SLOPE_STEPS[0] > rounding
    is_linear = (slopes[0] - slopes[1]).norm(dim=1) <= SLOPE_CURVATURE * larger
    differs = (slopes[0] - expected).norm(dim=1) > SLOPE_DIFFERENCE * larger
    return int((is_seen & is_linear & differs).sum())


def _is_sigmoid(scores: Tensor) -> bool:
    """Return whether scores `(B, 2)` are those of one logit that lies within (0, 1) for all samples, and varies."""
    logit = scores[:, 1]
    is_single = scores.shape[1] == 2 and bool((scores[:, 0] == 0).all())
    return is_single and bool(((logit > 0) & (logit < 1)).all()) and bool(logit.min() < logit.max())


def _are_probabilities(scores: Tensor) -> bool:
    """Return whether each row of scores `(B, K)` is a distribution over the classes, and not the same in all rows."""
    is_distribution = bool(((scores >= 0) & (scores <= 1)).all()) and bool(((scores.sum(1) - 1).abs() <= 1e-3).all())
    return is_distribution and not bool((scores == scores[:1]).all())


def _evaluate_alone(classifier: PreparedClassifier, trial: Tensor) -> Tensor:
    try:
        return torch.cat([classifier(sample) for sample in trial.split(1)])
    except ModelError as error:
        raise ModelError(f"{error}; a classifier is a function of one sample, also alone in its batch") from error


def _require_gradient(classifier: PreparedClassifier, trial: Tensor, users: Sequence[str]) -> Tensor:
    """Return the scores, computed with their gradient; raise a ModelError if there is none."""
    with torch.enable_grad():
        leaf = trial.clone().requires_grad_(True)
        scores = classifier(leaf)
        gradient = torch.autograd.grad(scores.sum(), leaf, allow_unused=True)[0] if scores.requires_grad else None
    if gradient is None:
        raise ModelError(
            f"the scores have no gradient with respect to the samples, which {' and '.join(users)} "
            f"need{'' if len(users) > 1 else 's'}; remove no_grad, argmax, integer types and numpy from the forward "
            "pass, or measure the probe margin alone with the method bisection, which needs decisions only"
        )
    return scores.detach()


@final
class _Precision(TorchDispatchMode):
    """The tolerance of the lowest precision in which anything is computed: a network may change it within."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tolerance = min(SCORE_TOLERANCE.values())

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return false, because the compiler of torch, which is not used, takes seconds to load."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        found = result if isinstance(result, tuple | list) else [result]
        dtypes = {value.dtype for value in found if isinstance(value, Tensor)}
        self.tolerance = max([self.tolerance, *(SCORE_TOLERANCE[dtype] for dtype in dtypes & SCORE_TOLERANCE.keys())])
        return result


def _agree(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Return whether scores are equal up to rounding; nan agrees with nan."""
    scale = torch.nan_to_num(a.abs(), nan=0.0, posinf=0.0, neginf=0.0).amax(1)
    finite = torch.isfinite(a) & torch.isfinite(b)
    close = torch.isclose(a, b, rtol=0.0, atol=0.0, equal_nan=True)
    difference = torch.where(finite, a - b, torch.where(close, 0.0, torch.inf)).abs()
    return bool((difference <= tolerance * broadcast_per_sample(scale.clamp(min=1e-30), a)).all())


def _are_equal(before: Tensor | None, after: Tensor) -> bool:
    return before is not None and before.shape == after.shape and bool(torch.equal(before, after))


def parameter_dtype(model: Any) -> torch.dtype | None:
    """Return the type of the first real parameter of a module; None for other models."""
    if not isinstance(model, nn.Module):
        return None
    return next((value.dtype for value in model.parameters() if value.dtype.is_floating_point), None)


def _check_preprocessing(preprocessing: Normalization) -> tuple[Tensor, Tensor]:
    problem = (
        f"preprocessing is {format_value(preprocessing)}; give mean and std as two numbers, or one of each a channel, "
        "std > 0"
    )
    try:
        mean, std = (torch.as_tensor(value, dtype=torch.float64) for value in preprocessing)
    except (RuntimeError, TypeError, ValueError):
        raise ModelError(problem) from None
    is_finite = torch.isfinite(mean).all() and torch.isfinite(std).all()
    if mean.shape != std.shape or mean.dim() > 1 or not is_finite or not bool((std > 0).all()):
        raise ModelError(problem)
    return mean, std


def _along_channels(values: Tensor, x: Tensor) -> Tensor:
    if values.dim() == 0:
        return values
    if x.dim() < 2 or len(values) != x.shape[1]:
        raise ModelError(f"preprocessing has {len(values)} channels, and samples have the shape {tuple(x.shape[1:])}")
    return values.reshape(-1, *[1] * (x.dim() - 2))


def _read_output(found: Any, output: str | int) -> Any:
    """Return an attribute, an item or an element of the output of a model; a tensor has none."""
    if isinstance(found, Tensor):
        raise TypeError
    if isinstance(output, str) and hasattr(found, output):
        return getattr(found, output)
    return found[output]


def _describe_output(found: Any) -> str:
    if isinstance(found, Tensor):
        return "a tensor of scores: leave output out"
    if isinstance(found, dict):
        return f"a {type(found).__name__} with the keys {', '.join(map(str, found))}"
    if isinstance(found, tuple | list):
        return f"a {type(found).__name__} of {len(found)}"
    return f"a {type(found).__name__}"
