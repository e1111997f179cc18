"""Sentences of `train` that no other test meets: an input for each."""

import io
import json
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from latentgeo.infer.data import cifar, items, shard_index
from latentgeo.infer.data.folder import Folder
from latentgeo.infer.data.items import Rejects
from latentgeo.infer.data.shards import Shards
from latentgeo.train import ddpm, diffusion
from latentgeo.train.data import latents
from latentgeo.train.data.cache import CACHE_INDEX, Cached
from latentgeo.train.data.stream import open_source
from latentgeo.train.isometry import isometric, text_to_image
from latentgeo.train.isometry.settings import TrainIsometric
from latentgeo.train.judges import predictions
from latentgeo.train.judges.classifier import Attributed
from latentgeo.train.judges.segmenter import Masked
from latentgeo.train.loop import checkpoint
from latentgeo.train.loop.ema import EMA
from latentgeo.train.loop.graph import check_graph
from latentgeo.train.loop.session import on_gpu
from latentgeo.train.loop.sharded import shard
from latentgeo.train.semantic.attributes import read_attributes
from latentgeo.train.semantic.settings import TrainAsyrp
from latentgeo.train.sets.avatars import _renderer
from latentgeo.train.sets.emoji import emoji_folder, from_arrays
from latentgeo.train.sets.settings import EmojiFolder
from latentgeo.train.settings import TrainDdpm, TrainDiffusion
from latentgeo.train.smoothing.settings import SweepSmooth

T = TypeVar("T")
OUT = Path("out")
CPU = torch.device("cpu")
OTHER = SimpleNamespace(name="other", learned_variance=True, classes=5)  # a configuration


def made(kind: type[T], **values: object) -> T:
    """Return an object with these values, and nothing else done to it."""
    one = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(one, name, value)
    return one


def png(width: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, 2)).save(file, "PNG")
    return file.getvalue()


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def part_of_a_cache(tmp: Path) -> None:
    written(tmp / "part-00000.json", {"captions": ["a"], "names": ["a"], "texts": []})
    part = SimpleNamespace(entries={"moments": torch.zeros(2, 2, 1, 1)})
    made(Cached, folder=tmp, opened=lambda number: part)._read_part(0, 2)


