"""Several trainings of Smooth Diffusion in turn, as its ablations have them.

Smooth Tab. 3   λ in 0.1, 1, 10 at rank 8
Smooth Tab. 4   rank in 4, 8, 16, and all weights, at λ = 1

Each run has a folder of its own below `out`. Started again, the sweep passes over what is finished
and goes on with what is not. `sweep.json` has one row per run, of its log's last tenth.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.ranks import barrier, is_main, process_group
from latentgeo.core.run.text import read_text
from latentgeo.train.loop.checkpoint import checkpoints, folder_of, step_of
from latentgeo.train.loop.log import read_log
from latentgeo.train.loop.told import FREE, going_on, tell
from latentgeo.train.smoothing.settings import SweepSmooth, TrainSmooth
from latentgeo.train.smoothing.smooth import train

SHOWN = ("loss", "base", "reg", "v", "a", "images_per_second")


def runs_of(sweep: SweepSmooth) -> list[TrainSmooth]:
    """Return the trainings that a sweep asks for, each once, with their folders.

    Smooth Tab. 3   every λ at one rank
    Smooth Tab. 4   every rank at one λ; "full" trains all weights
    """
    pairs = [(weight, sweep.rank) for weight in sweep.reg_weights]
    pairs += [(sweep.reg_weight, rank) for rank in sweep.ranks]
    common = {f.name: getattr(sweep, f.name) for f in fields(TrainSmooth)}
    runs = []
    for weight, rank in dict.fromkeys(pairs):
        out = sweep.out / f"lambda-{weight:g}_rank-{rank}"
        runs.append(TrainSmooth(**common | {"reg_weight": weight, "rank": rank, "out": out}))
    if sweep.full_unet:
        out = sweep.out / f"lambda-{sweep.reg_weight:g}_full"
        runs.append(TrainSmooth(**common | {"adapter": "full", "out": out}))
    return runs


def is_finished(run: TrainSmooth) -> bool:
    """Return whether a run took all its steps and left its weights."""
    found = checkpoints(folder_of(run.out))
    left = "smooth.json" if run.adapter == "full" else "smooth_lora.json"
    return bool(found) and step_of(found[-1]) >= run.steps and (run.out / left).is_file()


def refuse_other(run: TrainSmooth) -> None:
    """Raise ValueError naming a setting that the run in this folder was begun with otherwise."""
    path = run.out / "run.json"
    before = json.loads(read_text(path))["settings"] if path.is_file() else {}
    now = run.plain()
    for name in before.keys() & now.keys() - set(FREE):
        if before[name] != now[name]:
            raise ValueError(
                f"{name}: {run.out} was trained with {before[name]}, got {now[name]}; "
                "choose another --out for another sweep"
            )


def row(run: TrainSmooth) -> dict[str, Any]:
    """Return what a run came to: means over the last tenth of its log, n records."""
    log = read_log(run.out / "log.jsonl")
    last = log[-max(len(log) // 10, 1) :]
    means = {name: fmean(r[name] for r in last) for name in SHOWN if last and name in last[0]}
    return {
        "folder": run.out.name,
        "reg_weight": run.reg_weight,
        "rank": run.rank if run.adapter == "lora" else None,
        "adapter": run.adapter,
        "seed": run.seed,
        "steps": log[-1]["step"] if log else 0,
        "finished": is_finished(run),
        "n": len(last),
        **means,
    }


def sweep(settings: SweepSmooth) -> None:
    """Run `latentgeo sweep-smooth`.

    Raises RuntimeError, after all others, where runs failed; ValueError as `refuse_other`.
    """
    runs = runs_of(settings)
    failed: dict[str, str] = {}  # why, by folder
    with process_group(pick_device(settings.device)):
        for run in runs:
            refuse_other(run)
        barrier()
        if is_main():
            write_run(settings, settings.out)
        try:
            for i, run in enumerate(runs):
                state = "is finished" if is_finished(run) else "begins or goes on"
                tell(f"{i + 1} of {len(runs)}: {run.out.name} {state}")
                if not is_finished(run):
                    attempt(run, failed)
                barrier()
                if is_main():
                    write_summary(settings.out, runs[: i + 1], failed)
        except (KeyboardInterrupt, SystemExit):
            tell(f"or, with the whole sweep:\n    {going_on(settings)}", sys.stderr)
            raise
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}")


def attempt(run: TrainSmooth, failed: dict[str, str]) -> None:
    """Train one run; note why it failed, for a λ at which the loss diverges ends no sweep."""
    try:
        train(replace(run, resume=True))
    except RuntimeError as error:
        failed[run.out.name] = str(error)


def write_summary(out: Path, runs: list[TrainSmooth], failed: Mapping[str, str]) -> None:
    """Write sweep.json."""
    rows = [{**row(run), "failed": failed.get(run.out.name)} for run in runs]
    text = json.dumps({"runs": rows}, indent=2, ensure_ascii=False)
    atomic_write(out / "sweep.json", text + "\n")
