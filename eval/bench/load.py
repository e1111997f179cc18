"""`latentgeo bench-load`: a folder of diffusers loaded by us and by diffusers, one after the other.

Each load is in a process of its own, which has loaded a small model before, and all files are in
the system's cache. The model's weights are random: what they are changes nothing.
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from latentgeo.core.run.device import pick_dtype
from latentgeo.core.run.progress import progress
from latentgeo.eval.bench.load_process import LOADERS, Job, Load
from latentgeo.eval.bench.pairs import preset_config
from latentgeo.eval.bench.settings import BenchLoad
from latentgeo.eval.runs.isolated import Isolated
from latentgeo.eval.runs.statistics import median_interval
from latentgeo.models.bundles.text_to_image import TextToImage, empty_bundle
from latentgeo.models.formats.diffusers.folder import read_config, write_folder

COMMAND = [sys.executable, "-m", "latentgeo.eval.bench.load_process"]
LIMIT = 600.0  # seconds that a load may take
CHUNK = 1 << 24  # bytes read at a time
GOAL = 1.15  # of the model's size, the memory that a load may take at most


def bench_load(cmd: BenchLoad) -> str:
    """Return a table of loads, from a folder or of random weights of a preset in a folder."""
    if cmd.model is not None:
        read_config(Path(cmd.model))  # raises for what neither could load
    with TemporaryDirectory(prefix="latentgeo-") as place:
        small = write_folder(random_bundle("tiny", torch.float16), Path(place) / "small")
        model = Path(cmd.model or Path(place) / "model")
        if cmd.model is None:
            write_folder(random_bundle(cmd.preset, pick_dtype(cmd.stored)), model)
        _cache(model)
        return table(contest(model, small, cmd.dtype, cmd.rounds))


def contest(folder: Path, small: Path, dtype: str, rounds: int) -> dict[str, list[Load]]:
    """Return the loads of each contender, in turn."""
    found: dict[str, list[Load]] = {who: [] for who in LOADERS}
    with progress(total=rounds * len(LOADERS), label="loading", unit="load") as bar:
        for _ in range(rounds):
            for who, loads in found.items():
                job = Job(who=who, folder=str(folder), small=str(small), dtype=dtype)
                loads.append(load_once(job, small.parent / "log"))
                bar.update(1)
    return found


def load_once(job: Job, log: Path) -> Load:
    """Run one job in a process that complains to `log`; RuntimeError if it came to nothing."""
    with Isolated(COMMAND, asdict(job), log) as process:
        said = list(process.messages(LIMIT))
        status = process.status()
    if status or len(said) != 1:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RuntimeError(
            f"loading by {job.who} ended with status {status}: {' '.join(lines[-1:])}"
        )
    return Load(**said[0])


def table(found: Mapping[str, Sequence[Load]]) -> str:
    """Return the medians of each contender and the ratios of the first to the last."""
    lines = [f"{'':<14}{'load s':>10}{'usable s':>10}{'peak GB':>10}{'/ size':>8}"]
    for who, loads in found.items():
        load, usable = (_median(loads, name) for name in ("seconds", "usable"))
        peak, size = max(one.peak for one in loads), loads[0].size
        row = f"{load:>10.3f}{usable:>10.3f}{peak / 1e9:>10.3f}{peak / size:>8.3f}"
        lines.append(f"{who:<14}{row}")
    (first, ours), *_, (last, theirs) = found.items()
    for name in ("seconds", "usable"):
        pairs = zip(ours, theirs, strict=True)
        ratio = median_interval([getattr(a, name) / getattr(b, name) for a, b in pairs])
        word = "load" if name == "seconds" else name
        lines.append(f"{word}, {first} / {last}: {ratio} (median, 95 %, n = {ratio.n} pairs)")
    held = max(one.peak / one.size for one in ours)
    verdict = "within" if held <= GOAL else "above"
    lines.append(f"peak memory of {first}: {held:.3f} of the model's size, {verdict} {GOAL}")
    return "\n".join(lines)


def _median(loads: Sequence[Load], name: str) -> float:
    return statistics.median(getattr(one, name) for one in loads)


def random_bundle(preset: str, dtype: torch.dtype) -> TextToImage:
    """Return a model of a preset with small random weights, drawn in their dtype."""
    bundle = empty_bundle(preset_config(preset))
    torch.manual_seed(0)
    for module in bundle.modules.values():
        state = module.state_dict()
        drawn = {
            name: torch.empty(value.shape, dtype=dtype).uniform_(-0.02, 0.02)
            for name, value in state.items()
        }
        module.load_state_dict(drawn, assign=True)
    return bundle


def _cache(folder: Path) -> None:
    """Read every file once, so that the system has it in memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                while file.read(CHUNK):
                    pass
