"""Which gradients a pass of autograd will use.

`ctx.needs_input_grad` says which inputs of a function require a gradient, not which of those the
pass under way was asked for: `torch.autograd.grad(y, x)` wants none of the weights'. PyTorch's own
operators leave out what nobody waits for, by asking the engine; so does this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def note_tensors(ctx: Any, inputs: Sequence[object]) -> None:
    """Remember which inputs are tensors, in `setup_context`."""
    ctx.tensor_places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor)]


def needed(ctx: Any) -> list[bool]:
    """Return for every input whether `backward`, where this is called, has to give a gradient."""
    flags = list(ctx.needs_input_grad)
    edges = ctx.next_functions  # one for every tensor
    if len(edges) == len(ctx.tensor_places):
        for place, (node, _) in zip(ctx.tensor_places, edges, strict=True):
            flags[place] = flags[place] and node is not None and _runs(node)
    return flags


def _runs(node: Any) -> bool:
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:  # of a leaf whose own gradient is asked for
        return True
