"""Chapter 10: attention's derivatives against autograd, the online softmax, products and bytes."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from PIL import Image
from torch import Tensor
from torch.func import grad, jvp, vjp

from latentgeo.core.run.seeds import generator
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.plots import lines_plot
from latentgeo.eval.page.canvas import SOFT, Axes, Canvas
from latentgeo.kernels.attention import reference
from latentgeo.kernels.attention.reference import Primal, composed
from latentgeo.kernels.attention.tiles import widths
from latentgeo.kernels.bench.work import ALL, FORWARD

N, M, D = 37, 77, 40  # of the check
HEADS, TOKENS, BYTES = 8, 64**2, 2  # a layer of Stable Diffusion in 16 bits
BLOCK, ROW, SPREAD = 4, 24, 3.0  # of the picture of the online softmax
ORANGE, BLUE, GREEN = (217, 98, 43), (61, 133, 198), (91, 154, 75)
Three = tuple[Tensor, Tensor, Tensor]  # m, ℓ and a of a part of a row


def compute(*, quick: bool) -> Computed:
    """Return the numbers and pictures of chapter 10; `quick` has a shorter row."""
    traffic_numbers, bytes_moved = of_traffic()
    return Computed(
        numbers={
            **of_derivatives(),
            **of_softmax(256 if quick else 4096),
            **of_rounding(),
            **of_counts(),
            **traffic_numbers,
        },
        pictures={"bytes": bytes_moved, "tiles": tiles_picture()},
        frames={"online": of_blocks()},
    )


def drawn(*shape: int, name: str) -> Tensor:
    """Return normal numbers in float64, always the same for a name."""
    return torch.randn(*shape, generator=generator(10, name), dtype=torch.float64)


def apart(found: Sequence[Tensor | None], wanted: Sequence[Tensor]) -> float:
    """Return the largest difference of several tensors, over the largest entry of each."""
    pairs = [(a, b) for a, b in zip(found, wanted, strict=True) if a is not None]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def of_derivatives() -> dict[str, float]:
    """Return how far the closed forms are from autograd, in float64."""
    q, q_dot, u = (drawn(1, 2, N, D, name=name) for name in ("q", "q_dot", "u"))
    k, k_dot, v, v_dot = (drawn(1, 2, M, D, name=name) for name in ("k", "k_dot", "v", "v_dot"))
    at, t, every, scale = (q, k, v), (q_dot, k_dot, v_dot), (True, True, True), D**-0.5
    f = partial(composed, mask=None, causal=False, scale=scale)
    primal = Primal(*at, None, False, scale, *reference.forward(*at, None, False, scale))
    o_dot, mu = reference.jvp(primal, t)

    def phi(*qkv: Tensor) -> Tensor:
        return (u * jvp(f, qkv, t)[1]).sum()

    second = grad(phi, argnums=(0, 1, 2))(*at)
    return {
        "check_n": float(N),
        "check_m": float(M),
        "check_d": float(D),
        "error_jvp": apart([o_dot], [jvp(f, at, t)[1]]),
        "error_vjp": apart(reference.vjp(primal, u, every), vjp(f, *at)[1](u)),
        "error_hvp": apart(reference.hvp(primal, u, t, o_dot, mu, every), second),
    }


def join(left: Three, right: Three) -> Three:
    """Return the maximum, the sum and the weighted vector of two parts of a row together."""
    m = torch.maximum(left[0], right[0])
    a, b = (left[0] - m).exp(), (right[0] - m).exp()
    return m, a * left[1] + b * right[1], a * left[2] + b * right[2]


def part(s: Tensor, v: Tensor) -> Three:
    """Return those of scores s (B,) with values v (B, d)."""
    weights = (s - s.max()).exp()
    return s.max(), weights.sum(), weights @ v


def online(s: Tensor, v: Tensor, block: int) -> list[Three]:
    """Return what a walk along a row (M,) holds after each block."""
    found = [part(s[:block], v[:block])]
    for i in range(block, len(s), block):
        found.append(join(found[-1], part(s[i : i + block], v[i : i + block])))
    return found


def of_softmax(length: int) -> dict[str, float]:
    """Return the errors of a row's softmax in float32, in blocks and in two passes."""
    s, v = 30 * drawn(length, name="scores").float(), drawn(length, 40, name="values").float()
    exact = torch.softmax(s.double(), 0) @ v.double()
    _, total, a = online(s, v, 32)[-1]
    return {
        "row_length": float(length),
        "row_highest": s.max().item(),
        "online_error": apart([a / total], [exact]),
        "two_pass_error": apart([torch.softmax(s, 0) @ v], [exact]),
    }


def of_rounding() -> dict[str, float]:
    """Return the errors of dq with operands rounded to bfloat16 before and after centring."""
    offset = 30.0
    q, k, u = (drawn(64, D, name=name) for name in ("queries", "keys", "cotangent"))
    v = drawn(64, D, name="offset values") + offset

    def low(x: Tensor) -> Tensor:
        return x.bfloat16().double()

    q, k, v, u = map(low, (q, k, v, u))
    p = torch.softmax(q @ k.T / math.sqrt(D), 1)
    d_p, delta = u @ v.T, (u * (p @ v)).sum(1, keepdim=True)
    exact = (p * (d_p - delta)) @ k
    centred = low(p * (d_p - delta)) @ k
    later = low(p * d_p) @ k - delta * (low(p) @ k)
    return {
        "offset": offset,
        "error_centred": apart([centred], [exact]),
        "error_uncentred": apart([later], [exact]),
    }


