"""Reader of the files of `torch.save`, which builds containers and tensors itself and runs no code of the file.

A torch file is a pickle with the raw numbers beside it. The interpreter here knows the opcodes and the names that a
state dict needs: everything else is refused or left out, so that a short file cannot become large or slow.
"""

import dataclasses
import io
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor

from dimple.networks.pickled_names import is_companion
from dimple.settings import format_value

# Of a file: a list of a million numbers is read in three seconds.
MAX_OPCODES = 2_000_000
# The tensors of a file may share numbers, as weights that are tied do, but not grow without limit.
MAX_GROWTH = 4
FREE_BYTES = 2**26
DTYPES: dict[str, torch.dtype] = {
    f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)
}
STORAGE_DTYPES: dict[str, torch.dtype] = {
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.BoolStorage": torch.bool,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.QInt32Storage": torch.qint32,
    "torch.QInt8Storage": torch.qint8,
    "torch.QUInt8Storage": torch.quint8,
    "torch.ShortStorage": torch.int16,
    "torch.storage.UntypedStorage": torch.uint8,
}
# Tensors that are not an array of numbers.
SPECIAL_TENSORS = frozenset(
    f"torch._utils.{name}"
    for name in (
        "_rebuild_device_tensor_from_cpu_tensor",
        "_rebuild_device_tensor_from_numpy",
        "_rebuild_meta_tensor_no_storage",
        "_rebuild_nested_tensor",
        "_rebuild_qtensor",
        "_rebuild_sparse_csr_tensor",
        "_rebuild_sparse_tensor",
        "_rebuild_wrapper_subclass",
    )
)


class UnknownNameError(ValueError):
    """A pickle that imports an object which no state dict needs.

    Attributes:
        name: of the object, such as `os.system`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@final
@dataclasses.dataclass(frozen=True)
class Storage:
    """The numbers of one or several tensors, by their key in the file."""

    key: str
    dtype: torch.dtype
    count: int


@final
@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file that has not been read yet.

    Attributes:
        dtype, shape: those of the tensor.
        stride, offset: the places of its numbers in the storage.
        storage: the numbers; None for a tensor that is sparse, quantized, nested or without data.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()
    offset: int = 0
    storage: Storage | None = None

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of its numbers, were they written out."""
        count = self.dtype.itemsize
        for side in self.shape:
            count *= side
        return count

    @property
    def is_within_storage(self) -> bool:
        """Return whether all of its numbers are in the storage, and are no more than that has."""
        if self.storage is None or len(self.stride) != len(self.shape) or min(self.shape, default=0) < 0:
            return False
        places = [(side - 1) * step for side, step in zip(self.shape, self.stride, strict=True)]
        last = self.offset + sum(places)
        is_inside = self.offset >= 0 and min(self.stride, default=0) >= 0 and last < self.storage.count
        size = self.storage.count * self.storage.dtype.itemsize
        return 0 in self.shape or (is_inside and self.nbytes <= size)


@final
@dataclasses.dataclass(frozen=True)
class ParsedFile:
    """The content of a weights file.

    Attributes:
        root: the saved value; a tensor of a torch file is a `StoredTensor`, an object of another library is None.
        read: returns the bytes of a storage, in files that have some.
        script_class: the first class that the script defined which saved the file, such as `__main__.Mode`; its objects
            are None, as those of other libraries. Empty without one.
    """

    root: Any
    read: Callable[[Storage], memoryview] = lambda _: memoryview(b"")
    script_class: str = ""

    def load(self, stored: StoredTensor, buffers: dict[str, bytearray]) -> Tensor:
        """Return a tensor of the file, which shares its numbers with those of the same storage in `buffers`.

        Raises:
            ValueError: if the file does not have its numbers.
        """
        storage = stored.storage
        if storage is None or 0 in stored.shape:
            return torch.empty(stored.shape, dtype=stored.dtype)
        if storage.key not in buffers:
            content = self.read(storage)
            if len(content) < storage.count * storage.dtype.itemsize:
                raise ValueError(f"its storage {format_value(storage.key)} is cut short")
            buffers[storage.key] = bytearray(content)
        numbers = torch.frombuffer(buffers[storage.key], dtype=stored.dtype)
        return numbers.as_strided(stored.shape, stored.stride, stored.offset).contiguous()


def parse_torch_zip(archive: zipfile.ZipFile) -> ParsedFile:
    """Return the content of a torch file that is a zip archive.

    Raises:
        UnknownNameError: if it imports an object that no state dict needs.
        ValueError: if it is damaged.
    """
    pickled = next(name for name in archive.namelist() if name.split("/")[-1] == "data.pkl")
    folder = pickled.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("its numbers have the byte order of another machine")

    def read(storage: Storage) -> memoryview:
        try:
            return memoryview(archive.read(f"{folder}data/{storage.key}"))
        except KeyError:
            raise ValueError(f"its storage {format_value(storage.key)} is missing") from None

    interpreter = _Interpreter()
    root = interpreter.run(io.BytesIO(archive.read(pickled)))
    return ParsedFile(root, read, interpreter.script_class)


