"""`latentgeo interpolate --images`: both ends, shared null texts, and the baselines."""

import json
from itertools import pairwise

import pytest
import torch
from PIL import Image

from latentgeo.core import anid
from latentgeo.core.interpolate import slerp
from latentgeo.core.run.main import main
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import times
from latentgeo.infer.inversion.invert import encode
from latentgeo.infer.inversion.run import read_inversion, rebuilt
from latentgeo.infer.pictures import video
from latentgeo.infer.pictures.photos import read_photos
from latentgeo.infer.walks.photos import anid_walk, frame_texts, frames_of, vae_walk
from latentgeo.infer.walks.run import check_walk
from latentgeo.infer.walks.settings import Interpolate

PAIR = ["a smiling person", "a sad person"]


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
    """Smooth Sec. 4.2, SmoothS Eq. 5: with the ∅_t they share, the first and last frame are the
    reconstructions.
    """
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
    """ANID Sec. 4.1, Smooth Sec. 4.2: the first and last frame are the images, as the
    autoencoder has them.
    """
    cmd = command(tiny, photos, tmp_path)
    line = vae_walk(cmd, "m", bundle).images
    noised = anid_walk(cmd, "m", bundle).images
    torch.testing.assert_close(noised[[0, -1]], line[[0, -1]], rtol=0, atol=1e-5)
    assert (noised[1:-1] - line[1:-1]).abs().flatten(1).amax(1).min() > 1e-2


@torch.no_grad()
def test_frames_are_made_between_their_parents_by_hand(tiny, bundle, photos, tmp_path, monkeypatch):
    """ANID Sec. 4.1: of four, the second between the ends, then the third between it and the last.

    With six steps of DDIM, 50 % of them are three and 25 % are two, 1.5 rounded to even.
    """
    monkeypatch.setattr(anid, "STEPS", 6)
    found = anid_walk(command(tiny, photos, tmp_path, frames=4, guidance=2.0), "m", bundle)
    z = bundle.encode(read_photos(list(photos), 2, None))
    eps = torch.randn(z[:1].shape, generator=generator(0, "anid"))
    visited, texts = times(bundle.schedule, 6), encode(bundle, PAIR)
    bar = bundle.schedule.alpha_bar.float()

    def made(a, b, ratio, share, place):
        steps = visited[-share - 1 :]
        noisy = [bar[steps[0]].sqrt() * one + (1 - bar[steps[0]]).sqrt() * eps for one in (a, b)]
        x, own = slerp(*noisy, ratio), torch.lerp(*texts.context[:, None], place)
        for t, t_prev in pairwise(steps):
            with_text, without = (
                bundle.predict(words)(x, torch.tensor([t])) for words in (own, texts.null)
            )
            mixed = 2 * with_text - without
            x_0 = (x - (1 - bar[t]).sqrt() * mixed) / bar[t].sqrt()
            x = bar[t_prev].sqrt() * x_0 + (1 - bar[t_prev]).sqrt() * mixed
        return x

    second = made(z[:1], z[1:], 1 / 3, 3, 1 / 3)
    third = made(second, z[1:], 1 / 2, 2, 2 / 3)
    wanted = bundle.decode(torch.cat([second, third]))
    torch.testing.assert_close(found.images[1:3], wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--images", "a.png", "--prompt", "x"], "images: got 1"),
        (["--images", "a.png", "b.png"], "wanted what the images show"),
        (["--images", "a.png", "b.png", "--prompts", "x"], "wanted what the images show"),
        (
            ["--images", "a.png", "b.png", "--prompt", "x", "--prompts", "x", "y"],
            "got 1 and 2 texts",
        ),
        (["--images", "a.png", "b.png", "--prompt", "x", "--batch", "0"], "batch must be"),
        (["--images", "a.png", "b.png", "--prompt", "x"], "a.png: no such image"),
        (["--prompt", "x", "--baseline", "vae"], "two --images"),
        ([], "--prompt and --prompts: got neither"),
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
