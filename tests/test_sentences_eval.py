"""Sentences of `core` and `eval` that no other test meets: an input for each."""

import io
import json
import re
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from latentgeo.core.anid import branches
from latentgeo.core.dual import Dual
from latentgeo.core.run.device import pick_device
from latentgeo.core.transport import barycentre
from latentgeo.eval.audit import mutation
from latentgeo.eval.audit.mutants import Mutant
from latentgeo.eval.bench.pairs import build
from latentgeo.eval.bench.peers import diffusers_image_unet
from latentgeo.eval.isometric import measure
from latentgeo.eval.isometric.rows import Subject
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.judges.settings import EvalJudge
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.semantic import run as semantic
from latentgeo.eval.semantic.settings import EvalAsyrp, EvalIntervals
from latentgeo.eval.smooth.settings import EvalTables

OUT = Path("out")
MUTANT = Mutant("core/a.py", "f", 1, "+", "-", 0, 0, ("tests/t.py::t",))


def none_of_the_split(tmp: Path) -> Path:
    with zipfile.ZipFile(tmp / "a.zip", "w") as archive:
        archive.writestr("a.png", b"")
        row = {"file_name": "a.png", "text": "a", "split": "train"}
        archive.writestr("metadata.jsonl", json.dumps(row))
    return tmp / "a.zip"


def failing(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mutation, "_forked", lambda *_, **__: 1)
    mutation._unchanged(["tests/t.py::t"])


def without_tests(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mutation, "mutated", lambda _: None)
    patch.setattr(mutation, "_tried", lambda *_: mutation.NO_TESTS)
    mutation._run(MUTANT, {})


def loaded_once(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mutation, "mutated", lambda _: None)
    patch.setattr(mutation, "unchanged", lambda _: None)
    patch.setattr(mutation, "_tried", lambda *_: mutation.INTERRUPTED)
    mutation._run(MUTANT, {})


def model_of_classes(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    model = SimpleNamespace(config=SimpleNamespace(classes=5))
    patch.setattr(measure, "load_image", lambda *_: model)
    measure.loaded(EvalIsometry(models=("m",), out=OUT), "m")


def not_finite(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("latentgeo.eval.isometric.rows.denoise_images", lambda model, x, *_: x)
    model: Any = SimpleNamespace(decode=lambda z: z * torch.nan)
    sampling: Any = SimpleNamespace(batch=2)
    Subject(model=model, sampling=sampling, lpips=None).images(torch.ones(3, 1))  # type: ignore[arg-type]


def another_network(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(name="m", network="adm", unet=None)
    diffusers_image_unet(SimpleNamespace(unet=None, config=config))  # type: ignore[arg-type]


def shard_without_captions(tmp: Path) -> Path:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG")
    with tarfile.open(tmp / "a.tar", "w") as file:
        about = tarfile.TarInfo("0.png")
        about.size = len(picture.getvalue())
        file.addfile(about, io.BytesIO(picture.getvalue()))
    return tmp / "a.tar"


def below_all_times(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    held = SimpleNamespace(images=lambda size: torch.ones(1))
    chosen = SimpleNamespace(chosen=lambda *_: held)
    patch.setattr(semantic, "captioned", lambda *_, **more: chosen)
    patch.setattr(semantic, "editing_times", lambda *_: (1000, 500, 0))
    config = SimpleNamespace(sampling=SimpleNamespace(size=8))
    model: Any = SimpleNamespace(schedule=None, config=config)
    cmd = EvalAsyrp(model="m", edits=("smile",), out=OUT, t_0=3, rivals=("smile=m",))
    semantic.subject_of(cmd, model, SimpleNamespace(), {"smile": model})  # type: ignore[arg-type]


CASES = {
    "anid": (lambda tmp, _: branches(1), "frames must be at least 2, got 1"),
    "dual": (lambda tmp, _: Dual.__torch_dispatch__("f", ()), "a Dual has no rule for f"),
    "mps": (lambda tmp, _: pick_device("mps"), "device: got 'mps', but torch finds no Metal GPU"),
    "barycentre": (
        lambda tmp, _: barycentre(torch.ones(2, 3, 1), [0.5, 0.5], rounds=0),
        "barycentre: the couplings still change after 0 rounds, give more",
    ),
    "failing": (failing, "the tests fail without a change: pytest's status is 1"),
    "tests": (without_tests, "none of its tests exists: tests/t.py::t"),
    "loaded": (loaded_once, "core/a.py cannot be loaded a second time"),
    "preset": (lambda tmp, _: build("huge"), "preset must be one of sd15, avatars, tiny, got 'hu"),
    "network": (another_network, "m: the network is adm, not ddpm"),
    "classes": (model_of_classes, "models: got m, which has classes, wanted models without"),
    "finite": (not_finite, "an image is not finite"),
    "captions": (
        lambda tmp, _: EvalJudge(out=OUT, n_images=5, captions=7),
        "captions must be at most --n-images 5, got 7",
    ),
    "uncaptioned": (
        lambda tmp, _: captioned(shard_without_captions(tmp)),
        "a.tar: no image with a caption. skipped 1 item: 1 no caption",
    ),
    "split": (
        lambda tmp, _: captioned(none_of_the_split(tmp)),
        "a.zip: no image of the split 'test'",
    ),
    "t_0": (below_all_times, "t_0: got 3, below all times of --steps 40; wanted more"),
    "edits": (
        lambda tmp, _: EvalAsyrp(model="m", edits=(), out=OUT),
        "edits and properties: got none of one, wanted at least one of each",
    ),
    "similarity": (
        lambda tmp, _: EvalIntervals(model="m", out=OUT, similarity=(2.0,)),
        "similarity: got [2.0], wanted cosines in [-1, 1]",
    ),
    "models": (
        lambda tmp, _: EvalTables(paper="smooth", out=OUT, models=("a",)),
        "models: got ['a'], wanted a base and its smooth twin",
    ),
    "tables": (
        lambda tmp, _: EvalTables(paper="smooth", out=OUT, tables=("1", "1")),
        "tables: got ['1', '1'], wanted some of 1 2 3 4, each once",
    ),
}


@pytest.mark.parametrize(("act", "message"), CASES.values(), ids=list(CASES))
def test_it_says(tmp_path, monkeypatch, act, message):
    if act is CASES["mps"][0] and torch.backends.mps.is_available():
        pytest.skip("this machine has a Metal GPU")
    with pytest.raises((ValueError, RuntimeError, FileNotFoundError), match=re.escape(message)):
        act(tmp_path, monkeypatch)
