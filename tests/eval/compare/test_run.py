"""`latentgeo compare`, whole, on a tiny model: ratios on the page, going on, refusals."""

import json
from dataclasses import replace

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.compare import samples as compare_samples
from latentgeo.eval.compare.measure import Bench
from latentgeo.eval.compare.run import MEASURES, run_compare
from latentgeo.eval.compare.settings import METRICS, Compare
from latentgeo.eval.contenders import contender
from latentgeo.eval.metrics.quality import load_judges
from latentgeo.eval.runs.results import RATIO, Result
from latentgeo.models.perceptual import load_lpips


@pytest.fixture(scope="module")
def done(tiny, tmp_path_factory):
    """A comparison of a model with itself under one adapter, attached twice."""
    cmd = Compare(
        out=tmp_path_factory.mktemp("compare"),
        models=(f"base={tiny.model}", f"both={tiny.smooth}@0.5+smooth_lora@0.25"),
        data=tiny.data,
        classifier=tiny.classifier,
        device="cpu",
        steps=1,
        frames=3,
        n_prompts=2,
        ppl_pairs=2,
        ppl_epsilon=0.1,
        arcs=2,
        jacobians=3,
        times=(700,),
        cells=(2,),
        inverted=2,
        n_images=10,
        pairs=5,
        n_edits=3,
        shown=1,
    )
    return cmd, run_compare(cmd).read_text(encoding="utf-8")


def results_of(cmd):
    rows = json.loads((cmd.out / "results.json").read_text())["results"]
    return {(row["metric"], row["model"]): Result(**row) for row in rows}


def test_every_metric_is_a_ratio_to_the_base(done):
    cmd, page = done
    found = results_of(cmd)
    base, n = f"{RATIO}base", {}
    for metric in (
        "PPL, 1/ε², ε = 0.1",
        "mRTL",
        "MCN of h in cells of 2",
        "VoR of h in cells of 2",
        "ddim: MSE, reconstruction to image",
        "FD (AlexNet, 256-d)",
        "caption adherence",
        "index: mean consecutive LPIPS",
        "optimal: mean consecutive LPIPS",
        "edits by text: other attributes kept",
    ):
        one = found[metric + base, "both"]
        n[metric] = one.n
        assert one.value > 0 and one.text in page and metric in page
        assert (metric + base, "base") not in found
    assert n["mRTL"] == 2 and n["caption adherence"] <= 10 and n["FD (AlexNet, 256-d)"] == 10
    spec = cmd.named()["base"]
    assert found[f"ISTD{RATIO}{spec}", "both"].text in page
    assert found["optimal: mean consecutive LPIPS" + base, "both"].n == 5


def test_files_and_page_stand_alone(done):
    cmd, page = done
    names = {path.name for path in cmd.out.iterdir()}
    files = {"report.html", "results.json", "run.toml", "ratios.svg", "samples.png", "walk-1.png"}
    assert names == files | {"rows"}
    assert page.count("data:image/png;base64,") == 2 and page.count("<svg") == 2
    assert all(word not in page for word in ("<script", "<link", 'src="http', "url(http"))
    assert all(f"seconds, {name}: " in page for name in METRICS)


def test_what_is_measured_is_not_measured_again(done, monkeypatch):
    """Rows of samples and edits are read back, to the same results."""
    cmd, _ = done
    judges = load_judges(cmd.classifier)
    contenders = [contender(cmd, name, spec) for name, spec in cmd.named().items()]
    bench, found = Bench(cmd, contenders, judges, load_lpips()), results_of(cmd)

    def again(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(compare_samples, "draw_samples", again)
    monkeypatch.setattr(compare_samples.Edits, "rows", again)
    for name in ("quality", "edit"):
        for one in MEASURES[name](bench).results:
            assert found[one.metric, one.model].value == pytest.approx(one.value, rel=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--models", "avatars"], "wanted NAME=MODEL, two or more"),
        (["--models", "a=avatars", "a=avatars-smooth"], "each name once"),
        (["--models", "a=avatars", "b="], "wanted NAME=MODEL"),
        (["--models", "a=avatars", "b=avatars+none_such"], "none_such"),
        (["--metrics", "istd", "istd"], "metrics: got"),
        (["--n-images", "9"], "--n-images must be at least 10, got 9"),
        (["--n-samples", "999"], "--n-samples must be 0 or at least 1000, got 999"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, more, message):
    assert main(["compare", "--out", str(tmp_path / "out"), *more]) == 2
    err = capsys.readouterr().err.strip()
    assert message in err and "\n" not in err
    assert not (tmp_path / "out").exists()


def test_models_have_names(done):
    cmd, _ = done
    wanted = replace(cmd, models=("a=x=y", "b + c = z"))
    assert wanted.named() == {"a": "x=y", "b + c": "z"}
