"""Searches of other libraries, each as one function of a network, images and labels.

Foolbox is in the extra `bench`. adv-lib, torchattacks and ART require packages that their searches do not use (visdom,
torchvision, an old requests): `pip install --no-deps adv-lib torchattacks adversarial-robustness-toolbox`; missing
imports are replaced by stand-ins. AutoAttack is in no registry; put its checkout (fra31/auto-attack) on PYTHONPATH.
Misleading defaults are replaced: the first radius is `scale`, the size of the distances (DDN), no rounding to 256
gray levels, and no limit of the distance (FAB). Auto-PGD, which attacks within a radius, is that of adv-lib, which
bisects the radius of each image, with a tenth of the passes for each of ten radii.
"""

import importlib.util
import math
import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
Method = tuple[str, Attack]


class StandIn(types.ModuleType):
    """Stand-in for a module that is imported but not used; every attribute is an empty class."""

    __path__: list[str] = []  # noqa: RUF012 - marks the module as a package

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Version(tuple[int, ...]):
    """Leading numbers of a version, compared as by `distutils.version.LooseVersion`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read `2.13.0+cpu` as (2, 13, 0)."""
        return super().__new__(cls, (int(part) for part in str(text).partition("+")[0].split(".") if part.isdigit()))


def install_stand_ins(names: tuple[str, ...]) -> None:
    """Replace each module that cannot be imported by a stand-in."""
    for name in names:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = StandIn(name)
    if isinstance(sys.modules.get("distutils"), StandIn):
        version = StandIn("distutils.version")
        version.LooseVersion = Version  # type: ignore[attr-defined]
        sys.modules["distutils.version"] = version


# The number of radii that Auto-PGD tries, and the largest one in units of `scale`.
APGD_RADII = 10
APGD_FACTOR = 4.0
ORDERS = {"l1": 1, "l2": 2, "linf": math.inf}
NORM_NAMES = {"l1": "L1", "l2": "L2", "linf": "Linf"}


def foolbox_methods(kind: str, pass_limits: tuple[int, ...], scale: float) -> Iterator[Method]:
    """Yield DeepFool with two and three candidates, DDN in l2, FMN in l-infinity and l1 (in l2 it does not project)."""
    if kind == "l0":
        return
    import foolbox

    def attack(search: Any) -> Attack:
        return lambda m, x, y: search(foolbox.PyTorchModel(m, bounds=(0, 1)), x.clone(), y, epsilons=None)[0]

    attacks = foolbox.attacks
    if kind != "l1":
        deepfool = attacks.L2DeepFoolAttack if kind == "l2" else attacks.LinfDeepFoolAttack
        for steps in (2, 3, 4, 50):
            yield f"deepfool({steps}, candidates=2)", attack(deepfool(steps=steps, candidates=2))
        yield "deepfool(50, candidates=3)", attack(deepfool(candidates=3))
    for steps in pass_limits:
        if kind == "l2":
            yield f"ddn({steps})", attack(attacks.DDNAttack(init_epsilon=scale, steps=steps))
        else:
            fmn = attacks.LInfFMNAttack if kind == "linf" else attacks.L1FMNAttack
            yield f"fmn({steps})", attack(fmn(steps=steps))


def _adv_lib_searches(
    kind: str, steps: int, scale: float
) -> Iterator[tuple[str, Callable[..., Tensor], dict[str, Any]]]:
    """Yield name, function and settings of the searches of adv-lib that take a number of passes."""
    from adv_lib import attacks
    from adv_lib.attacks.auto_pgd import minimal_apgd

    norm = {"norm": ORDERS[kind]}
    yield f"fmn({steps})", attacks.fmn, {**norm, "steps": steps}
    if kind == "l2":
        yield f"ddn({steps})", attacks.ddn, {"steps": steps, "init_norm": scale, "levels": None}
    if kind != "linf":
        alma = {"num_steps": steps, "distance": kind, "init_lr_distance": 0.5, "α": 0.5}
        yield f"alma({steps})", attacks.alma, alma
    if steps >= 100:
        if kind != "l2":
            yield f"pdpgd({steps})", attacks.pdpgd, {**norm, "num_steps": steps}
        # A step costs one pass, and the point and its check one forward each.
        n = steps // APGD_RADII - 2
        apgd = {**norm, "binary_search_steps": APGD_RADII, "max_eps": APGD_FACTOR * scale, "n_iter": n}
        for loss in ("ce", "dlr"):
            yield f"apgd({n}, {loss})", minimal_apgd, {**apgd, "loss_function": loss}
    # A step over all nine other classes costs 6.2 passes, towards one class 1.4.
    if steps >= 10:
        yield f"fab({int(steps / 6.2)})", attacks.fab, {**norm, "n_iter": int(steps / 6.2)}
    for classes in (1, 3) if steps >= 15 else (1,):
        n = int((steps - 0.4) / (1.4 * classes) - 0.3)
        targeted = {**norm, "n_iter": n, "targeted_restarts": True, "restarts": classes}
        yield f"fab({n}, rivals={classes})", attacks.fab, targeted


