"""The methods of text editing behind one signature, as the commands choose them by name."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from latentgeo.core.pix2pix_zero import Whitening
from latentgeo.infer.text_edits.disentangle import Disentangle, disentangle
from latentgeo.infer.text_edits.editing import Draw, TextEdit, cycle_diffusion, sdedit, smooth
from latentgeo.infer.text_edits.pix2pix_zero import (
    PixToPixZero,
    Sentences,
    inverted,
    pix2pix_zero,
    sentences_of,
)
from latentgeo.infer.text_edits.plug_and_play import PlugAndPlay, plug_and_play
from latentgeo.infer.text_edits.prompt_to_prompt import PromptToPrompt, prompt_to_prompt
from latentgeo.infer.text_edits.prompt_words import changed_words
from latentgeo.infer.text_edits.settings import EditOptions, Method
from latentgeo.models.judges.judge import Judge, load_judge
from latentgeo.models.perceptual import Lpips, load_lpips


def run_edit(
    edit: TextEdit,
    method: Method,
    options: EditOptions,
    x_T: Tensor,
    z_0: Tensor,
    draw: Draw,
    reweight: tuple[str, ...] = (),
    words: Sequence[str] = (),
    sentences: Sentences | None = None,
) -> Tensor:
    """Return the edited latents (B, C, h, w).

    x_T denoises to the sources z_0, both (B, C, h, w); `draw` is for methods that noise z_0.
    `reweight` and `words`, those of local blend if not the changed ones, are Prompt-to-Prompt's,
    `sentences` Pix2Pix-Zero's, if not drawn.
    """
    if method == "smooth":
        return smooth(edit, x_T, options.release)
    if method == "sdedit":
        return sdedit(edit, z_0, draw(1)[0], options.strength)
    if method == "cycle-diffusion":
        return cycle_diffusion(edit, z_0, draw, options.cycle_strength, options.eta)
    if method == "pix2pix-zero":
        return zero_edit(edit, options, x_T, z_0, sentences)
    if method == "disentangle":
        judge, perceptual = judges(options.judge, edit.bundle.device)
        weighing = Disentangle(
            judge=judge,
            perceptual=perceptual,
            rounds=options.weight_rounds,
            beta=options.keep_weight,
            kept=options.kept_steps,
        )
        return disentangle(edit, x_T, weighing)
    if method == "plug-and-play":
        injection = PlugAndPlay(
            features=options.features, attention=options.attention, block=options.block
        )
        return plug_and_play(edit, x_T, injection).chunk(2)[1]
    how = PromptToPrompt(
        cross=options.cross,
        self_=options.self_maps,
        swap=options.swap,
        reweight=reweight,
        blend=blended_words(edit, words) if options.blend or words else (),
        threshold=options.threshold,
    )
    return prompt_to_prompt(edit, x_T, how).chunk(2)[1]


@lru_cache(maxsize=1)
def judges(source: str, device: torch.device) -> tuple[Judge, Lpips]:
    """Return Disentangle's judges, read once for all batches."""
    return load_judge(source, device), load_lpips(device)


def zero_edit(
    edit: TextEdit, options: EditOptions, x_T: Tensor, z_0: Tensor, sentences: Sentences | None
) -> Tensor:
    """Return Pix2Pix-Zero's edits (B, C, h, w), from its own inversion of z_0 or from x_T."""
    how = Whitening(rounds=options.whitening)
    start = inverted(edit, z_0, how) if options.whitening else x_T
    pairs = zip(edit.sources, edit.targets, strict=True)
    each = [sentences or sentences_of(*pair, options.sentence_pairs) for pair in pairs]
    zero = PixToPixZero(sentences=tuple(each), map_weight=options.map_guidance)
    return pix2pix_zero(edit, start, zero).chunk(2)[1]


def blended_words(edit: TextEdit, words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return each edit's words for local blend: those given, or all that its prompts differ in."""
    if words:
        return (tuple(words),) * len(edit.sources)
    tokenizer = edit.bundle.tokenizer
    found = []
    for source, target in zip(edit.sources, edit.targets, strict=True):
        left, right = changed_words(tokenizer, source, target)
        found.append((*left, *right))
    return tuple(found)
