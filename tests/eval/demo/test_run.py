"""The demo, whole, on a tiny model: the report's numbers are those of results.json."""

import json
import re
import shutil
from dataclasses import asdict, replace

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.demo import run, sections
from latentgeo.eval.demo.page import (
    WALKS,
    Written,
    change,
    found,
    in_short,
    quality_sentence,
    smoothness_sentence,
)
from latentgeo.eval.demo.photos import Photos
from latentgeo.eval.demo.plans import Plan
from latentgeo.eval.demo.run import run_demo
from latentgeo.eval.demo.sections import Bench
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.runs.results import Result
from latentgeo.infer.pictures.images import read_metadata

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
    assert page.count("data:image/png;base64,") == 1 + 3 + 4
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
    wanted |= {
        "typical-walk.png",
        "reconstruction.png",
        "between-images.png",
        "edits.png",
        "drag.png",
    }
    assert wanted | {"rows"} == names
    assert len(list(cmd.out.glob("rows/*/rows-0.jsonl"))) == 4 + 1


def test_the_page_opens_with_what_was_found_and_its_contents(done):
    cmd, page = done
    opening, rest = page.split("<nav", 1)
    assert "Smooth Diffusion: " in opening and opening.count("data:image/png") == 1
    assert "sections: the run that writes it" not in page
    links = re.findall(r'<a href="#([^"]*)"', rest)
    assert links == re.findall(r'<section id="([^"]*)"', rest) and len(links) == 7
    about = read_metadata(cmd.out / "typical-walk.png")
    assert about["number"] in range(PLAN.prompts) and set(about["settings"]) == {"base", "smooth"}


def test_a_stopped_demo_shows_what_it_has_and_goes_on(done, tmp_path, monkeypatch, capsys):
    """Stopped in the third section; the first two are not made again, the page ends the same."""
    cmd, whole = done
    few = replace(PLAN, sweep_prompts=0, photos=None)
    cmd = replace(cmd, out=tmp_path)
    work = dict(sections.SECTIONS)

    def stop(bench):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "SECTIONS", {**work, "Smoothness": stop})
    with pytest.raises(KeyboardInterrupt):
        run_demo(cmd, few)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.endswith("report.html has 2 of 4 sections; the same command goes on from there")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 of 4 sections" in page and "To come: Smoothness, Quality." in page
    assert json.loads((tmp_path / "results.json").read_text())["results"] == []
    monkeypatch.setattr(run, "SECTIONS", {**work, "Samples": stop, WALKS: stop})
    page = run_demo(cmd, few).read_text(encoding="utf-8")
    assert "To come" not in page
    for title in ("samples", "walks-through-the-latent-space", "smoothness", "quality"):
        section = rf'<section id="{title}">.*?</section>'
        (now,), (then,) = (re.findall(section, text, re.DOTALL) for text in (page, whole))
        assert now == then
    with pytest.raises(ValueError, match=r"rows measured under other settings \(plan\)"):
        run_demo(cmd, replace(few, images=11))


def test_walks_between_prompts_are_a_section(tiny, tmp_path):
    cmd = Demo(out=tmp_path, models=(str(tiny.model),), data=tiny.data, device="cpu")
    cmd = replace(cmd, classifier=tiny.classifier)
    made = sections.between(Bench(cmd, replace(PLAN, pairs=5, pair_steps=1)))
    assert "Walks between prompts" in made.html and made.html.count("<svg") == 2
    assert {one.model for one in made.results} >= {"base", "base: index", "base: optimal"}
    assert all(one.settings["steps"] == 1 for one in made.results)
    assert made.found.startswith("The optimal coupling ") and made.paper == "Optimal transport"


def test_what_was_found_has_a_line_per_paper():
    parts = [("Smooth", "Even."), ("", ""), ("Smooth", "As good."), ("OT", "Shorter.")]
    written = [Written(html="", paper=paper, found=said) for paper, said in parts]
    assert found(written) == ["Smooth: Even. As good.", "OT: Shorter."]


def test_a_section_is_the_same_after_it_was_kept():
    one = Written(html="<p>", results=[ratio("m", 1, 2)], paper="P", found="f", seconds=2.5)
    row = json.loads(json.dumps({"title": "t", **asdict(one)}))
    assert run.written(row) == one


def test_two_lengths_at_once_are_refused(tmp_path):
    with pytest.raises(ValueError, match="quick and full: got both"):
        Demo(out=tmp_path, quick=True, full=True)


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


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.6, 0.95), "walks of smooth are more even than the base's"),
        ((1.1, 1.2), "walks of smooth are less even"),
        ((0.9, 1.1), "whether walks of smooth are more even than the base's cannot be told"),
    ],
)
def test_the_opening_claims_what_is_so_relative_to_the_walks_length(interval, words):
    results = [
        ratio("ISTD, ratio to base", 0.3, 0.5),
        ratio("ISTD / mean adjacent distance, ratio to base", *interval),
    ]
    said = in_short(results, "smooth")
    assert said.startswith(words) and "0.4 [0.3, 0.5]" in said and "(n = 5 walks)" in said
    assert in_short(results[:1], "smooth") == ""


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
