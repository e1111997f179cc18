"""The tensors of a TorchScript archive, and nothing of its program: no code of the file runs.

Layout   a zip file of `data.pkl`, a pickle of the tree of modules; `data/N`, the bytes of each
         tensor; `code/`, the program; constants
Safety   a pickle is a program, too, and this one names classes that only the archive's own code
         defines, so that PyTorch's unpickler of weights refuses it. Here none runs: `pickletools`
         lists its opcodes, and the 25 that TorchScript's writer uses are followed with texts,
         numbers and plain containers. A class is a name that is never looked up, a call makes a
         record of what it would have been called with. The only calls admitted are those that
         rebuild a tensor of 32-bit floats or a list of numbers. Every function here raises
         ValueError for all else
"""

import math
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.models.formats.files.pickle import WAY_OUT
from latentgeo.models.formats.files.source import Entry, Shape

MARK = object()
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = {"BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE"}
TENSOR, ORDERED = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
NUMBERS = "torch.jit._pickle build_intlist"
STORAGES = {"torch FloatStorage": torch.float32}
LONGEST_TREE = 16 << 20  # bytes
PROGRAM = "__torch__."  # what the archive's own classes begin with


@dataclass(frozen=True)
class Name:
    """A class or function that the pickle names; nobody looks it up."""

    text: str


@dataclass(frozen=True)
class Block:
    """The bytes of a tensor: a member of the archive, what it holds, and how many."""

    member: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class View:
    """A tensor: its block and shape."""

    block: Block
    shape: Shape


@dataclass
class Module:
    """A module: its attributes by name."""

    attributes: dict[str, object] = field(default_factory=dict)


class ScriptFile:
    """The parameters and buffers of a TorchScript archive, by their dotted names.

    Raises ValueError that says what the archive has beyond modules, tensors and numbers, or what is
    missing from it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, str] = {}
        try:
            self._archive = zipfile.ZipFile(path)
            self._sizes = {info.filename: info.file_size for info in self._archive.infolist()}
            self._root = next(iter(self._sizes), "").partition("/")[0]
            self._views = dict(tensors(follow(self._pickle()), ""))
            for name, view in self._views.items():
                self._check(name, view)
        except Exception as error:  # of zip, of the opcodes, or ours: an archive that is not read
            raise ValueError(
                f"{path} is a TorchScript archive that is not read: {error}; {WAY_OUT}"
            ) from None
        self.entries = {n: Entry(view.block.dtype, view.shape) for n, view in self._views.items()}

    def read(self, name: str) -> Tensor:
        """Return a tensor; ValueError if the zip file's checksum says that it is damaged."""
        view = self._views[name]
        try:
            data = bytearray(self._archive.read(self._member(view)))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{self.path}: {name} is damaged: {error}") from None
        return torch.frombuffer(data, dtype=view.block.dtype).reshape(view.shape)

    def drop(self, name: str) -> None:
        """Nothing is kept that could be dropped."""

    def _pickle(self) -> bytes:
        """Return the tree's pickle, if it is no larger than a tree can be."""
        name = f"{self._root}/data.pkl"
        if not 0 < self._sizes.get(name, 0) <= LONGEST_TREE:
            raise ValueError(f"{name} has {self._sizes.get(name)} bytes")
        return self._archive.read(name)

    def _member(self, view: View) -> str:
        return f"{self._root}/data/{view.block.member}"

    def _check(self, name: str, view: View) -> None:
        """Raise unless a tensor is all of a member of its size."""
        wanted = view.block.count * view.block.dtype.itemsize
        found = self._sizes.get(self._member(view))
        if math.prod(view.shape) != view.block.count or found != wanted:
            raise ValueError(f"{name} is {view.shape} of {wanted} bytes, and {found} are there")


