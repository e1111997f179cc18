"""The few settings of each method that `eval-edit --search` tries, and how the best is told.

Those of its paper or released code come first. The best has the largest product of the share of
wanted attributes and the share of others kept; of equals, the first.

Sources   Smooth Sec. 4.4 has r of 0.6 to 0.9; SDEdit starts at t_0 of 0.3 to 0.6; Cycle Diffusion's
          released code skips 15 to 30 of 100 steps, at η 0.1; Prompt-to-Prompt's keeps the maps of
          0.8 of the steps, and of 0.4; Plug-and-Play's paper takes features in 0.8 of them and
          attention in 0.5; Pix2Pix-Zero's released λ_xa is 0.1, with 5 rounds of whitening, whose
          slopes are steeper on smaller latents. Disentangle finds its own weights.
"""

from collections.abc import Mapping

from latentgeo.eval.metrics.editing import Seen
from latentgeo.infer.text_edits.settings import Method

Settings = Mapping[str, float]  # fields of EditOptions

CANDIDATES: Mapping[Method, tuple[Settings, ...]] = {
    "smooth": ({"release": 0.7}, {"release": 0.6}, {"release": 0.8}, {"release": 0.9}),
    "sdedit": ({"strength": 0.6}, {"strength": 0.45}, {"strength": 0.75}),
    "cycle-diffusion": ({"cycle_strength": 0.8}, {"cycle_strength": 0.7}, {"cycle_strength": 1.0}),
    "prompt-to-prompt": (
        {"cross": 0.8, "self_maps": 0.4},
        {"cross": 0.2, "self_maps": 0.4},
        {"cross": 0.4, "self_maps": 0.2},
    ),
    "plug-and-play": (
        {"features": 0.8, "attention": 0.5},
        {"features": 0.6, "attention": 0.4},
        {"features": 0.4, "attention": 0.25},
    ),
    "pix2pix-zero": (
        {"map_guidance": 0.1, "whitening": 5},
        {"map_guidance": 0.1, "whitening": 1},
        {"map_guidance": 0.1, "whitening": 0},
        {"map_guidance": 0.02, "whitening": 0},
    ),
    "disentangle": ({},),
}


def score(seen: Seen) -> float:
    """Return the share of edits that show what was wanted times that of attributes kept."""
    return float(seen.wanted.mean() * seen.kept.sum() / seen.others.sum())


def best(found: Mapping[str, Seen]) -> str:
    """Return the name of the best; of equals, the first."""
    return max(found, key=lambda name: score(found[name]))


def words(given: Settings) -> str:
    """Return settings as a cell is named by them."""
    return " ".join(f"{name}={value}" for name, value in given.items())
