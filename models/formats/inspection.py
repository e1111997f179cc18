"""`latentgeo inspect`: what a file or folder of weights is, and what it fits."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from latentgeo.core.run.files import sha256
from latentgeo.models.bundles.networks import Networks
from latentgeo.models.bundles.text_to_image import PARTS, BundleConfig, read_config
from latentgeo.models.formats.convert import kind_of, places_for
from latentgeo.models.formats.diffusers.folder import INDEX, find_weights, weights_file
from latentgeo.models.formats.diffusers.image import STEM, part_folder
from latentgeo.models.formats.encoders import LOADERS as ENCODERS
from latentgeo.models.formats.encoders import encoder_rows, encoder_weights
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.open import files_of, open_source
from latentgeo.models.formats.files.source import Source, shapes
from latentgeo.models.formats.load import find_model, layout_of, load_text_to_image
from latentgeo.models.formats.load_image import image_layout, load_image_model
from latentgeo.models.formats.lora.adapter import PARTS as LORA_PARTS
from latentgeo.models.formats.lora.adapter import Lora, Places, misfits, places_in
from latentgeo.models.formats.lora.files import lora_path, read_lora_file
from latentgeo.models.formats.lora.grammar import Grammar
from latentgeo.models.formats.settings import Inspect
from latentgeo.models.formats.textual_inversion import read_embeddings
from latentgeo.models.zoo.places import ZOO

MOST = 8  # things that a line lists before it counts
PLACE = re.compile(r".*(blocks|layers|resnets|attentions|samplers)\.\d+\.")
Row = tuple[str, str]
WIDTHS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x"}  # of a learned token


def inspect_weights(cmd: Inspect) -> str:
    """Return a line per finding (`inspect`), the words in a column."""
    rows = inspect(cmd.file, None if cmd.model is None else Path(cmd.model), cmd.model_config)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def inspect(path: Path, model: Path | None = None, model_config: Path | None = None) -> list[Row]:
    """Return what is to be said of a file or folder, in rows of a word and a text.

    `model` is what a LoRA is held against, Stable Diffusion 1.5 and the embedded ones if None;
    `model_config` what an image model is read by. Raises FileNotFoundError or ValueError for what
    is no whole file of weights at all.
    """
    kind = kind_of(path)
    if kind == "lora":
        return [*file_rows(lora_path(path)), *lora_rows(path, model)]
    if kind == "tokens":
        return [("file", str(path)), ("sha256", sha256(path)), *token_rows(path)]
    if kind in ENCODERS:
        return [*file_rows(encoder_weights(path)), *encoder_rows(path, kind)]
    place = path if path.is_file() else find_model(path)
    if layout := image_layout(place):
        rows = [row for file in image_files(place, layout) for row in file_rows(file)]
        return [*rows, *image_rows(place, layout, model_config)]
    rows = [row for file in weight_files(place) for row in file_rows(file)]
    return [*rows, *model_rows(place)]


def weight_files(place: Path) -> list[Path]:
    """Return the files of weights that make a model: one, or one or an index per network."""
    if place.is_file():
        return [place]
    if (place / INDEX).is_file():
        return [weights_file(place, part) for part in PARTS]
    return [place / f"{part}.safetensors" for part in PARTS]


def image_files(place: Path, layout: str) -> list[Path]:
    """Return the files of weights that make a model of images without text."""
    if place.is_file():
        return [place]
    if layout == "latentgeo":
        return sorted(place.glob("*.safetensors"), reverse=True)  # the UNet before an autoencoder
    folders = {part_folder(place, part): None for part in ("unet", "autoencoder")}
    return [find_weights(folder, STEM, STEM) for folder in folders if folder.is_dir()]


def file_rows(path: Path) -> Iterator[Row]:
    """Yield what a file says of itself before any tensor is read."""
    source = open_source(path)
    yield "file", str(path)
    for file in files_of(source):
        yield "sha256", f"{sha256(file)}  {file.name}"
    yield "family", looks_like(shapes(source)).title
    yield "tensors", counted(source)
    if source.metadata:
        names = sorted(source.metadata)
        yield "metadata", listed(names)


def model_rows(place: Path) -> Iterator[Row]:
    """Yield a model's configuration, or why it is not one that can be loaded."""
    try:
        bundle = load_text_to_image(place, dtype=None)
    except (ValueError, FileNotFoundError) as error:
        yield "fits", f"no: {error}"
        return
    config = bundle.config
    yield "name", config.name
    for part in PARTS:
        yield part, settings(vars(getattr(config, part)))
    yield "schedule", f"{config.schedule}, predicts {config.prediction}"
    yield "sampling", settings(vars(config.sampling))
    yield "parameters", f"{parameters(bundle):,}"
    yield "fits", f"latentgeo sample --model {place} (layout {layout_of(place)})"