def unreadable(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def file_that_cannot_be_read(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "read_bytes", unreadable)
    items.read_file(written(tmp / "a.png", 0))


def with_classes(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ddpm, "load_image_model", lambda _: SimpleNamespace(config=OTHER))
    ddpm.build(TrainDdpm(out=OUT, start="other"))


def judge_of_classes(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(predictions, "load_image_model", lambda *_: SimpleNamespace(config=OTHER))
    predictions.predictions_of("other", 8, CPU)


def quantized(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ddpm, "open_source", lambda *_, **__: None)
    config = SimpleNamespace(sampling=SimpleNamespace(size=8))
    model: Any = SimpleNamespace(config=config, autoencoder=nn.Identity())
    ddpm.open_batches(TrainDdpm(out=OUT, start="vq"), model, CPU)


def cache_with_flips(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    written(tmp / CACHE_INDEX, {})
    settings = TrainDiffusion(out=OUT, vae="avatars", data=str(tmp), flip=True)
    diffusion.open_data(settings, SimpleNamespace())  # type: ignore[arg-type]


def another_vae(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    text_to_image.train(TrainIsometric(out=OUT, start="avatars", vae="mine"))


def ranks_of_two(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("RANK", "0")
    patch.setenv("WORLD_SIZE", "2")
    shard(nn.Identity(), CPU, "reverse-over-forward")


def without_renderer(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "python_avatars", None)
    _renderer()


def no_emoji(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    written(tmp / "emoji.json", [])
    emoji_folder(EmojiFolder(from_=tmp, out=tmp / "out"))


def emoji_without_names(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    written(tmp / "emoji64_meta.json", [])
    np.savez(tmp / "emoji64_rgba.npz", images=np.zeros((2, 64, 64, 4), np.uint8))
    list(from_arrays(tmp))


def damaged(tmp: Path, patch: pytest.MonkeyPatch) -> None:
    path = checkpoint.save(tmp, 1, {"a": 1}, 1)
    (path / checkpoint.STATE).write_bytes(b"x")
    checkpoint.load(path)


def plain(act: Callable[[Path], object]) -> Callable[[Path, pytest.MonkeyPatch], object]:
    return lambda tmp, _: act(tmp)


CASES: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], object], str]] = {
    "part": (
        plain(part_of_a_cache),
        "got 2 images and 1 captions, wanted 2 of each",
    ),
    "strip": (plain(lambda tmp: cifar.strip(png(7))), "a strip is 1024 pixels wide, got 7"),
    "batch": (
        plain(lambda tmp: cifar.python_batch(pickle.dumps([1]))),
        "a batch is a dictionary, got list",
    ),
    "pixels": (
        plain(lambda tmp: cifar.python_batch(pickle.dumps({"data": [[1, 2]], "labels": [1]}))),
        "data: got (1, 2), wanted (N, 3072)",
    ),
    "cifar": (plain(cifar._of_folder), "no CIFAR-10, wanted data_batch_1 … or"),
    "file": (file_that_cannot_be_read, "a.png: unreadable file ([Errno 13] Permission denied)"),
    "flips": (
        plain(
            lambda tmp: latents.Latents(
                made(Folder, framing=SimpleNamespace(draws=True)), SimpleNamespace(), CPU
            )
        ),
        "cache_latents and flip: got both, wanted one",
    ),
    "latents": (
        plain(lambda tmp: latents.cached(made(Shards), SimpleNamespace(), CPU)),
        "data: got shards, wanted a folder or a zip",
    ),
    "shard": (
        plain(lambda tmp: shard_index.meeting({}, (), tmp / "gone.tar", Rejects("skip"))),
        "gone.tar: unreadable file ([Errno 2] No such file",
    ),
    "metadata": (
        plain(lambda tmp: shard_index.fields_of(io.BytesIO(), {}, "a")),
        "a: no metadata (a .json member is wanted)",
    ),
    "changed": (
        plain(lambda tmp: made(Shards, paths=[tmp / "a.tar"], _indexes={0: []}).read(0, 3)),
        "a.tar/3: shard has changed (0 samples are left)",
    ),
    "cache": (
        plain(lambda tmp: open_source(str(written(tmp / CACHE_INDEX, {}).parent), 8)),
        "is a cache of latents, wanted the images that it was made of",
    ),
    "variance": (with_classes, "preset and start: got other, wanted a model without"),
    "quantized": (quantized, "start: got vq with a vector-quantized autoencoder"),
    "encoded": (cache_with_flips, "flip, where and cache_latents: got some for the cache"),
    "layers": (
        plain(
            lambda tmp: isometric.adapt(
                SimpleNamespace(unet=nn.Sequential(nn.Linear(1, 1))),
                TrainIsometric(out=OUT, targets=("nothing*",)),
            )
        ),
        "targets: target 'nothing*' matches no linear or convolution layer",
    ),
    "compiled": (
        plain(lambda tmp: TrainIsometric(out=OUT, compile=True)),
        "compile: wanted without: the loss needs forward mode",
    ),
    "vae": (another_vae, "vae: got mine, but avatars has its own; leave it out"),
    "faces": (
        plain(lambda tmp: Attributed(made(Shards))),
        "data: got shards, wanted a folder or a zip file",
    ),
    "attributes": (
        plain(lambda tmp: Attributed(made(Folder, entries=[SimpleNamespace(attributes={})]))),
        "data: got images without attributes, wanted them in metadata.jsonl",
    ),
    "classes": (judge_of_classes, "predictions: got other, which has classes, wanted a model"),
    "masks": (plain(lambda tmp: Masked(made(Shards), tmp)), "data: got shards, wanted a folder"),
    "incomplete": (plain(checkpoint.load), "is incomplete"),
    "damaged": (damaged, "is damaged: its digest differs"),
    "average": (
        plain(lambda tmp: EMA({"a": nn.Parameter(torch.ones(1))}, 0.5).load_state({})),
        "the moving average has 0 tensors, wanted 1",
    ),
    "route": (ranks_of_two, "route: got reverse-over-forward with --adapter full on several ranks"),
    "gone": (
        plain(lambda tmp: read_attributes(tmp / "gone.toml")),
        "attributes: no such file: ",
    ),
    "recon": (
        plain(
            lambda tmp: TrainAsyrp(
                out=OUT, model="m", name="a", source="b", target="c", recon_weight=-1.0
            )
        ),
        "recon_weight must be at least 0, got -1.0",
    ),
    "renderer": (without_renderer, "and python_avatars is not installed: pip install"),
    "emoji": (no_emoji, ": no emoji."),
    "names": (emoji_without_names, ": 2 images, but 0 names"),
    "graph": (
        plain(lambda tmp: check_graph(torch.device("cuda"), 2)),
        "graph: got 2 ranks, wanted one; leave --graph out",
    ),
    "nvtx": (
        plain(lambda tmp: on_gpu(TrainDdpm(out=OUT, nvtx=True), CPU).__enter__()),
        "nvtx: got device cpu, wanted a GPU; leave --nvtx out",
    ),
    "sweep": (
        plain(lambda tmp: SweepSmooth(out=OUT, reg_weights=(), ranks=())),
        "reg_weights, ranks and full_unet: got none, wanted one at least",
    ),
}


@pytest.mark.parametrize(("act", "message"), CASES.values(), ids=list(CASES))
def test_it_says(tmp_path, monkeypatch, act, message):
    with pytest.raises((ValueError, RuntimeError, FileNotFoundError), match=re.escape(message)):
        act(tmp_path, monkeypatch)
