"""Distances to the decision boundary against passes and seconds, beside other libraries on the same images.

    python benchmarks/margins.py [--quick] [--samples N] [--model NAME --weights FILE --data SPEC] [--only TEXT]
                                 [--json FILE [--add]]

Without a model it takes ResNet-20 on CIFAR-10 and an MNIST network trained against l-infinity attacks where their files
are in $DIMPLE_DATA or ../shared/data, else the small convnet trained on the bundled digits. Which libraries run beside
us, and how they are installed, is said in peers.py; the table says which could not.

Every point is put into the plain network once more: it must lie in the box, and beyond the boundary up to a
hundred-thousandth of the largest score; an image without such a point counts as infinitely far. Nobody's points are
pulled back to the boundary, unless the search does so itself; `margin by default` is our probe, which does. A pass is
.4 for the forward and .6 for the backward of one image, counted by a wrapper around the network. `ratio` is the median
over the images of the distance over the nearest that any method of the run knows. --json writes the rows, the distances
of every image beside them (.npz), and the picture of the ratios against the passes (.png); with --add the methods that
the files hold already stay and count, so that a long run can be made in pieces.
"""

import argparse
import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fronts
import numpy as np
import torch
from peers import PEERS, Attack, Method
from torch import Tensor, nn

from dimple.attacks.projections import dual_norm
from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.experiment.probing.models import train_digits
from dimple.networks import build_model, frozen, load_weights
from dimple.probes import Margin
from dimple.probes.margin import METHODS
from dimple.tensors import Box, generator, norm

Row = dict[str, Any]
Case = tuple[str, str, str | None, str]
NORMS = ("l2", "linf")
BUDGETS, QUICK = (5, 10, 15, 25, 40, 100), (5, 15, 40)
# L-BFGS works image by image, so it gets this many of them.
FEW = 8
TOLERANCE = 1e-5


class Tap(torch.autograd.Function):
    """The identity, which counts the rows that come back through it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, counted: "Counted") -> Tensor:
        """Pass the samples on."""
        ctx.counted = counted
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """Count, and pass the gradient on."""
        ctx.counted.backwards += len(gradient)
        return gradient, None


class Counted(nn.Module):
    """A network that counts its forwards and backwards in images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.forwards, self.backwards = network, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the network."""
        self.forwards += len(x)
        return self.network(Tap.apply(x, self) if x.requires_grad else x)  # type: ignore[no-any-return]


def ours(kind: str, budgets: tuple[int, ...], _scale: float) -> Iterator[Method]:
    """Our search from one start at every budget, the literature's, and the probe by default, which lands its points."""

    def attack(name: str, budget: float, **settings: Any) -> Attack:
        search = METHODS[name]
        return lambda model, x, y: search(Boundary(model, Box()), x, y, kind, float(budget), **settings).points

    for budget in budgets:
        yield f"closest({budget})", attack("closest", budget, starts=1)
    if 100 in budgets:
        yield "closest(100, starts=9)", attack("closest", 100, starts=9)
    yield "margin by default", lambda model, x, y: Margin(norm=kind).search(Boundary(model, Box()), x, y)[0]  # type: ignore[arg-type]
    yield "deepfool", attack("deepfool", 100)
    for budget in budgets[1:]:
        yield f"fab({budget})", attack("fab", budget)
        yield f"pgd({budget})", attack("pgd", budget)
    if kind == "l2":
        few = attack("lbfgs", 100)
        yield f"lbfgs(100), {FEW} images", lambda model, x, y: few(model, x[:FEW], y[:FEW])


def measure(network: nn.Module, x: Tensor, y: Tensor, kind: str, attack: Attack) -> tuple[Row, Tensor]:
    """One search on all images, or as many as it takes: what it cost, and the verified distances `(B,)` or `inf`."""
    counted = Counted(network).eval()
    start = time.perf_counter()
    points = attack(counted, x, y).detach()
    seconds = time.perf_counter() - start
    x, y = x[: len(points)], y[: len(points)]
    scores = Boundary(network).scores(points)
    own, others = scores.gather(1, y[:, None]).squeeze(1), scores.scatter(1, y[:, None], -torch.inf).amax(1)
    across = own - others <= TOLERANCE * scores.abs().amax(1)
    inside = ((points >= -1e-6) & (points <= 1 + 1e-6)).flatten(1).all(1)
    length = norm(points - x, kind)
    passes = (0.4 * counted.forwards + 0.6 * counted.backwards) / len(x)
    return {"passes": passes, "seconds": seconds}, torch.where(across & inside & (length > 0), length, torch.inf)


