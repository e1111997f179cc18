"""The `latentgeo` command: names a subcommand, imports it, runs it. Imports no torch."""

import importlib
import sys
from collections.abc import Sequence

from latentgeo.core.cli import guarded, run_command, version
from latentgeo.core.config import nearest

COMMANDS = {  # name -> (where its class is, one line of help)
    "demo": ("latentgeo.eval.commands:Demo", "run the embedded models and write a report"),
    "sample": (
        "latentgeo.infer.commands:Sample",
        "draw images from prompts, or of a model without text",
    ),
    "interpolate": (
        "latentgeo.infer.commands:Interpolate",
        "walk between seeds, prompts or images",
    ),
    "edit-text": ("latentgeo.infer.edit_commands:EditText", "edit an image by its description"),
    "directions": (
        "latentgeo.infer.direction_commands:Directions",
        "find a noise's principal directions and draw along them",
    ),
    "inject-content": (
        "latentgeo.infer.direction_commands:InjectContent",
        "draw images with the bottleneck of others added",
    ),
    "edit-semantic": (
        "latentgeo.infer.semantic_commands:EditSemantic",
        "edit images by directions in a frozen model's bottleneck (Asyrp)",
    ),
    "invert": (
        "latentgeo.infer.inversion_commands:Invert",
        "find the noise of an image and the null texts that lead back",
    ),
    "reconstruct": (
        "latentgeo.infer.inversion_commands:Reconstruct",
        "make the image of an inversion again",
    ),
    "drag": (
        "latentgeo.infer.drag_commands:Drag",
        "drag points of an image to other places (DragDiffusion)",
    ),
    "convert": (
        "latentgeo.infer.commands:Convert",
        "write a model or a LoRA in another program's layout",
    ),
    "inspect": ("latentgeo.infer.commands:Inspect", "say what a file of weights is and fits"),
    "train-vae": ("latentgeo.train.commands:TrainVae", "train the image autoencoder"),
    "train-diffusion": ("latentgeo.train.commands:TrainDiffusion", "train the denoising UNet"),
    "train-ddpm": (
        "latentgeo.train.image_commands:TrainDdpm",
        "train a diffusion model of images without text",
    ),
    "train-isometric": (
        "latentgeo.train.image_commands:TrainIsometric",
        "train one with an isometric encoder (Isometric Diffusion)",
    ),
    "train-asyrp": (
        "latentgeo.train.asyrp_commands:TrainAsyrp",
        "train directions in a frozen model's bottleneck from pairs of texts (Asyrp)",
    ),
    "train-diffusion-clip": (
        "latentgeo.train.asyrp_commands:TrainDiffusionClip",
        "fine-tune a whole model to one edit, to compare (DiffusionCLIP)",
    ),
    "train-smooth": (
        "latentgeo.train.commands:TrainSmooth",
        "fine-tune for a smooth latent space (Smooth Diffusion)",
    ),
    "sweep-smooth": (
        "latentgeo.train.commands:SweepSmooth",
        "train-smooth for several weights of the regularizer and ranks",
    ),
    "train-judge": (
        "latentgeo.train.judge_commands:TrainJudge",
        "train a small CLIP that judges edits",
    ),
    "train-segmenter": (
        "latentgeo.train.judge_commands:TrainSegmenter",
        "train a small segmenter of faces",
    ),
    "cache": (
        "latentgeo.train.commands:Cache",
        "encode images and captions once, for training",
    ),
    "eval-istd": (
        "latentgeo.eval.commands:EvalIstd",
        "measure smoothness: the interpolation standard deviation",
    ),
    "eval-quality": ("latentgeo.eval.commands:EvalQuality", "measure image quality"),
    "eval-tables": (
        "latentgeo.eval.table_commands:EvalTables",
        "measure a paper's tables (smooth)",
    ),
    "eval-edit": (
        "latentgeo.eval.edit_commands:EvalEdit",
        "measure text edits: what was wanted, and what was kept",
    ),
    "eval-transport": (
        "latentgeo.eval.transport_commands:EvalTransport",
        "compare couplings of prompts: optimal transport, index, and others",
    ),
    "eval-reconstruction": (
        "latentgeo.eval.inversion_commands:EvalReconstruction",
        "measure how images come back after inversion",
    ),
    "eval-isometry": (
        "latentgeo.eval.isometry_commands:EvalIsometry",
        "measure how isometric latent spaces are: PPL, mRTL, MCN, VoR, separability",
    ),
    "compare": (
        "latentgeo.eval.compare_commands:Compare",
        "measure base, smooth, isometric and both adapters of a model by every metric",
    ),
    "toy-isometry": (
        "latentgeo.eval.toy_commands:ToyIsometry",
        "flatten a sphere with and without the isometry loss, in pictures and numbers",
    ),
    "eval-drag": (
        "latentgeo.eval.drag_commands:EvalDrag",
        "measure where prepared drags of held-out images end",
    ),
    "eval-intervals": (
        "latentgeo.eval.intervals_commands:EvalIntervals",
        "measure where semantic edits of a model may end and boosting begin (Asyrp)",
    ),
    "eval-asyrp": (
        "latentgeo.eval.asyrp_commands:EvalAsyrp",
        "measure semantic edits, and the properties of h-space (Asyrp)",
    ),
    "eval-judge": (
        "latentgeo.eval.judge_commands:EvalJudge",
        "measure how well a judge of edits reads faces",
    ),
    "eval-segmenter": (
        "latentgeo.eval.judge_commands:EvalSegmenter",
        "measure a segmenter of faces against exact masks",
    ),
    "audit": ("latentgeo.eval.audit:Audit", "show where each equation is coded and tested"),
    "bench-account": (
        "latentgeo.eval.commands:BenchAccount",
        "count what a training step costs on a GPU, without one",
    ),
    "bench-kernels": (
        "latentgeo.eval.commands:BenchKernels",
        "time the fused operators on a GPU, beside their peers",
    ),
    "bench-aot": (
        "latentgeo.eval.commands:BenchAot",
        "compile the kernels for GPUs that need not be there and report their resources",
    ),
    "bench-load": (
        "latentgeo.eval.bench_commands:BenchLoad",
        "time loading Stable Diffusion beside diffusers, and its peak memory",
    ),
    "bench-sample": (
        "latentgeo.eval.bench_commands:BenchSample",
        "time text to image beside diffusers",
    ),
    "bench-transport": (
        "latentgeo.eval.transport_commands:BenchTransport",
        "time exact couplings beside POT's",
    ),
    "bench-null-text": (
        "latentgeo.eval.inversion_commands:BenchNullText",
        "time null-text inversion beside the published one",
    ),
    "bench-isometric": (
        "latentgeo.eval.bench_commands:BenchIsometric",
        "time one isometric training step beside the published one",
    ),
    "bench-step": ("latentgeo.eval.commands:BenchStep", "time one training step"),
    "bench-unet": (
        "latentgeo.eval.commands:BenchUNet",
        "time the UNet's forward pass beside diffusers'",
    ),
    "render-avatars": (
        "latentgeo.train.commands:RenderAvatars",
        "draw a captioned avatar data set (needs the 'data' extra)",
    ),
    "render-masks": (
        "latentgeo.train.judge_commands:RenderMasks",
        "draw the part masks of those avatars",
    ),
    "render-pairs": (
        "latentgeo.train.judge_commands:RenderPairs",
        "draw pairs of avatars that differ in one attribute",
    ),
    "emoji-folder": (
        "latentgeo.train.emoji:EmojiFolder",
        "turn an emoji archive into a captioned image folder",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `latentgeo <command> ...` and return the process's exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    name, rest = (words[0], words[1:]) if words else ("--help", [])
    if name in ("-h", "--help"):
        return guarded("latentgeo", lambda: print(overview()))
    if name == "--version":
        return guarded("latentgeo", lambda: print(f"latentgeo {version('latentgeo')}"))
    if name not in COMMANDS:
        return guarded("latentgeo", lambda: _refuse(name))
    return run_command(command_class(name), rest)


def command_class(name: str) -> type:
    """Import and return the class behind a command's name."""
    module, class_name = COMMANDS[name][0].split(":")
    found: type = getattr(importlib.import_module(module), class_name)
    return found


def overview() -> str:
    """Return the text of `latentgeo --help`."""
    width = max(map(len, COMMANDS))
    rows = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: latentgeo <command> [options]",
            "",
            "The geometry of diffusion models' latent spaces.",
            "",
            "commands:",
            *rows,
            "",
            "latentgeo <command> --help lists a command's options; latentgeo --version.",
        ]
    )


def _refuse(name: str) -> None:
    kind = "option" if name.startswith("-") else "command"
    hint = nearest(name, COMMANDS) or "; latentgeo --help lists the commands"
    raise ValueError(f"unknown {kind} {name!r}{hint}")


if __name__ == "__main__":
    sys.exit(main())
