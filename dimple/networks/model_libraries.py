"""Networks of other libraries by name: timm, torchvision, RobustBench, and the safetensors files of the hub.

The libraries build the architecture; weights are read by this package, which runs no code of a file.
"""

import importlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dimple.errors import DeviceError, ModelError, UsageError, describe_cause
from dimple.locations import find_robustbench_file, require_library
from dimple.networks.weights import load_weights, read_weights
from dimple.networks.wrappers import NormalizedModel
from dimple.object_reference import ObjectReference
from dimple.settings import format_value, suggest_word

# Arguments by which a library would read weights or settings itself.
READING_ARGUMENTS = frozenset(
    (
        "cache_dir",
        "checkpoint_path",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "weights",
        "weights_backbone",
    )
)
# The buffers of the mean and of the deviation of images in the architectures of RobustBench.
NORMALIZATION_BUFFERS = ("mu", "sigma", "mean", "std")
HUB_WEIGHTS = "model.safetensors"
HUB_CONFIG = "config.json"
HUB_PREPROCESSOR = "preprocessor_config.json"


class LibraryModel(NamedTuple):
    """A network of a library.

    Attributes:
        network: with the weights of its file where it has one, else untrained.
        mean, std: of the images that the published weights of this name were trained on; empty where unknown.
        has_weights: whether the weights come with the name.
    """

    network: nn.Module
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    has_weights: bool = False


def build_library_model(
    reference: ObjectReference, shape: tuple[int, ...] | None = None, classes: int | None = None
) -> LibraryModel:
    """Build a network that is named as `timm:NAME`, `torchvision:NAME`, `hf:REPO` or `robustbench:NAME`.

    Args:
        reference: the name.
        shape: of one sample; the number of channels of a network of timm, where its arguments do not give one.
        classes: the number of scores of a network of timm or torchvision, where its arguments do not give one.

    Raises:
        UsageError: if the library has no such network, or an argument would read a file.
        DeviceError: if the library is not installed.
        ModelError: if the network cannot be built, or its file is not there.
    """
    require_library(reference)
    forbidden = sorted(READING_ARGUMENTS & reference.kwargs.keys())
    if forbidden:
        raise UsageError(
            f"model {format_value(reference.text)}: {forbidden[0]} would read weights past the checks of dimple; "
            "leave it out, and name the weights by --weights FILE or --weights hf:REPO"
        )
    return _BUILDERS[reference.source](reference, shape, classes)


def read_hub_file(repository: str, name: str) -> Path:
    """Return the path of a file of a repository of the hub, from the cache where it is there, else downloaded.

    Raises:
        ModelError: if it is in neither place.
    """
    hub = _import("huggingface_hub", f"hf:{repository}")
    repo_id, _, revision = repository.partition("@")
    arguments = {"repo_id": repo_id, "filename": name, "revision": revision or None}
    try:
        return Path(hub.hf_hub_download(**arguments, local_files_only=True))
    # The errors of the hub have other classes in each version.
    except Exception:  # noqa: S110 (the file is looked for on the hub then)
        pass
    try:
        return Path(hub.hf_hub_download(**arguments))
    except Exception as error:
        raise _hub_error(repository, name, error) from None


def _hub_error(repository: str, name: str, error: Exception) -> ModelError:
    kind = type(error).__name__
    if "Gated" in kind or "RepositoryNotFound" in kind:
        return ModelError(f"hf:{repository}: there is no such public repository; check the name, or log in to the hub")
    if kind in ("EntryNotFoundError", "RemoteEntryNotFoundError"):
        advice = (
            "only safetensors files are read: ask its author for one" if name == HUB_WEIGHTS else "name another one"
        )
        return ModelError(f"hf:{repository}: has no {name}; {advice}")
    return ModelError(
        f"hf:{repository}: {name} is not in the cache and the hub cannot be reached ({kind}); connect to the "
        "network, or copy the cache of a machine that has it and set HF_HOME"
    )


def _build_timm(reference: ObjectReference, shape: tuple[int, ...] | None, classes: int | None) -> LibraryModel:
    timm = _import("timm", reference.text)
    if not timm.is_model(reference.name):
        _refuse_unknown(reference, timm.list_models())
    defaults: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if shape is not None and len(shape) == 3:
        defaults["in_chans"] = shape[0]
    network = _call(reference, lambda *args, **kwargs: timm.create_model(reference.name, *args, **kwargs), defaults)
    published: Any = getattr(network, "pretrained_cfg", None) or {}
    return LibraryModel(network, *_read_normalization(published, "mean", "std"))


