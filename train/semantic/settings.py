"""The settings of `train-asyrp` and `train-diffusion-clip`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import line, option, required
from latentgeo.core.run.limits import at_least
from latentgeo.models.bundles.settings import MODEL_CONFIG, PREDICTION, Prediction
from latentgeo.train.loop.settings import Training


@dataclass(frozen=True, kw_only=True)
class Directed(Training):
    """What is the same for every edit that is learned from two texts."""

    model: str = required("model without text: an embedded name, a folder or a file of any program")
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    judge: str = option(
        "avatars",
        "judge that compares images with texts: avatars, the embedded one, or a file or folder "
        "of CLIP",
    )
    templates: bool = option(
        False,
        "take for a text the mean over 79 sentences that contain it, as the released code does",
    )
    name: str | None = option(None, "name of the attribute, by which its file is named")
    source: str | None = option(None, "what images show, such as 'face'")
    target: str | None = option(None, "what images shall show, such as 'smiling face'")
    data: str | None = option(
        None, "images to invert, as train-ddpm takes them; unset: random noise x_T instead"
    )
    n_images: int = option(1000, "images, or random x_T, in an epoch", was="images")
    epochs: int = option(1, "epochs: passes over the images")
    trained_steps: int = option(40, "S, steps from T to 0, also of the inversion")
    clip_weight: float = option(0.8, "λ_CLIP, weight of the directional loss")
    recon_weight: float | None = option(
        None, "λ_recon, weight of |ΔP|; unset: 3 times the cosine of the two texts"
    )
    refine: int = option(0, "fixed-point rounds in each step of the inversion; more is more exact")
    cache: Path | None = option(
        None, "folder that keeps inversions for the next run; unset: OUT/inversions"
    )
    samples: int = option(4, "images in a sample grid, each beside its edits")
    steps: int = option(1_000_000_000, "optimiser steps at most; usually the epochs end first")
    batch: int = option(1, "images per optimiser step, over all GPUs")
    weight_decay: float = option(
        0.0, "decoupled weight decay of AdamW; plain gradient descent has none"
    )
    ema: float = option(0.0, "decay of the weights' moving average; 0 keeps none")
    sample_every: int = option(0, "steps from one grid of samples to the next; 0 draws none")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 1, "n_images", "epochs", "samples")
        at_least(self, 2, "trained_steps")
        at_least(self, 0, "clip_weight", "refine")
        if self.accumulate != 1:
            raise ValueError(f"accumulate: got {self.accumulate}, wanted 1: a batch is not split")
        if self.dtype != "fp32":
            raise ValueError(f"dtype: got {self.dtype}, wanted fp32: P_T divides by √ᾱ_T")
        if self.recon_weight is not None and not 0 <= self.recon_weight < math.inf:
            raise ValueError(f"recon_weight must be at least 0, got {self.recon_weight}")

    @property
    def texts(self) -> tuple[str, str]:
        """Source and target; ValueError where one of them or the name is missing."""
        if not self.name or self.source is None or self.target is None:
            missing = [one for one in ("name", "source", "target") if not getattr(self, one)]
            raise ValueError(f"name, source and target: got no {' and no '.join(missing)}")
        return self.source, self.target


@dataclass(frozen=True, kw_only=True)
class TrainAsyrp(Directed):
    """Train directions in the bottleneck of a frozen model without text, from pairs of texts.

    Asyrp Sec. 5   the defaults: S = 40, one epoch over 1,000 images; as released: plain gradient
                   descent at 0.5 with a step at every time of every image
    Several attributes share the starts, and all that is computed of their sources. Another layer
    than the bottleneck, or ε, is to compare with it (Asyrp Sec. D.3 and Fig. 6).
    """

    attributes: Path | None = option(
        None,
        "file of several attributes, TOML or JSON: a table for each name, with source and "
        "target and, if wanted, t_edit, clip_weight and recon_weight",
    )
    kind: Literal["implicit", "table", "global"] = option(
        "implicit",
        "what is learned: the network f_t, a table of one Δh_t for each time, or one global Δh "
        "for all times",
    )
    layer: str = option(
        "h",
        "layer that is shifted: h, the bottleneck; in, down.0, …, up.0, …; or eps, with --kind "
        "table",
    )
    t_edit: int | None = option(
        None, "learn at times T ≥ t ≥ t_edit; unset: from --intervals, by the texts' similarity"
    )
    t_boost: int | None = option(
        None, "t_boost to note in the directions' files; unset: from --intervals"
    )
    intervals: Path | None = option(None, "file that eval-intervals wrote")
    optimizer: Literal["sgd", "adamw"] = option(
        "sgd", "sgd is plain gradient descent; adamw moves weak attributes as far as strong ones"
    )
    rate: float = option(0.5, "learning rate; with --optimizer adamw take about 1e-3")
    clip: float = option(
        0.0, "largest norm of the gradient, which is scaled down to it; 0 does not clip"
    )

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        if self.layer == "eps" and self.kind != "table":
            raise ValueError(f"layer: got eps with --kind {self.kind}, wanted --kind table")
        one = (self.name, self.source, self.target)
        if self.attributes is None:
            _ = self.texts
        elif any(one):
            raise ValueError(
                "attributes: got a file beside --name, --source or --target, wanted the one or the "
                "others"
            )
        at_least(self, 0, "t_boost")
        at_least(self, 1, "t_edit")

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return edits of three images along the direction."""
        file = self.out / f"{self.name}.safetensors" if self.attributes is None else self.out
        edit = {"model": self.model, "direction": file, "seeds": (0, 1, 2)}
        return [line("edit-semantic", **edit, out=self.beside("edits"))]


@dataclass(frozen=True, kw_only=True)
class TrainDiffusionClip(Directed):
    """Fine-tune a copy of a whole model to one edit: DiffusionCLIP, with Asyrp's loss, to compare.

    The defaults (50 images, 5 epochs, t_0 = 500, a rate of 8e-6) are usual for such fine-tuning;
    Asyrp, which compares with it in Sec. 5.2 and App. K, states none.
    """

    t_0: int = option(500, "time up to which images are noised; they are edited on the way down")
    data: str | None = option("avatars", "images to invert, as train-ddpm takes them")
    n_images: int = option(50, "images in an epoch", was="images")
    epochs: int = option(5, "epochs: passes over the images")
    rate: float = option(8e-6, "learning rate of AdamW")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        _ = self.texts
        at_least(self, 1, "t_0")
        if self.data is None:
            raise ValueError("data: got none, wanted images: they are noised up to --t-0")

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return images of the copy."""
        return [line("sample", model=self.out, count=16, out=self.beside("images"))]
