"""`latentgeo eval-judge`: how well a directional judge reads faces whose attributes are known.

Prompts      an attribute's value is the one whose prompt is nearest; the share of right answers
             about six attributes, and of each the share that always the same answer would get
Captions     the share of faces whose own caption is the nearest of all, and the other way round
Directions   Asyrp Eq. 17's S_dir of pairs of faces that differ in one attribute alone, and the
             share of them whose own direction of text is the nearest of all changes' directions
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.asyrp import directional_similarity
from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.text import read_lines
from latentgeo.eval.judges.settings import EvalJudge
from latentgeo.eval.metrics.heldout import Captioned, captioned
from latentgeo.eval.runs.results import Result, result, text_table, write_results
from latentgeo.eval.runs.statistics import Estimate, mean_interval, proportion_interval
from latentgeo.infer.data.images import Framing
from latentgeo.models.judges.captions import ATTRIBUTES
from latentgeo.models.judges.judge import Judge, load_judge

PAIRS = "pairs.jsonl"
SIZE = 64  # side of the embedded faces in pixels
BATCH = 64
MOUTHS = {
    "smiling": "a smiling face",
    "serious": "a serious face",
    "sad": "a sad face",
    "surprised": "a surprised face",
    "tongue": "a cheeky face",
}
EYEWEAR = {"none": "a face"} | {
    value: f"a face with {value}" for value in ATTRIBUTES["accessory"] if value != "none"
}
BEARDS = {"none": "a face", "beard": "a face with a beard", "moustache": "a face with a moustache"}
HAIR = {colour: f"a face with {colour} hair" for colour in ATTRIBUTES["hair_colour"]}


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a face: an attribute's value by prompts, or whether it is one of some."""

    attribute: str
    prompts: dict[str, str]  # value -> the prompt that says so
    asked: tuple[str, ...] | None = None  # whether the value is one of these; None: which it is