def _build_torchvision(reference: ObjectReference, _: tuple[int, ...] | None, classes: int | None) -> LibraryModel:
    models = _import("torchvision.models", reference.text)
    if reference.name not in models.list_models():
        _refuse_unknown(reference, models.list_models())
    defaults: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    network = _call(reference, lambda *args, **kwargs: models.get_model(reference.name, *args, **kwargs), defaults)
    return LibraryModel(network, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _build_hub(reference: ObjectReference, _: tuple[int, ...] | None, __: int | None) -> LibraryModel:
    """Build a network of the hub from its settings: of timm, or of transformers for the classification of images."""
    file = read_hub_file(reference.name, HUB_CONFIG)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{reference.text}: its {HUB_CONFIG} cannot be read ({error}); name another one") from None
    if not isinstance(config, dict):
        config = {}
    if isinstance(config.get("architecture"), str):
        found = _build_hub_timm(reference, config)
    elif isinstance(config.get("architectures"), list) and isinstance(config.get("model_type"), str):
        found = _build_hub_transformers(reference, config)
    else:
        raise ModelError(
            f"{reference.text}: its {HUB_CONFIG} names no architecture of timm or transformers; name the code of the "
            f"network, as --model file.py:OBJECT --weights {reference.text}"
        )
    load_weights(found.network, read_hub_file(reference.name, HUB_WEIGHTS))
    if not found.mean:
        return found
    warnings.warn(
        f"{reference.text}: images are normalized by mean {found.mean} and std {found.std}, from the repository; "
        "--mean and --std give others",
        stacklevel=1,
    )
    return found


def _build_hub_timm(reference: ObjectReference, config: Mapping[str, Any]) -> LibraryModel:
    timm = _import("timm", reference.text)
    name = config["architecture"]
    if not timm.is_model(name):
        _refuse_unknown(reference, timm.list_models())
    given = config.get("model_args")
    arguments = dict(given) if isinstance(given, dict) else {}
    if isinstance(config.get("num_classes"), int):
        arguments.setdefault("num_classes", config["num_classes"])
    arguments = {name: value for name, value in arguments.items() if name not in READING_ARGUMENTS}
    published = config.get("pretrained_cfg")
    mean, std = _read_normalization(published if isinstance(published, dict) else {}, "mean", "std")
    network = _call(reference, lambda **kwargs: timm.create_model(name, **kwargs), arguments)
    return LibraryModel(network, mean, std, has_weights=True)


def _build_hub_transformers(reference: ObjectReference, config: Mapping[str, Any]) -> LibraryModel:
    transformers = _import("transformers", reference.text)
    if not any(str(name).endswith("ForImageClassification") for name in config["architectures"]):
        raise ModelError(
            f"{reference.text}: is a {', '.join(map(str, config['architectures']))}; dimple measures networks of the "
            "kind ForImageClassification"
        )
    if "auto_map" in config:
        raise ModelError(f"{reference.text}: brings code of its own, which is not run; name the code as file.py:OBJECT")

    def build(**_kwargs: Any) -> nn.Module:
        settings = transformers.AutoConfig.for_model(**config)
        return Logits(transformers.AutoModelForImageClassification.from_config(settings))

    network = _call(reference, build, {})
    try:
        text = read_hub_file(reference.name, HUB_PREPROCESSOR).read_text(encoding="utf-8")
        preprocessor = json.loads(text)
    except (ModelError, OSError, ValueError):
        preprocessor = {}
    mean, std = _read_normalization(preprocessor if isinstance(preprocessor, dict) else {}, "image_mean", "image_std")
    return LibraryModel(network, mean, std, has_weights=True)


def _build_robustbench(reference: ObjectReference, _: tuple[int, ...] | None, __: int | None) -> LibraryModel:
    """Build a network of RobustBench, which normalizes images itself, with the weights of a local folder."""
    file, dataset, threat_model = find_robustbench_file(reference)
    zoo = _import_robustbench(reference.text)
    models: Mapping[str, Any] = next(
        (
            names
            for data, threats in zoo.model_dicts.items()
            for threat, names in threats.items()
            if (_word(data), _word(threat)) == (dataset, threat_model)
        ),
        {},
    )
    if reference.name not in models:
        _refuse_unknown(reference, list(models))
    entry = models[reference.name]
    if not callable(entry.get("model")) or isinstance(entry.get("gdrive_id"), list):
        raise ModelError(
            f"{reference.text}: is an ensemble of several files, or a network of timm; name its code as file.py:OBJECT"
        )
    network = _call(reference, entry["model"], {}, with_arguments=False)
    key = _robustbench_key(reference.name)
    _keep_constants(network, {name.rpartition(".")[2] for name in read_weights(file, key)})
    load_weights(network, file, key)
    return LibraryModel(network, has_weights=True)


def _keep_constants(network: nn.Module, in_file: set[str]) -> None:
    """Leave the normalization that an architecture has, and some files lack, out of what a file must have."""
    for module in network.modules():
        for name in dict(module.named_buffers(recurse=False)):
            if name in NORMALIZATION_BUFFERS and name not in in_file:
                module._non_persistent_buffers_set.add(name)


def _import_robustbench(text: str) -> Any:
    """Import the zoo without the rest of the package, which needs libraries for attacks and downloads."""
    package = "robustbench"
    found = importlib.util.find_spec(package)
    if package not in sys.modules and found is not None and found.submodule_search_locations is not None:
        parent = ModuleType(package)
        parent.__path__ = list(found.submodule_search_locations)
        sys.modules[package] = parent
        try:
            return _import(f"{package}.model_zoo.models", text)
        finally:
            sys.modules.pop(package, None)
    return _import(f"{package}.model_zoo.models", text)


def _robustbench_key(name: str) -> str | None:
    """Return the key of the state dict that the package takes from the files of some networks."""
    return "last" if "Kireev2021Effectiveness" in name or name == "Andriushchenko2020Understanding" else None


def _word(value: Any) -> str:
    return str(getattr(value, "value", value))


def _read_normalization(
    settings: Mapping[str, Any], mean_name: str, std_name: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of settings, both empty unless they are as many numbers."""
    found = []
    for name in (mean_name, std_name):
        values: Any = settings.get(name)
        is_list = isinstance(values, list | tuple) and all(isinstance(value, int | float) for value in values)
        found.append(tuple(float(value) for value in values) if is_list else ())
    mean, std = found
    return (mean, std) if len(mean) == len(std) and all(value > 0 for value in std) else ((), ())


def _call(
    reference: ObjectReference, build: Callable[..., Any], defaults: Mapping[str, Any], with_arguments: bool = True
) -> nn.Module:
    """Return the network that a function of a library builds from the arguments of a reference."""
    args = reference.args if with_arguments else ()
    kwargs = {**defaults, **reference.kwargs} if with_arguments else {}
    try:
        # The weights that a library draws do not depend on what was drawn before.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            network = build(*args, **kwargs)
    except (Exception, SystemExit) as error:
        raise ModelError(f"model {format_value(reference.text)} cannot be built: {describe_cause(error)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"model {format_value(reference.text)} is a {type(network).__name__}; name a network")
    return network


def _refuse_unknown(reference: ObjectReference, names: list[str]) -> None:
    listed = f"it has {', '.join(sorted(names)[:10])}{', ...' if len(names) > 10 else ''}"
    raise UsageError(
        f"model {format_value(reference.text)}: {reference.source} has no network {reference.name!r}; "
        f"{suggest_word(reference.name, names, listed)}"
    )


def _import(module: str, text: str) -> Any:
    """Import a library, or say how to install it."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise DeviceError(
            f"{text} needs {module.partition('.')[0]}, which cannot be imported ({describe_cause(error)}); install "
            "it for the torch that is there"
        ) from error


class Logits(nn.Module):
    """A network of transformers, whose output has its scores under `logits`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(B, C, H, W)` to scores `(B, K)`."""
        scores: Tensor = self.module(x).logits
        return scores


def normalized(model: LibraryModel) -> nn.Module:
    """Return a network whose weights come with its name, behind the normalization that they were trained with."""
    if not (model.has_weights and model.mean):
        return model.network
    return NormalizedModel(model.mean, model.std, model.network)


_BUILDERS: dict[str, Callable[[ObjectReference, tuple[int, ...] | None, int | None], LibraryModel]] = {
    "hf": _build_hub,
    "robustbench": _build_robustbench,
    "timm": _build_timm,
    "torchvision": _build_torchvision,
}
