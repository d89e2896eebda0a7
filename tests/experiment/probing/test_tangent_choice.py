"""Tangent spaces by name, with a given or an estimated dimension."""

from pathlib import Path

import pytest
import torch

from dimple.data import load_images
from dimple.errors import UsageError
from dimple.experiment import ProbeConfig, probe
from dimple.experiment.probing.sources import load_sources
from dimple.progress import silent_progress
from dimple.tangents.autoencoder import Autoencoder
from dimple.tangents.estimators import AutoencoderEstimator
from dimple.tensors import generator

SHORT = {"samples": 6, "null_draws": 2, "probes": ("onoff",), "max_passes": 6.0}


@pytest.mark.parametrize("tangents", ["local_pca", "class_pca", "global_pca"])
def test_each_estimate_measures_with_the_estimated_dimension(tangents: str, tmp_path: Path) -> None:
    config = ProbeConfig(**SHORT, tangents=tangents, dim="auto")  # type: ignore[arg-type]
    run = probe(config, tmp_path / "run", device="cpu")
    facts = dict(run.info["facts"])
    # The digits have about ten dimensions by every published estimate.
    name, number = facts["tangent spaces"].split(", ")
    assert name == tangents and number.endswith("dimensions (TwoNN)") and 7 <= int(number.split()[0]) <= 13
    assert run.measurements["margin_on"].notna().all()
    assert f"--tangents {tangents}" in config.command or tangents == "local_pca"


def test_an_autoencoder_is_trained_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(AutoencoderEstimator, "autoencoder", lambda self, x: Autoencoder(latent=self.dim, steps=30))
    first = probe(ProbeConfig(**SHORT, tangents="autoencoder", dim=4), tmp_path / "first", device="cpu")  # type: ignore[arg-type]
    assert dict(first.info["facts"])["tangent spaces"] == "autoencoder, 4 dimensions"
    (file,) = (tmp_path / "cache" / "dimple" / "autoencoders").iterdir()
    monkeypatch.setattr(Autoencoder, "fit", None)
    for name in ("autoencoder", f"autoencoder:{file}"):
        again = probe(ProbeConfig(**SHORT, tangents=name, dim=4), tmp_path / name[-9:-3], device="cpu", force=True)  # type: ignore[arg-type]
        assert again.measurements["margin_on"].equals(first.measurements["margin_on"])


def test_another_autoencoder_in_the_same_file_is_another_measurement(tmp_path: Path) -> None:
    cloud = load_images("digits", "train").x
    file = tmp_path / "autoencoder.safetensors"
    model = Autoencoder(latent=4, steps=2)
    sums = []
    for seed in (0, 1):
        file.write_bytes(model.to_bytes(*model.fit(cloud, generator(seed, "autoencoder"))))
        config = ProbeConfig(**SHORT, tangents=f"autoencoder:{file}", dim=4)  # type: ignore[arg-type]
        sums.append(load_sources(config, torch.device("cpu"), silent_progress).checksums[str(file)])
    assert sums[0] != sums[1]


def test_names_and_files_of_tangents_are_checked_at_once(tmp_path: Path) -> None:
    for name, message in (
        ("local_pcb", "did you mean 'local_pca'"),
        ("local_pca:x", "--tangents is 'local_pca:x'"),
        (f"autoencoder:{tmp_path / 'x.safetensors'}", "there is no file"),
    ):
        with pytest.raises(UsageError, match=message):
            ProbeConfig(tangents=name)


def test_a_run_has_tangent_spaces_of_its_own() -> None:
    with pytest.raises(UsageError, match="--run brings its own tangent spaces; leave out --tangents"):
        ProbeConfig(run="runs/mine", tangents="class_pca")
