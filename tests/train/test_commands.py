"""The training commands as a user meets them."""

import json
import os
import re
import shlex
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from latentgeo.core.run.cli import parse, to_toml, write_run
from latentgeo.core.run.main import main
from latentgeo.train.isometry.settings import TrainIsometric
from latentgeo.train.loop.session import session
from latentgeo.train.sets.settings import RenderAvatars
from latentgeo.train.settings import Cache, TrainDdpm, TrainDiffusion, TrainVae
from latentgeo.train.smoothing.settings import SweepSmooth, TrainSmooth

COMMANDS = [TrainVae, TrainDiffusion, TrainSmooth, SweepSmooth, Cache, RenderAvatars]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_file_gives_the_command_back(command: type[object], tmp_path: Path) -> None:
    words = ["--out", str(tmp_path), *([] if command is Cache else ["--seed", "7"])]
    words += ["--vae", "folder"] if command is TrainDiffusion else []
    words += [] if command in (RenderAvatars, Cache) else ["--minutes", "2.5", "--batch", "8"]
    first = parse(command, words)
    (tmp_path / "recipe.toml").write_text(to_toml(first))
    assert parse(command, ["--config", str(tmp_path / "recipe.toml")]) == first


def test_the_paper_is_the_default(tmp_path: Path) -> None:
    """Smooth Sec. 4.1: rank 8, λ = 1, batch 96, 30K steps, AdamW at 1e-4, weight decay 1e-4; and
    clipping at 1, which is released and not printed.
    """
    paper = TrainSmooth(out=tmp_path)
    assert (paper.rank, paper.reg_weight, paper.batch, paper.steps) == (8, 1.0, 96, 30_000)
    assert (paper.rate, paper.weight_decay, paper.schedule) == (1e-4, 1e-4, "constant")
    assert paper.part(4) == 3  # 3 samples per GPU, 4 GPUs, 8 accumulated parts
    assert (paper.drop_caption, paper.ranges, paper.warm_up) == (0.0, 1, 0)
    assert paper.targets == ("attention",)
    assert paper.clip == 1.0


def test_the_recipe_is_the_paper(tmp_path: Path) -> None:
    """Smooth Sec. 4.1: by its name, to be changed by options, and with the paper's data."""
    recipe = parse(TrainSmooth, ["--config", "smooth-paper", "--out", str(tmp_path)])
    same = replace(TrainSmooth(out=tmp_path), seed=42, size=512, cache_latents=False)
    assert recipe == replace(
        same, where=("aesthetic>=6.5",), statistic="global", checkpoint_every=5000
    )
    changed = parse(TrainSmooth, ["--config", "smooth-paper", "--out", "o", "--rank", "4"])
    assert changed.rank == 4 and changed.means(1000) == 1 and recipe.part(4) == 3


def test_recipes_of_ones_own_images_end_in_a_quarter_of_an_hour() -> None:
    """The three of a laptop by the clock, each drawing by the clock; 20 minutes with the rest."""
    words = {TrainVae: [], TrainDiffusion: ["--vae", "v"], TrainSmooth: []}
    runs = [
        parse(kind, ["--config", f"laptop-{kind.__name__[5:].lower()}", "--out", "o", *more])
        for kind, more in words.items()
    ]
    assert sum(run.minutes for run in runs) <= 15
    assert all(2 * run.sample_minutes <= run.minutes for run in runs)
    for kind, more in words.items():
        parse(kind, ["--config", f"gpu-{kind.__name__[5:].lower()}", "--out", "o", *more])


def test_recipes_of_cifar10_fit_each_other(tmp_path: Path) -> None:
    """Iso Sec. 4.1, Iso Sec. 4.1e: p = 0.5, λ = 1e-4, 10 epochs of 50,000 images, from what the
    first makes.
    """
    base = parse(TrainDdpm, ["--config", "cifar10-ddpm", "--out", str(tmp_path)])
    twin = parse(TrainIsometric, ["--config", "cifar10-isometric", "--out", str(tmp_path)])
    assert base.preset == twin.preset == "ddpm-cifar10"
    assert (twin.p, twin.iso_weight, twin.rate) == (0.5, 1e-4, 1e-4)
    assert twin.steps == 10 * 50_000 // twin.batch


def test_resume_takes_what_the_run_was_begun_with(tmp_path: Path) -> None:
    """Options of the command line win, then those of a file, then the run's own."""
    begun = TrainDiffusion(out=tmp_path, vae="v", data="d", batch=8, rate=0.5, seed=3)
    words = ["--resume", "--out", str(tmp_path)]
    with pytest.raises(FileNotFoundError, match=rf"--resume: {tmp_path} holds no run: there is "):
        parse(TrainVae, words)
    begun_here = parse(TrainVae, [*words, "--batch", "8"])  # as a launcher that starts again does
    assert begun_here == TrainVae(out=tmp_path, batch=8, resume=True)
    write_run(begun, tmp_path)
    assert parse(TrainDiffusion, words) == replace(begun, resume=True)
    (tmp_path / "more.toml").write_text("batch = 16\nrate = 0.25\n")
    words += ["--config", str(tmp_path / "more.toml"), "--rate", "0.1"]
    assert parse(TrainDiffusion, words) == replace(begun, batch=16, rate=0.1, resume=True)
    with pytest.raises(ValueError, match="configures 'train-diffusion', not 'train-vae'"):
        parse(TrainVae, ["--resume", "--out", str(tmp_path)])
    fresh = parse(TrainDiffusion, ["--out", str(tmp_path), "--vae", "w"])
    assert fresh == TrainDiffusion(out=tmp_path, vae="w")  # without the word nothing is taken


