"""Names of objects that stand beside the weights in a torch file, and of which nothing is kept."""

import re

# Settings, paths, dates, numbers of numpy, random states. Their
# names alone are known here; nothing is imported or called.
_COMPANIONS: dict[str, tuple[str, ...]] = {
    "_codecs": ("encode",),
    "addict.addict": ("Dict",),
    "argparse": ("Namespace",),
    "box.box": ("Box",),
    "box.box_list": ("BoxList",),
    # By `getattr` an enum value may be named.
    **dict.fromkeys(("builtins", "__builtin__"), (
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int", "list", "long",
        "object", "set", "slice", "str", "tuple", "unicode",
    )),
    "collections": ("Counter", "defaultdict", "deque"),
    "copy_reg": ("_reconstructor",),
    "copyreg": ("_reconstructor",),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "easydict": ("EasyDict",),
    "fractions": ("Fraction",),
    "ml_collections.config_dict.config_dict": ("ConfigDict", "FieldReference"),
    "numpy": ("bool_", "dtype", "float16", "float32", "float64", "int32", "int64", "ndarray", "uint8"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy.random": ("Generator", "RandomState"),
    "numpy.random.bit_generator": ("SeedSequence", "__pyx_unpickle_SeedSequence"),
    "numpy.random._mt19937": ("MT19937",),
    "numpy.random._pcg64": ("PCG64",),
    "numpy.random._pickle": ("__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"),
    "omegaconf.base": ("Container", "ContainerMetadata", "Metadata", "Node", "SCMode"),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.nodes": (
        "AnyNode", "BooleanNode", "BytesNode", "EnumNode", "FloatNode", "IntegerNode", "InterpolationResultNode",
        "PathNode", "StringNode", "UnionNode",
    ),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "pathlib._local": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "torch": ("Tensor", "device", "Generator"),
    "torch.nn.parameter": ("Buffer", "Parameter"),
    "torch.serialization": ("_get_layout",),
    "torch.torch_version": ("TorchVersion",),
    "torchvision.transforms.functional": ("InterpolationMode",),
    "transformers.trainer_utils": ("HubStrategy", "IntervalStrategy", "SaveStrategy", "SchedulerType"),
    "transformers.training_args": ("OptimizerNames", "TrainingArguments"),
    "types": ("SimpleNamespace",),
    "typing": ("Any", "Dict", "List", "Optional", "Tuple", "Union"),
    "uuid": ("UUID",),
    "yacs.config": ("CfgNode",),
}  # fmt: skip
# Lightning has had three names; its hyperparameters and the states of its callbacks have these.
_LIGHTNING = {
    "callbacks.early_stopping": ("EarlyStopping",),
    "callbacks.model_checkpoint": ("ModelCheckpoint",),
    "fabric.utilities.data": ("AttributeDict",),
    "trainer.states": ("RunningStage", "TrainerFn", "TrainerStatus"),
    "utilities.parsing": ("AttributeDict",),
}
_NAMES = frozenset(
    f"{module}.{name}"
    for module, names in (
        *_COMPANIONS.items(),
        *((f"{package}.{part}", names) for package in ("lightning", "lightning.pytorch", "pytorch_lightning")
          for part, names in _LIGHTNING.items()),
        ("lightning_fabric.utilities.data", ("AttributeDict",)),
    )
    for name in names
)  # fmt: skip
# Names of types of tensors and of quantization.
_PATTERN = re.compile(r"torch\.(cuda\.)?(sparse\.)?\w+Tensor|torch\.per_\w+")


def is_companion(name: str) -> bool:
    """Return whether a name of a pickle is that of a harmless companion of weights.

    Example:
        >>> is_companion("argparse.Namespace"), is_companion("torch.cuda.HalfTensor"), is_companion("os.system")
        (True, True, False)
    """
    return name in _NAMES or _PATTERN.fullmatch(name) is not None
