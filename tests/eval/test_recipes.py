"""The recipes of the papers' tables: which command each is for, and the printed numbers."""

import pytest

from latentgeo.core.run.cli import parse, recipes
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.semantic.settings import EvalAsyrp, EvalIntervals
from latentgeo.eval.smooth.settings import EvalIstd, EvalTables
from latentgeo.infer.semantic.settings import EditSemantic
from latentgeo.infer.text_edits.settings import EditOptions
from latentgeo.models.bundles.text_to_image import SamplingDefaults

OF_COMMANDS = {
    EvalTables: {f"smooth-table-{number}" for number in "1234"},
    EvalIsometry: {f"iso-table-{number}" for number in "123"},
    EvalIntervals: {"asyrp-table-2"},
    EvalAsyrp: {"asyrp-table-4"},
}


@pytest.mark.parametrize("command", OF_COMMANDS)
def test_each_command_names_its_own(command):
    assert set(recipes(command)) == OF_COMMANDS[command]


@pytest.mark.parametrize("number", "1234")
def test_smooths_tables_are_recipes(number, tmp_path):
    """Smooth Sec. 4.1b, Smooth Sec. 4.1c, Smooth Tab. 2: 50 steps, w = 7.5, 500 captions,
    images.
    """
    cmd = parse(EvalTables, ["--config", f"smooth-table-{number}", "--out", str(tmp_path)])
    plain = SamplingDefaults()
    assert (cmd.paper, cmd.tables) == ("smooth", (number,))
    assert (cmd.steps, cmd.guidance) == (plain.steps, plain.guidance) == (50, 7.5)
    assert cmd.n_prompts == EvalIstd(out=tmp_path).n_prompts == 500
    assert EvalIstd(out=tmp_path).frames == 11
    if number == "2":
        assert cmd.inverted == cmd.fitted == 500


def test_the_released_share_is_one_of_the_papers():
    """Smooth Sec. 4.4: what is drawn where nobody says."""
    assert EditOptions().release in {0.6, 0.7, 0.8, 0.9}


def test_isos_tables_are_recipes(tmp_path):
    """Iso Sec. 4.1d, Iso Sec. Da, Iso Sec. Db: the steps and the numbers of images of each
    metric.
    """
    words = ["--models", "m", "--out", str(tmp_path)]
    first, second, third = (
        parse(EvalIsometry, ["--config", f"iso-table-{number}", *words]) for number in (1, 2, 3)
    )
    assert set(first.metrics) == {"fd", "ppl", "mrtl", "mcn", "vor"}
    for cmd in (first, third):
        assert (cmd.steps, cmd.ppl_steps) == (20, 100)
        assert (cmd.n_samples, cmd.ppl_pairs) == (10_000, 50_000)
    assert first.jacobians == 1000 and third.metrics == ("fd", "ppl")
    assert (second.metrics, second.n_samples, second.steps) == (("ls",), 2000, 100)


def test_asyrps_tables_are_recipes(tmp_path):
    """Asyrp Sec. 5b, Asyrp Sec. 5.3a, Asyrp Sec. G.2: S̃ = 1000, N = 20, 100 samples."""
    words = ["--model", "m", "--out", str(tmp_path)]
    times = parse(EvalIntervals, ["--config", "asyrp-table-2", *words])
    assert (times.n_images, times.steps, times.boost) == (100, 1000, 1.2)
    assert times.n_images == EvalIntervals(model="m", out=tmp_path).n_images
    looks = parse(EvalAsyrp, ["--config", "asyrp-table-4", "--edits", "smiling", *words])
    assert (looks.n_images, looks.steps, looks.learned_steps) == (100, 1000, 40)
    drawn = EditSemantic(model="m", direction=("smiling",), out=tmp_path, seeds=(1,), steps=1000)
    assert drawn.averaged == looks.averaged == 20 and drawn.learned_steps == looks.learned_steps
