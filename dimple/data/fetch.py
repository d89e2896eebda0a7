"""Data sets and weights from where their authors publish them, with checksums, into the cache of the user."""

import contextlib
import dataclasses
import hashlib
from pathlib import Path
from typing import final

from dimple.errors import DataError
from dimple.locations import cache_folder, require_fetchable

# Of one attempt to connect.
TIMEOUT_SECONDS = 30


@final
@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """A file and its checksum.

    Attributes:
        address: where it is published.
        target: its path in the cache.
        checksum: `ALGORITHM:DIGEST`; the digest may be its beginning, where only that is published.
        checked: whether the checksum was compared with a copy of the file; else it is that of other programs.
    """

    address: str
    target: str
    checksum: str
    checked: bool = False


@final
@dataclasses.dataclass(frozen=True)
class Published:
    """A data set or network of `dimple fetch`.

    Attributes:
        meaning: what it is.
        files: its files. No address could be tried where this was written.
    """

    meaning: str
    files: tuple[PublishedFile, ...]


def _idx_files(name: str, address: str, checksums: dict[str, str]) -> tuple[PublishedFile, ...]:
    return tuple(
        PublishedFile(f"{address}/{file}.gz", f"{name}/{file}.gz", f"md5:{digest}")
        for file, digest in checksums.items()
    )


def _resnet(depth: int, checksum: str, checked: bool = False) -> Published:
    address = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models"
    file = f"resnet{depth}-{checksum[:8]}.th"
    return Published(
        f"CIFAR-10 weights of ResNet-{depth}, by Y. Idelbayev",
        (PublishedFile(f"{address}/{file}", f"networks/resnet{depth}.th", f"sha256:{checksum}", checked),),
    )


PUBLISHED: dict[str, Published] = {
    "mnist": Published(
        "MNIST, four files, 11 MB",
        _idx_files(
            "mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            {
                "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
                "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
                "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
            },
        ),
    ),
    "fashion_mnist": Published(
        "Fashion-MNIST, four files, 30 MB",
        _idx_files(
            "fashion_mnist",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            {
                "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
                "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
                "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
            },
        ),
    ),
    "cifar10": Published(
        "CIFAR-10, the binary edition, 170 MB",
        (
            PublishedFile(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "cifar10/cifar-10-binary.tar.gz",
                "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
    ),
    "resnet20": _resnet(20, "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8", checked=True),
    "resnet32": _resnet(32, "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850", checked=True),
    # Their file names hold the beginning of the checksum, as those of the two above do.
    "resnet44": _resnet(44, "014dd654"),
    "resnet56": _resnet(56, "4bfd9763"),
    "resnet110": _resnet(110, "1d1ed7c2"),
}


def fetch(name: str, *, progress: bool = False) -> list[Path]:
    """Get the files of a data set or of a network into the cache, where its name finds them; files there are kept.

    Args:
        name: a key of `PUBLISHED`.
        progress: show a bar for each file.

    Returns:
        The paths of the files.

    Raises:
        UsageError: if the name is unknown.
        DataError: if a file cannot be reached, or has another checksum.
    """
    require_fetchable([name])
    return [_fetch_file(file, progress) for file in PUBLISHED[name].files]


def _fetch_file(file: PublishedFile, progress: bool) -> Path:
    import pooch

    target = cache_folder() / file.target
    if target.is_file() and _has_checksum(target, file.checksum):
        return target
    download = target.with_name(f".{target.name}.download")
    hint = f"get {file.address} in another way, and put it at {target} ({file.checksum})"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(
            file.address, None, download.name, download.parent, None,
            downloader=pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT_SECONDS),
        )  # fmt: skip
        if not _has_checksum(download, file.checksum):
            raise DataError(f"{file.address} has another content than the one that is known ({file.checksum}); {hint}")
        download.replace(target)
    except DataError:
        raise
    # The libraries below pooch have many errors for a network that is not there.
    except Exception as error:
        raise DataError(
            f"{file.address} cannot be reached ({type(error).__name__}); connect to the network, or {hint}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            download.unlink(missing_ok=True)
    return target


def _has_checksum(path: Path, checksum: str) -> bool:
    algorithm, _, expected = checksum.partition(":")
    with path.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest().startswith(expected)
