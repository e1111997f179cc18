"""An operator with its derivatives: of plain tensors, of dual numbers, inside torch.compile."""

from __future__ import annotations

import torch
from torch import Tensor

from latentgeo.kernels.wiring import compiled, duals
from latentgeo.kernels.wiring.autograd import Primal, jvp
from latentgeo.kernels.wiring.op import Choice
from latentgeo.kernels.wiring.paired import Paired


def _on_duals(op: Choice, *operands: Tensor) -> Tensor:
    """Return (y, y_dot) stacked, for operands some of which are dual numbers."""
    primals, t = duals.parts(operands)
    if all(x is None for x in t[1:]) and not duals.transforming():
        return Paired.apply(op, duals.stacked(operands[0]), *operands[1:])[0]
    y, *reused = Primal.apply(op, *primals)
    y_dot = jvp(op, [*primals, *reused], t)
    return torch.cat([y, torch.zeros_like(y) if y_dot is None else y_dot])


@duals.by_hand(_on_duals)
def differentiable(op: Choice, *operands: Tensor) -> Tensor:
    """Return y (P, …), with its derivatives of both orders, of operands (P, …).

    Inside torch.compile, which drops the derivatives of custom functions in silence, y is that of
    an operator of `compiled.py` where kernels run, and elsewhere of the plain operations of the
    reference, with PyTorch's derivatives of them.
    """
    if torch.compiler.is_compiling():
        if compiled.fits(op.name, operands[0]):
            return compiled.primal(op.name, op.numbers, list(operands))[0]
        return op.reference.composed(*operands)
    return Primal.apply(op, *operands)[0]
