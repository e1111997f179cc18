"""Settings in JSON files: every value of every file of a folder, replaced by what it cannot be."""

import copy
import json
import math
from collections.abc import Iterator

import pytest

from latentgeo.models.formats.clip.file import config_in, grammar_of, read_clip, write_clip
from latentgeo.models.formats.diffusers.folder import read_config, read_folder, write_folder
from latentgeo.models.formats.diffusers.image import (
    read_image_config,
    read_image_folder,
    write_image_folder,
)
from latentgeo.models.formats.diffusers.tokenizer import check_tokenizer
from latentgeo.models.formats.files.json_kinds import CHANNELS, EPS, FLAG, several, whole
from latentgeo.models.formats.files.json_settings import Reader
from latentgeo.models.formats.files.open import open_source
from tests.models.bundles.test_image_model import CONFIGS, made

WRONG = ("x", [], [32, 64, 128], {}, {"a": 1}, None, True, False, -1, 0, 0.5, 10**9, 1e300)
WRONG = (*WRONG, math.nan, math.inf, 10**400)
OTHERWISE = {  # settings that are another model's and no less right: what must come of them
    "set_alpha_to_one",
    "clip_sample",
    "steps_offset",
    "eos_token_id",
    "scaling_factor",
    "layer_norm_eps",
    "beta_start",
    "beta_end",
    "dropout",
    "sample_size",  # null is diffusers' own default
    "vqvae",  # null is none
}
DECIDES = {"flip_sin_to_cos", "text_config", "vision_config"}  # what others must go with


def places(data: object, at: tuple = ()) -> Iterator[tuple]:
    """Yield where each value is, at any depth; of long tables and lists the first two."""
    if at:
        yield at
    keys = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
    short = len(keys) < 60
    yield from (
        p for key in list(keys)[: None if short else 2] for p in places(data[key], (*at, key))
    )


def changed(data: object, at: tuple, value: object) -> object:
    data = copy.deepcopy(data)
    inner = data
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return data


def mutants(folder) -> Iterator[tuple]:
    """Write each mutant of each JSON file in its place, and yield the file and the key."""
    for path in sorted(folder.rglob("*.json")):
        text = path.read_text()
        data = json.loads(text)
        for at in places(data):
            for value in WRONG:
                path.write_text(json.dumps(changed(data, at, value)))
                yield path, at, value
        path.write_text(text)


@pytest.mark.parametrize("kind", ["text", "ddpm", "ldm", "clip"])
def test_a_wrong_value_is_an_equal_model_or_one_error(kind, tiny, clip, tmp_path):
    """The error names the folder's file and the setting, or the tensors that do not fit then."""
    folder = tmp_path / "model"
    if kind == "text":
        write_folder(tiny, folder)
    elif kind == "clip":
        write_clip(clip, folder, "transformers")
    else:
        write_image_folder(made(CONFIGS[kind]), folder)

    def configured():
        if kind == "text":
            check_tokenizer(folder / "tokenizer", tiny.tokenizer)
            return read_config(folder)
        if kind == "clip":
            source = open_source(folder / "model.safetensors")
            return config_in(folder, source, grammar_of(source))
        return read_image_config(folder)

    whole_model = {"text": read_folder, "clip": read_clip}.get(kind, read_image_folder)
    wanted, count = configured(), 0
    for path, at, value in mutants(folder):
        count += 1
        try:
            if configured() != wanted and not OTHERWISE & set(map(str, at)):
                whole_model(folder)
                raise AssertionError((path, at, value))
        except (ValueError, FileNotFoundError) as error:
            said = str(error)
            assert said.startswith(str(folder)) and "\n" not in said, (path, at, value, said)
            key = next(part for part in reversed(at) if isinstance(part, str))
            named = path.name in said and (key in said or at[0] in DECIDES)
            of_other = "does not fit" in said or "tokenizer" in said or "vocab.json" in said
            assert named or of_other, (path, at, value, said)
    assert count > 300


def test_a_setting_has_its_kind():
    """true is no number, a list no count, NaN in no range; what is not there is the default."""
    data = {"n": True, "list": [4, 4], "mixed": [4, 5], "eps": math.nan, "null": None}
    reader = Reader("config.json", data)
    with pytest.raises(ValueError, match=r"^config.json: n is True, wanted an integer from 1 to"):
        reader.take("n", 3, CHANNELS)
    with pytest.raises(ValueError, match=r"mixed is .*, wanted one value for all resolutions"):
        reader.one("mixed", 3, CHANNELS)
    with pytest.raises(ValueError, match="eps is nan, wanted a number above 0, at most 1"):
        reader.take("eps", 1e-5, EPS)
    with pytest.raises(ValueError, match="null is None, wanted true or false"):
        reader.take("null", True, FLAG)
    assert reader.one("list", 3, CHANNELS) == 4 and reader.take("none", 7, CHANNELS) == 7
    assert several(whole(0, 3)).of([0, 3]) == (0, 3) and several(whole(0, 3)).of([0, 4]) is None