def parse_legacy_torch(content: bytes) -> ParsedFile:
    """Return the content of a torch file of the old format: five pickles, and then the numbers of each storage.

    Raises:
        UnknownNameError: if it imports an object that no state dict needs.
        ValueError: if it is damaged.
    """
    stream = io.BytesIO(content)
    interpreter = _Interpreter()
    # The magic number, the version, and the system.
    for _ in range(3):
        interpreter.run(stream)
    root = interpreter.run(stream)
    keys = interpreter.run(stream)
    if not isinstance(keys, list) or not all(key in interpreter.storages for key in keys):
        raise ValueError("its list of storages is damaged")
    parts: dict[str, memoryview] = {}
    view = memoryview(content)
    for key in keys:
        size = int.from_bytes(stream.read(8), "little") * interpreter.storages[key].dtype.itemsize
        start = stream.tell()
        parts[key] = view[start : start + size]
        stream.seek(start + len(parts[key]))

    def read(storage: Storage) -> memoryview:
        if storage.key not in parts:
            raise ValueError(f"its storage {format_value(storage.key)} is missing")
        return parts[storage.key]

    return ParsedFile(root, read, interpreter.script_class)


# A constructor that a pickle may call, by its name; the others that it may name give None.
_Constructor = Callable[[tuple[Any, ...]], Any]


