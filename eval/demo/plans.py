"""How much of everything the demo does, in three lengths."""

from dataclasses import dataclass

from latentgeo.eval.demo.editing import Semantic
from latentgeo.eval.demo.isometric import Isometric
from latentgeo.eval.demo.photos import Photos
from latentgeo.eval.demo.settings import Demo


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything a run does."""

    minutes: int = 0  # that it takes on two quiet cores, as measured
    samples: int  # captions shown, one image per model
    walks: int  # interpolations shown
    prompts: int  # walks measured for ISTD
    images: int  # samples judged for quality
    sweep_prompts: int = 0  # walks measured for each other λ; 0 leaves the curve out
    sweep_images: int = 0  # samples judged for each other λ
    steps: int | None = None  # DDIM steps; None is the model's own default
    pairs: int = 0  # of prompts walked between under every coupling; 0 leaves the section out
    pair_steps: int = 8  # DDIM steps of those walks
    photos: Photos | None = None  # of real images; None leaves the section out
    isometric: Isometric | None = None  # of the pixel models; None leaves the section out
    semantic: Semantic | None = None  # edits in h-space, likewise


FULL = Plan(
    minutes=11,
    samples=8,
    walks=3,
    prompts=100,
    images=128,
    sweep_prompts=16,
    sweep_images=48,
    steps=15,
    pairs=10,
    photos=Photos(inverted=8, edited=8, frames=9, identity=120),
    isometric=Isometric(),
    semantic=Semantic(),
)
SHORT = Plan(
    minutes=5,
    samples=6,
    walks=1,
    prompts=20,
    images=128,  # as in full: of 40, a difference was told that 128 do not show
    steps=15,
    pairs=5,
    photos=Photos(inverted=2, edited=4, frames=5, identity=40),
    isometric=Isometric(samples=12, directions=1),
    semantic=Semantic(shown=1, measured=5, names=("beard", "blond_hair", "glasses")),
)
QUICK = Plan(
    minutes=1,
    samples=6,
    walks=1,
    prompts=5,
    images=16,
    steps=10,
    photos=Photos(inverted=2, edited=4, frames=5),
)


def words(plan: Plan) -> str:
    """Return how much a plan measures, and what the longest one would."""
    said = (
        f"{plan.prompts} walks and {plan.images} images of each model are measured: "
        f"{plan.minutes} min on two quiet cores."
    )
    if plan == FULL:
        return said
    more = f"{FULL.prompts} walks, {FULL.images} images, adapters of other λ and more of all else"
    return f"{said} latentgeo demo --full measures {more}: {FULL.minutes} min."


def plan_of(cmd: Demo) -> Plan:
    """Return how much a command asks for."""
    return QUICK if cmd.quick else FULL if cmd.full else SHORT
