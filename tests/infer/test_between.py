"""`latentgeo interpolate --images`: both ends, shared null texts, and the baselines."""

import json

import pytest
import torch
from PIL import Image

from latentgeo.eval.main import main
from latentgeo.infer import video
from latentgeo.infer.between import anid_walk, frame_texts, frames_of, vae_walk
from latentgeo.infer.commands import Interpolate
from latentgeo.infer.interpolate import check_walk
from latentgeo.infer.inversion import encode
from latentgeo.infer.invert import read_inversion, rebuilt
from latentgeo.infer.pipeline import load_model

PAIR = ["a smiling person", "a sad person"]


@pytest.fixture(scope="module")
def bundle(tiny):
    return load_model(str(tiny.model), "cpu")


@pytest.fixture
def photos(tmp_path):
    paths = []
    for i, colour in enumerate([(200, 40, 40), (30, 160, 220)]):
        paths.append(tmp_path / f"photo{i}.png")
        Image.new("RGB", (32, 32), colour).save(paths[-1])
    return tuple(paths)


def command(tiny, photos, out, **more):
    given = {"prompts": tuple(PAIR), "frames": 5, "batch": 2, "device": "cpu", **more}
    return Interpolate(images=photos, out=out, models=(str(tiny.model),), **given)


def test_prompts_are_joined_by_straight_lines(bundle):
    texts = frame_texts(bundle, PAIR, 5)
    a, b = encode(bundle, PAIR).context
    torch.testing.assert_close(texts.context[1], 0.75 * a + 0.25 * b, rtol=0, atol=1e-6)
    assert torch.equal(texts.context[[0, -1]], torch.stack([a, b]))
    same = frame_texts(bundle, PAIR[:1] * 2, 3).context
    torch.testing.assert_close(same, same[:1].expand_as(same))


def test_the_walk_ends_where_each_inversion_leads(tiny, bundle, photos, tmp_path):
    """SmoothS Eq. 5: with the ∅_t they share, the first and last frame are the reconstructions."""
    cmd = command(tiny, photos, tmp_path)
    words = ["--images", *map(str, photos), "--prompts", *PAIR, "--frames", "5", "--batch", "2"]
    words += ["--models", str(tiny.model), "--device", "cpu", "--out", str(tmp_path)]
    assert main(["interpolate", *words, "--baseline", "vae", "anid"]) == 0
    found = json.loads((tmp_path / "distances.json").read_text())
    assert list(found["distances"]) == [str(tiny.model), "vae", "anid"]
    assert all(len(steps) == 4 and min(steps) > 0 for steps in found["distances"].values())
    assert {"vae.gif", "anid.gif", "model.gif"} <= {path.name for path in tmp_path.glob("*.gif")}
    (path,) = (tmp_path / "inversions").glob("*.safetensors")
    inversion = read_inversion(path)
    assert inversion.nulls.shape[1] == 1
    frames = frames_of(bundle, inversion, frame_texts(bundle, PAIR, 5), cmd)
    ends = rebuilt(bundle, inversion, inversion.how.guidance)
    torch.testing.assert_close(frames[[0, -1]], ends, rtol=0, atol=1e-4)


def test_baselines_end_at_the_autoencoders_images(tiny, bundle, photos, tmp_path):
    cmd = command(tiny, photos, tmp_path)
    line = vae_walk(cmd, "m", bundle).images
    noised = anid_walk(cmd, "m", bundle).images
    torch.testing.assert_close(noised[[0, -1]], line[[0, -1]], rtol=0, atol=1e-5)
    assert (noised[1:-1] - line[1:-1]).abs().flatten(1).amax(1).min() > 1e-2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--images", "a.png", "--prompt", "x"], "images: got 1"),
        (["--images", "a.png", "b.png"], "one --prompt, or two --prompts"),
        (["--images", "a.png", "b.png", "--prompts", "x"], "one --prompt, or two --prompts"),
        (["--images", "a.png", "b.png", "--prompt", "x", "--prompts", "x", "y"], "or two"),
        (["--images", "a.png", "b.png", "--prompt", "x", "--batch", "0"], "batch must be"),
        (["--images", "a.png", "b.png", "--prompt", "x"], "a.png: no such image"),
        (["--prompt", "x", "--baseline", "vae"], "two --images"),
        ([], "prompt or prompts"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, tmp_path, capsys, more, message):
    start = ["interpolate", "--models", str(tiny.model), "--device", "cpu", "--out", str(tmp_path)]
    assert main([*start, *more]) == 2
    err = capsys.readouterr().err.strip()
    assert message in err and "\n" not in err


def test_mp4_without_ffmpeg_is_refused_before_the_work(tiny, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(video.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="ffmpeg"):
        check_walk(command(tiny, photos, tmp_path, mp4=True))
