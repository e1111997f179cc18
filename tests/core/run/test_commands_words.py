"""One word, one meaning: an option's name is one kind of value and one thing in every command.

Where commands describe an option in the same sentence, it is one thing. Where their sentences
differ, WORDS says what all of them mean, and what each sentence has in it. A command whose option
fits neither takes another word for it (`was` of core/run/cli.py keeps the old one known).
"""

import dataclasses
import re
from collections import defaultdict
from typing import NamedTuple

import pytest

from latentgeo.core.run.config import kinds
from latentgeo.core.run.main import commands, main


class Word(NamedTuple):
    meaning: str
    core: str  # a regular expression that is found in the help of every command which has it
    types: int = 1  # what is named may be a file here, and a part of a chain there


WORDS = {
    "adapter": Word("which weights are trained: a LoRA's, or all", "LoRA"),
    "batch": Word("how many go through a network together", "at a time|step"),
    "cells": Word("side of the squares that h is averaged over", "averaged over squares"),
    "check": Word("run tests, and say what came of them", "^run the tests behind"),
    "compile": Word("torch.compile, which takes minutes first", r"torch\.compile"),
    "count": Word("how many things a command makes", "^(how many|images per prompt)"),
    "data": Word("images, most with captions, that a command reads", "folder|zip|train-ddpm"),
    "device": Word("what computes", "cpu, cuda"),
    "drop_caption": Word("how often a caption is left empty", "empty"),
    "dtype": Word("dtype that networks compute in, or weights are kept in", "of the|autocast|load"),
    "eta": Word("η of a sampler", "η, how much fresh noise each step"),
    "frames": Word("images of a walk, both ends included", "both ends included"),
    "from_": Word("what work begins with: a file, or a part", "model|package|part", types=2),
    "guidance": Word("scale w of classifier-free guidance", "scale"),
    "image": Word("the file of the one image that is worked on", "^image"),
    "images": Word("the files of several images that are worked on", "images? "),
    "inception": Word("file of FID's network", "file of FID's InceptionV3"),
    "inner": Word("updates of a null text at a step, at most", "null text"),
    "intervals": Word("file of eval-intervals", "^file that eval-intervals wrote"),
    "inverted": Word("how many images are inverted by DDIM", "inverted by DDIM"),
    "iso_weight": Word("λ of the isometry loss", "isometry loss"),
    "jacobians": Word("held-out images whose Jacobian is taken", "held-out images"),
    "judge": Word("what compares images with texts", "^judge"),
    "layout": Word("how what is written or computed is laid out", "layout|lie in memory"),
    "limit": Word("take the first so many of what there is, and no more", "first|so many"),
    "lora": Word("a LoRA that the model has from the start", "file"),
    "masked": Word("which mask attention has", "mask"),
    "masks": Word("folder of part masks", "folder of .*masks"),
    "method": Word("which of its methods a command works by", "edit|inversion"),
    "methods": Word("which of its methods a command measures", "^ways|guidance to the noise"),
    "minutes": Word("minutes that a command's work is to take", "minutes"),
    "model": Word("the model that is used: name, folder or file", "(?i)model|name|diffusers"),
    "models": Word("the models that are compared, or used in turn", "^models"),
    "n_images": Word("how many images are taken", "images|faces|samples"),
    "n_prompts": Word("how many prompts are taken", "prompt|walks of each model"),
    "n_samples": Word("how many images are drawn for LS", "images"),
    "on_bad": Word("what happens to what cannot be read", "skip and count it, or fail"),
    "only": Word("which of what there is, by name; the rest is left out", "to (run|check)|alone"),
    "out": Word("the folder that a command writes to", "^folder"),
    "pairs": Word("how many pairs are made up and compared", "pairs of (prompts|clouds)"),
    "paper": Word("which paper is meant", "whose|paper"),
    "ppl_pairs": Word("pairs of noises of PPL", "pairs of noises"),
    "prediction": Word("what a network returns: ε, v or x_0", "predicts?"),
    "preset": Word("the shape of a network, by a name that the package knows", "shape|network"),
    "prompt": Word("the text of what every image shows", "shows?"),
    "prompt_file": Word("text file of prompts, one to a line", "^text file .*prompts"),
    "prompts": Word("the texts of what is drawn", "^(two or more )?prompts"),
    "quick": Word("a short run, for a look", "minute"),
    "rank": Word("rank of a LoRA", "LoRA|adapters"),
    "rate": Word("learning rate", "learning rate"),
    "refine": Word("fixed-point rounds per step of an inversion", "fixed-point rounds"),
    "rounds": Word("how often each contender is measured, in turn", "in turn"),
    "sample_every": Word("optimiser steps per sample grid", "one grid of samples to the next"),
    "sample_steps": Word("DDIM steps of the sample grids", "DDIM steps of the sample grids"),
    "samples": Word("images in a sample grid", "images in a sample grid"),
    "seconds": Word("how long a thing is run, or may run", "^seconds"),
    "seed": Word("what randomness is drawn from", "seed of|seed by"),
    "seeds": Word("seeds of images that are drawn and edited", "seeds of"),
    "size": Word("side of images in pixels", "pixels"),
    "source": Word("the text of what images show before an edit", "what .*shows?"),
    "start": Word("a model that training starts from", "to start from"),
    "steps": Word("steps of a command's own process, a sampler's or in training", "steps"),
    "strength": Word("share of the steps that an edit goes back up", "share of the steps"),
    "t_0": Word("time that whole models are tuned up to", "time up to which images are noised"),
    "t_boost": Word("noise is put back below this time", "intervals"),
    "t_edit": Word("edits act from T down to this time", "T ≥ t ≥ t_edit"),
    "target": Word("the text of what images shall show after an edit", "shall show"),
    "targets": Word("layers that a LoRA is on", "layers"),
    "threshold": Word("the share from which on something counts", "share of"),
    "times": Word("times at which the Jacobian is taken", "times t"),
    "to": Word("what is written, where it may be one file", "file"),
    "tolerance": Word("how near is near enough", "of the singular vectors|distance"),
    "vae": Word("the autoencoder of what is trained", "train-vae|autoencoder"),
    "weight_decay": Word("decoupled weight decay", "decoupled weight decay"),
    "where": Word("conditions on metadata", "take only images whose metadata"),
    "width": Word("numbers in a vector: of a hidden layer, of a point", "hidden|dimensions"),
}


