"""`latentgeo eval-isometry`: how isometric the latent spaces of several models are.

Isometric Diffusion (arXiv 2407.11451), Tab. 1 and 2, Fig. 5 and 6: PPL, mRTL, MCN, VoR, linear
separability, and FID or a Fréchet distance of embedded features. Files: rows by model,
`results.json`, and what of `rtl.svg` and `lpips.svg` was measured. Started again, it goes on where
it stopped; under torchrun the jobs are shared out, and all processes must see the folder.
"""

from collections.abc import Mapping

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.ranks import is_main, process_group
from latentgeo.eval.isometric.measure import Measuring, asked, loaded
from latentgeo.eval.isometric.results import STEP, Rows, curves, is_headline, isometry_results
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.quality import Judged, load_judges, quality_results
from latentgeo.eval.metrics.separability import Read, check_installed, reader
from latentgeo.eval.page.plots import curves_plot
from latentgeo.eval.runs.results import Result, text_table, write_results
from latentgeo.eval.smooth.quality import judge_hashes
from latentgeo.infer.sampling.loading import parse_model
from latentgeo.models.bundles.text_to_image import WITH_TEXT
from latentgeo.models.formats.load_image import image_layout

CURVES = {  # file -> the results that it draws, what is along, what is up
    "rtl.svg": ("RTL at t = ", "t", "RTL(t)"),
    "lpips.svg": (f"{STEP}, step ", "step of the walk", "LPIPS between neighbours"),
}


def evaluate_isometry(cmd: EvalIsometry, read: Read | None = None) -> list[Result]:
    """Measure every model, write the results and print them.

    `read` gives the attributes of separability, images (N, 3, H, W) to probabilities (N, K) by
    attribute, in place of the attribute classifier.
    """
    check(cmd)
    with process_group(pick_device(cmd.device)):
        results = measured_models(cmd, read)
        if is_main():
            write_run(cmd, cmd.out, judge_hashes(None, cmd.inception))
            write_all(cmd, results)
            print(text_table([one for one in results if is_headline(one)]))
    return results


def measured_models(cmd: EvalIsometry, read: Read | None = None) -> list[Result]:
    """Measure every model, keeping rows below the command's folder, and return the results."""
    held = captioned(cmd.data, "test", cmd.models, captions=False)
    judges = load_judges(cmd.classifier, None, cmd.inception, pick_device(cmd.device))
    read = (read or reader(judges.classifier)) if "ls" in cmd.metrics else None
    rows: dict[str, Rows] = {}
    judged: dict[str, Judged] = {}
    settings: dict[str, Mapping[str, object]] = {}
    target: Judged | None = None
    for spec in cmd.models:
        subject, identity = loaded(cmd, spec)
        one = Measuring(cmd, subject, identity, held, judges, read)
        rows[spec] = one.rows()
        settings[spec] = {**identity, **asked(cmd)}
        if "fd" in cmd.metrics:
            judged[spec] = one.judged()
            target = one.target()
    results = isometry_results(rows, cmd, settings)
    if target is not None:
        results += quality_results(target, judged, cmd.seed, settings, cmd.models[0])
    return results


def check(cmd: EvalIsometry) -> None:
    """Raise, before long work, where a model or scikit-learn is not there.

    FileNotFoundError for a model; ValueError for one with text, and for scikit-learn.
    """
    for spec in cmd.models:
        parsed = parse_model(spec)
        parsed.check()
        if image_layout(parsed.source) is None:
            raise ValueError(f"models: got {spec}, {WITH_TEXT}")
    if "ls" in cmd.metrics:
        check_installed()


def write_all(cmd: EvalIsometry, results: list[Result]) -> None:
    """Write results.json and the curves."""
    write_results(cmd.out / "results.json", results)
    for file, (prefix, along, up) in CURVES.items():
        if found := curves(results, prefix):
            atomic_write(cmd.out / file, curves_plot(found, along, up))
