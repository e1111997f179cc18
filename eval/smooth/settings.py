"""The settings of the measurements that Smooth Diffusion's paper has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required, word
from latentgeo.core.run.limits import at_least, each_once
from latentgeo.eval.runs.settings import DATA, Evaluation
from latentgeo.infer.inversion.settings import Times
from latentgeo.infer.text_edits.settings import EditOptions, Method
from latentgeo.models.bundles.settings import Dtype

FEWEST = 20  # images whose twentieth is told
Way = Literal["ddim", "ddim-guided", "null-text"]


@dataclass(frozen=True, kw_only=True)
class EvalIstd(Evaluation):
    """Measure smoothness by ISTD; started again, it goes on; torchrun shares the prompts out.

    Smooth Sec. 4.1c   500 captions, 11 images of each
    """

    n_prompts: int = option(500, "how many prompts, drawn by the seed", was="prompts")
    prompt_file: Path | None = option(
        None, "text file of prompts, one on each line; unset: the held-out captions"
    )
    frames: int = option(11, "images per walk, both ends included")

    def __post_init__(self) -> None:
        """Refuse walks without a standard deviation."""
        super().__post_init__()
        at_least(self, 1, "n_prompts")
        at_least(self, 3, "frames")


@dataclass(frozen=True, kw_only=True)
class EvalQuality(Evaluation):
    """Measure Fréchet distance to held-out images, and how samples follow their captions."""

    n_images: int = option(1000, "samples of each model, and as many held-out images", was="images")
    classifier: Path | None = option(
        None, "file of a classifier of attributes; unset: the embedded one"
    )
    clip_model: Path | None = option(
        None, "folder or file of CLIP; with it, the CLIP score is measured too", was="clip"
    )
    inception: Path | None = option(
        None, "file of FID's InceptionV3; with it, the FID is measured too"
    )

    def __post_init__(self) -> None:
        """Refuse sets too small for an interval."""
        super().__post_init__()
        at_least(self, 10, "n_images")


@dataclass(frozen=True, kw_only=True)
class EvalReconstruction(Evaluation):
    """Invert held-out images and make them again: MSE, PSNR, SSIM, LPIPS; resumes, runs on ranks.

    --guidance is that of the way back, of ddim-guided and null-text; the way to the noise has none.
    """

    n_images: int = option(
        200, "held-out images, each with its caption, drawn by the seed", was="images"
    )
    methods: tuple[Way, ...] = option(
        ("ddim", "ddim-guided", "null-text"),
        "guidance to the noise and back: ddim 1 and 1; ddim-guided 1 and w; null-text 1 and w "
        "with null texts fitted",
    )
    inversion_times: Times = option(
        "released",
        "time given to the network in a step to the noise: that of the noisier end, as in "
        "released code, or as printed in the paper",
        was="times",
    )
    inner: int = option(10, "updates of the null text in each step at most")
    fit_from: Times = option(
        "released",
        "where null texts are fitted: released is where those before lead, printed is x_t itself",
    )

    def __post_init__(self) -> None:
        """Refuse what has no interval, and what could not be compared."""
        super().__post_init__()
        at_least(self, 2, "n_images")
        at_least(self, 1, "inner")
        each_once(self, "methods")


@dataclass(frozen=True, kw_only=True)
class EvalEdit(EditOptions, Evaluation):
    """Measure text edits of held-out faces: is the wanted attribute there, are the others kept.

    Smooth Fig. 5   beside SDEdit, Prompt-to-Prompt, Plug-and-Play, Pix2Pix-Zero, Disentangle and
                    Cycle Diffusion

    Started again on its folder, it goes on; torchrun shares the images out.
    """

    n_images: int = option(48, "held-out images, each edited once", was="images")
    methods: tuple[Method, ...] = option(
        ("smooth", "sdedit", "prompt-to-prompt", "plug-and-play", "cycle-diffusion"),
        "ways to edit",
    )
    base_methods: tuple[Method, ...] = option(
        (),
        "ways to edit with the first model alone; each is compared with the first of --methods "
        "with the last model",
    )
    search: bool = option(
        False,
        "try each method's few settings with the first model on training images, and tell the best",
    )
    batch: int = option(16, "images computed at a time; it changes speed and memory, nothing else")
    classifier: Path | None = option(
        None, "file of a classifier of attributes; unset: the embedded one"
    )

    def __post_init__(self) -> None:
        """Refuse sets too small for an interval."""
        Evaluation.__post_init__(self)
        EditOptions.__post_init__(self)
        at_least(self, 2, "n_images")
        each_once(self, "methods")
        if self.base_methods:
            each_once(self, "base_methods")


@dataclass(frozen=True, kw_only=True)
class EvalDrag:
    """Drag prepared points of held-out images with several models, and measure where they end.

    Smooth Fig. 6   by DragDiffusion, the base and its smooth twin
    """

    out: Path = output("folder for the results; files of the same name are replaced")
    models: tuple[str, ...] = option(
        ("avatars", "avatars-smooth"),
        "models to compare, the first is the base: NAME, NAME+LORA or NAME+LORA@SCALE",
    )
    cases: Path | None = option(
        None, "JSON file of images, points and editable boxes; unset: the package's own"
    )
    limit: int | None = option(
        None, "how many of the cases, from the first on; unset: all", was="count"
    )
    data: str | None = option(None, DATA)
    seed: int = option(0, "seed of the identity LoRAs")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        each_once(self, "models")
        at_least(self, 1, "limit")


@dataclass(frozen=True, kw_only=True)
class EvalTables(Evaluation):
    """Measure a paper's tables; started again on its folder, it goes on.

    The first model is the base, the second its smoothed twin.
    """

    paper: Literal["smooth"] = word("whose tables: smooth")
    tables: tuple[Literal["1", "2", "3", "4"], ...] = option(("1", "2", "3", "4"), "which tables")
    ratio_models: tuple[str, ...] = option(
        (), "table 3: λ=MODEL for each λ; unset: the LoRAs beside the first model", was="ratios"
    )
    rank_models: tuple[str, ...] = option(
        (),
        "table 4: RANK=MODEL for each rank, and full=MODEL; unset: the LoRAs beside the first "
        "model",
        was="ranks",
    )
    n_prompts: int = option(500, "walks of each model, for ISTD", was="prompts")
    n_images: int = option(500, "samples of each model, and as many held-out images", was="images")
    inverted: int = option(200, "table 2: images inverted by DDIM")
    fitted: int = option(32, "table 2: images inverted by null-text inversion, which takes longer")
    inner: int = option(10, "table 2: updates of the null text in each step at most")
    clip_model: Path | None = option(
        None, "folder or file of CLIP; with it, the CLIP score is measured too", was="clip"
    )
    inception: Path | None = option(
        None, "file of FID's InceptionV3; with it, the FID is measured too"
    )
    classifier: Path | None = option(
        None, "file of a classifier of attributes; unset: the embedded one"
    )

    def __post_init__(self) -> None:
        """Refuse what no table could be made of."""
        super().__post_init__()
        if len(self.models) != 2:
            raise ValueError(f"models: got {list(self.models)}, wanted a base and its smooth twin")
        if not self.tables or len(set(self.tables)) != len(self.tables):
            raise ValueError(f"tables: got {list(self.tables)}, wanted some of 1 2 3 4, each once")
        at_least(self, 2, "n_prompts", "inverted", "fitted")
        at_least(self, 10, "n_images")
        at_least(self, 1, "inner")
        for name in ("ratio_models", "rank_models"):
            for given in getattr(self, name):
                if not all(given.partition("=")[::2]):
                    raise ValueError(f"{name}: got {given!r}, wanted VALUE=MODEL")


@dataclass(frozen=True, kw_only=True)
class EvalTypical:
    """Measure what comes back of held-out images in one step: what is usual for a model.

    Laid into the model's folder, the file lets edit-text and edit-semantic tell an image that the
    model has not learned.
    """

    model: str = required("name, folder or file of a model, with text or without")
    out: Path = output("folder for typical.json; a file of that name is replaced")
    data: str | None = option(None, DATA)
    n_images: int = option(200, "held-out images, each with its caption, drawn by the seed")
    seed: int = option(0, "seed of the choice of images")
    batch: int = option(16, "images computed at a time; it changes speed and memory, nothing else")
    device: str = option(
        "auto",
        "cpu, cuda, cuda:N, mps, or auto: cuda if there is one",
    )
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse too few for a twentieth of them to be one."""
        at_least(self, FEWEST, "n_images")
        at_least(self, 1, "batch")
