"""The commands of eval: help without torch, and benches that refuse what they cannot run."""

import subprocess
import sys

import pytest

from latentgeo.eval.main import main


def test_command_files_import_no_torch():
    code = (
        "import sys; import latentgeo.eval.commands, latentgeo.infer.commands; "
        "print({'torch', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "name",
    ["demo", "sample", "interpolate", "eval-istd", "eval-quality", "bench-unet", "bench-step"],
)
def test_help_explains_every_flag(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"latentgeo {name}" in text
    assert "--seed" in text or name.startswith("bench")


@pytest.mark.parametrize("name", ["bench-unet", "bench-step"])
@pytest.mark.parametrize("flag", ["--size", "--batch", "--rounds"])
def test_benches_refuse_nothing_to_measure(name, flag, capsys):
    assert main([name, flag, "0"]) == 2
    assert flag.removeprefix("--") in capsys.readouterr().err
