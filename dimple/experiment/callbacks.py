"""Callbacks that call a recorder in trainings of other libraries, neither of which is imported here."""

from collections.abc import Callable
from typing import Any, final

from torch import nn

from dimple.experiment.recorder import Recorder


class _TrainingCallback:
    """A callback that records at each update, and opens and closes a recorder that is in no block."""

    def __init__(self, record: Recorder, network: Callable[[Any], nn.Module] = lambda model: model) -> None:
        self._record = record
        self._network = network
        self._opened = False
        self._step = -1

    def _begin(self) -> None:
        self._opened = not self._record.is_open
        self._step = -1
        if self._opened:
            self._record.__enter__()

    def _record_update(self, step: int, model: Any) -> None:
        # Several batches may make one update.
        if step > self._step:
            self._step = step
            self._record(step, self._network(model))

    def _end(self) -> None:
        if self._opened:
            self._opened = False
            self._record.__exit__(None, None, None)

    def __getattr__(self, name: str) -> Callable[..., None]:
        # Every other event that a trainer announces.
        if name.startswith("on_"):
            return _do_nothing
        raise AttributeError(name)


def _do_nothing(*_: Any, **__: Any) -> None:
    pass


@final
class LightningCallback(_TrainingCallback):
    """A callback for the `Trainer` of Lightning, by which a recorder follows the training.

    The recorder is called with `trainer.global_step` before each update, and writes the run at the end of the training
    or at its first error; within a block of the recorder, the run is written when the block ends.

    Args:
        record: the recorder.
        network: the classifier in the `LightningModule`, such as `lambda module: module.net`; by default the module.

    Example:
        >>> import tempfile
        >>> import torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     record = Recorder(f"{folder}/run", torch.zeros(2, 3), torch.tensor([0, 1]), bounds=None)
        ...     callback = LightningCallback(record, lambda module: module.net)
        ...     # Trainer(callbacks=[callback]).fit(module)
    """

    # Names under which Lightning would keep a state.
    state_key = "dimple.LightningCallback"
    _legacy_state_key = state_key

    def on_train_start(self, trainer: Any, module: nn.Module) -> None:
        self._begin()

    def on_train_batch_start(self, trainer: Any, module: nn.Module, *_: Any) -> None:
        self._record_update(trainer.global_step, module)

    def on_train_end(self, trainer: Any, module: nn.Module) -> None:
        self._record_update(trainer.global_step, module)
        self._end()

    def on_exception(self, trainer: Any, module: nn.Module, exception: BaseException) -> None:
        self._end()

    def setup(self, *_: Any, **__: Any) -> None:
        """Prepare nothing."""

    def teardown(self, *_: Any, **__: Any) -> None:
        """Leave nothing behind."""

    def state_dict(self) -> dict[str, Any]:
        """Return no state: a continued training is recorded into a run of its own."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take no state."""


@final
class TransformersCallback(_TrainingCallback):
    """A callback for the `Trainer` of Hugging Face's transformers, by which a recorder follows the training.

    The recorder is called with `state.global_step` before the first and after each update, and writes the run at the
    end of the training. The trainer announces no errors: train within a block of the recorder
    (`with record: trainer.train()`) to keep what was recorded until one.

    Models return objects with their scores: give the recorder `output="logits"`.

    Args:
        record: the recorder.
        network: the classifier of the samples in the model; by default the model.

    Example:
        >>> import tempfile
        >>> import torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     record = Recorder(f"{folder}/run", torch.zeros(2, 3), torch.tensor([0, 1]), bounds=None)
        ...     callback = TransformersCallback(record)
        ...     # Trainer(..., callbacks=[callback]).train()
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: nn.Module, **_: Any) -> None:
        self._begin()
        self._record_update(state.global_step, model)

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: nn.Module, **_: Any) -> None:
        self._record_update(state.global_step, model)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._end()
