"""What the Triton kernels of latentgeo.kernels do: FLOP, tensors left alone, bytes moved.

Notation  U = 2 B H N M d FLOP: one product of an (N, M) with an (M, d) matrix for every head, B the
          batch of the results, which has all probes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

Arguments = Mapping[str, Any]  # of a kernel, by name; what was left out is missing
SUMS = 1  # the STAGE or BEND of a launch that files sums and writes no result
RESULTS = ("y", "y_dot", "x_bar")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What is to be known of a Triton kernel beyond the tensors it is given."""

    untouched: Callable[[Arguments], tuple[str, ...]] = lambda given: ()  # tensors left alone
    flop: Callable[[Arguments], int] = lambda given: 0


def moved(cost: Cost, given: Arguments) -> int:
    """Return the bytes of the tensors that a kernel reads or writes, each once."""
    untouched = cost.untouched(given)
    tensors = {key: value for key, value in given.items() if isinstance(value, Tensor)}
    return sum(size(tensor) for key, tensor in tensors.items() if key not in untouched)


def size(tensor: Tensor) -> int:
    """Return the bytes of the tensor's elements, an expanded dimension counting as one."""
    count = tensor.element_size()
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= length if stride or not length else 1
    return count


def _has(given: Arguments, *names: str) -> int:
    return sum(given[f"{name}_ptr"] is not None for name in names)


def _jvp(given: Arguments) -> int:
    """S; q_dot kᵀ, q k_dotᵀ and with either (P∘S_dot) v; P v_dot."""
    return 1 + _has(given, "q_dot", "k_dot", "v_dot") + min(_has(given, "q_dot", "k_dot"), 1)


def _vjp_queries(given: Arguments) -> int:
    """S, u vᵀ and dS k; δ alone needs none."""
    return 3 * _has(given, "dq")


def _vjp_keys(given: Arguments) -> int:
    """S; u vᵀ and dSᵀ q; Pᵀ u."""
    return 1 + 2 * _has(given, "dk") + _has(given, "dv")


def _hvp_queries(given: Arguments) -> int:
    """S, u vᵀ and gS k; q_dot kᵀ; q k_dotᵀ and dS k_dot; u v_dotᵀ. δ and ρ alone need none."""
    tangents = _has(given, "q_dot", "v_dot") + 2 * _has(given, "k_dot")
    return (3 + tangents) * _has(given, "gq")


def _hvp_keys(given: Arguments) -> int:
    """S, q_dot kᵀ and q k_dotᵀ; u vᵀ, u v_dotᵀ, gSᵀ q and dSᵀ q_dot; P_dotᵀ u."""
    in_keys = (2 + _has(given, "q_dot", "v_dot")) * _has(given, "gk")
    return 1 + _has(given, "q_dot", "k_dot") + in_keys + _has(given, "gv")


def _attention(products: Callable[[Arguments], int], result: str) -> Cost:
    """Return the cost of a kernel that makes so many products for every batch of a result."""

    def flop(given: Arguments) -> int:
        _, heads, rows, width = given["q_ptr"].shape
        batch, columns = len(given[result]), given["k_ptr"].shape[2]
        return 2 * batch * heads * rows * columns * width * products(given)

    return Cost(flop=flop)


def _results_of_sums(given: Arguments) -> tuple[str, ...]:
    return RESULTS if SUMS in (given["STAGE"], given.get("BEND")) else ()


KERNELS: Final = {
    "attention.forward": _attention(lambda given: 2, "o_ptr"),
    "attention.jvp": _attention(_jvp, "o_dot_ptr"),
    "attention.vjp_queries": _attention(_vjp_queries, "u_ptr"),
    "attention.vjp_keys": _attention(_vjp_keys, "u_ptr"),
    "attention.hvp_queries": _attention(_hvp_queries, "u_ptr"),
    "attention.hvp_keys": _attention(_hvp_keys, "u_ptr"),
    "norms.forward_kernel": Cost(untouched=_results_of_sums),
    "norms.jvp_kernel": Cost(untouched=_results_of_sums),
    "norms.vjp_kernel": Cost(untouched=_results_of_sums),
    "norms.hvp_kernel": Cost(untouched=_results_of_sums),
}
