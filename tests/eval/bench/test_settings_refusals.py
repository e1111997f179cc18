"""Commands explain their flags, and benches refuse what they cannot run."""

import pytest

from latentgeo.core.run.main import main


@pytest.mark.parametrize(
    "name",
    [
        *["demo", "sample", "interpolate", "eval-istd", "eval-quality"],
        *["directions", "toy-isometry"],
        *["edit-text", "eval-edit", "edit-semantic", "train-asyrp", "eval-intervals"],
        *["train-diffusion-clip", "eval-asyrp"],
        *["eval-transport", "bench-transport"],
        *["bench-unet", "bench-step", "bench-isometric", "bench-kernels", "bench-aot"],
        *["eval-reconstruction", "bench-null-text", "eval-isometry"],
        *["drag", "eval-drag"],
        *["eval-judge", "train-judge", "train-segmenter", "render-masks", "render-pairs"],
    ],
)
def test_help_explains_every_flag(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"latentgeo {name}" in text
    assert "--seed" in text or name.startswith("bench")


@pytest.mark.parametrize("name", ["bench-unet", "bench-step"])
@pytest.mark.parametrize("flag", ["--latent-size", "--batch", "--rounds"])
def test_benches_refuse_nothing_to_measure(name, flag, capsys):
    assert main([name, flag, "0"]) == 2
    assert f"{flag} must" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seconds", "0"], "seconds must be positive, got 0.0"),
        (["--seconds", "nan"], "seconds must be positive, got nan"),
        (["--timeout", "-1"], "timeout must be positive, got -1.0"),
        (["--profile", "a", "--out", "b"], "--profile and --out: got both"),
    ],
)
def test_bench_kernels_refuses_what_no_run_could_use(words, message, capsys):
    assert main(["bench-kernels", *words]) == 2
    assert message in capsys.readouterr().err
