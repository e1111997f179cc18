"""`latentgeo bench-transport`: exact couplings of clouds of tokens per second, ours beside POT's.

Both get the same clouds and make their own float64 cost matrices, ours from float32 clouds, POT
(`ot.dist` and `ot.emd`, pair by pair) from float64 ones, which saves it the conversion. Where POT
is not installed its rows say so. Seconds are the thread's own processor time, so that waiting for
other work on the machine does not enter. Two kinds of clouds: normal
points, the hard case, and clouds like those of a text encoder, 12 tokens of text and padding.
"""

import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from latentgeo.core.couplings import assign, inner_costs, optimal
from latentgeo.core.run.seeds import generator
from latentgeo.core.sinkhorn import sinkhorn
from latentgeo.core.transport import cost
from latentgeo.eval.bench.settings import BenchTransport

TEXT = 12  # tokens that are not padding
SINKHORN = 4  # pairs for the check of Sinkhorn's cost


def bench_transport(cmd: BenchTransport) -> str:
    """Return the table."""
    size = f"{cmd.tokens} × {cmd.width}"
    lines = [f"exact couplings of {cmd.pairs} pairs, {size}, one thread"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for kind, make in (("normal points", normal), ("text and padding", text_like)):
            x, y = make(cmd.pairs, cmd.tokens, cmd.width, cmd.seed)
            lines += [f"{kind}:", *_rows(x, y, cmd.rounds)]
    finally:
        torch.set_num_threads(threads)
    return "\n".join(lines)


def normal(pairs: int, tokens: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return clouds (P, N, D) of independent normal points."""
    x, y = torch.randn(2, pairs, tokens, width, generator=generator(seed, "normal")).unbind()
    return x, y


def text_like(pairs: int, tokens: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return clouds (P, N, D) that share their first token and whose padding is alike."""
    draws = generator(seed, "text")
    clouds = torch.randn(2, pairs, tokens, width, generator=draws)
    place, prompt = (
        torch.randn(*shape, width, generator=draws) for shape in ((tokens,), (2, pairs, 1))
    )
    padding = 1 + 0.3 * place + 0.5 * prompt + 0.15 * clouds
    clouds[:, :, TEXT:] = padding[:, :, TEXT:]
    clouds[:, :, 0] = clouds[0, 0, 0]
    return clouds[0], clouds[1]


def _rows(x: Tensor, y: Tensor, rounds: int) -> list[str]:
    """Return what was measured on one kind of clouds."""
    costs = inner_costs(x, y)
    ours = {
        "latentgeo, costs and coupling": lambda: optimal(x, y),
        "latentgeo, coupling alone": lambda: assign(costs),
    }
    seconds = _fastest({**ours, **_pot(x, y)}, rounds)
    rows = [
        f"  {name:<32} {len(x) / one:8,.0f} pairs/s  {1e6 * one / len(x):6.0f} µs/pair"
        for name, one in seconds.items()
    ]
    if find_spec("ot") is None:
        rows.append("  POT                              not installed")
    exact = cost(x, y, optimal(x, y))[:SINKHORN] / x.shape[1]
    plans = sinkhorn(x[:SINKHORN], y[:SINKHORN])
    bias, error = ((plans.cost - exact) / exact).abs().max(), plans.marginal_error.max()
    rows.append(f"  Sinkhorn's cost above the exact one: {bias:.2%} (marginal error {error:.1e})")
    return rows


def _pot(x: Tensor, y: Tensor) -> dict[str, Callable[[], object]]:
    """Return POT's runs, none where it is not installed; raise if its costs are not ours."""
    if find_spec("ot") is None:
        return {}
    ot = import_module("ot")
    clouds = list(zip(x.double().numpy(), y.double().numpy(), strict=True))
    costs = [ot.dist(a, b) for a, b in clouds]
    found = torch.tensor([ot.emd2([], [], one) for one in costs], dtype=torch.float64)
    ours = cost(x, y, optimal(x, y)) / x.shape[1]
    if not torch.allclose(found, ours, rtol=1e-9, atol=0):
        raise RuntimeError(f"POT's exact costs {found.tolist()} are not ours {ours.tolist()}")
    return {
        "POT, ot.dist and ot.emd": lambda: [ot.emd([], [], ot.dist(a, b)) for a, b in clouds],
        "POT, ot.emd alone": lambda: [ot.emd([], [], one) for one in costs],
    }


def _fastest(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return each run's least processor seconds, measured in turn."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.thread_time()
            run()
            best[name] = min(best[name], time.thread_time() - start)
    return best