class Use(NamedTuple):
    command: str
    scalar: type
    help: str


def uses() -> dict[str, list[Use]]:
    """Return every use of every option's name."""
    found = defaultdict(list)
    for name, command in commands().items():
        settings = command.settings_class()
        scalars = {field: kind.scalar for field, kind in kinds(settings).items()}
        for field in dataclasses.fields(settings):
            use = Use(name, scalars[field.name], field.metadata["help"])
            found[field.name].append(use)
    return dict(found)


USES = uses()


def confused(word: str, found: list[Use]) -> list[str]:
    """Return in words what makes a name two: its types, or help that says something else."""
    scalars, texts = {use.scalar for use in found}, {use.help for use in found}
    types = WORDS[word].types if word in WORDS else 1
    wrong = [f"{word} is of {len(scalars)} types: {found}"] if len(scalars) > types else []
    if len(texts) > 1 and word not in WORDS:
        return [*wrong, f"{word}: WORDS wants a line on what all these mean: {sorted(texts)}"]
    core = WORDS[word].core if word in WORDS else ""
    return wrong + [f"{use.command} --{word}: {use.help}" for use in found if not has(core, use)]


def has(core: str, use: Use) -> bool:
    return re.search(core, use.help) is not None


@pytest.mark.parametrize("word", USES)
def test_an_option_is_one_thing_in_every_command(word):
    assert not confused(word, USES[word])


def test_a_line_of_words_is_needed():
    """It is of an option that commands describe in several sentences."""
    needed = {word for word, found in USES.items() if len({use.help for use in found}) > 1}
    assert not WORDS.keys() - needed


def test_two_types_and_two_meanings_are_seen():
    text, number = Use("a", str, "what to draw"), Use("b", int, "prompts, drawn by the seed")
    assert "2 types" in confused("prompts", [text, number])[0]
    assert confused("prompts", [text, Use("b", str, "prompts, drawn by the seed")])
    assert "wants a line" in confused("new", [text, text._replace(help="other")])[0]


def test_one_and_several_of_a_thing_are_both_text_or_both_numbers():
    """`--prompt` and `--prompts`, say; the number of prompts is `--n-prompts`."""
    for word, found in USES.items():
        for use in found:
            several = USES.get(f"{word}s", [])
            numbers = {one.scalar in (int, float) for one in (use, *several)}
            assert len(numbers) == 1, (word, use, several)


RENAMED = [
    pytest.param(name, kind.was, new, id=f"{name} {kind.was}")
    for name, command in commands().items()
    for new, kind in kinds(command.settings_class()).items()
    if kind.was
]


@pytest.mark.parametrize(("name", "old", "new"), RENAMED)
def test_an_old_name_is_refused_and_the_new_one_named(name, old, new, tmp_path, capsys):
    assert old not in kinds(commands()[name].settings_class())
    flag, now = f"--{old.replace('_', '-')}", f"--{new.rstrip('_').replace('_', '-')}"
    assert main([name, flag, "1"]) == 2
    assert capsys.readouterr().err == (
        f"latentgeo {name}: unknown option {flag}: here it is {now} now\n"
    )
    (tmp_path / "run.toml").write_text(f"{old} = 1\n")
    assert main([name, "--config", str(tmp_path / "run.toml")]) == 2
    assert f"unknown key {old!r}: here it is {new!r} now" in capsys.readouterr().err
