"""A step of training, counted: what its contenders compute, hold and launch."""

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.core.variation_routes import ROUTES
from latentgeo.eval.bench.settings import BenchStep
from latentgeo.eval.bench.step import PUBLISHED, bench_step, count, steps

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def contenders():
    pytest.importorskip("diffusers")
    pytest.importorskip("peft")
    torch.manual_seed(0)
    return steps("tiny", 8, 2, 2, CPU)


def test_every_contender_has_the_same_loss(contenders):
    """Ours by each route and the published one, before the adapters have learned anything."""
    losses = {name: step() for name, step in contenders.items()}
    plain = losses.pop("plain, no regularizer")
    for name, loss in losses.items():
        torch.testing.assert_close(loss, losses[PUBLISHED], msg=name)
        assert loss > plain
    assert set(losses) == {*(f"ours, {name}" for name in ROUTES), PUBLISHED}


def test_a_regularized_step_costs_more_than_a_plain_one(contenders):
    plain, ours = (
        count(contenders[name]) for name in ("plain, no regularizer", "ours, double-backward")
    )
    assert ours.launches > plain.launches and ours.peak > plain.peak > 0


def test_count_is_what_was_held_and_launched():
    """Two tensors of 4,000 bytes, then one of them and a sum."""

    def step():
        x = torch.ones(1000)
        y = x + 1
        del x
        return y.sum()

    found = count(step)
    assert (found.launches, found.peak) == (3, 8000)


def test_the_table(contenders):
    lines = bench_step(
        BenchStep(preset="tiny", latent_size=8, batch=1, rounds=1, rank=2, device="cpu")
    ).splitlines()
    assert [line[:34].strip() for line in lines[1:]] == list(contenders)
    median, ratio, peak, memory, launches = lines[-1][34:].split()
    assert (ratio, memory) == ("1.000", "1.000")
    assert float(median) > 0 and float(peak) > 0 and int(launches.replace(",", "")) > 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rank", "0"], "rank must be at least 1, got 0"),
        (["--rounds", "0"], "rounds must be at least 1, got 0"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_the_command_refuses_in_one_line(words, message, capsys):
    assert main(["bench-step", "--preset", "tiny", "--latent-size", "8", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
