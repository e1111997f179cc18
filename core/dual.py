"""Forward mode with every linear layer run once: a value and its tangent, stacked.

`jvp` gives f a `Dual`, which looks like the primal x (B, ...) and holds (x, ẋ) as one tensor
(2B, ...). What f does to it decides how it goes on:

linear      a convolution, a matrix, a reshape, a sum: one call on both halves together
shifted     a bias, an added constant: on the primal half alone
by hand     a function with an attribute `on_duals`, which takes its arguments with the Duals among
            them and returns (y, ẏ) stacked: the operators of latentgeo.kernels
the rest    PyTorch's forward mode on the two halves, one function at a time

So a network runs as it would on a batch of two, in whatever form is fast for that, and PyTorch's
forward mode, which takes layers one half at a time and norms to pieces, decides little.

Orders    the result has a graph in x, ẋ and the weights: reverse over forward, and further as far
          as the functions go
Limits    f must keep samples apart, as in `linearize.py`. What would change a Dual in place raises
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.utils import _pytree as pytree

from latentgeo.core.precision import widened

Called = Callable[..., Any]
Arguments = tuple[Any, ...]
Options = dict[str, Any]
Rule = Callable[[Called, Arguments, Options], Any]
Y = TypeVar("Y")


class Dual(Tensor):
    """x (B, ...) and its tangent ẋ, of one dtype and device: in shape and type it is x."""

    stacked: Tensor  # (2B, ...): x, then ẋ

    @staticmethod
    def __new__(cls, stacked: Tensor) -> Dual:
        """Make one of (x, ẋ) (2B, ...)."""
        shape = len(stacked) // 2, *stacked.shape[1:]
        self: Dual = Tensor._make_wrapper_subclass(
            cls, shape, dtype=stacked.dtype, device=stacked.device
        )
        self.stacked = stacked
        return self

    @property
    def halves(self) -> tuple[Tensor, Tensor]:
        """x and ẋ, both (B, ...)."""
        primal, tangent = self.stacked.chunk(2)
        return primal, tangent

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Iterable[type], args: Arguments = (), kwargs: Options | None = None
    ) -> Any:
        """Run a function of PyTorch, or of a module that asks, by the rule it has here."""
        rule = RULES.get(func) or (_by_hand if hasattr(func, "on_duals") else _by_forward_mode)
        if func.__name__ == "__get__":  # of x's shape, dtype, device, …
            rule = _of_the_primal
        return rule(func, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # the stub is of an instance's method
        cls, func: Any, types: Any, args: Arguments = (), kwargs: Options | None = None
    ) -> NoReturn:
        """Refuse what found its way around the rules."""
        raise RuntimeError(f"a Dual has no rule for {func}")


def jvp(f: Callable[[Tensor], Y], x: Tensor, tangent: Tensor) -> tuple[Y, Y]:
    """Return f(x) and J ẋ from x and ẋ = tangent, both (B, ...).

    f is called once, with a `Dual`, and returns a tensor (B, ...) or a tuple of them. Raises
    `ValueError` if tangent is not like x.
    """
    if tangent.shape != x.shape or tangent.dtype != x.dtype:
        got, wanted = (f"{tuple(t.shape)} of {t.dtype}" for t in (tangent, x))
        raise ValueError(f"tangent must be like x, {wanted}, got {got}")
    y = f(Dual(torch.cat([x, tangent])))
    return pytree.tree_map(_primal, y), pytree.tree_map(_tangent, y)


def _primal(y: Tensor) -> Tensor:
    return y.halves[0] if isinstance(y, Dual) else y


def _tangent(y: Tensor) -> Tensor:
    return y.halves[1] if isinstance(y, Dual) else torch.zeros_like(y)


class _Shift(Function):
    """Add c to the primal half of a tensor that nobody else holds, in place."""

    @staticmethod
    def forward(stacked: Tensor, c: Tensor) -> Tensor:
        primal = stacked[: len(stacked) // 2]
        primal += c
        return stacked

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.mark_dirty(inputs[0])
        ctx.shape, ctx.dtype = inputs[1].shape, inputs[1].dtype

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        if not ctx.needs_input_grad[1]:
            return grad, None
        primal = grad[: len(grad) // 2]
        return grad, primal.sum_to_size(ctx.shape).to(ctx.dtype)


def _of_the_primal(func: Called, args: Arguments, kwargs: Options) -> Any:
    """What depends on x's shape, dtype and device alone."""
    plain = pytree.tree_map(_primal, args)
    return func(*plain, **kwargs)


