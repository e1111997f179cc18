"""Weights into modules, all or nothing: every tensor wanted is there, and nothing else is.

Memory   one tensor at a time is read, converted and let go of; where nothing is to be converted the
         module keeps the view of the file. At the peak that is the model and one tensor
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from latentgeo.models.formats.files.source import Shape, Source

SHOWN = 20  # problems that an error lists before it only counts


@dataclass(frozen=True)
class Stored:
    """How a file has one of our tensors: under which name, in which shape, and which part of it."""

    name: str
    shape: Shape  # of all that the file has under this name
    part: tuple[int, int] = (0, 1)  # (i, n): the i-th of n equal parts along the first axis
    transposed: bool = False

    def of(self, tensor: Tensor) -> Tensor:
        """Return our tensor, of the one that the file has; a view where it can be one."""
        i, count = self.part
        value = tensor.chunk(count)[i] if count > 1 else tensor
        return value.T.contiguous() if self.transposed else value


Layout = Mapping[str, Stored]  # by our own names


def own_layout(
    state: Mapping[str, Tensor], names: Callable[[str], str] = lambda name: name
) -> Layout:
    """Return the layout that has a state's tensors in their own shapes, under other names."""
    return {key: Stored(names(key), tuple(value.shape)) for key, value in state.items()}


def problems(
    source: Source, layout: Layout, ignored: Callable[[str], bool] = lambda name: False
) -> list[str]:
    """Return what keeps a file from filling a layout: other shape or kind, missing, unexpected."""
    wanted = {stored.name: stored.shape for stored in layout.values()}
    found = source.entries
    other = []
    for name, shape in wanted.items():
        if name in found and found[name].shape != shape:
            other.append(f"{name} is {found[name].shape}, wanted {shape}")
        elif name in found:
            other += no_weight(name, found[name].dtype)
    missing = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in found]
    unexpected = [
        f"unexpected {name} {entry.shape}"
        for name, entry in found.items()
        if name not in wanted and not ignored(name)
    ]
    return [*other, *missing, *unexpected]


def no_weight(name: str, dtype: torch.dtype) -> list[str]:
    """Return why a tensor cannot become a weight, as a list of one problem, or of none."""
    right = dtype.is_floating_point
    return [] if right else [f"{name} is {dtype}, wanted a floating-point tensor"]


def refuse(where: object, said: Sequence[str], hint: str = "") -> None:
    """Raise ValueError if there are problems: the first of them, and how many there are."""
    if said:
        more = f"; and {len(said) - SHOWN} more, {len(said)} in all" if len(said) > SHOWN else ""
        raise ValueError(f"{where} does not fit: {hint}{'; '.join(said[:SHOWN])}{more}")


def fill(
    module: nn.Module,
    source: Source,
    layout: Layout,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    given: Mapping[str, Tensor] | None = None,
) -> None:
    """Give a module, also one on the meta device, the weights that `problems` found no fault with.

    `dtype` None keeps each tensor's own; `given` are those that the file leaves out. Warns of
    tensors with NaN or infinite values, by name.
    """
    own = {key: value.shape for key, value in module.state_dict().items()}
    last = {stored.name: key for key, stored in layout.items()}  # of those that share a tensor
    state, odd = dict(given or {}), []
    for key, stored in layout.items():
        tensor = source.read(stored.name)
        part = stored.of(tensor)
        value = part.to(device=device, dtype=dtype or tensor.dtype).reshape(own[key])
        copied = value.device != tensor.device or storage_of(value) != storage_of(tensor)
        del tensor, part
        if copied and last[stored.name] == key:
            source.drop(stored.name)
        if fault := fault_of(value):
            odd.append(f"{stored.name} has {fault}")
        state[key] = value
    warn(source.path, odd)
    module.load_state_dict(state, assign=True)


def as_stored(state: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Return a state as a file of that layout has it: other names and shapes, parts joined."""
    parts: dict[str, dict[int, Tensor]] = {}
    for key, stored in layout.items():
        value = state[key].T if stored.transposed else state[key]
        parts.setdefault(stored.name, {})[stored.part[0]] = value
    whole = {stored.name: stored.shape for stored in layout.values()}
    return {
        name: (torch.cat([found[i] for i in sorted(found)]) if len(found) > 1 else found[0])
        .reshape(whole[name])
        .contiguous()
        for name, found in parts.items()
    }


def storage_of(value: Tensor) -> int:
    """Return where the memory of a tensor begins, the same for all views of one."""
    return value.untyped_storage().data_ptr()


def fault_of(value: Tensor) -> str:
    """Return in words how many values of a tensor are NaN or infinite, or nothing if none are.

    A finite sum tells, many times faster than a look at each value; where it is not finite, which
    large values can do too, the least and the greatest tell, and then they are counted.
    """
    value = value.float() if value.dtype.itemsize == 1 else value
    if not value.numel() or value.sum().isfinite():
        return ""
    if all(extreme.isfinite() for extreme in value.aminmax()):
        return ""
    counts = {"NaN": int(value.isnan().sum()), "infinite": int(value.isinf().sum())}
    said = " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{said} values"


def warn(path: Path, odd: Sequence[str]) -> None:
    """Warn of tensors that no network could use, in one warning for the file."""
    if odd:
        more = f"; and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
        warnings.warn(f"{path}: {'; '.join(odd[:SHOWN])}{more}", stacklevel=3)