def adv_lib_methods(kind: str, pass_limits: tuple[int, ...], scale: float) -> Iterator[Method]:
    """Yield FMN, DDN, ALMA, PDPGD, trust region, DeepFool, Auto-PGD, and FAB over all, one or three other classes.

    In l0 they are sigma-zero and FMN.
    """
    install_stand_ins(("visdom", "torchvision", "distutils", "tqdm"))
    from adv_lib import attacks

    def attack(search: Callable[..., Tensor], **settings: Any) -> Attack:
        return lambda m, x, y: search(m, x, y, **settings)

    if kind == "l0":
        for steps in pass_limits:
            yield f"sigma_zero({steps})", attack(attacks.sigma_zero, num_steps=steps)
            yield f"fmn({steps})", attack(attacks.fmn, norm=0, steps=steps)
        return
    order = ORDERS[kind]
    for steps in pass_limits:
        for name, search, settings in _adv_lib_searches(kind, steps, scale):
            yield name, attack(search, **settings)
    if kind == "l1":
        return
    yield "trust region", attack(attacks.tr, adaptive=True, p=order)
    yield "deepfool", attack(attacks.df, norm=order)
    if kind == "l2":
        # Where its searches by DeepFool find nothing, a hundred of them take thousands of passes.
        yield "superdeepfool", attack(attacks.sdf, steps=10)


def torchattacks_methods(kind: str, pass_limits: tuple[int, ...], _scale: float) -> Iterator[Method]:
    """Yield FAB without a limit of the distance, which fails in l1, and DeepFool, which this library has in l2 only."""
    if kind not in {"l2", "linf"}:
        return
    install_stand_ins(("torchvision", "tqdm"))
    import torchattacks

    name = NORM_NAMES[kind]
    for steps in pass_limits:
        if steps >= 15:
            iterations = int(steps / 6.8)
            search = lambda m, x, y, n=iterations: torchattacks.FAB(m, norm=name, eps=math.inf, steps=n)(x, y)  # noqa: E731
            yield f"fab({iterations})", search
    if kind == "l2":
        for steps in (10, 50) if 100 in pass_limits else (10,):
            yield f"deepfool({steps})", lambda m, x, y, n=steps: torchattacks.DeepFool(m, steps=n)(x, y)


def autoattack_methods(kind: str, pass_limits: tuple[int, ...], _scale: float) -> Iterator[Method]:
    """Yield FAB over all other classes, and towards the nearest one: it attacks no image again that has a point."""
    if kind == "l0":
        return
    from autoattack.fab_pt import FABAttack_PT

    def fab(m: nn.Module, x: Tensor, y: Tensor, iterations: int, is_targeted: bool) -> Tensor:
        settings = {"norm": NORM_NAMES[kind], "n_iter": iterations, "targeted": is_targeted, "n_target_classes": 1}
        return FABAttack_PT(m, eps=math.inf, device=x.device, **settings).perturb(x, y)  # type: ignore[no-any-return]

    for steps in pass_limits:
        if steps >= 15:
            n = int(steps / 6.8)
            yield f"fab({n})", partial(fab, iterations=n, is_targeted=False)
        n = int((steps - 1.6) / 1.8)
        yield f"fab_t({n})", partial(fab, iterations=n, is_targeted=True)


def art_methods(kind: str, pass_limits: tuple[int, ...], _scale: float) -> Iterator[Method]:
    """Yield DeepFool, which this library has in l2 only; its other searches take thousands of passes."""
    if kind != "l2":
        return
    install_stand_ins(("torchvision", "tqdm"))
    from art.attacks.evasion import DeepFool
    from art.estimators.classification import PyTorchClassifier

    def deepfool(m: nn.Module, x: Tensor, y: Tensor, iterations: int) -> Tensor:
        classes = m(x[:1]).shape[1]
        loss = nn.CrossEntropyLoss()
        estimator = PyTorchClassifier(m, loss, x.shape[1:], classes, clip_values=(0.0, 1.0), device_type="cpu")
        search = DeepFool(estimator, max_iter=iterations, batch_size=len(x), verbose=False)
        return torch.as_tensor(search.generate(x.numpy(), y.numpy())).to(x)

    for steps in pass_limits:
        # A step computes the gradients of all ten scores.
        if steps >= 15:
            n = int(steps / 6.9)
            yield f"deepfool({n})", partial(deepfool, iterations=n)


PEERS: dict[str, Callable[[str, tuple[int, ...], float], Iterator[Method]]] = {
    "foolbox": foolbox_methods,
    "adv-lib": adv_lib_methods,
    "torchattacks": torchattacks_methods,
    "autoattack": autoattack_methods,
    "art": art_methods,
}
