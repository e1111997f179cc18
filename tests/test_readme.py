"""The pages for readers: their command lines parse, what they point at is there, tables are tables.

Nothing is run here; `test_readme_runs.py` runs what the pages for users say.
"""

import ast
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from latentgeo.core.run.cli import flag, parse
from latentgeo.core.run.config import kinds
from latentgeo.core.run.main import commands
from tests.pages import (
    FOLDERS,
    MANUALS,
    PAGES,
    ROOT,
    blocks_of,
    class_of,
    examples_of,
    filled,
    functions,
    lines_of,
    name_of,
    spans_of,
    text_of,
)

PLACES = [ROOT / name for name in (*FOLDERS, "tests")]
FILES = [path.relative_to(ROOT).as_posix() for place in PLACES for path in place.rglob("*")]
FILES += [path.name for path in ROOT.iterdir()]
OTHERS = {"--help", "--version", "--config", "--clock-control"}  # of all, or of another program

RUN_BY = {  # commands that no line of the pages has -> the test that runs them
    "edit-text": "infer/text_edits/test_run.py::test_a_method_edits_an_image",
    "inject-content": "infer/directions/test_inject_content.py::test_from_the_command_line",
    "invert": "infer/inversion/test_run.py::test_an_inversion_is_a_file_and_makes_the_image_again",
    "reconstruct": "infer/inversion/test_run.py::"
    "test_an_inversion_is_a_file_and_makes_the_image_again",
    "train-ddpm": "train/isometry/test_isometric_training.py::test_a_lora_is_the_twin_of_its_base",
    "train-isometric": "train/isometry/test_isometric_training.py::"
    "test_a_lora_is_the_twin_of_its_base",
    "train-diffusion-clip": "train/semantic/test_whole_model.py::"
    "test_a_run_leaves_a_model_that_edits",
    "sweep-smooth": "train/smoothing/test_sweep.py::test_a_sweep_trains_each_once",
    "train-judge": "train/judges/test_judge.py::test_run_learns_and_resumes_to_the_bit",
    "train-segmenter": "train/judges/test_segmenter.py::test_run_learns_what_it_can_see",
    "train-classifier": "train/judges/test_classifier.py::"
    "test_the_command_writes_what_is_loaded_and_resumes_to_the_bit",
    "cache": "train/data/test_cache.py::test_moments_and_embeddings_are_those_of_the_model",
    "eval-quality": "eval/metrics/test_quality.py::test_command_from_the_line_to_the_results",
    "eval-tables": "eval/smooth/test_tables.py::"
    "test_equal_models_have_equal_cells_and_missing_ones_none",
    "eval-transport": "eval/transport/test_run.py::test_command_from_the_line_to_the_report",
    "eval-reconstruction": "eval/smooth/test_reconstruction.py"
    "::test_the_command_writes_results_and_goes_on",
    "eval-typical": "eval/smooth/test_typical.py::test_the_command_writes_what_edits_read",
    "eval-drag": "eval/smooth/test_drags.py::test_two_models_are_measured_on_the_same_cases",
    "eval-judge": "eval/judges/test_judge.py::test_command_measures_the_embedded_judge",
    "eval-segmenter": "eval/judges/test_segmenter.py"
    "::test_of_masks_that_it_sees_itself_and_of_wrong_ones",
    "toy-isometry": "eval/toy/test_run.py::test_pictures_numbers_and_table",
    "bench-load": "eval/bench/test_load.py::test_both_load_in_turn",
    "bench-sample": "eval/bench/test_sample.py"
    "::test_the_table_has_both_their_ratio_and_their_difference",
    "bench-transport": "eval/bench/test_transport.py::test_without_pot_its_rows_say_so",
    "bench-null-text": "eval/bench/test_null_text.py::test_the_table",
    "bench-isometric": "eval/bench/test_isometric.py::test_the_command",
    "bench-unet": "eval/bench/test_pairs.py::test_both_are_timed_and_agree",
    "bench-step": "test_readme_runs.py::test_the_commands_in_sentences_run",
    "bench-account": "test_readme_runs.py::test_the_commands_in_sentences_run",
    "render-avatars": "train/sets/test_avatars.py::test_faces_depend_on_seed_and_number_alone",
    "render-masks": "train/sets/test_avatar_masks.py::test_command_writes_masks_of_the_faces",
    "render-pairs": "train/sets/test_avatar_pairs.py::test_pairs_differ_in_one_place_alone",
    "emoji-folder": "train/sets/test_emoji.py::test_both_sources_give_the_same_folder",
}

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def check(words: list[str], whole: bool) -> None:
    """Raise ValueError or AssertionError for a line that its command would refuse.

    `whole` is False for a mention inside a sentence, which may leave out what is required.
    """
    if not words or words[0] in OTHERS or words[0].startswith("<"):
        return
    command = class_of(words[0])
    if words[1:] == ["--help"]:
        return
    try:
        parse(command, filled(command, words[1:]))
    except ValueError as error:
        if whole or " is required: " not in str(error):
            raise


