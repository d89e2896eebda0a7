"""Distances to the decision boundary by passes and seconds, of dimple and of other libraries on the same images.

    python benchmarks/margins.py [--quick] [--samples N] [--model NAME --weights FILE --data SPEC] [--only TEXT]
                                 [--passes N ...] [--json FILE [--add]]

Without --model the networks are ResNet-20 on CIFAR-10 and an MNIST network trained against l-infinity attacks, if the
files are in $DIMPLE_DATA or ../shared/data; else a small convnet trained on the digits of scikit-learn. peers.py
lists the other libraries and how they are installed; the table says which could not run.

Every point is verified with the plain network: it must lie in the box, and across the boundary up to 1e-5 of the
largest score; an image without such a point counts as infinitely far. No point is refined to the boundary unless
its search does so; those of dimple do, within their passes. A pass is .4 for the forward and .6 for the
backward evaluation of one image, counted by a wrapper around the network. `ratio` is the median over the images of the
distance / the smallest distance of any method of the run. --json writes the rows, the distances of every image (.npz),
and a picture of the ratios by passes (.png); --add keeps the methods that the files hold already, so that a long run
can be made in several parts.
"""

import argparse
import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fronts
import numpy as np
import torch
from peers import PEERS, Attack, Method
from torch import Tensor, nn

from dimple.attacks.closest import FIRST_DESCENT_PASSES, REFERENCE_PASSES
from dimple.attacks.projections import dual_norm
from dimple.attacks.search import SearchProblem
from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.experiment.probing.models import train_digits
from dimple.networks import build_model, freeze, load_weights
from dimple.probes.margin import METHODS
from dimple.tensors import Box, generator, norm

Row = dict[str, Any]
Case = tuple[str, str, str | None, str]
NORMS = ("l2", "linf", "l1", "l0")
PASS_LIMITS = (5, 10, 15, 25, 40, 100)
QUICK_PASS_LIMITS = (5, 15, 40)
# L-BFGS works image by image, so it is measured on this number of images.
LBFGS_SAMPLES = 8
TOLERANCE = 1e-5
# The training images from which searches with a reference may start.
REFERENCE_COUNT = 10_000


