"""`latentgeo edit-text` from the line to the files, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.infer.pictures.images import read_metadata, save_png, to_picture
from latentgeo.infer.pictures.photos import read_photo
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import cell, sampling_of
from latentgeo.infer.text_edits.editing import editing, reconstruct
from latentgeo.infer.text_edits.run import inverted, source_guidance
from latentgeo.infer.text_edits.settings import EditText

PROMPTS = ["--source", "a sad person", "--target", "a happy person", "a sad cat"]


@pytest.fixture
def picture(tmp_path):
    pixels = torch.rand(3, 37, 53, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return save_png(tmp_path / "face.png", to_picture(pixels))


@pytest.mark.parametrize(
    ("method", "recorded"),
    [
        ("smooth", {"release": 0.9}),
        ("sdedit", {"strength": 0.6}),
        ("prompt-to-prompt", {"cross": 0.2, "self_maps": 0.4, "reweight": []}),
        ("cycle-diffusion", {"cycle_strength": 0.8, "eta": 0.1}),
        ("pix2pix-zero", {"map_guidance": 0.1, "whitening": 5, "source_sentences": None}),
        ("disentangle", {"weight_rounds": 10, "keep_weight": 0.05, "judge": "avatars"}),
        ("plug-and-play", {"features": 0.8, "attention": 0.5, "block": None}),
    ],
)
def test_a_method_edits_an_image(tiny, tmp_path, picture, capsys, method, recorded):
    words = ["edit-text", "--models", str(tiny.model), tiny.smooth, "--device", "cpu", *PROMPTS]
    words += ["--image", str(picture), "--method", method, "--out", str(tmp_path)]
    words += ["--release", "0.9"]
    assert main(words) == 0
    first, second, *files = capsys.readouterr().out.splitlines()
    assert first.startswith(f"face.png, {tiny.model}: noised to t = 0.3 T")
    assert second.startswith(f"face.png, {tiny.smooth}: noised") and "dB; what is usual" in second
    assert len(files) == 2 + 2 * 2 and (tmp_path / "run.toml").is_file()
    found = json.loads((tmp_path / "edits.json").read_text())
    assert found["targets"] == ["a happy person", "a sad cat"]
    settings = found["settings"][tiny.smooth]
    assert settings["method"] == method and settings["source_guidance"] == 1.0
    assert settings["guidance"] == 2.0 and len(settings["sha256"]) == 64
    assert {name: settings[name] for name in recorded} == recorded
    about = read_metadata(tmp_path / "model-smooth_lora-01.png")
    assert about["target"] == "a sad cat" and about["weights"] == settings["weights"]
    edits = [Image.open(tmp_path / f"model-{i:02d}.png").tobytes() for i in range(2)]
    assert edits[0] != edits[1]


def test_a_drawn_image_edited_into_itself_is_the_image(tiny, tmp_path, capsys):
    """Smooth Eq. 15 with C_trg = C_src, at the guidance that drew it: what `sample` draws."""
    words = ["--seed", "3", "--device", "cpu"]
    prompt = "a sad person"
    edit = ["edit-text", "--models", str(tiny.model), "--source", prompt, "--target", prompt]
    assert main([*edit, *words, "--out", str(tmp_path / "edit")]) == 0
    draw = ["sample", "--model", str(tiny.model), "--prompts", prompt]
    assert main([*draw, *words, "--out", str(tmp_path / "draw")]) == 0
    edited, drawn = (
        Image.open(tmp_path / name) for name in ("edit/model-00.png", "draw/0000-seed3.png")
    )
    assert edited.tobytes() == drawn.tobytes()


def test_weights_and_blends_reach_prompt_to_prompt(tiny, tmp_path, capsys):
    start = ["edit-text", "--models", str(tiny.model), "--device", "cpu", *PROMPTS[:4]]
    start += ["--method", "prompt-to-prompt", "--self-maps", "0", "--cross", "0"]
    variants = ([], ["--reweight", "person=-2"], ["--blend", "--threshold", "1"])
    for i, more in enumerate(variants):
        assert main([*start, *more, "--out", str(tmp_path / str(i))]) == 0
    made = [Image.open(tmp_path / str(i) / "model-00.png").tobytes() for i in range(3)]
    assert len(set(made)) == 3


def test_null_text_leads_back_to_the_source_at_the_guidance_of_the_target(tiny, picture):
    """SmoothS Eq. 4: nearer than the empty prompt does from the same noise, at the same w."""
    bundle = load_model(str(tiny.model))
    cmd = EditText(
        out=Path("unused"),
        source="a sad person",
        target=("a happy person",),
        image=picture,
        inversion_method="null-text",
    )
    sampling = sampling_of(bundle, 5, 3.0)
    assert source_guidance(cmd, sampling) == 3
    z_0 = bundle.encode(read_photo(picture, cell(bundle), 32))
    x_T, fitted = inverted(cmd, bundle, sampling, z_0)
    assert len(fitted) == 5
    errors = [
        (reconstruct(editing(bundle, [cmd.source], [""], 5, 3.0, 3.0, null), x_T) - z_0).norm()
        for null in (fitted, None)
    ]
    assert errors[0] < errors[1]


def test_sentences_come_from_files(tiny, tmp_path, capsys):
    """PixZero Sec. 3.2: other sentences, another direction; an empty file is refused."""
    start = ["edit-text", "--models", str(tiny.model), "--device", "cpu", *PROMPTS[:4]]
    start += ["--method", "pix2pix-zero", "--seed", "1"]
    texts = {"sad": "a sad person\na sad cat\n", "glad": "a happy person\n", "none": "\n"}
    files = {name: tmp_path / f"{name}.txt" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)

    def said(source, target, out):
        both = ["--source-sentences", str(files[source]), "--target-sentences", str(files[target])]
        return main([*start, *both, "--out", str(tmp_path / out)])

    assert said("sad", "glad", "there") == said("glad", "sad", "back") == 0
    made = [Image.open(tmp_path / out / "model-00.png").tobytes() for out in ("there", "back")]
    assert made[0] != made[1]
    about = read_metadata(tmp_path / "there" / "model-00.png")
    assert about["source_sentences"] == "sad.txt"
    assert said("sad", "none", "no") == 2
    assert "got an empty file, wanted lines" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--image", "/nowhere.png"), "/nowhere.png: no such image"),
        (("--image", __file__), "not an image that can be read"),
        (("--models", "/nowhere"), "/nowhere"),
        (("--release", "1.5"), "release must be in [0, 1], got 1.5"),
        (("--strength", "0"), "strength must be in (0, 1], got 0.0"),
        (("--inversion-method", "null-text"), "got null-text with no --image"),
        (("--refine", "-1"), "refine must not be negative"),
        (("--source-guidance", "-1"), "--source-guidance must not be negative"),
        (("--blend",), "--blend: got it with --method smooth, wanted prompt-to-prompt"),
        (("--method", "prompt-to-prompt", "--reweight", "dog=2"), "'dog' is not in the prompt"),
        (("--method", "plug-and-play", "--block", "9"), "block must lie in 0..3"),
        (("--source", ""), "wanted a prompt"),
        (("--cycle-strength", "0"), "cycle-strength must be in (0, 1], got 0.0"),
        (("--eta", "2"), "eta must be in [0, 1], got 2.0"),
        (("--whitening", "-1"), "whitening must not be negative, got -1"),
        (("--sentence-pairs", "0"), "sentence-pairs must be at least 1"),
        (("--source-sentences", __file__), "got one of the two files, wanted both files"),
    ],
)
def test_wrong_values_are_one_line_and_status_2(tiny, tmp_path, capsys, words, message):
    start = ["edit-text", "--models", str(tiny.model), *PROMPTS, "--device", "cpu"]
    assert main([*start, "--out", str(tmp_path), *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1] and "Traceback" not in "".join(lines)
