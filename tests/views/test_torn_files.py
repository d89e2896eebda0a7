"""Files that a library of C or another program writes: one that could not be written whole is an error."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from dimple.errors import RunError
from dimple.runs.atomic_io import write_table
from dimple.tensors import generator
from dimple.views.content.frame import MeshLayer
from dimple.views.film.encoder import open_encoder
from dimple.views.film.film import write_gif, write_sheet
from dimple.views.film.settings import Film
from dimple.views.paraview.export import ParaViewSnapshot, write_pvd, write_vtkhdf
from tests.views.material import ball_mesh

NOISE = [
    Image.fromarray(torch.randint(0, 255, (64, 64, 3), generator=generator(seed), dtype=torch.uint8).numpy())
    for seed in range(4)
]


def film(path: Path) -> None:
    with open_encoder(path, Film(), NOISE[0].size) as add:
        for picture in NOISE:
            add(picture, 3)


def snapshots() -> list[ParaViewSnapshot]:
    return [ParaViewSnapshot(step, MeshLayer(ball_mesh(0.5), "boundary")) for step in (0, 1)]


WRITERS: dict[str, Callable[[Path], object]] = {
    "film.mp4": film,
    "film.gif": lambda path: write_gif(NOISE, [1] * 4, 8, path),
    "film.png": lambda path: write_sheet(NOISE, path),
    "metrics.parquet": lambda path: write_table(path, {"x": torch.rand(9999, generator=generator(0)).numpy()}, {}),
    "run.vtkhdf": lambda path: write_vtkhdf(snapshots(), path),
    "run_steps/00000001.vtp": lambda path: write_pvd(snapshots(), path.parent.with_name("run.pvd")),
}


@pytest.fixture
def limit_size() -> Iterator[Callable[[int], None]]:
    """A function that makes the system refuse longer files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_cannot_be_written_whole_is_an_error_and_the_old_one_stays(
    name: str, tmp_path: Path, limit_size: Callable[[int], None]
) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    old = path.read_bytes()
    # An HDF5 file begins with 2048 bytes.
    for size in (0, 1, 2048, len(old) // 2, len(old) - 1):
        if size >= len(old):
            continue
        limit_size(size)
        try:
            with pytest.raises(RunError, match=r"free (disk )?space or choose another"):
                WRITERS[name](path)
        finally:
            limit_size(resource.RLIM_INFINITY)
        assert path.read_bytes() == old, size
    assert not list(tmp_path.rglob(".dimple-*"))
