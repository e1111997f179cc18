"""What every training command does around its loop: join ranks, seed, write down the run."""

import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from latentgeo.core.run.cli import environment, write_run
from latentgeo.core.run.device import pick_device, tf32
from latentgeo.core.run.files import atomic_write, sha256
from latentgeo.core.run.lock import locked
from latentgeo.core.run.progress import progress
from latentgeo.core.run.ranks import barrier, is_main, process_group, ranks
from latentgeo.core.run.seeds import seed_everything
from latentgeo.infer.data.items import BadItem, Example
from latentgeo.infer.data.shards import Shards, shard_paths
from latentgeo.models.zoo.places import AVATARS, ZOO
from latentgeo.train.data.found import found
from latentgeo.train.data.latents import Latents
from latentgeo.train.data.prefetch import Prefetch
from latentgeo.train.data.stream import Batches, Source
from latentgeo.train.loop.checkpoint import checkpoints, folder_of
from latentgeo.train.loop.graph import check_graph
from latentgeo.train.loop.settings import Training
from latentgeo.train.loop.stop import terminable
from latentgeo.train.loop.task import Data
from latentgeo.train.loop.told import stopped, tell

MEMORY = 2 << 30  # bytes of images that are kept decoded
AT_ONCE = 10_000  # images that are read before a run, and not while it runs


@contextmanager
def session(settings: Training, hashes: Mapping[str, str] | None = None) -> Iterator[torch.device]:
    """Join the run's processes, seed them, write run.toml and run.json, and yield the device.

    Every rank draws the same initial weights; what is drawn later is seeded per sample. Raises
    ValueError as `refuse_to_overwrite`, `locked`, `on_gpu` and `Training.part` do.
    """
    device = pick_device(settings.device)
    with locked(settings.out), process_group(device), on_gpu(settings, device):
        settings.part(ranks().world)
        refuse_to_overwrite(settings)
        barrier()
        if is_main():
            write_record(settings, device, dict(hashes or {}))
        seed_everything(settings.seed)
        with resumable(settings):
            yield device


@contextmanager
def resumable(settings: Training) -> Iterator[None]:
    """Say where a run stopped, and what goes on with it, after Ctrl-C and SIGTERM."""
    try:
        with terminable():
            yield
    except (KeyboardInterrupt, SystemExit):
        tell(stopped(settings), sys.stderr)
        raise


def refuse_to_overwrite(settings: Training) -> None:
    """Raise ValueError where the run's folder holds another one that it is not to continue."""
    if checkpoints(folder_of(settings.out)) and not settings.resume:
        raise ValueError(f"out: {settings.out} holds a run; add --resume to continue it")


def write_record(settings: Training, device: torch.device, hashes: dict[str, str]) -> None:
    """Write run.toml, from which `--config` repeats the run, and run.json, what it depended on."""
    hashes |= data_hash(str(getattr(settings, "data", "")))
    write_run(settings, settings.out, hashes)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    record = {
        "settings": settings.plain(),
        "environment": environment(),
        "device": name,
        "ranks": ranks().world,
        "seed": settings.seed,
        "hashes": hashes,
    }
    text = json.dumps(record, indent=2, ensure_ascii=False)
    atomic_write(settings.out / "run.json", text + "\n")


def data_hash(spec: str) -> dict[str, str]:
    """Return a SHA-256 of the data: of a file, or of several files' names, sizes and captions."""
    if spec.partition(":")[0] == "avatars":
        return {spec: sha256(AVATARS)}
    path = Path(spec)
    if path.is_file():
        return {spec: sha256(path)}
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else _present(spec)
    if not files:
        return {}
    digest = hashlib.sha256()
    for file in files:
        name = file.relative_to(path) if path.is_dir() else file
        digest.update(f"{name.as_posix()} {file.stat().st_size}\n".encode())
        if file.suffix.lower() in (".jsonl", ".txt"):
            digest.update(file.read_bytes())
    return {spec: digest.hexdigest()}


def weight_hashes(*sources: str | None) -> dict[str, str]:
    """Return the SHA-256 of every weight file that is given, or lies in a folder or embedded name.

    In a folder without any, that of diffusers, they are those one level down.
    """
    places = [ZOO / s if (ZOO / s / "config.json").is_file() else Path(s) for s in sources if s]
    files = []
    for place in places:
        inside = sorted(place.glob("*.safetensors")) or [
            path for kind in ("safetensors", "bin") for path in sorted(place.glob(f"*/*.{kind}"))
        ]
        files += [place] if place.is_file() else inside
    return {str(path): sha256(path) for path in files}


