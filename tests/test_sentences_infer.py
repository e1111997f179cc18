"""Sentences of `infer` that no other test meets: an input for each."""

import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from latentgeo.infer.directions.settings import Directions, InjectContent
from latentgeo.infer.drags import drag
from latentgeo.infer.inversion import run as inversion
from latentgeo.infer.inversion.invert import Inverting
from latentgeo.infer.semantic import noise
from latentgeo.infer.semantic import run as semantic
from latentgeo.infer.semantic.settings import EditSemantic
from latentgeo.infer.text_edits import run as text_edits
from latentgeo.infer.text_edits.settings import EditText

OUT = Path("out")
NAN = torch.full((1, 3, 8, 8), torch.nan)


def numberless(**more: object) -> Any:
    """Return a model whose images are not finite."""
    values = {
        "decode": lambda z: torch.full((len(z), 3, 8, 8), torch.nan),
        "encode": lambda x: x,
        "encode_text": lambda prompts: torch.zeros(1, 1, 1),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "config": SimpleNamespace(prediction="v", sampling=SimpleNamespace(clip=False)),
    }
    return SimpleNamespace(**values | more)


def dragged(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(drag, "identity_lora", lambda *_: nullcontext())
    patch.setattr(drag, "invert", lambda *_: NAN)
    patch.setattr(drag, "optimise", lambda *_: SimpleNamespace(z=NAN))
    patch.setattr(drag, "denoise", lambda *_: [NAN, NAN])
    drag.edit(numberless(), NAN, "a", SimpleNamespace(mask=None), drag.Dragging())  # type: ignore[arg-type]


def null_texts(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inversion, "encode", lambda *_: torch.zeros(1, 1, 1))
    patch.setattr(inversion, "ascend", lambda *_: NAN[None])
    patch.setattr(inversion, "null_texts", lambda *_: iter([(NAN[0], NAN)]))
    how = Inverting(steps=3, guidance=2.0, method="null-text")
    settings = {"model": "m", "dtype": "float16"}
    inversion._computed(numberless(), NAN, ["a"], how, settings, tmp / "f", None)


def another_prediction(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    found: Any = SimpleNamespace(settings={"prediction": "eps"})
    inversion._check_weights(numberless(), found, "mine", tmp / "f")


def inverted(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(noise, "loaded_hash", lambda _: "0")
    patch.setattr(noise, "invert", lambda *_: NAN)
    noise.noises_of(numberless(), NAN, (10, 0), tmp)


def semantic_edits(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(semantic, "edit", lambda *_: NAN)
    patch.setattr(semantic, "Editing", lambda **_: None)
    start = SimpleNamespace(names=["a"], noises=torch.zeros(1, 3, 8, 8), seeds=[0])
    smile: Any = SimpleNamespace(name="smile", scale=1.0, t_boost=0, attribute=None)
    cmd = EditSemantic(model="m", direction=("smile",), seeds=(0,), strip=(1.0,), out=OUT)
    semantic.edited(numberless(), start, [smile], (10, 0), cmd)  # type: ignore[arg-type]


def edits_by_text(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(text_edits, "latent_shape", lambda *_: (3, 8, 8))
    patch.setattr(text_edits, "reconstruct", lambda *_: NAN)
    patch.setattr(text_edits, "run_edit", lambda *_: NAN)
    patch.setattr(text_edits, "_editing", lambda *_: None)
    cmd = EditText(source="a", target=("b",), out=OUT)
    text_edits.edits(cmd, numberless(), SimpleNamespace(), "base")  # type: ignore[arg-type]


CASES = {
    "tolerance": (
        lambda tmp, _: Directions(model="m", out=OUT, tolerance=1.0),
        "tolerance must be in (0, 1), got 1.0",
    ),
    "content": (
        lambda tmp, _: InjectContent(model="m", out=OUT, seeds=()),
        "seeds and content_seeds: got ",
    ),
    "strip": (
        lambda tmp, _: EditSemantic(model="m", direction=("a",), seeds=(0,), strip=(), out=OUT),
        "direction and strip: got none of one, wanted at least one of each",
    ),
    "drag": (dragged, "the edited image is not finite; a smaller --lr may help"),
    "null-texts": (null_texts, "step 1 is not finite in float16; try --dtype fp32"),
    "prediction": (another_prediction, "f was made with a model that predicts eps, mine predicts"),
    "inversion": (inverted, "the inversion of images 0 and on is not finite"),
    "semantic": (semantic_edits, "edits by smile are not finite"),
    "text": (edits_by_text, "base: an image is not finite"),
}


@pytest.mark.parametrize(("act", "message"), CASES.values(), ids=list(CASES))
def test_it_says(tmp_path, monkeypatch, act, message):
    with pytest.raises((ValueError, RuntimeError, FileNotFoundError), match=re.escape(message)):
        act(tmp_path, monkeypatch)