@final
class _Interpreter:
    """Interpreter of the opcodes of pickles; an object that is left out is None.

    Attributes:
        storages: those that tensors name, by key.
        script_class: the first class of the script that saved the file.
    """

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self.script_class = ""
        self.opcode_count = 0
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        """Return the value of the pickle that begins here in the stream."""
        self.stack = []
        self.marked = []
        self.memo = {}
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                self.opcode_count += 1
                if self.opcode_count > MAX_OPCODES:
                    raise ValueError(f"it has more than {MAX_OPCODES} entries")
                if opcode.name == "STOP":
                    return self.stack.pop()
                self._apply(opcode.name, argument)
        except (IndexError, KeyError, TypeError, AttributeError, OverflowError):
            raise ValueError("its pickle is damaged") from None
        raise ValueError("its pickle has no end")

    def _apply(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif _ARGUMENT_PATTERN.fullmatch(name):
            self.stack.append(argument)
        elif name in _STORES:
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in _LOADS:
            self.stack.append(self.memo[argument])
        else:
            handler = _HANDLERS.get(name)
            if handler is None:
                raise ValueError(f"its pickle has the opcode {name}")
            handler(self, argument)

    def _items(self) -> list[Any]:
        """Return the values above the last mark, and remove them and the mark."""
        items = self.stack
        self.stack = self.marked.pop()
        return items

    def _mark(self, _: Any) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def _tuple(self, _: Any) -> None:
        items = self._items()
        self.stack.append(tuple(items))

    def _last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _list(self, _: Any) -> None:
        items = self._items()
        self.stack.append(items)

    def _dict(self, _: Any) -> None:
        items = self._items()
        self.stack.append({})
        self._set_items(items)

    def _left_out(self, _: Any) -> None:
        self._items()
        self.stack.append(None)

    def _append(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                # A key that is not a name has no meaning here, and may take long to hash.
                target[key if isinstance(key, str) else object()] = value

    def _import(self, name: str) -> None:
        if name in STORAGE_DTYPES or name.replace("torch.cuda.", "torch.") in STORAGE_DTYPES:
            self.stack.append(STORAGE_DTYPES[name.replace("torch.cuda.", "torch.")])
        elif name in DTYPES:
            self.stack.append(DTYPES[name])
        elif name in _CONSTRUCTORS:
            self.stack.append(_CONSTRUCTORS[name])
        elif is_companion(name):
            self.stack.append(None)
        elif name.startswith("__main__."):
            self.script_class = self.script_class or format_value(name)[1:-1]
            self.stack.append(None)
        else:
            raise UnknownNameError(format_value(name)[1:-1])

    def _call(self, count: int) -> None:
        function, arguments, *_ = self._last(count)
        is_known = any(function is constructor for constructor in _CONSTRUCTORS.values())
        self.stack.append(function(arguments) if is_known and isinstance(arguments, tuple) else None)

    def _load_storage(self, _: Any) -> None:
        persistent = self.stack.pop()
        if persistent[0] == "module":
            # A class of networks, beside which the old format keeps its source.
            self.stack.append(None)
            return
        kind, dtype, key, _location, count, *view = persistent
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str | int) or any(view):
            raise ValueError("its pickle names a storage in an unknown way")
        storage = Storage(str(key), dtype, int(count))
        self.stack.append(self.storages.setdefault(storage.key, storage))


def _make_tensor(arguments: tuple[Any, ...]) -> StoredTensor:
    storage, offset, shape, stride, *rest = arguments
    dtype = next((value for value in rest if isinstance(value, torch.dtype)), storage.dtype)
    if dtype != storage.dtype:
        # The storage of a tensor whose numbers have no storage of their own counts bytes.
        storage = dataclasses.replace(storage, dtype=dtype, count=storage.count // dtype.itemsize)
    numbers = [offset, *shape, *stride]
    if not all(type(number) is int for number in numbers):
        raise ValueError("its pickle has a tensor of unknown shape")
    return StoredTensor(dtype, tuple(shape), tuple(stride), offset, storage)


def _make_parameter(arguments: tuple[Any, ...]) -> Any:
    return arguments[0] if isinstance(arguments[0], StoredTensor) else None


def _make_with_attributes(arguments: tuple[Any, ...]) -> Any:
    """Return a tensor without the attributes that somebody gave it."""
    rebuild, _kind, inner, *_ = arguments
    is_known = rebuild in (_make_tensor, _make_parameter, _make_special) and isinstance(inner, tuple)
    return rebuild(inner) if is_known else None


def _make_special(_: tuple[Any, ...]) -> StoredTensor:
    return StoredTensor(torch.float32, (0,))


def _make_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    pairs = arguments[0] if arguments else []
    return {key: value for key, value in pairs if isinstance(key, str)}


def _make_size(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return arguments[0] if isinstance(arguments[0], tuple) else ()


_CONSTRUCTORS: Mapping[str, _Constructor] = {
    "collections.OrderedDict": _make_dict,
    "torch.Size": _make_size,
    "torch._tensor._rebuild_from_type_v2": _make_with_attributes,
    "torch._utils._rebuild_parameter": _make_parameter,
    "torch._utils._rebuild_parameter_with_state": _make_parameter,
    "torch._utils._rebuild_tensor": _make_tensor,
    "torch._utils._rebuild_tensor_v2": _make_tensor,
    "torch._utils._rebuild_tensor_v3": _make_tensor,
    **dict.fromkeys(SPECIAL_TENSORS, _make_special),
}
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": lambda: None,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
# Opcodes of numbers, texts and bytes, whose value is their argument.
_ARGUMENT_PATTERN = re.compile(
    r"(BIN)?INT[12]?|LONG[14]?|(BIN)?FLOAT|(SHORT_)?(BIN)?(STRING|UNICODE|BYTES)8?|BYTEARRAY8"
)
_STORES = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_LOADS = frozenset(("GET", "BINGET", "LONG_BINGET"))
_HANDLERS: Mapping[str, Callable[[_Interpreter, Any], object]] = {
    "PROTO": lambda _self, _: None,
    "FRAME": lambda _self, _: None,
    "MARK": _Interpreter._mark,
    "TUPLE": _Interpreter._tuple,
    "TUPLE1": lambda self, _: self.stack.append(tuple(self._last(1))),
    "TUPLE2": lambda self, _: self.stack.append(tuple(self._last(2))),
    "TUPLE3": lambda self, _: self.stack.append(tuple(self._last(3))),
    "LIST": _Interpreter._list,
    "DICT": _Interpreter._dict,
    "FROZENSET": _Interpreter._left_out,
    "APPEND": lambda self, _: self._append(self._last(1)),
    "APPENDS": lambda self, _: self._append(self._items()),
    "SETITEM": lambda self, _: self._set_items(self._last(2)),
    "SETITEMS": lambda self, _: self._set_items(self._items()),
    "ADDITEMS": lambda self, _: self._append(self._items()[:0]),
    "POP": lambda self, _: self._last(1),
    "POP_MARK": lambda self, _: self._items(),
    "DUP": lambda self, _: self.stack.append(self.stack[-1]),
    "GLOBAL": lambda self, argument: self._import(argument.replace(" ", ".")),
    "STACK_GLOBAL": lambda self, _: self._import(".".join(self._last(2))),
    "REDUCE": lambda self, _: self._call(2),
    "NEWOBJ": lambda self, _: self._call(2),
    "NEWOBJ_EX": lambda self, _: self._call(3),
    # The state of an object, such as the versions that an OrderedDict of torch carries.
    "BUILD": lambda self, _: self._last(1),
    "BINPERSID": _Interpreter._load_storage,
}