def test_statistic_says_how_many_means(tmp_path: Path) -> None:
    assert TrainSmooth(out=tmp_path, statistic="per-timestep").means(1000) == 1000
    assert TrainSmooth(out=tmp_path, ranges=10).means(1000) == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train-smooth --out o --rank 0", "rank must be at least 1, got 0"),
        ("train-smooth --out o --route fast", "--route: got 'fast'"),
        ("train-smooth --out o --decay 1", "decay must be at least 0 and below 1"),
        ("train-smooth --out o --model nowhere", "nowhere"),
        ("train-smooth --out o --where aesthetic=6", "where: got 'aesthetic=6', wanted a field"),
        (
            "train-smooth --out o --statistic global --ranges 3",
            "--ranges and --statistic: got 3 and global",
        ),
        ("train-smooth --out o --adapter full --lora x", "--lora: got x with --adapter full"),
        (
            "train-smooth --out o --config smooth-papr",
            "no such file: smooth-papr; did you mean smooth-paper?",
        ),
        ("cache --out o --part 0", "part must be at least 1, got 0"),
        ("train-diffusion --out o", "--vae is required"),
        ("train-diffusion --out o --vae v --drop-caption 1.5", "--drop-caption must be at least 0"),
        ("train-diffusion --out o --vae v --min-snr 0", "--min-snr must be positive"),
        ("train-vae --out o --kl-weight -1", "--kl-weight must be at least 0, got -1.0"),
        ("train-vae --out o --data nowhere", "--data: nowhere: no such folder"),
        ("train-vae --out o --steps x", "--steps: got 'x', wanted an integer"),
        ("train-vae --out o --device tpu", "tpu"),
    ],
)
def test_a_wrong_value_is_one_line_and_status_2(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_from_pictures_to_a_model(tmp_path: Path, pictures: Path) -> None:
    """An autoencoder, then a model on it: what the commands write is what the next one reads."""
    common = f"--data {pictures} --size 16 --preset tiny --steps 2 --batch 4 --device cpu"
    vae = f"train-vae --out {tmp_path}/vae {common} --scale-images 11 --perceptual-weight 0"
    assert main(vae.split()) == 0
    model = f"train-diffusion --out {tmp_path}/model {common} --vae {tmp_path}/vae --sample-every 2"
    model += " --samples 2 --sample-steps 2 --min-snr 5 --prediction v --dtype bf16 --channels-last"
    assert main(model.split()) == 0
    assert (tmp_path / "model" / "samples" / "step-00000002.png").is_file()

    from latentgeo.models.bundles.text_to_image import load_bundle
    from latentgeo.train.vae import load_vae

    bundle = load_bundle(tmp_path / "model")
    assert bundle.config.prediction == "v" and bundle.config.sampling.size == 16
    scale = load_vae(str(tmp_path / "vae")).config.scale
    assert bundle.config.vae.scale == scale and scale != 1.0
    assert load_vae(str(tmp_path / "model")).config.scale == scale


def test_ctrl_c_says_what_goes_on_and_that_goes_on(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of steps without end, stopped as soon as it has taken one."""
    out = tmp_path / "my vae"
    words = f"train-vae --data {pictures} --size 16 --preset tiny --batch 4 --device cpu --seed 5"
    words += " --scale-images 11 --perceptual-weight 0 --log-every 1 --steps 1000000"

    def stop() -> None:
        while not (out / "log.jsonl").is_file():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=stop)
    thread.start()
    assert main([*words.split(), "--out", str(out)]) == 130
    thread.join()
    said = capsys.readouterr()
    assert "found 11 images, 0 skipped, 16 x 16, nothing cut off" in said.out
    (kept,) = re.findall(r"stopped; step (\d+) of 1000000 is kept", said.err)
    _, *line = shlex.split(said.err.splitlines()[-1])
    assert line == ["train-vae", "--resume", "--out", str(out)]
    assert main([*line, "--steps", str(int(kept) + 1)]) == 0
    said = capsys.readouterr()
    assert f"resuming from step {kept}" in said.out and "changed setting" not in said.out
    _, *following = shlex.split(said.out.splitlines()[-1])
    assert following[:3] == ["train-diffusion", "--vae", str(out)]
    settings = json.loads((out / "run.json").read_text())["settings"]
    assert (settings["data"], settings["size"], settings["seed"]) == (str(pictures), 16, 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_before_the_first_step_is_told_too(
    tmp_path: Path,
    number: int,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    found = signal.signal(number, usual)  # a shell's background job ignores SIGINT
    request.addfinalizer(lambda: signal.signal(number, found))
    before = signal.getsignal(number)
    with pytest.raises((KeyboardInterrupt, SystemExit)) as stopped, session(TrainVae(out=tmp_path)):
        os.kill(os.getpid(), number)
        time.sleep(60)
    assert number == signal.SIGINT or stopped.value.args == (143,)
    assert (
        f"stopped; no step is kept. To go on:\n    latentgeo train-vae --resume --out {tmp_path}"
        in (capsys.readouterr().err)
    )
    assert signal.getsignal(number) == before


def test_on_bad_skips_or_refuses_a_damaged_image(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A truncated picture is passed over with a warning, or named with exit status 2."""
    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:60])
    words = f"train-vae --data {folder} --size 16 --preset tiny --steps 3 --batch 5 --device cpu"
    words += " --scale-images 5 --perceptual-weight 0 --sample-every 0"
    assert main([*words.split(), "--out", str(tmp_path / "fail"), "--on-bad", "fail"]) == 2
    assert "3.png" in capsys.readouterr().err
    with pytest.warns(UserWarning, match=r"3\.png"):
        assert main([*words.split(), "--out", str(tmp_path / "skip")]) == 0