class BackwardCount(torch.autograd.Function):
    """Identity that counts the rows of backward evaluations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, counter: "PassCounter") -> Tensor:
        """Return the samples unchanged."""
        ctx.counter = counter
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """Count the rows, and return the gradient unchanged."""
        ctx.counter.backwards += len(gradient)
        return gradient, None


class PassCounter(nn.Module):
    """Network that counts its forward and backward evaluations, in images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.forwards = 0
        self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the network."""
        self.forwards += len(x)
        return self.network(BackwardCount.apply(x, self) if x.requires_grad else x)  # type: ignore[no-any-return]


def dimple_methods(
    kind: str, pass_limits: tuple[int, ...], _scale: float, reference: Tensor, network: nn.Module
) -> Iterator[Method]:
    """Yield the searches of dimple: `closest`, the default, also with reference images, and published attacks."""
    classes = Boundary(network, Box(), reference).reference_classes

    def attack(name: str, max_passes: float, starts: Tensor | None = None, **settings: Any) -> Attack:
        search = partial(METHODS[name], max_passes=float(max_passes), **settings)

        def run(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            boundary = Boundary(model, Box(), starts)
            # The reference images are predicted once for all images, so that this is no cost of one of them.
            boundary.__dict__["reference_classes"] = classes
            return search(SearchProblem(boundary, x, y, kind)).points.reshape(x.shape)

        return run

    for max_passes in pass_limits:
        yield f"closest({max_passes})", attack("closest", max_passes)
        if max_passes > FIRST_DESCENT_PASSES + REFERENCE_PASSES:
            yield f"closest({max_passes}, reference)", attack("closest", max_passes, reference)
    if kind == "l0":
        return
    yield "deepfool", attack("deepfool", 100)
    for max_passes in pass_limits[1:]:
        yield f"fab({max_passes})", attack("fab", max_passes)
        yield f"pgd({max_passes})", attack("pgd", max_passes)
    if kind == "l2":
        lbfgs = attack("lbfgs", 100)
        first = slice(LBFGS_SAMPLES)
        yield f"lbfgs(100), {LBFGS_SAMPLES} images", lambda model, x, y: lbfgs(model, x[first], y[first])


def measure(network: nn.Module, x: Tensor, y: Tensor, kind: str, attack: Attack) -> tuple[Row, Tensor]:
    """Run a search on all images, or on the first ones; return its cost and the verified distances `(B,)`."""
    counter = PassCounter(network).eval()
    start = time.perf_counter()
    points = attack(counter, x, y).detach()
    seconds = time.perf_counter() - start
    x = x[: len(points)]
    y = y[: len(points)]
    scores = Boundary(network).scores(points)
    own = scores.gather(1, y[:, None]).squeeze(1)
    others = scores.scatter(1, y[:, None], -torch.inf).amax(1)
    is_misclassified = own - others <= TOLERANCE * scores.abs().amax(1)
    is_in_bounds = ((points >= -1e-6) & (points <= 1 + 1e-6)).flatten(1).all(1)
    length = norm(points - x, kind)
    passes = (0.4 * counter.forwards + 0.6 * counter.backwards) / len(x)
    is_valid = is_misclassified & is_in_bounds & (length > 0)
    return {"passes": passes, "seconds": seconds}, torch.where(is_valid, length, torch.inf)


def iterate_methods(
    kind: str, pass_limits: tuple[int, ...], scale: float, own: Callable[..., Iterator[Method]]
) -> Iterator[tuple[str, str, Attack]]:
    """Yield the methods of each installed library, those of dimple first."""
    families: dict[str, Callable[[str, tuple[int, ...], float], Iterator[Method]]] = {"dimple": own} | PEERS
    for library, family in families.items():
        try:
            yield from ((library, method, attack) for method, attack in family(kind, pass_limits, scale))
        except ImportError as error:
            print(f"{library}: not run, {error}")


def measure_methods(case: Case, options: argparse.Namespace, known: dict[str, Tensor]) -> Iterator[Row]:
    """Yield one row for each method and norm, and add its distances to `known`."""
    network, x, y, reference = load_case(case, options.samples)
    pass_limits = tuple(options.passes or (QUICK_PASS_LIMITS if options.quick else PASS_LIMITS))
    own = partial(dimple_methods, reference=reference, network=network)
    for kind in NORMS:
        scale = first_radius(network, x, y, kind)
        for library, method, attack in iterate_methods(kind, pass_limits, scale, own):
            row: Row = {"case": case[0], "norm": kind, "method": method, "library": library}
            name = fronts.row_name(row)
            if options.only and not any(all(word in name for word in text.split()) for text in options.only):
                continue
            cost, known[name] = measure(network, x, y, kind, attack)
            row |= {**fronts.summarize_distances(known[name]), **cost}
            print(fronts.format_row(row), flush=True)
            yield row


def first_radius(network: nn.Module, x: Tensor, y: Tensor, kind: str) -> float:
    """Return the median linearized distance of the images, the first radius of searches that adapt a radius."""
    if kind == "l0":
        return 1.0
    margin, gradient = Boundary(network).logit_margin_and_gradient(x, y)
    return float((margin / dual_norm(gradient.flatten(1), kind)).median())


def load_case(case: Case, samples: int) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """Return the network, the first images of the test split that it classifies correctly, and training images."""
    _, model, weights, data = case
    network = build_model(model, generator(0, "network"))
    if weights is not None:
        load_weights(network, weights)
    elif model == "digits_convnet":
        train_digits(network, lambda *_: contextlib.nullcontext(lambda: None))
    network = freeze(network)
    images = load_images(data, "test")
    # In random order, because the images of a folder are sorted by class.
    order = torch.randperm(len(images), generator=generator(0, "benchmark"))[: 3 * samples]
    x, y = images.batch(order)
    correct = torch.nonzero(Boundary(network).predict(x) == y).squeeze(1)[:samples]
    train = load_images(data, "train")
    chosen = torch.randperm(len(train), generator=generator(0, "reference"))[:REFERENCE_COUNT]
    return network, x[correct], y[correct], train.batch(chosen)[0]


def select_cases(options: argparse.Namespace) -> list[Case]:
    """Return the case of the options, or those whose files are present, or the digits."""
    if options.model is not None:
        return [(f"{options.model} {options.data.partition(':')[0]}", options.model, options.weights, options.data)]
    folder = Path(os.environ.get("DIMPLE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    published = [
        ("resnet20 cifar10", "resnet20", "resnet20-12fca82f.th", "cifar10"),
        ("mnist_pgd mnist", "mnist_convnet", "mnist_pgd.pth", "mnist"),
    ]
    available = [
        (name, model, str(folder / "checkpoints" / weights), f"{data}:{folder / data}")
        for name, model, weights, data in published
        if (folder / "checkpoints" / weights).is_file() and (folder / data).is_dir()
    ]
    return available or [("digits_convnet digits", "digits_convnet", None, "digits")]


def main() -> None:
    """Measure the methods, print the table and write the files of --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three numbers of passes, at most 16 images")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--model", help="a shipped architecture; see dimple probe --help")
    parser.add_argument("--weights")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--passes", type=int, nargs="+", help="numbers of passes instead of those of the documentation")
    parser.add_argument("--only", action="append", default=[], help="words of case, norm, library, method; repeatable")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--add", action="store_true", help="keep the methods that the files of --json hold already")
    options = parser.parse_args()
    options.samples = min(options.samples, 16) if options.quick else options.samples
    rows, known = fronts.load_rows(options.json) if options.add else ({}, {})
    print(fronts.HEADING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in select_cases(options):
            rows |= {fronts.row_name(row): row for row in measure_methods(case, options, known)}
    if not rows:
        names = ", ".join(case[0] for case in select_cases(options))
        parser.error(f"--only {' --only '.join(options.only)}: no method on {names} has these words in its name")
    fronts.add_ratios(rows, known)
    print(fronts.format_table(rows, options.passes or fronts.PASS_LIMITS))
    if options.json is not None:
        options.json.write_text(json.dumps(list(rows.values()), indent=1) + "\n", encoding="utf-8")
        np.savez(options.json.with_suffix(".npz"), **{name: distances.numpy() for name, distances in known.items()})
        fronts.draw_fronts(list(rows.values()), options.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
