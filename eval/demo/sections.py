"""The sections of the demo in order: what each shows and measures."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

from latentgeo.eval.contenders import Contender, contender, judged, measured
from latentgeo.eval.demo import page
from latentgeo.eval.demo.editing import TITLE as EDITING
from latentgeo.eval.demo.editing import editing_section, succeeded
from latentgeo.eval.demo.isometric import MODELS as PIXEL_MODELS
from latentgeo.eval.demo.isometric import TITLE as ISOMETRIC
from latentgeo.eval.demo.isometric import isometric_section, sentence
from latentgeo.eval.demo.page import Written
from latentgeo.eval.demo.photos import TITLE as PHOTOS
from latentgeo.eval.demo.photos import photo_section
from latentgeo.eval.demo.plans import Plan
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.demo.walks import samples_sheet, show_walk, typical, walked, with_curve
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.quality import Judged, load_judges, quality_results, references
from latentgeo.eval.metrics.smoothness import Walks, smoothness_results
from latentgeo.eval.smooth.sweep import Known, sweep
from latentgeo.eval.transport.page import OPTIMAL
from latentgeo.eval.transport.page import TITLE as BETWEEN
from latentgeo.eval.transport.page import sentence as coupled
from latentgeo.eval.transport.run import demonstrated
from latentgeo.eval.transport.settings import EvalTransport
from latentgeo.infer.pictures.images import save_png

NAMES = ("base", "smooth")  # of the first two models; others keep their own


class Bench:
    """The models and captions of a run, and what was measured of them."""

    def __init__(self, cmd: Demo, plan: Plan) -> None:
        self.cmd, self.plan = cmd, plan
        count = max(plan.samples, plan.walks, plan.prompts)
        self.captions = captioned(cmd.data, "test", cmd.models).chosen(count, cmd.seed).captions
        self.judges = load_judges(cmd.classifier)
        names = dict(zip([*NAMES, *cmd.models[2:]], cmd.models, strict=False))
        self.contenders = [contender(cmd, name, spec, plan.steps) for name, spec in names.items()]

    @property
    def names(self) -> list[str]:
        """What the models are called."""
        return [one.name for one in self.contenders]

    @property
    def settings(self) -> dict[str, Mapping[str, object]]:
        """What makes a model's images again, by its name."""
        return {one.name: one.settings for one in self.contenders}

    @cached_property
    def walks(self) -> dict[str, Walks]:
        """The walks of every model, going on from the rows on disk."""
        captions, cmd = self.captions[: self.plan.prompts], self.cmd
        found = self.contenders
        return {one.name: measured(one, captions, cmd.out / "rows", cmd.seed) for one in found}

    @cached_property
    def judged(self) -> tuple[Judged, dict[str, Judged]]:
        """The held-out images and, by name, references and every model's samples, judged."""
        cmd, count = self.cmd, self.plan.images
        held = captioned(cmd.data, "test", cmd.models).chosen(count, cmd.seed)
        other = captioned(cmd.data, "train", cmd.models).chosen(count, cmd.seed)
        target, seen = references(self.contenders[0].bundle, self.judges, held, other)
        for one in self.contenders:
            seen[one.name] = judged(one, self.judges, held.captions, cmd.seed)
        return target, seen


def samples(bench: Bench) -> Written:
    """Show samples of every model."""
    captions = bench.captions[: bench.plan.samples]
    sheet = samples_sheet(bench.contenders, captions, bench.cmd)
    return page.samples_section(sheet, bench.names)


def walks(bench: Bench) -> Written:
    """Show walks of every model."""
    captions = bench.captions[: bench.plan.walks]
    shown = [
        show_walk(bench.contenders, i, caption, bench.cmd) for i, caption in enumerate(captions)
    ]
    return page.walks_section(shown)


def smoothness(bench: Bench) -> Written:
    """Measure ISTD, and draw the walk that is nearest to the medians."""
    results = smoothness_results(bench.walks)
    prompt = typical(bench.walks)
    shown = walked(bench.contenders, prompt, bench.captions[prompt], bench.cmd.seed)
    about = {"prompt": shown.caption, "number": prompt, "settings": bench.settings}
    picture = with_curve(shown)
    save_png(bench.cmd.out / "typical-walk.png", picture, about)
    return page.smoothness_section(results, bench.names, picture)


def quality(bench: Bench) -> Written:
    """Judge the models' images."""
    target, seen = bench.judged
    cmd, first = bench.cmd, bench.names[0]
    results = quality_results(target, seen, cmd.seed, bench.settings, first)
    return page.quality_section(results, bench.names)


def strength(bench: Bench) -> Written:
    """Measure the adapters of other λ."""
    plan, (target, seen) = bench.plan, bench.judged
    known = Known(
        contenders=bench.contenders,
        walks=bench.walks,
        target=target,
        judged=seen,
        judges=bench.judges,
    )
    found = sweep(bench.cmd, known, plan.sweep_prompts, plan.sweep_images, plan.steps)
    return page.sweep_section(found)


def photos(bench: Bench) -> Written:
    """Invert, walk between, edit and drag real images."""
    plan, cmd = bench.plan.photos, bench.cmd
    assert plan is not None
    held = captioned(cmd.data, "test", cmd.models).chosen(
        max(2, plan.inverted, plan.edited), cmd.seed
    )
    html, results = photo_section(bench.contenders, bench.judges, held, plan, cmd.seed, cmd.out)
    return Written(html=html, results=results)


def between(bench: Bench) -> Written:
    """Compare couplings of the tokens of two prompts."""
    one: Contender = bench.contenders[0]
    few = replace(one.sampling, steps=bench.plan.pair_steps)
    wanted = EvalTransport(
        out=bench.cmd.out, data=bench.cmd.data, seed=bench.cmd.seed, pairs=bench.plan.pairs
    )
    html, results = demonstrated(replace(one, sampling=few), wanted)
    said = coupled(results, one.name, OPTIMAL, wanted.couplings[0])
    return Written(html=html, results=results, paper="Optimal transport", found=said)


def isometric(bench: Bench) -> Written:
    """Measure a pixel model and its isometric twin."""
    assert bench.plan.isometric is not None
    html, results = isometric_section(bench.cmd, bench.plan.isometric)
    said = sentence(results, PIXEL_MODELS)
    return Written(html=html, results=results, paper="Isometric Diffusion", found=said)


def editing(bench: Bench) -> Written:
    """Edit real faces in the bottleneck of a model that stays as it is."""
    assert bench.plan.semantic is not None
    html, results = editing_section(bench.cmd, bench.plan.semantic)
    return Written(html=html, results=results, paper="Asyrp", found=succeeded(results))


SECTIONS: Mapping[str, Callable[[Bench], Written]] = {
    page.SAMPLES: samples,
    page.WALKS: walks,
    page.SMOOTHNESS: smoothness,
    page.QUALITY: quality,
    page.STRENGTH: strength,
    PHOTOS: photos,
    BETWEEN: between,
    ISOMETRIC: isometric,
    EDITING: editing,
}
