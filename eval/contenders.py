"""One model of a comparison: how it is loaded, walked, sampled and judged, the same for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import version
from latentgeo.eval.metrics.quality import Judged, Judges, draw_samples
from latentgeo.eval.metrics.smoothness import FRAMES, Walks, measure
from latentgeo.eval.runs.settings import Evaluation
from latentgeo.infer.sampling.loading import load_model, loaded_hash, parse_model
from latentgeo.infer.sampling.pipeline import Sampling, sampling_of
from latentgeo.infer.sampling.sample import record
from latentgeo.infer.walks.walk import short_names
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.formats.load import find_model


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A loaded model under the name that results give it."""

    name: str
    spec: str  # as `load_model` reads it
    bundle: TextToImage
    sampling: Sampling

    @property
    def settings(self) -> dict[str, object]:
        """What makes one of its images again, with prompt and seed."""
        return record(self.bundle, self.spec, self.sampling)


def check_models(cmd: Evaluation) -> None:
    """Raise if any model of the command is not there, before hours go into the first."""
    for spec in cmd.models:
        parse_model(spec).check()


def adapters_beside(model: str, prefix: str) -> list[Path]:
    """Return the adapters beside a model whose file names begin so; none beside a single file."""
    place = find_model(model)
    return sorted((place if place.is_dir() else place.parent).glob(f"{prefix}*.safetensors"))


def contender(cmd: Evaluation, name: str, spec: str, steps: int | None = None) -> Contender:
    """Load one model and decide how it is sampled: the command's steps, or `steps`, or its own."""
    bundle = load_model(spec, cmd.device, cmd.dtype)
    wanted = steps if cmd.steps is None else cmd.steps
    sampling = sampling_of(bundle, wanted, cmd.guidance, batch=cmd.batch)
    return Contender(name=name, spec=spec, bundle=bundle, sampling=sampling)


def measured(
    one: Contender, captions: Sequence[str], rows: Path, seed: int, frames: int = FRAMES
) -> Walks:
    """Measure the walks of one model, continuing from the rows kept in its folder below `rows`."""
    folder, identity = kept_rows(one, rows)
    return measure(one.bundle, captions, one.sampling, folder, identity, seed, frames)


def kept_rows(one: Contender, rows: Path) -> tuple[Path, dict[str, object]]:
    """Return the folder below `rows` that keeps one model's rows, and what they say of the model.

    The folder is named by the model and its weights: two files of one name do not share it.
    """
    weights = loaded_hash(one.bundle)
    identity: dict[str, object] = {
        "model": one.spec,
        "weights": weights,
        "dtype": str(one.bundle.dtype).removeprefix("torch."),
        "version": version("latentgeo"),
    }
    return rows / f"{short_names([one.spec])[0]}-{weights[:8]}", identity


def judged(one: Contender, judges: Judges, captions: Sequence[str], seed: int) -> Judged:
    """Return what the judges see in one model's samples of captions, one each."""
    label = f"quality, {one.name}"
    return judges.judge(draw_samples(one.bundle, captions, one.sampling, seed, label), captions)
