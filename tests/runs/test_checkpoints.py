"""Checkpoint files as a trajectory."""

import argparse
import copy
import tarfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from dimple.errors import ModelError, UsageError
from dimple.networks import build_model
from dimple.runs import Checkpoints
from dimple.tensors import generator

X = torch.rand(3, 1, 8, 8, generator=generator(0, "images"))


def write(folder: Path, names: list[str]) -> list[nn.Module]:
    """Different networks in files of these names."""
    networks = [build_model("digits_convnet", generator(number, "network")) for number in range(len(names))]
    for name, network in zip(names, networks, strict=True):
        safetensors.torch.save_file(network.state_dict(), folder / name)
    return networks


def test_files_come_in_natural_order_with_the_networks_that_were_saved(tmp_path: Path) -> None:
    networks = write(tmp_path, ["epoch10.pt", "epoch2.pt", "epoch0.pt"])
    found = Checkpoints.from_glob(str(tmp_path / "*.pt"), "digits_convnet")
    assert [path.name for path in found.paths] == ["epoch0.pt", "epoch2.pt", "epoch10.pt"]
    assert len(found) == 3
    steps, classifiers = zip(*found, strict=True)
    assert steps == (0, 2, 10)
    for network, classifier in zip(reversed(networks), classifiers, strict=True):
        assert torch.equal(network(X), classifier(X))
        assert not classifier.training
        assert not any(parameter.requires_grad for parameter in classifier.parameters())
    assert [step for step, _ in found] == [0, 2, 10]


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["net-7.pt", "net-70.pt"], [7, 70]),
        (["a_step=100.ckpt", "a_step=1200.ckpt"], [100, 1200]),
        (["ckpt_1.pth.tar", "ckpt_2.pth.tar"], [1, 2]),
        (["width16_epoch1.pt", "width16_epoch2.pt"], [1, 2]),
        (["epoch=9-acc=0.85.ckpt", "epoch=29-acc=0.91.ckpt"], [9, 29]),
        (["net.5.pt", "net.20.pt"], [5, 20]),
        (["epoch=1-step=500.ckpt", "epoch=2-step=1000-v1.ckpt"], [500, 1000]),
        (["epoch_5_acc_70.pt", "epoch_9_acc_85.pt"], [5, 9]),
        (["iter_2000_lr_3.pth", "iter_4000_lr_1.pth"], [2000, 4000]),
        (["ckpt_e3_seed7.pt", "ckpt_e12_seed7.pt"], [3, 12]),
        (["checkpoint-5/model.safetensors", "checkpoint-10/model.safetensors"], [5, 10]),
        (["model_0000999.pth", "model_0001999.pth"], [999, 1999]),
        (["best_model_2.pth", "someone3.pth"], [2, 3]),
    ],
)
def test_the_step_is_a_number_of_the_name_or_of_the_folder_if_the_numbers_increase(
    names: list[str], steps: list[int], tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert Checkpoints([tmp_path / name for name in reversed(names)], "digits_convnet").steps == steps


@pytest.mark.parametrize(
    ("names", "steps", "text"),
    [
        (["epoch=0-step=94.ckpt", "epoch=1-step=188.ckpt", "last.ckpt"], [94, 188], r"left out .*: \S*last\.ckpt$"),
        (["checkpoint-0.pth.tar", "checkpoint-1.pth.tar", "last.pth.tar"], [0, 1], r"left out .*last\.pth\.tar$"),
        (["checkpoint-5/model.pt", "checkpoint-10/model.pt", "final/model.pt"], [5, 10], "left out .*final/model.pt$"),
        (["best.pt", "net5.pt"], [0, 1], "count from 0 in the order of the names"),
        (["best.pt", "last.pt"], [0, 1], "count from 0 in the order of the names, which have no numbers that increase"),
        (["a-12fca82f.pt", "b-d509ac18.pt"], [0, 1], "count from 0"),
        (["seed1_epoch9.pt", "seed2_epoch3.pt"], [0, 1], "count from 0"),
    ],
)
def test_no_step_is_made_up_without_a_word(names: list[str], steps: list[int], text: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=text) as caught:
        found = Checkpoints([tmp_path / name for name in names], "digits_convnet")
    assert found.steps == steps and len(found.paths) == len(steps)
    assert [str(one.message) for one in caught] == [found.note]


@pytest.mark.parametrize("names", [["epoch_1.pt", "epoch_1_ema.pt"], ["a/step2.pt", "b/step2.pt", "b/step3.pt"]])
def test_two_files_of_one_step_are_refused(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=rf"{names[0]} and \S*{names[1]}: have the same number, \d; name the files"):
        Checkpoints([tmp_path / name for name in names], "digits_convnet")


def test_a_folder_of_timm_is_a_series_without_other_archives(tmp_path: Path) -> None:
    network = build_model("digits_convnet")
    for epoch in range(2):
        state = {"epoch": epoch, "arch": "net", "state_dict": network.state_dict(), "args": argparse.Namespace(lr=0.1)}
        torch.save(state, tmp_path / f"checkpoint-{epoch}.pth.tar")  # noqa: TID251 (the file of another program)
    with tarfile.open(tmp_path / "images-9.tar", "w") as archive:
        archive.add(__file__, "image.png")
    found = Checkpoints.from_glob(str(tmp_path), "digits_convnet")
    assert found.steps == [0, 1] and not found.note
    for _, classifier in found:
        assert torch.equal(network(X), classifier(X))


def test_a_module_can_be_the_model_and_is_not_changed(tmp_path: Path) -> None:
    networks = write(tmp_path, ["a1.pt", "a2.pt"])
    own = build_model("digits_convnet", generator(9, "network"))
    before = copy.deepcopy(own.state_dict())
    outputs = [classifier(X) for _, classifier in Checkpoints.from_glob(f"{tmp_path}/a*", own)]
    assert all(torch.equal(network(X), output) for network, output in zip(networks, outputs, strict=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in own.state_dict().items())
    assert own.training


def test_a_damaged_file_raises_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, ["net1.pt"])
    (tmp_path / "net2.pt").write_bytes(b"")
    checkpoints = iter(Checkpoints.from_glob(f"{tmp_path}/*.pt", "digits_convnet"))
    assert next(checkpoints)[0] == 1
    with pytest.raises(ModelError, match=r"net2\.pt: is empty"):
        next(checkpoints)


def test_missing_files_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no file matches the pattern"):
        Checkpoints.from_glob(f"{tmp_path}/*.pt", "digits_convnet")
    with pytest.raises(ModelError, match="no checkpoint files"):
        Checkpoints([], "digits_convnet")
    with pytest.raises(ModelError, match=r"net\.pt: no such checkpoint file"):
        Checkpoints([tmp_path / "net.pt"], "digits_convnet")
    (tmp_path / "net.pt").touch()
    with pytest.raises(UsageError, match="did you mean 'digits_convnet'"):
        Checkpoints([tmp_path / "net.pt"], "digit_convnet")


def test_numbers_that_no_table_holds_are_not_steps(tmp_path: Path) -> None:
    write(tmp_path, ["net1.pt", f"net{2**63}.pt"])
    with pytest.warns(UserWarning, match="count from 0"):
        assert Checkpoints.from_glob(f"{tmp_path}/*.pt", "digits_convnet").steps == [0, 1]


def test_several_patterns_and_folders_are_one_series(tmp_path: Path) -> None:
    network = build_model("digits_convnet")
    for step in (1, 2, 10):
        (tmp_path / "epochs").mkdir(exist_ok=True)
        safetensors.torch.save_file(network.state_dict(), tmp_path / "epochs" / f"step{step}.safetensors")
    (tmp_path / "epochs" / "notes.txt").write_text("not weights")
    folder = Checkpoints.from_glob(str(tmp_path / "epochs"), network)
    files = [str(tmp_path / "epochs" / f"step{step}.safetensors") for step in (10, 2)]
    assert folder.steps == [1, 2, 10]
    assert Checkpoints.from_glob([*files, f"{tmp_path}/epochs/*1.safetensors"], network).steps == [1, 2, 10]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="holds no weights files"):
        Checkpoints.from_glob(str(tmp_path / "empty"), network)
