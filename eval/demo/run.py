"""`latentgeo demo`: what the embedded models do, shown and measured on one page.

Every number is computed by the run that reports it. Files: `report.html`, which holds everything
and is written after each section, `results.json`, the pictures as PNG, and rows of the sections and
of the long measurements, from which a run that was stopped goes on.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.files import atomic_write, sha256
from latentgeo.core.run.progress import Sections, say
from latentgeo.eval.demo.costs import PACE, expected
from latentgeo.eval.demo.page import Content, Written, report
from latentgeo.eval.demo.plans import Plan, plan_of, words
from latentgeo.eval.demo.sections import SECTIONS, Bench
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.runs.results import Result, write_results
from latentgeo.eval.runs.rows import Row, append_rows, open_rows
from latentgeo.infer.sampling.loading import loaded_hash


def run_demo(cmd: Demo, plan: Plan | None = None) -> Path:
    """Write every section that is not there yet and return the path of the report."""
    plan = plan or plan_of(cmd)
    costs = expected(cmd, plan)
    page, done = cmd.out / "report.html", dict[str, Written]()
    try:
        with Sections(costs, "demo", PACE) as line:
            bench = Bench(cmd, plan)
            folder = cmd.out / "rows" / "sections"
            kept = open_rows(folder, deciding(bench), lambda row: str(row["title"]))
            write_run(cmd, cmd.out)
            told = f"{words(plan)} {page} is written after each of {len(costs)} sections."
            say(told, sys.stderr)
            for title in costs:
                if title in kept:
                    line.skip(title)
                    done[title] = written(kept[title])
                else:
                    with line.section(title):
                        done[title] = written(kept_row(title, bench, folder))
                write_all(bench, done, [one for one in costs if one not in done])
    except KeyboardInterrupt:
        have = f"{page} has {len(done)} of {len(costs)} sections" if done else "no section is done"
        print(f"stopped: {have}; the same command goes on from there", file=sys.stderr)
        raise
    return page


def deciding(bench: Bench) -> Row:
    """Return all that decides what the sections hold."""
    cmd = bench.cmd
    return {
        "plan": asdict(bench.plan),
        "models": {one.spec: loaded_hash(one.bundle) for one in bench.contenders},
        "sampling": bench.contenders[0].sampling.plain(),
        "dtype": cmd.dtype,
        "classifier": None if cmd.classifier is None else sha256(cmd.classifier)[:16],
        "data": captioned(cmd.data, "test", cmd.models).origin.digest(),
        "seed": cmd.seed,
        "version": version("latentgeo"),
    }


def kept_row(title: str, bench: Bench, folder: Path) -> Row:
    """Do the work of a section and keep it as a row."""
    start = time.monotonic()
    made = asdict(SECTIONS[title](bench))
    row: Row = {"title": title, **made, "seconds": time.monotonic() - start}
    append_rows(folder, [row])
    return row


def written(row: Mapping[str, object]) -> Written:
    """Return a section that was kept as a row."""
    values = {name: row[name] for name in ("html", "paper", "found", "picture", "seconds")}
    results = [Result(**one) for one in row["results"]]  # type: ignore[attr-defined]
    return Written(results=results, **values)  # type: ignore[arg-type]


def write_all(bench: Bench, done: Mapping[str, Written], missing: list[str]) -> None:
    """Write the results and the page of all sections that are done."""
    cmd, plan = bench.cmd, bench.plan
    write_results(cmd.out / "results.json", [r for one in done.values() for r in one.results])
    named = ", ".join(f"{one.name} is {one.spec}" for one in bench.contenders)
    settings = bench.contenders[0].sampling.plain() | {"seed": cmd.seed}
    content = Content(
        conditions=[f"{key}: {value}" for key, value in settings.items()],
        length=words(plan),
        models=f"Here {named}.",
        sections=list(done.values()),
        missing=missing,
    )
    atomic_write(cmd.out / "report.html", report(content))