def of_counts() -> dict[str, float]:
    """Return the products of each order, and how a head of 40 numbers is cut."""
    first, second = widths(D, BYTES)
    padded = 1 << (D - 1).bit_length()
    numbers = {f"u_{name}": float(ALL[name].products) for name in ("jvp", "vjp", "hvp")}
    return numbers | {
        "u_forward": float(FORWARD.products),
        "u_double": numbers["u_jvp"] + numbers["u_hvp"],
        "d1": float(first),
        "d2": float(second),
        "useful_padded": 100 * D / padded,
        "useful_split": 100 * D / (first + second),
    }


def moved(tokens: int, products: int, matrices: int) -> tuple[float, float]:
    """Return bytes of a pass whose operands, and whose N × M matrices too, are moved.

    `products` counts operands of d columns, `matrices` how often a matrix is written or read.
    """
    operands = HEADS * tokens * D * BYTES * products
    return operands, operands + HEADS * tokens**2 * BYTES * matrices


def of_traffic() -> tuple[dict[str, float], str]:
    """Return sizes and intensities of a layer, and bytes against the number of tokens, as SVG."""
    sizes = [2**i for i in range(6, 14)]
    forward = [moved(n, FORWARD.rows + FORWARD.columns, 4) for n in sizes]
    fused, written = moved(TOKENS, FORWARD.rows + FORWARD.columns, 4)
    flop = FORWARD.products * 2 * HEADS * TOKENS**2 * D
    numbers = {
        "mb_operands": fused / 1e6,
        "mb_scores": HEADS * TOKENS**2 * BYTES / 1e6,
        "intensity_fused": flop / fused,
        "intensity_written": flop / written,
    }
    curves = {
        "scores written out": (sizes, [one[1] / 1e6 for one in forward]),
        "in tiles": (sizes, [one[0] / 1e6 for one in forward]),
    }
    return numbers, lines_plot(curves, "tokens", "MB moved", x_scale="log", y_scale="log")


def of_blocks() -> dict[str, Image.Image]:
    """Return a row of scores after each block: what is held, and its result so far."""
    s = SPREAD * drawn(ROW, name="row")
    v = torch.stack([torch.arange(ROW) / ROW, torch.ones(ROW)], 1).double()  # a place, and 1
    states = online(s, v, BLOCK)
    return {
        f"block {i + 1} of {len(states)}": row_picture(s, (i + 1) * BLOCK, state)
        for i, state in enumerate(states)
    }


def row_picture(s: Tensor, seen: int, state: Three) -> Image.Image:
    """Return the scores of a row, the maximum so far, and the weights in its units."""
    canvas = Canvas(300, 190)
    m, total, a = state
    top = Axes(canvas=canvas, box=(44, 30, 292, 110), x=(0, ROW), y=(-6, 6))
    low = Axes(canvas=canvas, box=(44, 124, 292, 176), x=(0, ROW), y=(0, 1))
    canvas.text((8, 6), f"m = {m:.2f}, sum = {total:.3f}, result = {a[0] / total:.3f}", 13)
    canvas.line([top.at(0, 0), top.at(ROW, 0)], SOFT, 0.8)
    canvas.line([top.at(0, m.item()), top.at(seen, m.item())], ORANGE, 1.6)
    canvas.line([low.at(0, 0), low.at(ROW, 0)], SOFT, 0.8)
    canvas.text((8, 62), "S", 12)
    canvas.text((2, 160), "e^(S-m)", 10)
    for j, score in enumerate(s.tolist()):
        tone = SOFT if j >= seen else BLUE if j >= seen - BLOCK else GREEN
        canvas.line([top.at(j + 0.5, 0), top.at(j + 0.5, score)], tone, 6)
        if j < seen:
            weight = math.exp(score - m.item())
            canvas.line([low.at(j + 0.5, 0), low.at(j + 0.5, weight)], tone, 6)
    return canvas.picture()


def tiles_picture() -> Image.Image:
    """Return the matrix of scores cut into tiles, as a program for queries and one for keys go."""
    canvas, side = Canvas(620, 270), 24
    for left, title, owned in ((60, "a program owns rows", 0), (370, "a program owns columns", 1)):
        canvas.text((left, 6), title, 13)
        for i in range(7):
            for j in range(8):
                mine = (i, j)[owned] == (2, 3)[owned]
                now = mine and (j, i)[owned] == 4
                fill = ORANGE if now else (247, 214, 196) if mine else (244, 244, 247)
                x, y = left + 26 + j * side, 56 + i * side
                corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
                canvas.polygon(corners, fill, (200, 200, 206))
        canvas.text((left + 26 + 4 * side, 34), "keys, blocks of B_J", 11, "ma", SOFT)
        canvas.text((left - 28, 120), "queries,\nB_I", 11, "la", SOFT)
        along = "loop over keys" if owned == 0 else "loop over queries"
        canvas.text((left + 26, 56 + 7 * side + 8), f"{along}: o, jvp, dq, gq" if owned == 0
                    else f"{along}: dk, dv, gk, gv", 12)  # fmt: skip
    return canvas.picture()
