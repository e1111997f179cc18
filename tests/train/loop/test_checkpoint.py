"""Checkpoints: whole or absent, and a run that is killed ends as one that is not."""

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from latentgeo.core.run.main import main
from latentgeo.models.bundles.text_to_image import TextToImage, save_bundle
from latentgeo.models.zoo.places import ZOO
from latentgeo.train.loop.checkpoint import checkpoints, load, load_newest, load_weights, save
from tests.forked import Forked

EMOJI = ZOO / "data" / "emoji-sample"  # 24 of the set, laid out as the whole folder
RUN = "import sys; from latentgeo.core.run.main import main; sys.exit(main(sys.argv[1:]))"


def test_what_is_saved_is_loaded_and_the_oldest_goes(tmp_path: Path) -> None:
    for step in (9, 10, 11):
        save(tmp_path, step, {"step": step, "w": torch.full((3,), float(step))}, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000010", "step-00000011"]
    newest = load_newest(tmp_path)
    assert newest is not None and newest["step"] == 11 and newest["w"].tolist() == [11.0] * 3
    save(tmp_path, 11, {"step": 11, "w": torch.zeros(3)}, keep=2)  # again, after a resume
    assert load(tmp_path / "step-00000011")["w"].tolist() == [0.0] * 3
    assert load_newest(tmp_path / "nothing") is None


@pytest.mark.parametrize("damage", ["truncate", "flip a bit", "no digest"])
def test_a_damaged_newest_checkpoint_is_passed_over(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (1, 2):
        path = save(tmp_path, step, {"step": step, "w": torch.ones(50)}, keep=2)
    content = bytearray((path / "state.pt").read_bytes())
    if damage == "truncate":
        (path / "state.pt").write_bytes(content[:-100])
    elif damage == "flip a bit":
        content[len(content) // 2] ^= 1
        (path / "state.pt").write_bytes(content)
    else:
        (path / "sha256").unlink()
    state = load_newest(tmp_path)
    assert state is not None and state["step"] == 1
    assert "step-00000002" in (out := capsys.readouterr().out) and "trying the one before" in out


def test_without_a_whole_checkpoint_there_is_no_resuming(tmp_path: Path) -> None:
    path = save(tmp_path, 1, {"step": 1}, keep=2)
    (path / "state.pt").write_bytes(b"")
    with pytest.raises(RuntimeError, match=r"every checkpoint in .* is damaged"):
        load_newest(tmp_path)


def test_a_failed_write_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1, {"step": 1}, keep=1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 2, {"step": 2}, keep=1)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000001"]


def test_weights_of_another_model_are_refused() -> None:
    weights = {"a": nn.Parameter(torch.zeros(3))}
    with pytest.raises(ValueError, match=r"a is \(5,\), wanted \(3,\)"):
        load_weights(weights, {"a": torch.zeros(5)})
    with pytest.raises(ValueError, match="another model: a"):
        load_weights(weights, {"b": torch.zeros(3)})


def words(folder: Path, out: str, *more: str) -> list[str]:
    text = f"train-smooth --model {folder}/tiny --data {EMOJI} --out {folder}/{out} --steps 12"
    text += " --batch 4 --accumulate 2 --rank 2 --samples 2 --sample-every 6 --checkpoint-every 3"
    return [*text.split(), "--ema", "0.9", "--device", "cpu", *more]


def wait_for(path: Path, process: Forked) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, tiny: TextToImage) -> None:
    """The real command on emoji, in a process killed without warning half-way, and resumed."""
    save_bundle(tiny, tmp_path / "tiny")
    process = Forked(RUN, *words(tmp_path, "cut"))
    wait_for(tmp_path / "cut" / "checkpoints" / "step-00000006", process)
    process.kill()
    assert not (tmp_path / "cut" / "smooth_lora.safetensors").exists()
    assert main(words(tmp_path, "cut", "--resume")) == 0
    assert main(words(tmp_path, "whole")) == 0
    one, other = (load_newest(tmp_path / out / "checkpoints") for out in ("whole", "cut"))
    assert one is not None and other is not None and one["step"] == other["step"] == 12
    for name in ("weights", "ema", "task"):
        assert_equal(one[name], other[name])
    assert_equal(*(load_file(tmp_path / o / "smooth_lora.safetensors") for o in ("whole", "cut")))
    grids = [tmp_path / out / "samples" / "step-00000012.png" for out in ("whole", "cut")]
    assert grids[0].read_bytes() == grids[1].read_bytes()


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(other[name])), name
