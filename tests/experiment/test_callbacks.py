"""Recorders in trainings of the real Lightning and transformers, and trackers of the real TensorBoard."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dimple import LightningCallback, Margin, Recorder, Run, TransformersCallback
from dimple.errors import UsageError
from dimple.experiment.trackers import build_tracker
from dimple.tensors import generator

PROBES = [Margin(max_passes=5)]


@pytest.fixture(autouse=True)
def foreign_warnings() -> Iterator[None]:
    """Warnings of these libraries about themselves are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make_data() -> tuple[Tensor, Tensor]:
    x = torch.rand(32, 4, generator=generator(0, "points"))
    return x, (x[:, 0] > 0.5).long()


def make_lightning_module() -> Any:
    lightning = pytest.importorskip("lightning.pytorch")

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.ReLU(), nn.Linear(8, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: Any, index: int) -> Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.random.default_generator.manual_seed(5)
    return Classifier()


def fit(folder: Path, module: Any, callbacks: list[Any], **options: Any) -> Any:
    lightning = pytest.importorskip("lightning.pytorch")
    x, y = make_data()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
    trainer = lightning.Trainer(
        max_epochs=3, callbacks=callbacks, logger=False, default_root_dir=folder, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip
    trainer.fit(module, loader)
    return trainer


def test_a_training_of_lightning_is_recorded_and_ends_in_the_same_bits(tmp_path: Path) -> None:
    bare, recorded = make_lightning_module(), make_lightning_module()
    state = torch.get_rng_state()
    fit(tmp_path, bare, [])
    torch.random.default_generator.set_state(state)
    x, y = make_data()
    record = Recorder(tmp_path / "run", x, y, PROBES, bounds=(0, 1), max_overhead=1.0)
    callback = LightningCallback(record)
    trainer = fit(tmp_path, recorded, [callback])
    run = Run.open(tmp_path / "run")
    # Twelve updates, and the network after the last one; the checkpoint of Lightning is written beside.
    assert run.steps == [*range(7), 8, 10, 12] and recorded.training
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), recorded.parameters(), strict=True))
    last = run.read_snapshot(12)[0]
    assert all(torch.equal(last[name], value) for name, value in recorded.state_dict().items())
    trainer.save_checkpoint(tmp_path / "again.ckpt")
    quick = Recorder(tmp_path / "quick", x, y, PROBES, bounds=(0, 1), max_overhead=1.0)
    fit(tmp_path, make_lightning_module(), [LightningCallback(quick)], fast_dev_run=True)


def test_accumulated_gradients_are_one_update(tmp_path: Path) -> None:
    x, y = make_data()
    record = Recorder(tmp_path / "run", x, y, PROBES, bounds=(0, 1), max_overhead=1.0)
    callback = LightningCallback(record, lambda module: module.net)
    fit(tmp_path, make_lightning_module(), [callback], accumulate_grad_batches=2)
    assert record.run is not None and record.run.steps == [0, 1, 2, 3, 4, 5, 6]


def test_a_training_of_lightning_that_fails_leaves_what_was_recorded(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")

    class Failing(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 5:
                raise ZeroDivisionError

    x, y = make_data()
    record = Recorder(tmp_path / "run", x, y, PROBES, bounds=(0, 1), max_overhead=1.0)
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, make_lightning_module(), [LightningCallback(record), Failing()])
    assert record.run is not None and record.run.steps == [0, 1, 2, 3, 4, 5]


def train_transformers(folder: Path, callbacks: list[Any]) -> Any:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8, patch_size=4,
        num_channels=1, num_labels=2,
    )  # fmt: skip
    torch.random.default_generator.manual_seed(3)
    model = transformers.ViTForImageClassification(config)
    x = torch.rand(16, 1, 8, 8, generator=generator(0, "images"))
    images = [{"pixel_values": image, "labels": int(image.mean() > 0.5)} for image in x]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "out"), max_steps=8, per_device_train_batch_size=4, report_to=[], use_cpu=True,
        save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=images, callbacks=callbacks)
    trainer.train()
    return model


def test_a_training_of_transformers_is_recorded_and_ends_in_the_same_bits(tmp_path: Path) -> None:
    bare = train_transformers(tmp_path, [])
    x = torch.rand(6, 1, 8, 8, generator=generator(1, "images"))
    record = Recorder(
        tmp_path / "run", x, None, PROBES, bounds=(0, 1), output="logits", max_overhead=1.0, every=4, log=None
    )
    recorded = train_transformers(tmp_path, [TransformersCallback(record)])
    assert record.run is not None and record.run.steps == [0, 4, 8]
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), recorded.parameters(), strict=True))


def test_within_a_block_the_block_writes(tmp_path: Path) -> None:
    x = torch.rand(6, 1, 8, 8, generator=generator(1, "images"))
    with Recorder(tmp_path / "run", x, None, PROBES, bounds=(0, 1), output="logits", every=4) as record:
        train_transformers(tmp_path, [TransformersCallback(record)])
        assert record.run is None
    assert Run.open(tmp_path / "run").steps[-1] == 8


def test_the_writer_of_tensorboard_has_every_statistic(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", exc_type=ImportError)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    x, y = make_data()
    network = nn.Linear(4, 2)
    writer = tensorboard.SummaryWriter(str(tmp_path / "events"))
    with writer, Recorder(tmp_path / "run", x, y, PROBES, bounds=None, log=writer, max_overhead=1.0) as record:
        for step in range(4):
            record(step, network)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.step for event in events.Scalars("dimple/margin")] == [0, 1, 2, 3]
    assert "dimple/accuracy" in events.Tags()["scalars"]


def test_weights_and_biases_gets_a_step_of_its_own() -> None:
    class Run:
        def __init__(self) -> None:
            self.calls: list[Any] = []

        def define_metric(self, name: str, step_metric: str) -> None:
            self.calls.append((name, step_metric))

        def log(self, data: dict[str, float]) -> None:
            self.calls.append(data)

    run = Run()
    build_tracker(run)({"dimple/margin": 0.5}, 3)
    assert run.calls == [("dimple/*", "dimple/step"), {"dimple/margin": 0.5, "dimple/step": 3}]


def test_mlflow_and_the_loggers_of_lightning_take_metrics() -> None:
    class Logger:
        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            self.last = (metrics, step)

    logger = Logger()
    build_tracker(logger)({"dimple/margin": 0.5}, 3)
    assert logger.last == ({"dimple/margin": 0.5}, 3)


def test_what_is_no_tracker_is_refused() -> None:
    with pytest.raises(UsageError, match=r"log is 3; give a SummaryWriter, .* log\(dict, step\)"):
        build_tracker(3)
