# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# ruff: noqa: D102  (what the methods of an autograd function do is in its docstring and the header)
"""Activation checkpointing that pays under a double backward: blocks keep their inputs alone.

A block y = f(p), p its inputs and weights, is computed without a graph, and again in every pass
that needs it. PyTorch's own checkpointing does this for y only: a pass that is to be differentiated
itself (`create_graph`) keeps all that it recomputes, which is the memory that was to be saved. Here
the vector-Jacobian product Jᵀu is a function that keeps its inputs (u, p) alone, too.

Backward   of y, with cotangent u: Jᵀu, from a forward pass of its own
           of Jᵀu, with cotangent t: J t in u and ∇_p ⟨u, J t⟩ in p, from a graph of both passes
Orders     first and second; a third raises `RuntimeError`. Duals (core/dual.py) pass through as one
           tensor, so forward mode has its graph in y's first order
Memory     inputs of all blocks, cotangents of all blocks if the pass is differentiated, and the
           graph of one block
Limits     f has no randomness and changes nothing; it runs under the autocast it was called in
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd import Function

from latentgeo.core.dual import Dual
from latentgeo.kernels.wiring.dispatch import autocasting
from latentgeo.kernels.wiring.duals import stacked, transforming
from latentgeo.kernels.wiring.wanted import needed, note_tensors
from latentgeo.models.layers import AttentionBlock, ResnetBlock
from latentgeo.models.transformer import TransformerBlock

BLOCKS = (ResnetBlock, TransformerBlock, AttentionBlock)  # where a UNet's activations are
Run = Callable[..., Tensor]


def recompute_blocks(network: nn.Module) -> int:
    """Have the network's blocks keep their inputs alone from now on; return how many there are.

    Names, weights, outputs and gradients stay as they are. Raises ValueError if there is no block.
    """
    blocks = [module for module in network.modules() if isinstance(module, BLOCKS)]
    if not blocks:
        kinds = ", ".join(kind.__name__ for kind in BLOCKS)
        raise ValueError(f"{type(network).__name__} has no block to recompute: none of {kinds}")
    for block in blocks:
        vars(block)["forward"] = _Recomputing(block, block.forward)  # before that of its class
    return len(blocks)


class _Recomputing:
    """A block's forward pass, in the place of its own method."""

    def __init__(self, block: nn.Module, forward: Run) -> None:
        self.block, self.original = block, forward

    def __call__(self, *args: Tensor | None) -> Tensor:
        """Return the block's output, with a graph that holds its inputs alone."""
        if not torch.is_grad_enabled() or transforming():
            return self.original(*args)
        weights = [weight for weight in self.block.parameters() if weight.requires_grad]
        duals = [isinstance(arg, Dual) for arg in args]
        tensors = [stacked(arg) for arg in args if arg is not None]
        run = _under_autocast(self._on_tensors(args, duals), tensors[0].device)
        y = Recomputed.apply(run, len(tensors), *tensors, *weights)
        return Dual(y) if any(duals) else y

    def _on_tensors(self, args: tuple[Tensor | None, ...], duals: list[bool]) -> Run:
        """Return the pass as a function of the stacked tensors among its arguments."""
        places = [i for i, arg in enumerate(args) if arg is not None]

        def run(*tensors: Tensor) -> Tensor:
            filled: list[Tensor | None] = [None] * len(args)
            for i, tensor in zip(places, tensors, strict=True):
                filled[i] = Dual(tensor) if duals[i] else tensor
            return stacked(self.original(*filled))

        return run


def _under_autocast(run: Run, device: torch.device) -> Run:
    """Return `run` in the autocast of now, whenever it is called.

    Without autocast's cache: casts that were made without a graph would be found again with one.
    """
    if not autocasting(device):
        return run
    dtype = torch.get_autocast_dtype(device.type)

    def cast(*tensors: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype, cache_enabled=False):
            return run(*tensors)

    return cast


class Recomputed(Function):
    """(run, count, *inputs, *weights) -> y = f(p); `count` inputs, the rest is in the block."""

    @staticmethod
    def forward(run, count, *point):
        return run(*point[:count])

    @staticmethod
    def setup_context(ctx, inputs, output):
        note_tensors(ctx, inputs)
        ctx.run, ctx.count, *point = inputs
        ctx.save_for_backward(*point)

    @staticmethod
    def backward(ctx, u):
        wanted = tuple(needed(ctx)[2:])
        return None, None, *Pulled.apply(ctx.run, ctx.count, wanted, u, *ctx.saved_tensors)


class Pulled(Function):
    """(run, count, wanted, u, *inputs, *weights) -> Jᵀu, None where not wanted."""

    @staticmethod
    def forward(run, count, wanted, u, *point):
        asked, y = _traced(run, count, wanted, point)
        return _spread(torch.autograd.grad(y, asked, u, allow_unused=True), wanted)

    @staticmethod
    def setup_context(ctx, inputs, output):
        note_tensors(ctx, inputs)
        ctx.run, ctx.count, ctx.wanted, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, *t):
        if torch.is_grad_enabled():
            raise RuntimeError("a recomputed block has first and second derivatives: none beyond")
        u, *point = ctx.saved_tensors
        _, _, _, to_u, *to_point = needed(ctx)
        traced = tuple(a or b for a, b in zip(ctx.wanted, to_point, strict=True))
        asked, y = _traced(ctx.run, ctx.count, traced, point)
        by_place = _spread(asked, traced)
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            pairs = [(p, t) for p, t in zip(by_place, t, strict=True) if t is not None]
            pulled = torch.autograd.grad(
                y, [p for p, _ in pairs], u, create_graph=True, allow_unused=True
            )
            joined = [(g, t) for g, (_, t) in zip(pulled, pairs, strict=True) if g is not None]
        targets = [
            *([u] if to_u else []),
            *[p for p, w in zip(by_place, to_point, strict=True) if w],
        ]
        grads = torch.autograd.grad(
            [g for g, _ in joined], targets, [t for _, t in joined], allow_unused=True
        )
        return None, None, None, *_spread(grads, (to_u, *to_point))


def _traced(run, count, wanted, point):
    """Return the wanted among inputs and weights, the inputs as leaves, and y with its graph."""
    inputs = [
        x.detach().requires_grad_(asked)
        for x, asked in zip(point[:count], wanted[:count], strict=True)
    ]
    with torch.enable_grad():
        y = run(*inputs)
    tensors = [*inputs, *point[count:]]
    return [x for x, asked in zip(tensors, wanted, strict=True) if asked], y


def _spread(found, wanted):
    """Return the tensors found, at the places that are wanted, and None at the others."""
    rest = iter(found)
    return tuple(next(rest) if asked else None for asked in wanted)
