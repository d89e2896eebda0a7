"""The training loop of R replicas at once, each equal to a single training with its own seed up to rounding."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.boundary.boundary import compute_logit_margin
from dimple.errors import DivergedError
from dimple.tensors import generator
from dimple.training.loop import SECONDS_BETWEEN_STATES, STATE, Arrays, StateCache, Training
from dimple.training.objectives import Standard
from dimple.training.objectives.losses import LOSSES
from dimple.training.stacked.mlp import MLPLayout, StackedMLP

RecordReplicas = Callable[[int, dict[str, Tensor], Tensor], None]
# Steps after which the threads meet, so that the state can be written and an interrupt is noticed.
STEPS_BETWEEN_MEETINGS = 50
ACTIVE = -1


def can_stack(training: Training, networks: Sequence[nn.Module], x: Sequence[Tensor]) -> bool:
    """Return whether `fit_replicas` can train these networks: plain MLPs on unchanged samples, as many for each."""
    objective = training.objective
    if not isinstance(objective, Standard):
        return False
    plain_objective = Standard(loss_function=objective.loss_function, label_smoothing=objective.label_smoothing)
    plain_training = Training(
        objective=plain_objective,
        optimizer=training.optimizer,
        schedule=training.schedule,
        batch_size=training.batch_size,
        averaging=training.averaging,
        clip_norm=training.clip_norm,
        stop=training.stop,
    )
    layouts = [MLPLayout.of(network) for network in networks]
    return (
        training == plain_training
        and layouts[0] is not None
        and all(layout == layouts[0] for layout in layouts)
        and all(samples.dim() == 2 and samples.shape == x[0].shape for samples in x)
    )


def fit_replicas(
    training: Training,
    networks: Sequence[nn.Module],
    x: Tensor,
    y: Tensor,
    record_steps: Sequence[int],
    record: RecordReplicas,
    *,
    seeds: Sequence[int],
    cache: StateCache | None = None,
    threads: int = 1,
) -> list[int]:
    """Train R networks in place, each on its own samples, and return the last step of each.

    Replica r is trained like `training.fit(networks[r], x[r], y[r], ..., seed=seeds[r])`, whose numbers it equals up to
    rounding. The numbers do not depend on the other replicas or on the number of threads. Each replica stops where the
    settings say; its weights stay the same from then on.

    Args:
        training: settings for which `can_stack` holds.
        networks: R networks of one architecture.
        x: `(R, N, n)` training samples.
        y: `(R, N)` their classes.
        record_steps: steps in ascending order.
        record: called as `record(step, parameters, losses)` at each of them and where the last replica stops, with the
            parameters `(R, *shape)` by name and the losses `(R,)`, before the update of the step.
        seeds: R seeds of the order of the samples.
        cache: where the state of the training is kept, and read if there is one.
        threads: the threads that train a part of the replicas each; 1 on a GPU.

    Raises:
        DivergedError: at the first step at which the loss of a replica is not finite.

    Example:
        >>> from dimple.networks import MLP
        >>> from dimple.training import Stop
        >>> networks = [MLP(widths=(4,)).build(1, generator(seed, "network")) for seed in (0, 1)]
        >>> x, y = torch.tensor([[[-1.0], [1.0]]]).expand(2, 2, 1), torch.tensor([[0, 1]]).expand(2, 2)
        >>> fit_replicas(Training(stop=Stop(steps=9)), networks, x, y, [], lambda *_: None, seeds=(0, 1))
        [9, 9]
    """
    layout = MLPLayout.of(networks[0])
    assert layout is not None
    fit = _ReplicaFit(training, layout, networks, x, y, seeds)
    stopped = fit.run(set(record_steps), record, cache, threads)
    with torch.no_grad():
        parameters = layout.views(fit.state["parameters"])
        for row, network in enumerate(networks):
            for name, parameter in network.named_parameters():
                parameter.copy_(parameters[name][row])
    return stopped


@final
class _ReplicaFit:
    """One training of R replicas in progress.

    `state` holds what a step changes, `(R, ...)` or one number for all; `stopped` the last step of each replica, or
    `ACTIVE`. Groups work on copies of the rows of active replicas, and write them back where they meet.
    """

    def __init__(
        self,
        training: Training,
        layout: MLPLayout,
        networks: Sequence[nn.Module],
        x: Tensor,
        y: Tensor,
        seeds: Sequence[int],
    ) -> None:
        self.training = training
        self.layout = layout
        self.x = x
        self.y = y
        self.seeds = seeds
        parameters = layout.stack(networks)
        memory = training.optimizer.start(parameters)
        self.state = {"parameters": parameters, "losses": parameters.new_zeros(len(seeds))}
        self.state |= {f"memory/{index}": tensor for index, tensor in enumerate(memory)}
        self.state |= {"averaged": parameters.clone()} if training.averaging is not None else {}
        self.stopped = torch.full((len(seeds),), ACTIVE)
        self.last_step = training.last_step(x.shape[1])

    def run(self, record_steps: set[int], record: RecordReplicas, cache: StateCache | None, threads: int) -> list[int]:
        """Train from the state in the cache, or from the beginning; return the last step of each replica."""
        first = self._restore(cache)
        active = torch.nonzero(self.stopped == ACTIVE)[:, 0]
        groups = [_Group(self, rows, first) for rows in active.tensor_split(threads) if len(rows)]
        meetings = {*range(first, self.last_step, STEPS_BETWEEN_MEETINGS), self.last_step}
        meetings |= {step for step in record_steps if first <= step <= self.last_step}
        kept = time.monotonic()
        with contextlib.ExitStack() as stack:
            run = _start_threads(threads, stack)
            for step in sorted(meetings):
                list(run(_Group.advance, groups, itertools.repeat(step)))
                has_ended = not bool((self.stopped == ACTIVE).any())
                if has_ended or step in record_steps:
                    weights = self.state.get("averaged", self.state["parameters"])
                    record(
                        int(self.stopped.max()) if has_ended else step, self.layout.views(weights), self.state["losses"]
                    )
                if has_ended:
                    break
                if cache is not None and step > first and time.monotonic() - kept >= SECONDS_BETWEEN_STATES:
                    arrays: Arrays = {name: tensor.cpu().numpy() for name, tensor in self.state.items()}
                    cache.write_cache(STATE, arrays | {"step": np.array(step), "stopped": self.stopped.numpy()})
                    kept = time.monotonic()
        return self.stopped.tolist()

    def _restore(self, cache: StateCache | None) -> int:
        """Return the step to begin with: 0, or that of the state in the cache, whose tensors are copied."""
        arrays = None if cache is None else cache.read_cache(STATE)
        if arrays is None or arrays.keys() != self.state.keys() | {"step", "stopped"}:
            return 0
        for name, tensor in (self.state | {"stopped": self.stopped}).items():
            tensor.copy_(torch.from_numpy(arrays[name]))
        return int(arrays["step"])


def _start_threads(threads: int, stack: contextlib.ExitStack) -> Callable[..., Iterable[object]]:
    """Return `map` over threads that end with the stack, each with one thread of torch."""
    if threads == 1:
        return map
    return stack.enter_context(ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))).map


@final
class _Group:
    """Active replicas that one thread trains.

    Args:
        fit: the training of all replicas.
        rows: the numbers of these replicas.
        step: the step to begin with.
    """

    def __init__(self, fit: _ReplicaFit, rows: Tensor, step: int) -> None:
        self.fit = fit
        self.step = step
        self.per_epoch = fit.training.steps_per_epoch(fit.x.shape[1])
        self.order = (-1, torch.empty(0, dtype=torch.long))
        self._choose(rows, fit.state, rows)

    def _choose(self, rows: Tensor, state: dict[str, Tensor], positions: Tensor) -> None:
        """Copy these replicas from their positions in a state; their buffers are made when they are needed."""
        self.rows = rows
        self.state = {name: tensor[positions] if tensor.dim() else tensor.clone() for name, tensor in state.items()}
        self.gradients = torch.zeros_like(self.state["parameters"])
        self.models: dict[int, StackedMLP] = {}
        self.order = (-1, torch.empty(0, dtype=torch.long))
        self.is_differentiated = False

    def _write_back(self) -> None:
        for name, tensor in self.state.items():
            if tensor.dim():
                self.fit.state[name][self.rows] = tensor
            else:
                self.fit.state[name].copy_(tensor)

    def advance(self, last: int) -> None:
        """Train up to the loss of the step `last`, before its update, and write the state of all replicas back."""
        while len(self.rows):
            if not self.is_differentiated:
                self._differentiate()
                self._stop_replicas()
            if self.step == last or not len(self.rows):
                break
            self._update()
            self.step += 1
        self._write_back()

    def _differentiate(self) -> None:
        """Write the gradients and the losses of the step."""
        model, y = self._batch()
        losses, gradients = self._differentiate_scores(model.forward(), y)
        if not bool(losses.isfinite().all()):
            row = int(torch.nonzero(~losses.isfinite())[0])
            raise DivergedError(
                f"training.optimizer.lr is {self.fit.training.optimizer.lr}: the loss of the replica with seed "
                f"{self.fit.seeds[int(self.rows[row])]} is {float(losses[row])} at step {self.step}; choose a smaller "
                "one, or bound the gradient by training.clip_norm"
            )
        self.state["losses"] = losses
        model.score_gradients.copy_(gradients)
        model.backward()
        self.is_differentiated = True

    def _batch(self) -> tuple[StackedMLP, Tensor]:
        """Return a model that holds the samples of the step, and their classes `(R, B)`."""
        if self.per_epoch == 1:
            return self._model_of_all(), self.fit.y[self.rows]
        epoch, index = divmod(self.step, self.per_epoch)
        count = self.fit.x.shape[1]
        if self.order[0] != epoch:
            streams = [generator(self.fit.seeds[int(row)], "batches", epoch) for row in self.rows]
            self.order = (epoch, torch.stack([torch.randperm(count, generator=stream) for stream in streams]))
        size = self.fit.training.batch_size or count
        chosen = self.rows[:, None], self.order[1][:, index * size : (index + 1) * size]
        model = self._model(chosen[1].shape[1])
        model.x.copy_(self.fit.x[chosen])
        return model, self.fit.y[chosen]

    def _model(self, batch_size: int) -> StackedMLP:
        if batch_size not in self.models:
            parameters = self.state["parameters"]
            self.models[batch_size] = StackedMLP(self.fit.layout, parameters, self.gradients, batch_size)
        return self.models[batch_size]

    def _model_of_all(self) -> StackedMLP:
        """Return a model that holds all samples; batches never have as many unless they are all samples."""
        count = self.fit.x.shape[1]
        is_new = count not in self.models
        model = self._model(count)
        if is_new:
            model.x.copy_(self.fit.x[self.rows])
        return model

    def _differentiate_scores(self, scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses `(R,)` and their gradients with respect to the scores, `(R, K, B)`."""
        objective = self.fit.training.objective
        assert isinstance(objective, Standard)
        if objective.loss_function == "cross_entropy":
            return _differentiate_cross_entropy(scores, y, objective.label_smoothing)
        rows = scores.mT.detach().requires_grad_()
        losses = LOSSES[objective.loss_function](rows.flatten(0, 1), y.flatten()).view(y.shape).mean(1)
        (gradient,) = torch.autograd.grad(losses.sum(), rows)
        return losses.detach(), gradient.mT

    def _stop_replicas(self) -> None:
        """Take the replicas that reach the goal, or all at the last step, out of the group."""
        if self.step == self.fit.last_step:
            has_stopped = torch.ones(len(self.rows), dtype=torch.bool)
        elif self.step % self.per_epoch == 0:
            has_stopped = self._has_reached_goal()
        else:
            return
        if bool(has_stopped.any()):
            self._write_back()
            self.fit.stopped[self.rows[has_stopped]] = self.step
            # From its own state: another thread may have written the number of its steps into that of all replicas.
            self._choose(self.rows[~has_stopped], self.state, ~has_stopped)
            if len(self.rows):
                self._differentiate()

    def _has_reached_goal(self) -> Tensor:
        """Return for each replica whether the accuracy, the loss or the smallest margin ends its training."""
        stop = self.fit.training.stop
        reached = torch.zeros(len(self.rows), dtype=torch.bool)
        if stop.accuracy is None and stop.loss is None and stop.min_margin is None:
            return reached
        scores = self._model_of_all().forward()
        y = self.fit.y[self.rows]
        if stop.accuracy is not None:
            reached |= ((scores.argmax(1) == y).double().mean(1) >= stop.accuracy).cpu()
        if stop.loss is not None:
            reached |= (_differentiate_cross_entropy(scores, y, 0.0)[0] <= stop.loss).cpu()
        if stop.min_margin is not None:
            margins = compute_logit_margin(scores.mT.flatten(0, 1), y.flatten()).view(y.shape)
            reached |= (margins.amin(1) >= stop.min_margin).cpu()
        return reached

    @torch.no_grad()
    def _update(self) -> None:
        """Change the parameters from their gradients."""
        training = self.fit.training
        if training.clip_norm is not None:
            length = torch.linalg.vector_norm(self.gradients, dim=1, keepdim=True)
            self.gradients.mul_((training.clip_norm / length.clamp(min=1e-12)).clamp(max=1.0))
        lr = training.optimizer.lr * training.schedule.factor(self.step, self.fit.last_step)
        parameters = self.state["parameters"]
        memory = [tensor for name, tensor in self.state.items() if name.startswith("memory/")]
        training.optimizer.update([parameters], [self.gradients], [memory], lr, fused=True)
        if training.averaging is not None:
            self.state["averaged"].lerp_(parameters, 1 - training.averaging.decay)
        self.is_differentiated = False


def _differentiate_cross_entropy(scores: Tensor, y: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropies `(R,)` of scores `(R, K, B)`, and their gradients with respect to the scores."""
    classes, count = scores.shape[1:]
    log_p = functional.log_softmax(scores, dim=1)
    targets = torch.full_like(scores, smoothing / classes).scatter_(1, y[:, None], 1 - smoothing + smoothing / classes)
    losses = (targets * log_p).sum((1, 2)).neg_() / count
    return losses, log_p.exp_().sub_(targets).div_(count)
