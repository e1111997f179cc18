"""The settings of `train-asyrp` and `train-diffusion-clip`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, required
from latentgeo.core.run.limits import at_least
from latentgeo.models.bundles.settings import MODEL_CONFIG, PREDICTION, Prediction
from latentgeo.train.loop.settings import Training


@dataclass(frozen=True, kw_only=True)
class Directed(Training):
    """What is the same for every edit that is learned from two texts."""

    model: str = required("name, folder or file of a model without text, of any layout")
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    judge: str = option("avatars", "what compares images with texts: embedded, or a path of CLIP")
    templates: bool = option(False, "a text is the mean over 79 sentences around it, as released")
    name: str | None = option(None, "of the attribute")
    source: str | None = option(None, "what images show, such as 'face'")
    target: str | None = option(None, "what they shall show, such as 'smiling face'")
    data: str | None = option(None, "images to invert, as train-ddpm takes them; none: random x_T")
    n_images: int = option(1000, "images, or random x_T, in an epoch", was="images")
    epochs: int = option(1, "passes over them")
    trained_steps: int = option(40, "S, steps from T to 0, of the inversion too")
    clip_weight: float = option(0.8, "λ_CLIP of the directional loss")
    recon_weight: float | None = option(None, "λ_recon of |ΔP|; unset, 3 cos of the two texts")
    refine: int = option(0, "fixed-point rounds per step of the inversion")
    cache: Path | None = option(None, "folder of inversions; OUT/inversions if unset")
    samples: int = option(4, "images in a sample grid, each beside its edits")
    steps: int = option(1_000_000_000, "optimiser steps at most; the epochs end before")
    batch: int = option(1, "images per optimiser step, over all ranks")
    weight_decay: float = option(0.0, "decoupled weight decay of AdamW; gradient descent has none")
    ema: float = option(0.0, "decay of the weights' moving average; 0 keeps none")
    sample_every: int = option(0, "steps per sample grid; 0 draws none")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 1, "n_images", "epochs", "samples")
        at_least(self, 2, "trained_steps")
        at_least(self, 0, "clip_weight", "refine")
        if self.accumulate != 1:
            raise ValueError("accumulate: a batch goes down its path as a whole, wanted 1")
        if self.dtype != "fp32":
            raise ValueError(f"dtype: P_T divides by √ᾱ_T, wanted fp32, got {self.dtype}")
        if self.recon_weight is not None and not 0 <= self.recon_weight < math.inf:
            raise ValueError(f"recon_weight must be at least 0, got {self.recon_weight}")

    @property
    def texts(self) -> tuple[str, str]:
        """Source and target; ValueError where one of them or the name is missing."""
        if not self.name or self.source is None or self.target is None:
            raise ValueError("name, source and target: wanted each of them")
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
        None, "TOML or JSON: a table by name with source and target, maybe t_edit and both weights"
    )
    kind: Literal["implicit", "table", "global"] = option(
        "implicit", "f_t, or Δh_t of every time by itself, or one Δh for all times"
    )
    layer: str = option(
        "h", "where shifts enter: h, the bottleneck; in, down.0, … or up.0, …; eps with a table"
    )
    t_edit: int | None = option(
        None, "learn at T ≥ t ≥ t_edit; unset, of intervals by the texts' similarity"
    )
    t_boost: int | None = option(None, "noted in the files; unset, of intervals")
    intervals: Path | None = option(None, "file of eval-intervals")
    optimizer: Literal["sgd", "adamw"] = option(
        "sgd", "plain gradient descent, or AdamW, which moves weak attributes as far as strong ones"
    )
    rate: float = option(0.5, "learning rate; of adamw, 1e-3 or so")
    clip: float = option(0.0, "largest gradient norm; 0 does not clip")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        if self.layer == "eps" and self.kind != "table":
            raise ValueError(f"layer: eps is shifted by a table, got --kind {self.kind}")
        one = (self.name, self.source, self.target)
        if self.attributes is None:
            _ = self.texts
        elif any(one):
            raise ValueError("attributes: wanted a file, or --name, --source and --target")
        at_least(self, 0, "t_boost")
        at_least(self, 1, "t_edit")


@dataclass(frozen=True, kw_only=True)
class TrainDiffusionClip(Directed):
    """Fine-tune a copy of a whole model to one edit: DiffusionCLIP, with Asyrp's loss, to compare.

    The defaults (50 images, 5 epochs, t_0 = 500, a rate of 8e-6) are usual for such fine-tuning;
    Asyrp, which compares with it in Sec. 5.2 and App. K, states none.
    """

    t_0: int = option(500, "images are noised up to here, and edited on the way down")
    data: str | None = option("avatars", "images to invert, as train-ddpm takes them")
    n_images: int = option(50, "images in an epoch", was="images")
    epochs: int = option(5, "passes over them")
    rate: float = option(8e-6, "learning rate of AdamW")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        _ = self.texts
        at_least(self, 1, "t_0")
        if self.data is None:
            raise ValueError("data: got none, wanted images, which are noised up to t_0")
