"""What the Triton kernels of latentgeo.kernels do, for a `Meter`: FLOP, and tensors left alone.

Notation  U = 2 B H N M d FLOP: one product of an (N, M) with an (M, d) matrix for every head, B the
          batch of the results, which has all probes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from latentgeo.eval.bench.meter import Arguments, Cost

SUMS = 1  # the STAGE or BEND of a launch that files sums and writes no result
RESULTS = ("y", "y_dot", "x_bar")


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