def _by_hand(func: Called, args: Arguments, kwargs: Options) -> Dual:
    """A function that brings its rule."""
    rule: Called = vars(func)["on_duals"]
    return Dual(rule(*args, **kwargs))


def _layer(func: Called, args: Arguments, kwargs: Options) -> Dual:
    """F.linear and convolutions: the weight on both halves, the bias on x."""
    padded = [*args, *[None] * (3 - len(args))]
    x, weight, bias, rest = *padded[:3], padded[3:]
    if not isinstance(x, Dual) or isinstance(weight, Dual) or isinstance(bias, Dual) or kwargs:
        return _by_forward_mode(func, args, kwargs)
    y = func(x.stacked, weight, None, *rest)
    if bias is None:
        return Dual(y)
    shape = (-1,) if func is F.linear else (-1, *[1] * (y.ndim - 2))
    return Dual(_Shift.apply(y, bias.reshape(shape)))


def _both(func: Called, args: Arguments, kwargs: Options) -> Any:
    """Linear, sample by sample, in its first argument."""
    x, *rest = args
    if not isinstance(x, Dual):  # t.to(x)
        return _of_the_primal(func, args, kwargs)
    return Dual(func(x.stacked, *rest, **kwargs))


def _shape(func: Called, args: Arguments, kwargs: Options) -> Any:
    """Another shape of the same numbers."""
    x, *rest = args
    found = SHAPES[func](x.stacked.unflatten(0, (2, -1)), *rest, **kwargs)
    if isinstance(found, Tensor):
        return Dual(found.flatten(0, 1))
    return tuple(Dual(part.flatten(0, 1)) for part in found)


def _sum(func: Called, args: Arguments, kwargs: Options) -> Dual:
    """a ± b."""
    a, b = args
    if all(isinstance(x, Dual) and x.shape == a.shape for x in args):
        return Dual(func(a.stacked, b.stacked, **kwargs))
    if isinstance(a, Dual) and not isinstance(b, Dual) and _broadcasts(b, a):
        return Dual(func(a.stacked, _on_primal(b, a), **kwargs))
    if isinstance(b, Dual) and not isinstance(a, Dual) and _broadcasts(a, b):
        return Dual(func(_on_primal(a, b), b.stacked, **kwargs))
    return _by_forward_mode(func, args, kwargs)


def _product(func: Called, args: Arguments, kwargs: Options) -> Dual:
    """a b or a / b, one of which is a constant."""
    a, b = args
    if isinstance(a, Dual) and not isinstance(b, Dual) and _broadcasts(b, a):
        return Dual(func(a.stacked.unflatten(0, (2, -1)), b, **kwargs).flatten(0, 1))
    if isinstance(b, Dual) and not isinstance(a, Dual) and _broadcasts(a, b) and func in TIMES:
        return _product(func, (b, a), kwargs)
    return _by_forward_mode(func, args, kwargs)


def _broadcasts(constant: Any, x: Tensor) -> bool:
    """Whether x with this constant has the shape of x."""
    if not isinstance(constant, Tensor):
        return True
    sizes = zip(reversed(constant.shape), reversed(x.shape), strict=False)
    return constant.ndim <= x.ndim and all(n in (1, size) for n, size in sizes)


def _on_primal(constant: Any, x: Dual) -> Tensor:
    """Return the constant for the primal half and zero for the other, to be broadcast."""
    if not isinstance(constant, Tensor):
        constant = torch.full((), constant, dtype=x.dtype, device=x.device)
    constant = constant[(None,) * (x.ndim - constant.ndim)]
    rows = constant.expand(len(x), *constant.shape[1:])
    return torch.cat([rows, torch.zeros_like(rows)])


