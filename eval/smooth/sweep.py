"""The λ curve: smoothness and quality of adapters that were trained with other λ.

Smooth Diffusion's third table varies λ, the weight of its penalty. Adapters are found beside the
base model by their file names, `smooth_lora_lambda_<λ>.safetensors`; without any there is no curve.
All models enter with the same first prompts and images, under names that begin with "λ curve: ".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latentgeo.eval.contenders import (
    Contender,
    adapters_beside,
    contender,
    judged,
    measured,
)
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.quality import Judged, Judges, quality_results
from latentgeo.eval.metrics.smoothness import Walks, smoothness_results
from latentgeo.eval.runs.results import Result
from latentgeo.eval.runs.settings import Evaluation

PREFIX = "smooth_lora_lambda_"  # of the files
CURVE = "λ curve: "  # before a model's name in the results


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was measured of the models already: they enter the curve with their first n."""

    contenders: Sequence[Contender]
    walks: Mapping[str, Walks]
    target: Judged
    judged: Mapping[str, Judged]
    judges: Judges


def sweep(
    cmd: Evaluation, known: Known, prompts: int, images: int, steps: int | None
) -> list[Result]:
    """Return the results of the models known and of every other λ, all on the same n."""
    found = adapters(cmd.models[0])
    if not found or not prompts:
        return []
    captions = captioned(cmd.data, "test").chosen(max(prompts, images), cmd.seed).captions
    walks = {CURVE + name: first_walks(one, prompts) for name, one in known.walks.items()}
    seen, settings = {}, {}
    for one in known.contenders:
        seen[CURVE + one.name] = first_images(known.judged[one.name], images)
        settings[CURVE + one.name] = one.settings
    for strength, path in found.items():
        one = contender(cmd, f"{CURVE}λ = {strength:g}", f"{cmd.models[0]}+{path}", steps)
        walks[one.name] = measured(one, captions[:prompts], cmd.out / "rows", cmd.seed)
        seen[one.name] = judged(one, known.judges, captions[:images], cmd.seed)
        settings[one.name] = one.settings
    return [*smoothness_results(walks), *quality_results(known.target, seen, cmd.seed, settings)]


def adapters(model: str) -> dict[float, Path]:
    """Return the adapters of a λ sweep that lie beside a model, by λ ascending."""
    files = adapters_beside(model, PREFIX)
    return dict(sorted((float(path.stem.removeprefix(PREFIX)), path) for path in files))


def first_walks(walks: Walks, n: int) -> Walks:
    """Return the walks of the first n prompts."""
    settings = {**walks.settings, "prompts": n}
    return replace(walks, distances=walks.distances[:n], span=walks.span[:n], settings=settings)


def first_images(seen: Judged, n: int) -> Judged:
    """Return what was seen in the first n images, without the shares of single attributes."""
    found = seen.adherence
    if found is not None:
        found = replace(found, hits=found.hits[:n], stated=found.stated[:n], by_attribute={})
    return Judged(features=seen.features[:n], adherence=found)