def tensors(module: object, prefix: str) -> Iterator[tuple[str, View]]:
    """Yield the tensors of a tree of modules under their dotted names."""
    if not isinstance(module, Module):
        raise ValueError(f"{prefix or 'the whole'} is no module")
    for name, value in module.attributes.items():
        if isinstance(value, View):
            yield prefix + name, value
        elif isinstance(value, Module):
            yield from tensors(value, f"{prefix}{name}.")


def follow(pickle: bytes) -> object:
    """Return what a pickle of TorchScript describes, by following its opcodes one by one."""
    stack: list[object] = []
    memo: dict[object, object] = {}
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name == "STOP":
            break
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            if isinstance(memo[argument], dict | Module):  # of which a tree could be endless
                raise ValueError("it has one module in several places")
            stack.append(memo[argument])
        elif opcode.name == "GLOBAL":
            stack.append(Name(str(argument)))
        elif opcode.name in VALUES:
            stack.append(argument)
        elif opcode.name in CONSTANTS:
            stack.append(CONSTANTS[opcode.name])
        elif opcode.name != "PROTO":
            build(opcode.name, stack)
    (found,) = stack
    return found


def build(opcode: str, stack: list[object]) -> None:
    """Do to the stack what an opcode that makes or changes a container asks for."""
    if opcode == "MARK":
        stack.append(MARK)
    elif opcode.startswith("EMPTY_"):
        stack.append({"EMPTY_TUPLE": (), "EMPTY_LIST": [], "EMPTY_DICT": {}}[opcode])
    elif opcode == "TUPLE":
        stack.append(tuple(above_mark(stack)))
    elif opcode in ("APPENDS", "SETITEMS"):
        items, onto = above_mark(stack), stack[-1]
        if isinstance(onto, list) and opcode == "APPENDS":
            onto.extend(items)
        elif isinstance(onto, dict) and opcode == "SETITEMS":
            onto.update(zip(items[::2], items[1::2], strict=True))
    elif opcode == "BINPERSID":
        stack.append(block(stack.pop()))
    elif opcode in ("NEWOBJ", "REDUCE", "BUILD"):
        argument, onto = stack.pop(), stack.pop()
        stack.append({"NEWOBJ": new, "REDUCE": call, "BUILD": filled}[opcode](onto, argument))
    else:
        raise ValueError(f"its pickle has the opcode {opcode}")


def above_mark(stack: list[object]) -> list[object]:
    """Take what lies above the last mark off the stack, and the mark."""
    at = len(stack) - 1 - stack[::-1].index(MARK)
    items = stack[at + 1 :]
    del stack[at:]
    return items


def block(identity: object) -> Block:
    """Return the bytes that ("storage", kind, member, device, count) stands for."""
    match identity:
        case ("storage", Name(text=kind), str(member), str(), int(count)) if kind in STORAGES:
            return Block(member, STORAGES[kind], count)
    raise ValueError(f"it stores {identity!r}, wanted 32-bit floats")


def new(kind: object, arguments: object) -> Module:
    """Return an empty module for a class of the archive."""
    if not isinstance(kind, Name) or not kind.text.startswith(PROGRAM) or arguments != ():
        raise ValueError(f"it makes an object of {kind!r}")
    return Module()


def filled(module: object, attributes: object) -> Module:
    """Return a module with its attributes."""
    if not isinstance(module, Module) or not isinstance(attributes, dict):
        raise ValueError("it sets attributes of what is no module")
    return Module(attributes)


def call(function: object, arguments: object) -> object:
    """Return what a call would have made, of the three that are admitted."""
    match function, arguments:
        case (Name(text=name), (Block() as stored, 0, tuple(shape), tuple(strides), _, _)) if (
            name == TENSOR and strides == in_rows(shape)
        ):
            return View(stored, shape)
        case (Name(text=name), (list(numbers),)) if name == NUMBERS:
            return tuple(numbers)
        case (Name(text=name), ()) if name == ORDERED:
            return ()  # a tensor's hooks, of which there are none
    raise ValueError(f"it calls {function!r}")


def in_rows(shape: Shape) -> Shape:
    """Return the strides of a tensor whose numbers lie one behind the other."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
