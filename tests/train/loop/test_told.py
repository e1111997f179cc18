"""What a run tells: how long it takes, where it stopped, what to type next; each line is whole."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from latentgeo.core.run.cli import parse
from latentgeo.core.run.main import commands
from latentgeo.train.isometry.settings import TrainIsometric
from latentgeo.train.judges.settings import TrainClassifier, TrainJudge, TrainSegmenter
from latentgeo.train.loop import checkpoint
from latentgeo.train.loop.settings import Training
from latentgeo.train.loop.told import duration, ended, family, going_on, stopped
from latentgeo.train.semantic.settings import TrainAsyrp, TrainDiffusionClip
from latentgeo.train.settings import TrainDdpm, TrainDiffusion, TrainVae
from latentgeo.train.smoothing.settings import SweepSmooth, TrainSmooth

OUT = Path("my runs/one")
EDIT = {"model": "m", "name": "glasses", "source": "a", "target": "b"}
RUNS = [
    TrainVae(out=OUT),
    TrainVae(out=OUT, size=32),
    TrainDiffusion(out=OUT, vae="my vae"),
    TrainDdpm(out=OUT),
    TrainSmooth(out=OUT, model="my model"),
    TrainSmooth(out=OUT, adapter="full"),
    SweepSmooth(out=OUT),
    TrainIsometric(out=OUT),
    TrainIsometric(out=OUT, adapter="lora", start="m"),
    TrainAsyrp(out=OUT, **EDIT),
    TrainDiffusionClip(out=OUT, **EDIT),
    TrainJudge(out=OUT),
    TrainSegmenter(out=OUT, masks=Path("masks")),
    TrainClassifier(out=OUT),
]


def words_of(line):
    """Return the settings that a printed line stands for."""
    program, name, *rest = shlex.split(line)
    assert program == "latentgeo"
    return parse(commands()[name].settings_class(), rest)


@pytest.mark.parametrize("recipe", [None, "laptop"])
@pytest.mark.parametrize("run", RUNS, ids=lambda run: type(run).__name__)
def test_every_line_that_follows_a_training_is_a_command(run, recipe):
    captions = ("it's a face", "an owl")
    assert isinstance(run, TrainSmooth) or all(map(words_of, run.following(recipe, ())))
    lines = run.following(recipe, captions)
    assert any(str(OUT) in word for line in lines for word in shlex.split(line))
    assert all(map(words_of, lines))


def test_every_training_is_among_them():
    kinds = {one.settings_class() for one in commands().values() if one.group == "train"}
    assert {kind for kind in kinds if issubclass(kind, Training)} == set(map(type, RUNS))


def test_a_short_run_is_told_and_a_long_one_with_advice():
    run = TrainVae(out=OUT, steps=1000)
    assert duration(run, 900, 0.25, None) == (
        "900 steps take about 3:45 on this machine (0.25 s a step)"
    )
    text = duration(run, 900, 25.0, None)
    assert text.startswith("900 steps take about 6:15:00 on this machine (25 s a step). If")
    (line,) = [one for one in text.splitlines() if one.startswith("    ")]
    assert line.strip() == "latentgeo train-vae --resume --out 'my runs/one' --minutes 20"


def test_of_steps_and_minutes_the_one_that_ends_the_run_is_told():
    run = TrainVae(out=OUT, steps=1000, minutes=4)
    assert duration(run, 900, 0.5, 200.0) == (
        "3:20 are left, about 400 of 900 steps on this machine (0.5 s a step)"
    )
    assert duration(run, 300, 0.5, 200.0).startswith("300 steps take about 2:30")


def test_where_a_run_stopped_and_what_goes_on(tmp_path, monkeypatch):
    run = TrainVae(out=tmp_path / "a b", steps=9)
    line = f"latentgeo train-vae --resume --out '{tmp_path}/a b'"
    assert stopped(run) == f"stopped; no step is kept. To go on:\n    {line}"
    checkpoint.save(run.out / "checkpoints", 7, {}, keep=1)
    assert stopped(run) == f"stopped; step 7 of 9 is kept. To go on:\n    {line}"
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert going_on(run) == f"torchrun --nproc-per-node 2 --no-python {line}"


def test_the_end_says_what_is_next_and_whether_it_was_the_clock():
    run = TrainVae(out=OUT, steps=9, minutes=2)
    text = ended(run, 9, ())
    assert text.splitlines()[0] == "next:" and "train-diffusion --vae 'my runs/one'" in text
    text = ended(run, 5, ())
    assert text.startswith("2 minutes ended the run at step 5 of 9; to go on:\n    latentgeo ")
    assert "\nnext:\n    latentgeo train-diffusion " in text


@pytest.mark.parametrize("recipe", ["laptop", "gpu"])
def test_a_run_by_a_recipe_is_followed_by_the_next_recipe(recipe):
    """Whatever says when it ends; with another setting it is no longer of the recipe."""
    words = ["--config", f"{recipe}-vae", "--data", "d", "--out", str(OUT), "--minutes", "0.5"]
    run = parse(TrainVae, words)
    assert family(run) == recipe and family(replace(run, rate=0.1)) is None
    (line,) = run.following(family(run), ())
    following = words_of(line)
    assert isinstance(following, TrainDiffusion) and following.data == "d"
    assert family(following) == recipe
    smooth = words_of(following.following(family(following), ("a", "b"))[0])
    assert isinstance(smooth, TrainSmooth) and family(smooth) == recipe
    assert smooth.model == str(following.out)