QUESTIONS = {
    "smile": Question(attribute="mouth", prompts=MOUTHS, asked=("smiling",)),
    "sad": Question(attribute="mouth", prompts=MOUTHS, asked=("sad",)),
    "mouth": Question(attribute="mouth", prompts=MOUTHS),
    "glasses": Question(
        attribute="accessory", prompts=EYEWEAR, asked=("glasses", "round glasses", "sunglasses")
    ),
    "beard": Question(attribute="facial_hair", prompts=BEARDS, asked=("beard",)),
    "hair colour": Question(attribute="hair_colour", prompts=HAIR),
}


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of images that differ in one thing, and what they are called before and after."""

    before: Tensor  # (N, 3, H, W)
    after: Tensor
    changes: tuple[str, ...]  # the change of each pair
    texts: dict[str, tuple[str, str]]  # by change


def answers(judge: Judge, question: Question, images: Tensor) -> list[str]:
    """Return the value that the judge reads off each of N embedded images (N, K)."""
    texts = judge.texts(list(question.prompts.values()))
    values = list(question.prompts)
    return [values[i] for i in (images @ texts.T).argmax(1).tolist()]


def right(question: Question, found: Sequence[str], wanted: Sequence[str]) -> list[bool]:
    """Return which answers are right: the same value, or on the same side of what is asked."""
    if question.asked is None:
        return [a == b for a, b in zip(found, wanted, strict=True)]
    return [
        (a in question.asked) == (b in question.asked) for a, b in zip(found, wanted, strict=True)
    ]


def constant(question: Question, wanted: Sequence[str]) -> float:
    """Return the share of right answers of the best answer that is always the same."""
    return max(
        sum(right(question, [value] * len(wanted), wanted)) / len(wanted)
        for value in question.prompts
    )


def retrieved(images: Tensor, texts: Tensor) -> int:
    """Return how many of N images (N, K) are nearest to their own text (N, K) of all texts."""
    best = (images @ texts.T).argmax(1)
    return int((best == torch.arange(len(best), device=best.device)).sum())


def directions(judge: Judge, pairs: Pairs) -> tuple[Tensor, list[bool]]:
    """Return S_dir (N,) of the pairs, and which are nearer to their own text's direction.

    Nearer than to that of every other change of the set.
    """
    names = list(pairs.texts)
    texts = torch.stack([judge.texts(list(pairs.texts[name])) for name in names])  # (C, 2, K)
    before, after = (embedded(judge, images) for images in (pairs.before, pairs.after))
    all_of_them = torch.stack(
        [directional_similarity(before, after, text[0], text[1]) for text in texts], dim=1
    )  # (N, C)
    own = torch.tensor([names.index(change) for change in pairs.changes], device=before.device)
    hits = (all_of_them.argmax(1) == own).tolist()
    return all_of_them.gather(1, own[:, None])[:, 0], hits


@torch.no_grad()
def embedded(judge: Judge, images: Tensor) -> Tensor:
    """Return unit vectors (N, K) of images (N, 3, H, W)."""
    return torch.cat([judge.images(part) for part in images.split(BATCH)])


def read_pairs(folder: Path, size: int) -> Pairs:
    """Return what render-pairs wrote; FileNotFoundError or ValueError where it is not there."""
    path = folder / PAIRS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; latentgeo render-pairs writes it")
    try:
        rows = [json.loads(line) for line in read_lines(path)]
        files = [row["images"] for row in rows]
        texts = {row["change"]: (row["texts"][0], row["texts"][1]) for row in rows}
        before, after = (
            torch.stack([read_image(folder / one, size) for one in side])
            for side in ([pair[i] for pair in files] for i in (0, 1))
        )
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: not a list of pairs: {why}") from None
    changes = tuple(row["change"] for row in rows)
    return Pairs(before=before, after=after, changes=changes, texts=texts)


def read_image(path: Path, size: int) -> Tensor:
    """Return one image as (3, size, size) in [-1, 1]; ValueError names it if it is none."""
    return Framing(size=size).tensor(path.read_bytes(), path.name).float() / 127.5 - 1


def evaluate_judge(cmd: EvalJudge) -> list[Result]:
    """Measure, write results.json, print the table."""
    held = captioned(cmd.data, "test").chosen(cmd.n_images, cmd.seed)
    judge = load_judge(cmd.judge, pick_device(cmd.device), templates=cmd.templates)
    write_run(cmd, cmd.out, {})
    found = dict(of_prompts(judge, held, cmd.captions))
    if cmd.pair_folder is not None:
        found |= of_pairs(judge, read_pairs(cmd.pair_folder, SIZE))
    settings = {"templates": len(judge.templates)}
    results = [
        result("Asyrp" if "S_dir" in name else "", name, judge.name, estimate, cmd.seed, settings)
        for name, estimate in found.items()
    ]
    write_results(cmd.out / "results.json", results)
    print(text_table(results))
    return results


def of_prompts(judge: Judge, held: Captioned, captions: int) -> dict[str, Estimate]:
    """Return the shares of right answers to prompts and captions, by name."""
    images = embedded(judge, held.images(SIZE))
    found = {}
    for name, question in QUESTIONS.items():
        shown = [i for i, row in enumerate(held.attributes) if _shows(row, question.attribute)]
        wanted = [held.attributes[i][question.attribute] for i in shown]
        hits = right(question, answers(judge, question, images[shown]), wanted)
        label = f"{name} (always the same: {constant(question, wanted):.3f})"
        found[label] = proportion_interval(sum(hits), len(hits))
    few = images[:captions]
    texts = judge.texts(list(held.captions[:captions]))
    found[f"caption of 1 image among {captions}"] = proportion_interval(
        retrieved(few, texts), captions
    )
    found[f"image of 1 caption among {captions}"] = proportion_interval(
        retrieved(texts, few), captions
    )
    return found


def of_pairs(judge: Judge, pairs: Pairs) -> dict[str, Estimate]:
    """Return S_dir of every change, and the share of pairs with the right direction, by name."""
    similarity, hits = directions(judge, pairs)
    found = {}
    for name in pairs.texts:
        chosen = [i for i, change in enumerate(pairs.changes) if change == name]
        found[f"S_dir, {name}"] = mean_interval(similarity[chosen].cpu())
        found[f"direction of 1 change among {len(pairs.texts)}, {name}"] = proportion_interval(
            sum(hits[i] for i in chosen), len(chosen)
        )
    return found


def _shows(row: dict[str, str], attribute: str) -> bool:
    """Whether a face can show an attribute: no hair has no colour."""
    return attribute in row and not (attribute == "hair_colour" and row.get("hair") == "no")
