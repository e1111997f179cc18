"""Null-text contenders find the same, and the benchmark counts what they do."""

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.eval.bench.null_text import (
    PEER,
    account_null_text,
    bench_null_text,
    contenders,
    count,
)
from latentgeo.eval.bench.settings import BenchNullText


@pytest.fixture(scope="module")
def every():
    pytest.importorskip("diffusers")
    return contenders("tiny", 8, 2, 2, 3, torch.device("cpu"))


def test_every_contender_fits_the_same_null_texts(every):
    """NTI Alg. 1: batched, one by one, and as published, through two networks."""
    found = {name: fit() for name, fit in every.items()}
    for name, nulls in found.items():
        assert nulls.shape[:2] == (2, 2)
        torch.testing.assert_close(nulls, found[PEER], rtol=0, atol=2e-3, msg=name)
    assert (found[PEER][0] - found[PEER][1]).abs().max() > 1e-3


def test_a_batch_launches_less_than_its_images(every):
    together, apart = count(every["ours, all images at once"]), count(every["ours, one at a time"])
    assert together.launches < 0.6 * apart.launches


def test_frozen_weights_hold_no_gradients(every):
    ours, published = count(every["ours, one at a time"]), count(every["published (our UNet)"])
    assert ours.peak < published.peak


def test_the_table(every):
    lines = bench_null_text(
        BenchNullText(
            preset="tiny", latent_size=8, n_images=1, steps=1, inner=1, rounds=1, device="cpu"
        )
    ).splitlines()
    assert [line[:34].strip() for line in lines[1:]] == list(every)
    seconds, ratio, peak, launches = lines[-1][34:].split()
    assert ratio == "1.000" and float(seconds) > 0 and float(peak) >= 0  # GiB, of a tiny model
    assert int(launches.replace(",", "")) > 100


def test_the_account_of_one_update():
    pytest.importorskip("triton")
    one, two = (account_null_text("tiny", 8, images).splitlines() for images in (1, 2))
    assert [line.split()[0] for line in one[1:-1]] == [
        "math",
        "reference",
        *("fused-attention", "fused"),
    ]
    for first, second in zip(one[1:-1], two[1:-1], strict=True):
        moved, more = (float(line[28:].split()[1]) for line in (first, second))
        assert more >= moved
    assert one[-1].endswith("of weights come on top")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "101"], "where the published rate ends, got 101"),
        (["--n-images", "0"], "--n-images must be at least 1, got 0"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_the_command_refuses_in_one_line(words, message, capsys):
    assert main(["bench-null-text", "--preset", "tiny", "--latent-size", "8", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