class Remembered:
    """A map-style source whose decoded examples stay in memory after they are first read."""

    def __init__(self, source: Source) -> None:
        self.source, self.rejects, self.framing = source, source.rejects, source.framing
        self.examples: dict[int, Example] = {}

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far, by reason."""
        return self.source.bad

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.source)

    def read(self, i: int, draw: random.Random | None = None) -> Example:
        """Return example i; one that cannot be used raises `BadItem`."""
        if i not in self.examples:
            self.examples[i] = self.source.read(i)
        return self.examples[i]


def remembered(source: Source | Shards) -> Source | Shards:
    """Return the source, kept in memory where it fits and its examples are always the same.

    What is kept and small is read here, so that all is known of it before the run.
    """
    if isinstance(source, Shards) or source.framing.draws:
        return source
    if 3 * source.framing.size**2 * len(source) > MEMORY:
        return source
    kept = Remembered(source)
    if len(source) <= AT_ONCE:
        for i in progress(range(len(source)), label="reading images", unit="image"):
            try:
                kept.read(i)
            except BadItem as bad:
                source.rejects.add(bad)
    return kept


def stream(source: Source | Shards, settings: Training) -> Data:
    """Return this rank's batches of a run, read ahead on a thread where they are decoded anew.

    Says what was found.
    """
    here = ranks()
    part = settings.part(here.world)
    batches = Batches(source, part, settings.seed, here.rank, here.world)
    if not isinstance(source, Remembered | Latents):
        tell(found(source, None))
        return Prefetch(batches)
    known = len(source.examples) + len(source.rejects.names) >= len(source)
    tell(found(source, len(source.examples) if known else None))
    return batches


def first_examples(source: Source | Shards, count: int) -> list[Example]:
    """Return the first `count` usable examples, uncropped by chance; fewer if there are fewer."""
    found: list[Example] = []
    if isinstance(source, Shards):
        for example in source:
            found.append(example)
            if len(found) == count:
                break
        return found
    for i in range(len(source)):
        if len(found) == count:
            break
        try:
            found.append(source.read(i))
        except BadItem as bad:
            source.rejects.add(bad)
    return found


def channels_last(settings: Training, device: torch.device, *modules: nn.Module) -> None:
    """Keep networks' convolution weights channels-last, if the settings or the device say so.

    Unset, it is so in bf16 on a GPU, whose tensor cores take 16-bit images in this layout alone.
    """
    wanted = settings.channels_last
    if wanted is None:
        wanted = device.type == "cuda" and settings.dtype == "bf16"
        if wanted:
            tell("convolutions are channels-last; --no-channels-last: they are not")
    for module in modules if wanted else ():
        module.to(memory_format=torch.channels_last)


@contextmanager
def on_gpu(settings: Training, device: torch.device) -> Iterator[None]:
    """Have a GPU compute in TF32 or in full, as the settings say, in a `with` block.

    Raises ValueError on other devices for what only a GPU has.
    """
    if getattr(settings, "graph", False):
        check_graph(device, ranks().world)
    if device.type != "cuda":
        if settings.nvtx:
            raise ValueError(f"nvtx: got device {device.type}, wanted a GPU; leave --nvtx out")
        yield
        return
    if settings.tf32 and settings.dtype == "fp32":
        tell("linear layers, convolutions and attention compute in TF32; --no-tf32: in full")
    with tf32(settings.tf32):
        yield


def autocast(settings: Training, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context that computes in the settings' number format."""
    if settings.dtype == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def compiled(*modules: nn.Module) -> None:
    """Compile the networks in place for the one batch shape of training; names stay as they are.

    Only for a loss that is differentiated once: compiled code has no second derivative. The loop
    samples with the networks `as_written`, so that other batch shapes compile nothing.
    """
    for module in modules:
        module.compile(dynamic=False)


def as_written() -> AbstractContextManager[None]:
    """Return a context in which compiled networks run as they are written."""
    return torch.compiler.set_stance("force_eager")


def _present(spec: str) -> list[Path]:
    """Return the shards of a pattern that are there."""
    return [path for path in shard_paths(spec) if path.is_file()]