def methods(kind: str, budgets: tuple[int, ...], scale: float) -> Iterator[tuple[str, str, Attack]]:
    """Every library that is here, ours first, and each of its methods."""
    families: dict[str, Callable[[str, tuple[int, ...], float], Iterator[Method]]] = {"dimple": ours} | PEERS
    for library, family in families.items():
        try:
            yield from ((library, method, attack) for method, attack in family(kind, budgets, scale))
        except ImportError as error:
            print(f"{library}: not run, {error}")


def compared(case: Case, options: argparse.Namespace, known: dict[str, Tensor]) -> Iterator[Row]:
    """A row a method and norm; its distances are added to those `known`."""
    network, x, y = prepared(case, options.samples)
    for kind in NORMS:
        scale = first_radius(network, x, y, kind)
        for library, method, attack in methods(kind, QUICK if options.quick else BUDGETS, scale):
            row: Row = {"case": case[0], "norm": kind, "method": method, "library": library}
            name = fronts.name_of(row)
            if options.only and not any(all(word in name for word in text.split()) for text in options.only):
                continue
            cost, known[name] = measure(network, x, y, kind, attack)
            row |= {**fronts.figures(known[name]), **cost}
            print(fronts.line_of(row), flush=True)
            yield row


def first_radius(network: nn.Module, x: Tensor, y: Tensor, kind: str) -> float:
    """The median linearised distance of the images: what searches that grow a radius are best begun with."""
    gap, gradient = Boundary(network).gap_and_gradient(x, y)
    return float((gap / dual_norm(gradient.flatten(1), kind)).median())


def prepared(case: Case, samples: int) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, and the first images of the test split that it classifies correctly."""
    _, model, weights, data = case
    network = build_model(model, generator(0, "network"))
    if weights is not None:
        load_weights(network, weights)
    elif model == "digits_convnet":
        train_digits(network, lambda *_: contextlib.nullcontext(lambda: None))
    network = frozen(network)
    images = load_images(data, "test")
    # Spread over the whole split, for the images of a folder come sorted by class.
    order = torch.randperm(len(images), generator=generator(0, "benchmark"))[: 3 * samples]
    x, y = images.batch(order)
    right = torch.nonzero(Boundary(network).predict(x) == y).squeeze(1)[:samples]
    return network, x[right], y[right]


def cases(options: argparse.Namespace) -> list[Case]:
    """The case that was asked for, or those whose files are here, or the digits."""
    if options.model is not None:
        return [(f"{options.model} {options.data.partition(':')[0]}", options.model, options.weights, options.data)]
    folder = Path(os.environ.get("DIMPLE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    stored = [
        ("resnet20 cifar10", "resnet20", "resnet20-12fca82f.th", "cifar10"),
        ("mnist_pgd mnist", "mnist_convnet", "mnist_pgd.pth", "mnist"),
    ]
    here = [
        (name, model, str(folder / "checkpoints" / weights), f"{data}:{folder / data}")
        for name, model, weights, data in stored
        if (folder / "checkpoints" / weights).is_file() and (folder / data).is_dir()
    ]
    return here or [("digits_convnet digits", "digits_convnet", None, "digits")]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three budgets, at most 16 images")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--model", help="a shipped architecture; see dimple probe --help")
    parser.add_argument("--weights")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--only", action="append", default=[], help="words of case, norm, library, method; repeatable")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--add", action="store_true", help="keep what the files of --json hold already")
    options = parser.parse_args()
    options.samples = min(options.samples, 16) if options.quick else options.samples
    rows, known = fronts.stored(options.json) if options.add else ({}, {})
    print(fronts.HEADING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases(options):
            rows |= {fronts.name_of(row): row for row in compared(case, options, known)}
    if not rows:
        names = ", ".join(case[0] for case in cases(options))
        parser.error(f"--only {' --only '.join(options.only)}: no method on {names} has these words in its name")
    fronts.add_ratios(rows, known)
    print(fronts.table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps(list(rows.values()), indent=1) + "\n", encoding="utf-8")
        np.savez(options.json.with_suffix(".npz"), **{name: found.numpy() for name, found in known.items()})
        fronts.draw(list(rows.values()), options.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
