"""The methods of text editing behind one signature, as the commands choose them by name."""

from collections.abc import Sequence

from torch import Tensor

from latentgeo.infer.text_edits.editing import Draw, TextEdit, cycle_diffusion, sdedit, smooth
from latentgeo.infer.text_edits.plug_and_play import PlugAndPlay, plug_and_play
from latentgeo.infer.text_edits.prompt_to_prompt import PromptToPrompt, prompt_to_prompt
from latentgeo.infer.text_edits.prompt_words import changed_words
from latentgeo.infer.text_edits.settings import EditOptions, Method


def run_edit(
    edit: TextEdit,
    method: Method,
    options: EditOptions,
    x_T: Tensor,
    z_0: Tensor,
    draw: Draw,
    reweight: tuple[str, ...] = (),
    words: Sequence[str] = (),
) -> Tensor:
    """Return the edited latents (B, C, h, w).

    x_T denoises to the sources z_0, both (B, C, h, w); `draw` is for methods that noise z_0.
    `reweight` and `words`, those of local blend if not the changed ones, are Prompt-to-Prompt's.
    """
    if method == "smooth":
        return smooth(edit, x_T, options.release)
    if method == "sdedit":
        return sdedit(edit, z_0, draw(1)[0], options.strength)
    if method == "cycle-diffusion":
        return cycle_diffusion(edit, z_0, draw, options.cycle_strength, options.eta)
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