@each_page
def test_every_command_line_parses(page, monkeypatch):
    monkeypatch.chdir(page.parent)  # recipes are named as they lie beside the page
    for words in lines_of("\n".join(blocks_of(text_of(page)))):
        try:
            check(words, whole=True)
        except (ValueError, FileNotFoundError, AssertionError) as error:
            pytest.fail(f"{page.name}: latentgeo {shlex.join(words)}: {error}")


@pytest.mark.parametrize(
    "line",
    [
        "latentgeo sampel --out out",
        "latentgeo sample --promts … --out out",
        "latentgeo sample --prompts 'a face'",
        "latentgeo sample --model PATH --count N [--clases …] --out OUT",
        "latentgeo edit-semantic --model MODEL --direction smile --out out",
        "python -m pip install . && latentgeo demo --out out --fast  # a minute",
        "torchrun --no-python latentgeo train-smooth \\\n  --out out --rank few",
        "python -m latentgeo.train.clasifier --data faces",
    ],
)
def test_a_line_that_its_command_would_refuse_fails(line):
    page = f"Like this:\n\n    {line}\n".replace("\n  --", "\n      --")
    with pytest.raises((ValueError, AssertionError)):
        for words in lines_of("\n".join(blocks_of(page))):
            check(words, whole=True)


@each_page
def test_every_mention_of_a_command_is_of_one(page, monkeypatch):
    monkeypatch.chdir(page.parent)
    for span in spans_of(text_of(page)):
        try:
            for words in lines_of(span):
                check(words, whole=False)
        except (ValueError, FileNotFoundError, AssertionError) as error:
            pytest.fail(f"{page.name}: `{span}`: {error}")


@each_page
def test_every_option_that_is_mentioned_is_of_some_command(page):
    known = {flag(name) for command in commands() for name in kinds(class_of(command))}
    found = {span.split()[0] for span in spans_of(text_of(page)) if span.startswith("--")}
    assert not {one.replace("--no-", "--") for one in found} - known - OTHERS


@each_page
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        found = (page.parent / place) if place else page
        assert found.exists(), f"{page.name}: no {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: no heading {target}"


def anchors(page: Path) -> set[str]:
    """Return the names that a page's headings have in links."""
    titles = re.findall(r"^#+ (.*)$", text_of(page), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_every_file_and_test_that_is_named_is_there(page):
    tests = {name for file in FILES if "/test_" in file for name in functions(ROOT / file)}
    for span in spans_of(text_of(page)):
        for word in re.findall(r"[\w./-]+\.(?:py|md)\b", span):
            assert any(f"/{file}".endswith("/" + word.lstrip("/")) for file in FILES), (
                f"no file {word}"
            )
        if re.fullmatch(r"test_\w+", span):
            assert span in tests, f"no test {span}"


@each_page
def test_every_table_has_a_head(page):
    """A row that an empty line parts from its table is shown as text."""
    lines = ["", *text_of(page).splitlines()]
    for before, line, after in zip(lines, lines[1:], [*lines[2:], ""], strict=False):
        if line.lstrip().startswith("|") and not before.lstrip().startswith("|"):
            assert re.fullmatch(r"\s*\|[\s:|-]+\|", after), f"{page.name}: {line}"


@each_page
def test_every_python_example_imports_what_there_is(page):
    for source in examples_of(text_of(page)):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("latentgeo"):
                missing = [one.name for one in node.names if not is_there(node.module, one.name)]
                assert not missing, f"{page.name}: {node.module} has no {missing}"


def is_there(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    return hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}") is not None


def test_the_readmes_table_has_every_command_in_its_group():
    table = text_of(ROOT / "README.md").split("## Commands")[1].split("## ")[0]
    rows = re.findall(r"^\| (\w+) \| (`.*?) \|", table, flags=re.M)
    found = {group: tuple(re.findall(r"`(.*?)`", names)) for group, names in rows}
    wanted: dict[str, tuple[str, ...]] = {}
    for one in commands().values():
        wanted[one.group] = (*wanted.get(one.group, ()), one.name)
    assert found == wanted


def test_every_command_is_run_by_a_test():
    """`test_readme_runs.py` runs those that the manuals have lines of."""
    blocks = [block for page in MANUALS for block in blocks_of(text_of(page))]
    lined = {words[0] for block in blocks for words in lines_of(block)}
    assert lined | set(RUN_BY) == set(commands()) and not lined & set(RUN_BY)
    for name, place in RUN_BY.items():
        file, test = place.split("::")
        assert test in functions(ROOT / "tests" / file), f"{name}: no {place}"
