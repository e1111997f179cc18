"""The demo, whole, on a tiny model: the report's numbers are those of results.json."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.contenders import contender
from latentgeo.eval.demo.page import change, quality_sentence, smoothness_sentence
from latentgeo.eval.demo.photos import Photos
from latentgeo.eval.demo.run import Plan, run_demo, walks_between
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.runs.results import Result

PLAN = Plan(
    samples=3,
    walks=2,
    prompts=4,
    images=10,
    sweep_prompts=2,
    sweep_images=10,
    steps=2,
    photos=Photos(inverted=3, edited=2, frames=3, identity=1),
)


@pytest.fixture(scope="module")
def done(tiny, tmp_path_factory):
    """A demo with a λ curve of two adapters beside the model."""
    folder = tmp_path_factory.mktemp("demo")
    model = folder / "model"
    shutil.copytree(tiny.model, model)
    for name in ("smooth_lora_lambda_10", "smooth_lora_lambda_0.1"):
        shutil.copy(model / "smooth_lora.safetensors", model / f"{name}.safetensors")
    cmd = Demo(
        out=folder / "out",
        models=(str(model), f"{model}+smooth_lora"),
        data=tiny.data,
        classifier=tiny.classifier,
        device="cpu",
    )
    return cmd, run_demo(cmd, PLAN).read_text(encoding="utf-8")


def test_report_stands_alone(done):
    _, page = done
    assert page.count("data:image/png;base64,") == 3 + 4
    assert page.count("<svg") == 2 + 1 + 1
    for fetched in ("<script", "<link", 'src="http', 'src="/', "url(http", "@import"):
        assert fetched not in page
    assert set(re.findall(r'href="([^"#][^"]*)', page)) == set()


def test_every_number_of_results_is_on_the_page(done):
    cmd, page = done
    found = json.loads((cmd.out / "results.json").read_text())
    assert found["environment"]["torch"]
    for one in [Result(**row) for row in found["results"] if row["model"] in ("base", "smooth")]:
        if "ratio to" not in one.metric:
            assert one.text in page, one.metric
    metrics = {(row["metric"], row["model"]) for row in found["results"]}
    assert {("ISTD, pixels [0,1]", f"λ curve: λ = {x}") for x in ("0.1", "10")} <= metrics
    assert page.index("λ = 0.1") < page.index("λ = 10")


def test_reconstructions_of_both_models_are_measured(done):
    """Smooth Tab. 2: by both methods, beside the autoencoder alone."""
    cmd, page = done
    found = json.loads((cmd.out / "results.json").read_text())["results"]
    rows = [row for row in found if row["metric"] == "PSNR, reconstruction to image"]
    assert [row["model"] for row in rows] == [
        *("autoencoder alone", "base, DDIM", "smooth, DDIM"),
        *("base, null-text", "smooth, null-text"),
    ]
    assert all(row["n"] == 3 and Result(**row).text in page for row in rows)


def test_pictures_and_rows_are_kept(done):
    cmd, _ = done
    names = {path.name for path in cmd.out.iterdir()}
    wanted = {"report.html", "results.json", "run.toml", "samples.png", "walk-1.png", "walk-2.png"}
    wanted |= {"reconstruction.png", "between-images.png", "edits.png", "drag.png"}
    assert wanted | {"rows"} == names
    assert len(list(cmd.out.glob("rows/*/rows-0.jsonl"))) == 4


def test_walks_between_prompts_are_a_section(tiny, tmp_path):
    cmd = Demo(out=tmp_path, models=(str(tiny.model),), data=tiny.data, device="cpu")
    base = contender(cmd, "base", str(tiny.model))
    few = replace(PLAN, pairs=5, pair_steps=1)
    page, results = walks_between(base, cmd, few)
    assert "Walks between prompts" in page and page.count("<svg") == 2
    assert {one.model for one in results} >= {"base", "base: index", "base: optimal"}
    assert all(one.settings["steps"] == 1 for one in results)
    assert walks_between(base, cmd, PLAN) == ("", [])


def test_an_embedded_model_that_is_missing_is_one_line(tiny, tmp_path, capsys):
    words = ["demo", "--quick", "--models", "nowhere", "--device", "cpu"]
    words += ["--classifier", str(tiny.classifier), "--out", str(tmp_path)]
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "nowhere" in lines[0]


def ratio(metric, low, high, model="smooth"):
    middle = (low + high) / 2
    return Result(
        paper="Smooth", metric=metric, model=model, value=middle, interval=[low, high], n=5, seed=0
    )


@pytest.mark.parametrize(
    ("plain", "relative", "words"),
    [
        ((0.5, 0.9), (0.6, 0.95), ["vary less from step to step", "more even"]),
        ((0.5, 0.9), (1.1, 1.2), ["vary less from step to step", "not more even"]),
        ((0.9, 1.1), (0.9, 1.1), ["cannot be told", "no difference"]),
        ((1.2, 1.3), (1.1, 1.2), ["vary more from step to step", "not more even"]),
    ],
)
def test_sentences_follow_the_intervals(plain, relative, words):
    results = [
        ratio("ISTD, ratio to base", *plain),
        ratio("ISTD / mean adjacent distance, ratio to base", *relative),
    ]
    sentence = smoothness_sentence(results, "smooth")
    assert all(word in sentence for word in words)


def test_quality_claims_need_an_interval_on_one_side():
    def results(distance, share):
        return [
            ratio("FD (AlexNet, 256-d), minus base", *distance),
            ratio("caption adherence, minus base", *share),
        ]

    worse = quality_sentence(results((0.1, 0.2), (-0.2, -0.1)), ["base", "smooth"])
    assert "farther from real images" in worse and "less well" in worse
    unclear = quality_sentence(results((-0.1, 0.2), (-0.2, 0.1)), ["base", "smooth"])
    assert "No difference" in unclear


def test_no_interval_is_no_claim():
    one = Result(paper="", metric="m", model="a", value=0.1, interval=None, n=1, seed=0)
    assert change(one, 1.0, "less", "more", "unclear") == "unclear"
