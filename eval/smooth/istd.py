"""`latentgeo eval-istd`: the smoothness of several models on the same prompts and noises.

Files: a folder of rows per model, and `results.json`. Started again, it goes on where it stopped.
Under torchrun the prompts are shared out; the folder must then be one that all processes see.
"""

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.ranks import is_main, process_group
from latentgeo.eval.contenders import check_models, contender, measured
from latentgeo.eval.metrics.heldout import drawn_captions
from latentgeo.eval.metrics.smoothness import Walks, smoothness_results
from latentgeo.eval.runs.results import text_table, write_results
from latentgeo.eval.smooth.settings import EvalIstd


def evaluate_istd(cmd: EvalIstd) -> dict[str, Walks]:
    """Measure every model, write the results and print them; returns the walks by model."""
    check_models(cmd)
    captions = drawn_captions(cmd.prompt_file, cmd.data, cmd.n_prompts, cmd.seed, cmd.models)
    walks: dict[str, Walks] = {}
    with process_group(pick_device(cmd.device)):
        for spec in cmd.models:
            one = contender(cmd, spec, spec)
            walks[spec] = measured(one, captions, cmd.out / "rows", cmd.seed, cmd.frames)
        if is_main():
            write_run(cmd, cmd.out)
            results = smoothness_results(walks)
            write_results(cmd.out / "results.json", results)
            print(text_table(results))
    return walks
