"""What each section of the demo is expected to cost, from which the time left is told.

In seconds of one busy core; only what they are to each other matters. A section without a cost is
left out of the run.
"""

from collections.abc import Callable, Mapping

from latentgeo.eval.demo import editing, isometric, page, photos
from latentgeo.eval.demo.plans import Plan
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.isometric.rows import ROUNDED
from latentgeo.eval.metrics.smoothness import FRAMES
from latentgeo.eval.smooth.sweep import adapters
from latentgeo.eval.transport import page as between

PACE = 0.45  # seconds per cost on two quiet cores, before the run has shown its own
STEP, PIXEL_STEP = 0.02, 0.027  # of DDIM, guided and with text, or of a model of pixels
NULL_TEXT = 35  # images' worth of inverting one by null texts
DEFAULT_STEPS = 25  # where neither plan nor command says


def expected(cmd: Demo, plan: Plan) -> dict[str, float]:
    """Return the cost of every section of a run, by its title."""
    found = {title: cost(cmd, plan) for title, cost in COSTS.items()}
    return {title: cost for title, cost in found.items() if cost}


def images(cmd: Demo, plan: Plan, count: float) -> float:
    """Return the cost of so many images with text."""
    return count * STEP * (cmd.steps or plan.steps or DEFAULT_STEPS)


def by_every_model(cmd: Demo, plan: Plan, count: float) -> float:
    """Return the cost of so many images with text by each model."""
    return len(cmd.models) * images(cmd, plan, count)


def _strength(cmd: Demo, plan: Plan) -> float:
    each = plan.sweep_prompts * FRAMES + plan.sweep_images
    return len(adapters(cmd.models[0])) * images(cmd, plan, each) if plan.sweep_prompts else 0


def _photos(cmd: Demo, plan: Plan) -> float:
    if (how := plan.photos) is None:
        return 0
    drag = how.identity * 0.4 * len(cmd.models)
    inverted = NULL_TEXT * (how.inverted + 2)
    return by_every_model(cmd, plan, inverted + 2 * how.frames + 8 * how.edited) + drag


def _isometric(cmd: Demo, plan: Plan) -> float:
    if (how := plan.isometric) is None:
        return 0
    drawn = 2 * how.pairs + 2 * min(how.pairs, ROUNDED) + how.walks * how.frames + how.samples
    spectra = 1.5 * how.images * len(how.times)
    return 2 * (PIXEL_STEP * how.steps * (drawn + 10 * how.directions) + spectra)


def _editing(cmd: Demo, plan: Plan) -> float:
    if (how := plan.semantic) is None:
        return 0
    edits = len(editing.files(how))
    drawn = how.measured * (1 + 2 * edits + len(how.scales)) + how.shown * edits * len(how.scales)
    return PIXEL_STEP * how.steps * drawn


COSTS: Mapping[str, Callable[[Demo, Plan], float]] = {
    page.SAMPLES: lambda cmd, plan: by_every_model(cmd, plan, plan.samples),
    page.WALKS: lambda cmd, plan: by_every_model(cmd, plan, FRAMES * plan.walks),
    page.SMOOTHNESS: lambda cmd, plan: by_every_model(cmd, plan, FRAMES * (plan.prompts + 1)),
    page.QUALITY: lambda cmd, plan: by_every_model(cmd, plan, plan.images),
    page.STRENGTH: _strength,
    photos.TITLE: _photos,
    between.TITLE: lambda cmd, plan: 40 * STEP * plan.pair_steps * plan.pairs,
    isometric.TITLE: _isometric,
    editing.TITLE: _editing,
}