def _joined(func: Called, args: Arguments, kwargs: Options) -> Dual:
    """torch.cat along an axis of the samples."""
    tensors, dim = args[0], kwargs.get("dim", args[1] if len(args) > 1 else 0)
    if dim % tensors[0].ndim == 0 or not all(isinstance(x, Dual) for x in tensors):
        return _by_forward_mode(func, args, kwargs)
    return Dual(func([x.stacked for x in tensors], dim))


def _layer_norm(func: Called, args: Arguments, kwargs: Options) -> Any:
    """F.layer_norm, whose own forward mode has a wrong gradient in torch 2.15, in silence."""

    def written_out(
        x: Tensor,
        shape: list[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor:
        axes = list(range(-len(shape), 0))
        centred = widened(x) - widened(x).mean(axes, keepdim=True)
        y = (centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()).to(x.dtype)
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    return _by_forward_mode(written_out, args, kwargs)


def _by_forward_mode(func: Called, args: Arguments, kwargs: Options) -> Any:
    """Any function of tensors to a tensor or several."""
    name, changes = func.__name__, "out" in kwargs or kwargs.get("inplace", False)
    if changes or name == "__setitem__" or (name.endswith("_") and not name.endswith("__")):
        raise RuntimeError(f"{name} would change a Dual in place")
    leaves, structure = pytree.tree_flatten((args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Dual)]

    def call(*tensors: Tensor) -> Any:
        filled = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        args, kwargs = pytree.tree_unflatten(filled, structure)
        return func(*args, **kwargs)

    primals, tangents = zip(*(leaves[i].halves for i in places), strict=True)
    y, y_dot, *_ = torch.func.jvp(call, primals, tangents)
    if isinstance(y, Tensor):
        return Dual(torch.cat([y, y_dot]))
    return tuple(Dual(torch.cat(both)) for both in zip(y, y_dot, strict=True))


def _next(axis: int) -> int:
    return axis if axis < 0 else axis + 1


TIMES: Final = (Tensor.mul, torch.mul, Tensor.__rmul__)
SHAPES: Final[dict[Called, Called]] = {  # of (2, B, ...), by axes of (B, ...)
    Tensor.transpose: lambda x, a, b: x.transpose(_next(a), _next(b)),
    Tensor.flatten: lambda x, start=0, end=-1: x.flatten(_next(start), _next(end)),
    Tensor.unflatten: lambda x, axis, sizes: x.unflatten(_next(axis), sizes),
    Tensor.reshape: lambda x, *sizes: x.reshape(2, *pytree.tree_leaves(list(sizes))),
    Tensor.unsqueeze: lambda x, axis: x.unsqueeze(_next(axis)),
    Tensor.squeeze: lambda x, axis: x.squeeze(_next(axis)),
    Tensor.chunk: lambda x, parts, dim=0: x.chunk(parts, _next(dim)),
    Tensor.__getitem__: lambda x, i: x[(slice(None), *(i if isinstance(i, tuple) else (i,)))],
}
RULES: Final[dict[Called, Rule]] = {
    **dict.fromkeys(SHAPES, _shape),
    **dict.fromkeys((F.linear, torch.conv1d, torch.conv2d, torch.conv3d), _layer),
    **dict.fromkeys((Tensor.add, torch.add, Tensor.sub, torch.sub, Tensor.__radd__), _sum),
    **dict.fromkeys((*TIMES, Tensor.div, torch.div), _product),
    **dict.fromkeys((Tensor.to, Tensor.float, Tensor.double, Tensor.neg, Tensor.contiguous), _both),
    **dict.fromkeys((F.interpolate, F.avg_pool2d, F.pixel_shuffle, F.pixel_unshuffle), _both),
    **dict.fromkeys((Tensor.__len__, Tensor.size, Tensor.dim, Tensor.stride), _of_the_primal),
    Tensor.__repr__: _of_the_primal,
    **dict.fromkeys((torch.zeros_like, torch.ones_like, torch.randn_like), _of_the_primal),
    **dict.fromkeys((Tensor.new_zeros, Tensor.new_ones), _of_the_primal),
    torch.cat: _joined,
    F.layer_norm: _layer_norm,
}
