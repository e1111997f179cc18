"""A text-to-image model on the bench of isometry: job i under the i-th held-out caption."""

import pytest

from latentgeo.eval.compare.settings import Compare
from latentgeo.eval.contenders import contender
from latentgeo.eval.isometric.prompted import prompted_rows
from latentgeo.eval.isometric.rows import Subject, pair_rows, walk_rows
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.quality import load_judges
from latentgeo.infer.sampling.unprompted import ImageSampling
from latentgeo.models.bundles.prompted import Prompted
from latentgeo.models.perceptual import load_lpips


def test_a_job_has_its_caption_and_no_guidance(tiny, tmp_path):
    """Iso Sec. 4.1: rows of job 1 are those of its caption alone, and of no other."""
    cmd = EvalIsometry(
        models=("one",),
        out=tmp_path,
        metrics=("ppl", "mrtl"),
        data=tiny.data,
        steps=1,
        ppl_pairs=2,
        walks=2,
        frames=3,
        ppl_epsilon=0.1,
    )
    bench = Compare(out=tmp_path, data=tiny.data, device="cpu", steps=1)
    one = contender(bench, "one", str(tiny.model))
    rows, settings = prompted_rows(one, cmd, load_judges(tiny.classifier))
    captions = captioned(tiny.data).chosen(2, cmd.seed).captions

    def alone(caption):
        model = Prompted(one.bundle, [caption])
        subject = Subject(model=model, sampling=ImageSampling(steps=1), lpips=load_lpips())
        return pair_rows(subject, cmd, [1])[0]["length"], walk_rows(subject, cmd, [1])[0]["rtl"]

    length, rtl = alone(captions[1])
    assert rows.pairs[1]["length"] == pytest.approx(length, rel=1e-5)
    assert rows.walks[1]["rtl"] == pytest.approx(rtl, rel=1e-5)
    assert alone(captions[0])[0] != pytest.approx(length, rel=1e-4)
    assert settings["guidance"] == 1.0 and settings["model"] == str(tiny.model)
