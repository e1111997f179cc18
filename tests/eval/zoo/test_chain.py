"""A chain as data: what a step reads, how it is typed, what is refused, what --minutes does."""

from pathlib import Path

import pytest

from latentgeo.eval.zoo.chain import CHAINS, chosen, read_chain, scaled, words
from latentgeo.models.zoo.places import ZOO

OUT = Path("run")
CHAIN = """
[[step]]
name = "faces"
part = "data"
minutes = 2
command = "render-avatars"
options = {{ count = 7 }}

[[step]]
name = "vae"
part = "autoencoder"
minutes = 10
command = "train-vae"
config = "avatars/recipes/vae.toml"
options = {{ data = "{{faces}}", adversarial_from = 50, flip = false }}
{more}
"""


def chain(tmp_path, more=""):
    path = tmp_path / "chain.toml"
    path.write_text(CHAIN.format(more=more))
    return read_chain(str(path))


def test_a_step_is_typed_as_its_command(tmp_path):
    faces, vae = chain(tmp_path)
    assert words(faces, OUT) == ["render-avatars", "--count", "7", "--out", str(OUT / "faces")]
    recipe = ZOO / "avatars" / "recipes" / "vae.toml"
    given = ["--data", str(OUT / "faces"), "--adversarial-from", "50", "--no-flip"]
    ends = ["--out", str(OUT / "vae"), "--device", "cpu"]
    assert words(vae, OUT, device="cpu") == ["train-vae", "--config", str(recipe), *given, *ends]
    assert (vae.needs, vae.read, faces.needs) == (["faces"], [recipe], [])


@pytest.mark.parametrize("name", [path.stem for path in CHAINS.glob("*.toml")])
def test_our_chains_are_whole(name):
    """Every step's options parse, every result that it reads is of a step before it."""
    steps = read_chain(name)
    assert {"data", "autoencoder", "text-to-image", "pixel model", "judges", "smooth"} <= {
        step.part for step in steps
    }
    measuring = [step for step in steps if step.part == "measure"]
    typed = [" ".join(words(step, OUT, embedded=True)) for step in measuring]
    assert measuring and not [one for one in typed if "{" in one or str(OUT / "models") in one]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[step]]\nname = "vae"\npart = "x"\nminutes = 1\ncommand = "demo"', "a name of its own"),
        ('[[step]]\nname = "x"\npart = "x"\nminutes = 1\ncommand = "dmo"', "unknown command 'dmo'"),
        (
            '[[step]]\nname = "x"\npart = "x"\nminutes = 1\ncommand = "train-vae"\n'
            'options = { data = "{later}" }',
            "got the result of later, no step before it",
        ),
        (
            '[[step]]\nname = "x"\npart = "x"\nminutes = 1\ncommand = "train-vae"\n'
            "options = { stepps = 3 }",
            "step x: unknown option --stepps; did you mean --steps",
        ),
        ('[[step]]\nname = "x"\nprat = "x"', r"wanted \[\[step\]\] tables of a chain: .*prat"),
    ],
)
def test_a_chain_that_no_run_could_do_is_refused(tmp_path, more, said):
    with pytest.raises(ValueError, match=said):
        chain(tmp_path, more)


def test_a_chain_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"no such file: nothing; chains are .*embedded"):
        read_chain("nothing")


def test_minutes_make_trainings_longer_or_shorter(tmp_path):
    """5 minutes are 2 of drawing and 3 of the 10 of training: 1,800 steps become 540."""
    steps = chain(tmp_path)
    faces, vae = scaled(steps, 5)
    assert faces == steps[0]
    assert vae.options == {
        **steps[1].options,
        **{"steps": 540, "adversarial_from": 15, "warm_up": 15},
    }
    assert sum(step.minutes for step in (faces, vae)) == pytest.approx(5)
    assert scaled(steps, None) == steps
    with pytest.raises(ValueError, match="minutes: got 2, wanted more than the 2 of what is no tr"):
        scaled(steps, 2)


def test_parts_and_steps_are_chosen_by_name(tmp_path):
    steps = chain(tmp_path)
    assert chosen(steps, ("data",), None) == steps[:1] == chosen(steps, ("faces",), None)
    assert chosen(steps, (), "autoencoder") == steps[1:]
    assert chosen(steps, ("faces",), "vae") == []
    with pytest.raises(ValueError, match="only: got 'fases', wanted a part or a step: data, faces"):
        chosen(steps, ("fases",), None)
    with pytest.raises(ValueError, match="from: got 'x'"):
        chosen(steps, (), "x")
