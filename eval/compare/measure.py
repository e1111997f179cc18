"""What `latentgeo compare` measures: each metric of all models, by the command's own functions.

A measure returns every number that its command reports, and which of them the comparison shows as
ratios to the base: results named `<metric>, ratio to <base>`, paired prompt by prompt, noise by
noise or image by image. Rows are kept below `rows`, so that a run goes on metric by metric and
model by model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from latentgeo.eval.compare.settings import Compare
from latentgeo.eval.contenders import Contender, kept_rows, measured
from latentgeo.eval.isometric.prompted import prompted_rows
from latentgeo.eval.isometric.results import isometry_results
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.isometric.settings import Metric as Geometry
from latentgeo.eval.metrics.heldout import Captioned, captioned
from latentgeo.eval.metrics.quality import Judges
from latentgeo.eval.metrics.smoothness import smoothness_results
from latentgeo.eval.runs.jobs import Measure, measured_jobs
from latentgeo.eval.runs.results import RATIO, Result, result
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.settings import Evaluation
from latentgeo.eval.runs.statistics import Estimate, ratio_interval
from latentgeo.eval.smooth.inverted import TO_IMAGE, way
from latentgeo.eval.smooth.reconstruction import measured as reconstructed
from latentgeo.eval.smooth.reconstruction import reconstruction_results
from latentgeo.eval.transport.results import LPIPS
from latentgeo.eval.transport.run import measured_walks, protocol_of, results_of
from latentgeo.eval.transport.settings import EvalTransport
from latentgeo.models.perceptual import Lpips

GEOMETRY = ("PPL", "mRTL", "MCN of ", "VoR of h", "LS, ")  # how headlines begin


@dataclass(frozen=True)
class Bench:
    """The models of a comparison, the first is the base, and who looks at their images."""

    cmd: Compare
    contenders: Sequence[Contender]
    judges: Judges
    lpips: Lpips

    @property
    def rows(self) -> Path:
        """Where rows are kept."""
        return self.cmd.out / "rows"

    @property
    def base(self) -> Contender:
        """The model that the others are compared with."""
        return self.contenders[0]

    def first(self, name: str) -> Captioned:
        """Return as many held-out images as a field of the command says; ValueError if too few."""
        return captioned(self.cmd.data, "test").chosen(getattr(self.cmd, name), self.cmd.seed, name)

    def shared(self) -> dict[str, object]:
        """Return the settings that every command of evaluation has, but for its models."""
        names = set(Evaluation.__dataclass_fields__) - {"models"}
        return {name: getattr(self.cmd, name) for name in names}

    def over_base(self, paper: str, metric: str, ratios: Mapping[str, Estimate]) -> list[Result]:
        """Return ratios to the base by model as results."""
        name, about = f"{metric}{RATIO}{self.base.name}", self.settings
        return [
            result(paper, name, model, one, self.cmd.seed, about[model])
            for model, one in ratios.items()
        ]

    @property
    def settings(self) -> dict[str, Mapping[str, object]]:
        """What decides the images of each model."""
        return {one.name: one.settings for one in self.contenders}

    def jobs(
        self, kind: str, one: Contender, count: int, measure: Measure, about: Mapping[str, object]
    ) -> list[Row]:
        """Return a row per job of one model, the remaining ones measured together."""
        folder, identity = kept_rows(one, self.rows / kind)
        settings = {**identity, **one.sampling.plain(), "seed": self.cmd.seed, **about}
        return measured_jobs(folder, settings, count, count, measure, f"{kind} {one.name}")


@dataclass(frozen=True)
class Outcome:
    """What one metric found of all models."""

    results: list[Result]
    better: Mapping[str, str]  # metrics shown as ratios, and which way is better


def istd(bench: Bench) -> Outcome:
    """Smoothness by the standard deviation of the steps of walks (`eval-istd`)."""
    cmd, captions = bench.cmd, bench.first("n_prompts").captions
    walks = {
        one.name: measured(one, captions, bench.rows / "istd", cmd.seed, cmd.frames)
        for one in bench.contenders
    }
    shown = {"ISTD": "lower", "ISTD / mean adjacent distance": "lower"}
    return Outcome(smoothness_results(walks), shown)


def geometry(metrics: tuple[Geometry, ...], bench: Bench) -> Outcome:
    """Isometry of the latent space under captions, without guidance (`eval-isometry`)."""
    cmd = bench.cmd
    wanted = EvalIsometry(
        models=tuple(one.name for one in bench.contenders),
        out=cmd.out,
        metrics=metrics,
        data=cmd.data,
        seed=cmd.seed,
        steps=bench.base.sampling.steps,
        n_samples=max(cmd.n_samples, 10),
        ppl_pairs=cmd.ppl_pairs,
        ppl_epsilon=cmd.ppl_epsilon,
        walks=cmd.arcs,
        frames=cmd.frames,
        jacobians=cmd.jacobians,
        times=cmd.times,
        cells=cmd.cells,
        classifier=cmd.classifier,
        batch=cmd.batch,
    )
    rows, settings = {}, {}
    for one in bench.contenders:
        rows[one.name], settings[one.name] = prompted_rows(one, wanted, bench.judges)
    results = isometry_results(rows, wanted, settings)
    names = [one.metric.split(RATIO)[0] for one in results if RATIO in one.metric]
    heads = [name for name in names if is_headline_name(name)]
    return Outcome(results, dict.fromkeys(heads, "lower"))


def is_headline_name(metric: str) -> bool:
    """Whether a metric of geometry is shown as a ratio: no point of a curve."""
    return metric.startswith(GEOMETRY) and " at t = " not in metric


def reconstruction(bench: Bench) -> Outcome:
    """Images after DDIM inversion without guidance (`eval-reconstruction`)."""
    cmd, held = bench.cmd, bench.first("inverted")
    found = {}
    for one in bench.contenders:
        how = way("ddim", one.sampling.steps, one.sampling.guidance, "released", 1)
        found[one.name] = reconstructed(one, held, "ddim", how, bench.rows, cmd.batch, bench.lpips)
    mse = {name: one.columns[TO_IMAGE]["MSE"] for name, one in found.items()}
    ratios = {
        name: ratio_interval(values, mse[bench.base.name])
        for name, values in mse.items()
        if name != bench.base.name
    }
    metric = f"ddim: MSE, {TO_IMAGE}"
    results = reconstruction_results({"ddim": found}, cmd.seed)
    return Outcome([*results, *bench.over_base("Smooth", metric, ratios)], {metric: "lower"})


def transport(bench: Bench) -> Outcome:
    """Walks between prompts by coupling (`eval-transport`)."""
    cmd = bench.cmd
    wanted = EvalTransport(
        **bench.shared(),  # type: ignore[arg-type]
        pairs=cmd.pairs,
        couplings=("index", "optimal"),
        frames=cmd.frames,
    )
    protocol, results, steps = protocol_of(wanted, bench.base), list[Result](), {}
    for one in bench.contenders:
        walks = measured_walks(one, protocol, bench.rows / "transport")
        results += results_of(one, protocol, walks)
        steps[one.name] = {name: values[LPIPS] for name, values in walks.values.items()}
    shown = {}
    for coupling, base in steps[bench.base.name].items():
        metric = f"{coupling}: {LPIPS}"
        others = [one.name for one in bench.contenders[1:]]
        ratios = {name: ratio_interval(steps[name][coupling], base) for name in others}
        results += bench.over_base("OT", metric, ratios)
        shown[metric] = "lower"
    return Outcome(results, shown)