def image_rows(place: Path, layout: str, model_config: Path | None) -> Iterator[Row]:
    """Yield the configuration of a model of images, or why it cannot be loaded."""
    try:
        model = load_image_model(place, dtype=None, config=model_config)
    except (ValueError, FileNotFoundError) as error:
        yield "fits", f"no: {error}"
        return
    config = model.config
    yield "name", config.name
    yield "unet", f"{config.network}, {settings(vars(config.unet))}"
    if config.autoencoder is not None:
        yield "autoencoder", settings(vars(config.autoencoder))
    yield "schedule", f"{settings(vars(config.schedule))}, predicts {config.prediction}"
    yield "sampling", settings(vars(config.sampling))
    yield "parameters", f"{parameters(model):,}"
    yield "fits", f"latentgeo sample --model {place} (layout {layout})"


def lora_rows(path: Path, model: Path | None) -> Iterator[Row]:
    """Yield a LoRA's grammar, ranks and layers, and which models it fits, or why it fits none."""
    verdicts = [(name, *held_against(path, places)) for name, places in models_for(model)]
    verdicts.sort(key=lambda verdict: bool(verdict[2]))  # those it fits first, and their names
    lora, grammar = next((found for _, found, _ in verdicts if found), (None, None))
    if lora is not None and grammar is not None:
        yield "grammar", f"{grammar.name} ({grammar.title})"
        yield "ranks", tally(Counter(str(factors.rank) for _, _, factors in lora))
        yield "scales", tally(Counter(f"{factors.scale:g}" for _, _, factors in lora))
        yield from target_rows(lora)
    fitting = [name for name, _, said in verdicts if not said]
    if fitting:
        yield "fits", listed(fitting)
    else:
        yield from (("fits", f"not {name}: {said}") for name, _, said in verdicts)


def models_for(model: Path | None) -> Iterator[tuple[str, Places]]:
    """Yield the models that a LoRA is held against: the one named, or all that are known here."""
    if model is not None:
        yield str(model), places_for(model)
        return
    yield "Stable Diffusion 1.5", places_for(None)
    yield from ((config.name, places_in(config)) for config in embedded())


def embedded() -> Iterator[BundleConfig]:
    """Yield the configurations of the embedded models with text."""
    places = (path.parent for path in sorted(ZOO.glob("*/config.json")))
    yield from (read_config(one / "config.json") for one in places if image_layout(one) is None)


def held_against(path: Path, places: Places) -> tuple[tuple[Lora, Grammar] | None, str]:
    """Return a LoRA and its grammar, None if unreadable, and why it does not fit, "" if it does."""
    try:
        lora, grammar = read_lora_file(path, places)
    except ValueError as error:
        return None, str(error)
    return (lora, grammar), listed(misfits(lora, places), "; ")


def target_rows(lora: Lora) -> Iterator[Row]:
    """Yield the layers that a LoRA is on, by what they are, and its learned tokens."""
    for part in LORA_PARTS:
        kinds = Counter(_kind(layer) for layer in lora.part(part))
        if kinds:
            yield f"on {part}", tally(kinds)
    if lora.tokens:
        yield "tokens", listed([f"{t} {tuple(v.shape)}" for t, v in lora.tokens.items()])


def token_rows(path: Path) -> Iterator[Row]:
    """Yield learned tokens, their vectors, and the models whose text encoder has that width."""
    tokens = read_embeddings(path)
    yield "family", "learned token embeddings"
    for token, vectors in tokens.items():
        yield "token", f"{token}: {len(vectors)} of width {vectors.shape[1]}, {vectors.dtype}"
    width = next(iter(tokens.values())).shape[1]
    known = [config.name for config in embedded() if config.text.width == width]
    fitting = [WIDTHS[width], *known] if width in WIDTHS else known
    yield "fits", listed(fitting) or f"a text encoder of width {width}"


def counted(source: Source) -> str:
    """Return how many tensors and numbers a file has, by dtype."""
    dtypes = Counter(str(entry.dtype).removeprefix("torch.") for entry in source.entries.values())
    numbers = sum(math.prod(entry.shape) for entry in source.entries.values())
    return f"{len(source.entries)}, {numbers:,} numbers, {tally(dtypes)}"


def parameters(model: Networks) -> int:
    """Return the number of parameters of all networks."""
    return sum(p.numel() for part in model.modules.values() for p in part.parameters())


def settings(values: Mapping[str, object]) -> str:
    """Return settings in a line."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def tally(counts: Mapping[str, int]) -> str:
    """Return how often each thing is there, most frequent first."""
    rows = sorted(counts.items(), key=lambda row: -row[1])
    return listed([f"{name} ({count})" for name, count in rows])


def listed(items: Sequence[str], separator: str = ", ") -> str:
    """Return the first items in a line, and how many more there are."""
    more = f"{separator}and {len(items) - MOST} more" if len(items) > MOST else ""
    return separator.join(items[:MOST]) + more


def _kind(layer: str) -> str:
    """Return a layer's name within its block."""
    return PLACE.sub("", layer)
