"""J v and JᵀJ v by one pass through a map, connected to its weights.

The pass carries the tangent v along, in forward mode, and ends with h = f(x) and s = J v. From h, s
goes back through the graph of x alone, to y = Jᵀs. What both ways recorded is the graph of s and y.

Gradient   of L(s, y), with m = ∂L/∂y and q = ∂L/∂s + J m:   dL = ⟨s, dJ m⟩ + ⟨q, dJ v⟩. Reverse
           mode finds J m beside Jᵀs and sends q back beside J v: x is neither run again for m nor
           for s, and both forms share their way back to x
Units      of one run through linear layers. There, x and v; back, s: 3. Of the gradient J m, the
           way back of q and that of x, and as many products for the weights: 6. In all 9, where
           two JVPs with a graph and a VJP of their own have 2 + 2 + 2 and 8 of the gradient: 14
Limits     f keeps samples apart, and has no layer norm of PyTorch: up to release 2.15 the gradient
           of its forward mode is wrong. latentgeo.kernels has one that is right
Source     differentiated by hand; Iso Eq. 6 is Hahm et al.'s, arXiv 2407.11451
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.graph import Node


def round_trip(f: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return s = J v, like f(x), and y = Jᵀs (B, ...), of x and v, both (B, ...).

    Iso Eq. 6   the products whose lengths are vᵀRv and vᵀRᵀRv, R = JᵀJ on tangents v

    Raises `RuntimeError` for an f with PyTorch's layer norm, `ValueError` for one without x.
    """
    with torch.enable_grad(), forward_ad.dual_level():
        leaf = x.detach().contiguous().requires_grad_()  # an expanded x cannot hold a tangent
        h, s = forward_ad.unpack_dual(f(forward_ad.make_dual(leaf, v.contiguous())))
        if s is None:
            raise ValueError("f: got a value that does not depend on x")
        _refuse_layer_norm(h)
    (y,) = torch.autograd.grad(h, leaf, s, create_graph=True)
    return s, y


def _refuse_layer_norm(h: Tensor) -> None:
    """Raise RuntimeError for a layer norm in the graph of h."""
    seen: set[Node | None] = {None}
    ahead = [h.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        if node.name().startswith("NativeLayerNorm"):
            raise RuntimeError(
                "PyTorch's layer norm has a wrong gradient in forward mode; take that of "
                "latentgeo.kernels.norms.op"
            )
        seen.add(node)
        ahead.extend(child for child, _ in node.next_functions)
