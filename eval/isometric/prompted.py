"""Isometric Diffusion's metrics of a text-to-image model: job i under the i-th caption.

Noise and caption of a job are the same in every model; there is no guidance
(models/bundles/prompted.py). The images of linear separability have no caption: their attributes
should come of x_T alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latentgeo.eval.contenders import Contender, kept_rows
from latentgeo.eval.isometric.measure import Measuring, asked
from latentgeo.eval.isometric.results import Rows
from latentgeo.eval.isometric.rows import Subject
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.quality import Judges
from latentgeo.eval.metrics.separability import reader
from latentgeo.eval.runs.jobs import Measure
from latentgeo.eval.runs.rows import Row
from latentgeo.infer.sampling.unprompted import ImageSampling
from latentgeo.models.bundles.prompted import Prompted
from latentgeo.models.perceptual import load_lpips

UNPROMPTED = ("samples", "samples-read")  # kinds of jobs


@dataclass(frozen=True)
class MeasuringPrompted(Measuring):
    """A text-to-image model on the bench, one job at a time where the job has a caption."""

    prompted: Prompted  # the subject's model
    captions: Sequence[str]  # of the jobs, as many as there are

    def _jobs(
        self, kind: str, count: int, group: int, measure: Measure, about: Mapping[str, object]
    ) -> list[Row]:
        if kind in UNPROMPTED:
            self.prompted.tell([""])
            return super()._jobs(kind, count, group, measure, about)

        def one_by_one(jobs: Sequence[int]) -> list[Row]:
            rows: list[Row] = []
            for job in jobs:
                self.prompted.tell([self.captions[job % len(self.captions)]])
                rows += measure([job])
            return rows

        return super()._jobs(kind, count, group, one_by_one, {**about, "set": self.held.digest()})


def prompted_rows(
    one: Contender, cmd: EvalIsometry, judges: Judges
) -> tuple[Rows, dict[str, object]]:
    """Return what `cmd.metrics` measure of one model, rows kept below `cmd.out`, and settings.

    Captions are the held-out ones in the order that the seed draws them.
    """
    held = captioned(cmd.data, "test")
    model = Prompted(one.bundle)
    sampling = ImageSampling(steps=cmd.steps, batch=cmd.batch)
    lpips = load_lpips(model.device).to(model.dtype)
    subject = Subject(model=model, sampling=sampling, lpips=lpips)
    _, identity = kept_rows(one, cmd.out / "rows")
    read = reader(judges.classifier) if "ls" in cmd.metrics else None
    captions = held.chosen(len(held), cmd.seed).captions  # job i of spectra has the i-th image
    bench = MeasuringPrompted(cmd, subject, identity, held, judges, read, model, captions)
    return bench.rows(), {**identity, **asked(cmd), "guidance": 1.0}
