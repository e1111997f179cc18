"""Chapter 4: differences beside dual numbers, traces from probes, and a denoiser's Jacobian."""

from collections.abc import Callable

import torch
from torch import Tensor

from latentgeo.core.ddpm import q_sample
from latentgeo.core.linearize import Map, hutchinson, jacobian, jvp, probes, signs
from latentgeo.core.parameterization import x_0_from
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import batch_time
from latentgeo.core.singular import top_singular
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.plots import Curve, lines_plot
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.infer.sampling.loading import load_model

N = 64  # inputs and outputs of the small network
COUNTS = (1, 4, 16, 64, 256)  # probes
TIME = 397  # of the embedded denoiser


def compute(*, quick: bool) -> Computed:
    """Return the numbers and pictures of chapter 4; `quick` has fewer probes and columns."""
    differences, v_shapes = of_differences()
    traces, falling = of_probes(repeats=50 if quick else 1000)
    spectra, spectrum = of_denoiser(*((16, 2, 0.5) if quick else (1024, 16, 0.02)))
    return Computed(
        numbers={**differences, **traces, **of_rounds(), **spectra},
        pictures={"differences": v_shapes, "probes": falling, "spectrum": spectrum},
    )


def network(dtype: torch.dtype) -> Map:
    """Return a small network, always the same."""
    first, second = torch.randn(2, N, N, generator=generator(4, "network")).to(dtype) / N**0.5
    return lambda x: torch.tanh(x @ first) @ second


def of_differences() -> tuple[dict[str, float], str]:
    """Return the error of Jv by central differences, against h, and that of the JVP."""
    x, v = torch.randn(2, 1, N, generator=generator(4, "point"))
    exact = jvp(network(torch.float64), x.double(), v.double())[1]

    def error(found: Tensor) -> float:
        return ((found - exact).norm() / exact.norm()).item()

    steps = [10 ** (-i / 4) for i in range(33)]  # 1 … 1e-8
    curves: dict[str, Curve] = {}
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        f, at, along = network(dtype), x.to(dtype), v.to(dtype)
        found = [(f(at + h * along) - f(at - h * along)) / (2 * h) for h in steps]
        curves[f"difference, {name}"] = steps, [error(one) for one in found]
    best, step = min(zip(*curves["difference, float32"][::-1], strict=True))
    by_jvp = error(jvp(network(torch.float32), x, v)[1])
    numbers = {"difference_best": best, "difference_step": step, "difference_jvp": by_jvp}
    plot = lines_plot(
        curves, "h", "relative error of Jv", x_scale="log", y_scale="log", reference=by_jvp
    )
    return numbers, plot


def of_probes(repeats: int) -> tuple[dict[str, float], str]:
    """Return the errors of Tr(JᵀJ) by the number of probes, measured and predicted."""
    f = network(torch.float64)
    x = torch.randn(1, N, generator=generator(4, "point")).double()
    A = jacobian(f, x)[0].T @ jacobian(f, x)[0]
    off = A.square().sum() - A.diagonal().square().sum()
    kinds: dict[str, tuple[Callable[..., Tensor], Tensor]] = {
        "probe": (probes, A.square().sum()),
        "sign": (signs, off),
    }
    numbers: dict[str, float] = {}
    curves: dict[str, Curve] = {}
    for name, (draw, square) in kinds.items():
        measured, predicted = [], []
        for count in COUNTS:
            many = x.repeat(repeats, 1)
            found = hutchinson(f, many, draw(many, count, generator(4, name, count))).first.value
            measured.append((found / A.trace() - 1).square().mean().sqrt().item())
            predicted.append(((2 * square / count).sqrt() / A.trace()).item())
            numbers[f"{name}_{count}"] = 100 * measured[-1]
            numbers[f"{name}_{count}_predicted"] = 100 * predicted[-1]
        title = {"probe": "normal", "sign": "signs"}[name]
        curves |= {f"{title}, measured": (COUNTS, measured)}
        curves |= {f"{title}, predicted": (COUNTS, predicted)}
    plot = lines_plot(curves, "probes N", "relative error", x_scale="log", y_scale="log")
    return numbers, plot


def of_rounds() -> dict[str, float]:
    """Return the rounds of subspace iteration for four values, without more columns and with."""
    f, x = network(torch.float64), torch.randn(1, N, generator=generator(4, "point")).double()
    found = {
        name: top_singular(f, x, 4, extra=extra, generator=generator(4, "subspace"))
        for name, extra in (("plain", 0), ("extra", 4))
    }
    return {f"rounds_{name}": float(one.iterations.item()) for name, one in found.items()}


def of_denoiser(columns: int, count: int, tolerance: float) -> tuple[dict[str, float], str]:
    """Return what products and the formed Jacobian say of the embedded denoiser, and its values.

    With fewer `columns` than inputs the formed Jacobian is of these alone. Traces are of `count`
    probes, the largest singular value of subspace iteration is found to the tolerance.
    """
    bundle, held = load_model("avatars", "cpu"), captioned().chosen(1, 0)
    with torch.no_grad():
        x_0, context = bundle.encode(held.images(64)), bundle.encode_text(held.captions)
    eps = torch.randn(x_0.shape, generator=generator(4, "noise"))
    x_t = q_sample(bundle.schedule, x_0, batch_time(TIME, x_0), eps)

    def f(x: Tensor) -> Tensor:
        """Return the predicted clean latent."""
        time = batch_time(TIME, x)
        raw = bundle.raw(context.expand(len(x), -1, -1))(x, time)
        return x_0_from(bundle.schedule, x, raw, time, "eps")

    exact = torch.linalg.svdvals(formed(f, x_t, columns))
    found = top_singular(f, x_t, tolerance=tolerance, generator=generator(4, "subspace"))
    traces = hutchinson(f, x_t, probes(x_t, count, generator(4, "traces")), chunk=4)
    white = bundle.schedule.alpha_bar[TIME].sqrt().item()
    numbers = {
        "sigma_1": exact[0].item(),
        "sigma_median": exact.median().item(),
        "sigma_found": found.values.item(),
        "sigma_rounds": float(found.iterations.item()),
        "trace_estimate": traces.first.value.item(),
        "trace_error": traces.first.error.item(),
        "trace_exact": exact.square().sum().item(),
        "white": white,
    }
    curves: dict[str, Curve] = {
        "embedded model": (range(1, len(exact) + 1), exact.tolist()),
        "white Gaussian data": ((1, len(exact)), (white, white)),
    }
    labels = "number", "singular value"
    return numbers, lines_plot(curves, *labels, x_scale="log", y_scale="log")


def formed(f: Map, x: Tensor, columns: int) -> Tensor:
    """Return the Jacobian of one sample x (1, ...), or its first columns."""
    if columns == x.numel():
        return jacobian(f, x, chunk=64)[0]
    part = x.flatten(1)[:, :columns]

    def of_part(y: Tensor) -> Tensor:
        rest = x.flatten(1)[:, columns:].expand(len(y), -1)
        return f(torch.cat([y, rest], 1).reshape(-1, *x.shape[1:]))

    return jacobian(of_part, part, chunk=64)[0]
