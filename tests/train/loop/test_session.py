"""A session's lock; compiled networks: the same gradients and names, eager where the loop samples;
file hashes.
"""

import subprocess
import sys
from pathlib import Path

import torch

from latentgeo.core.run.files import sha256
from latentgeo.models.layers import ResnetBlock
from latentgeo.train.loop.session import as_written, compiled, session, weight_hashes
from latentgeo.train.loop.settings import Training


def test_two_runs_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    """The second is refused before it writes, from Python too; afterwards the folder is free."""
    code = (
        "import sys; from pathlib import Path; from latentgeo.train.loop.session import session\n"
        "from latentgeo.train.loop.settings import Training\n"
        "with session(Training(out=Path(sys.argv[1]), device='cpu')): pass\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    with session(Training(out=tmp_path, seed=7, device="cpu")):
        record = (tmp_path / "run.json").read_bytes()
        done = subprocess.run(words, capture_output=True, text=True)
        assert f"ValueError: {tmp_path} is being written by process " in done.stderr
        assert (tmp_path / "run.json").read_bytes() == record
    with session(Training(out=tmp_path, device="cpu")):
        pass
    assert not (tmp_path / ".lock").exists()


def test_a_compiled_network_is_the_same_network() -> None:
    torch.manual_seed(0)
    block = ResnetBlock(8, 8, 4, 1e-5, 16)
    x, temb = torch.randn(2, 8, 6, 6), torch.randn(2, 16)
    names = list(block.state_dict())
    block(x, temb).square().sum().backward()
    wanted = {name: weight.grad.clone() for name, weight in block.named_parameters()}  # type: ignore[union-attr]
    block.zero_grad()
    compiled(block)
    assert list(block.state_dict()) == names
    block(x, temb).square().sum().backward()
    for name, weight in block.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[name], rtol=1e-4, atol=1e-4, msg=name)


def test_samples_compile_nothing() -> None:
    """A batch of another shape runs the network as written: no new graph is made for it."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.SiLU())
    compiled(network)
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    with as_written():
        network(torch.ones(5, 3))
    assert counters["stats"]["unique_graphs"] == 0
    network(torch.ones(2, 3)).sum().backward()
    assert counters["stats"]["unique_graphs"] == 1


def test_every_weight_file_is_hashed_whatever_the_layout(tmp_path: Path) -> None:
    """A folder's own files, those one level down where it has none (diffusers), or the one file."""
    names = ("ours/unet.safetensors", "ours/more/x.safetensors", "theirs/unet/a.safetensors", "one")
    files = [tmp_path / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(file.name.encode())
    places = [str(tmp_path / name) for name in ("ours", "theirs", "one", "gone")]
    wanted = {str(file): sha256(file) for file in files if "more" not in str(file)}
    assert weight_hashes(*places, None) == wanted
