"""LoRA files: exact through every pair of grammars, the published ones, and refusals by name."""

import json
import shutil
from dataclasses import replace
from itertools import product

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentgeo.models.bundles.text_to_image import BundleConfig, read_config
from latentgeo.models.formats.convert import kind_of
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.lora.adapter import attach_lora, misfits, places_in
from latentgeo.models.formats.lora.files import (
    GRAMMARS,
    grammar_of,
    read_lora_file,
    write_lora_file,
)
from latentgeo.models.zoo.places import ZOO

ATTENTIONS = {"unet": ("attn1.", "attn2."), "text": ("self_attn",)}  # what all grammars can say
EVERYTHING = {"unet": ("",), "text": ("",)}
KOHYA = ("kohya", "kohya-ldm")
PLAIN = ("diffusers", "peft", *KOHYA)  # any layer, scale 1
SCALED = ("peft", *KOHYA)  # any layer, any α
CASES = [
    *((ATTENTIONS, {}, pair) for pair in product(GRAMMARS, repeat=2)),
    *((EVERYTHING, {}, pair) for pair in product(PLAIN, repeat=2)),
    *((EVERYTHING, {"alpha": 3.0}, pair) for pair in product(SCALED, repeat=2)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("words", "more", "pair"), CASES)
def test_a_round_trip_through_another_grammar_is_exact(
    tmp_path, places, lora_on, same_lora, words, more, pair, dtype
):
    """To the last byte of the file, with ranks and α that differ by layer."""
    first, second = (GRAMMARS[name] for name in pair)
    alpha = (lambda layer: 3.0 if "q" in layer else None) if more else None
    lora = lora_on(**words, rank=lambda n: 2 + len(n) % 2, alpha=alpha, dtype=dtype)
    before = write_lora_file(tmp_path / "a.safetensors", lora, first, places)
    there, grammar = read_lora_file(before, places)
    assert grammar is first and same_lora(there, lora)
    write_lora_file(tmp_path / "b.safetensors", there, second, places)
    back, grammar = read_lora_file(tmp_path / "b.safetensors", places)
    assert grammar is second and same_lora(back, lora)
    again = write_lora_file(tmp_path / "c.safetensors", back, first, places)
    same = again.read_bytes() == before.read_bytes()
    assert same, "the bytes differ"


@pytest.mark.parametrize("name", GRAMMARS)
def test_each_file_is_claimed_by_one_grammar(tmp_path, places, lora_on, name):
    """kohya's two layouts of block names are one grammar to read."""
    path = write_lora_file(
        tmp_path / "a.safetensors", lora_on(**ATTENTIONS), GRAMMARS[name], places
    )
    keys = [*open_source(path).entries]
    claims = [grammar.name for grammar in GRAMMARS.values() if grammar.claims(keys)]
    assert claims == [*KOHYA] if name in KOHYA else claims == [name]
    assert grammar_of(open_source(path)).name in claims


PUBLISHED = {
    "sd15_weapons_r4_oldkeys": ("attn-procs", (128, 0), set(GRAMMARS)),
    "analog_svd_rank4": ("cloneofsimo", (144, 48), {"cloneofsimo", *PLAIN}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_fit_stable_diffusion_and_go_through_the_others(asset, tmp_path, name):
    written_as, sizes, sayable = PUBLISHED[name]
    path, places = asset(f"lora/{name}.safetensors"), places_in(BundleConfig())
    lora, grammar = read_lora_file(path, places)
    assert grammar.name == written_as and (len(lora.unet), len(lora.text)) == sizes
    assert not misfits(lora, places) and {f.rank for _, _, f in lora} == {4}
    tensors = load_file(path)
    for other in GRAMMARS.values():
        target = tmp_path / f"{other.name}.safetensors"
        if other.name not in sayable:
            with pytest.raises(
                ValueError, match=r"on attentions alone, and unet .*ff\.net\.0\.proj"
            ):
                write_lora_file(target, lora, other, places)
            continue
        back, _ = read_lora_file(write_lora_file(target, lora, other, places), places)
        again = load_file(write_lora_file(tmp_path / "again.safetensors", back, grammar, places))
        assert again.keys() == tensors.keys()
        assert all(torch.equal(again[key], tensor) for key, tensor in tensors.items())


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lora_unet_conv_in.dora_scale", "DoRA"),
        ("unet.conv_in.lora_magnitude_vector.weight", "DoRA"),
        ("lora_unet_conv_in.hada_w1_a", r"LoHa \(LyCORIS\)"),
        ("lora_unet_conv_in.lokr_w1", r"LoKr \(LyCORIS\)"),
        ("lora_unet_conv_in.lokr_w2_a", r"LoKr \(LyCORIS\)"),
        ("lora_unet_conv_in.lora_mid.weight", r"LoCon with a core tensor \(LyCORIS\)"),
        ("lora_unet_conv_in.oft_blocks", "OFT"),
        ("unet.conv_in.oft_R.weight", "OFT"),
        ("base_model.model.conv_in.boft_R", "BOFT"),
        ("base_model.model.conv_in.ia3_l", r"\(IA\)³"),
        ("base_model.model.conv_in.vera_lambda_b", "VeRA"),
        ("base_model.model.conv_in.lora_E", "AdaLoRA"),
        ("base_model.model.conv_in.hra_u", "another method of PEFT"),
        ("lora_unet_conv_in.on_input", r"\(IA\)³ \(LyCORIS\)"),
        ("lora_unet_conv_in.diff", r"a difference of whole weights \(LyCORIS\)"),
        ("lora_unet_conv_in.a1.weight", "GLoRA"),
        ("unet.conv_in.lora_B.bias", "LoRA with biases"),
        ("base_model.model.x.lora_embedding_A", "LoRA on an embedding"),
    ],
)
def test_what_is_no_plain_lora_is_refused_by_name(tmp_path, places, lora_on, key, message):
    """Beside factors that would be read without it."""
    path = write_lora_file(
        tmp_path / "x.safetensors", lora_on(unet=("conv_in",)), GRAMMARS["kohya"], places
    )
    save_file(load_file(path) | {key: torch.ones(2)}, path)
    with pytest.raises(ValueError, match=rf"x\.safetensors: it is {message}.*, and not LoRA"):
        read_lora_file(path, places)


@pytest.mark.parametrize(("width", "family"), [(1024, r"\(SD 2\.x\)"), (2048, r"\(SDXL\)")])
@pytest.mark.parametrize(
    "key", ["lora_unet_x_attn2_to_k.lora_down.weight", "unet.x.attn2.to_k.lora_A.weight"]
)
def test_a_lora_for_another_family_is_told_by_its_width(tmp_path, places, key, width, family):
    save_file({key: torch.ones(2, width)}, tmp_path / "x.safetensors")
    with pytest.raises(
        ValueError, match=rf"reads text of width {width} {family}, and the model's is 16"
    ):
        read_lora_file(tmp_path / "x.safetensors", places)


def test_a_checkpoint_is_no_lora(tmp_path, places, tiny):
    save_file(tiny.vae.state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"it looks like a KL autoencoder.*, wanted a LoRA in one"):
        read_lora_file(tmp_path / "x.safetensors", places)


def test_nan_is_warned_of(tmp_path, places, lora_on):
    lora = lora_on(unet=("conv_in",))
    lora.unet["conv_in"].A[0, 0] = float("nan")
    path = write_lora_file(tmp_path / "x.safetensors", lora, GRAMMARS["kohya"], places)
    with pytest.warns(UserWarning, match=r"lora_unet_conv_in\.lora_down\.weight has 9 NaN values"):
        read_lora_file(path, places)


def test_pickled_files_are_read(tmp_path, places, lora_on, same_lora):
    lora = lora_on(unet=("attn1.",))
    tensors, _ = GRAMMARS["attn-procs"].write(lora, places)
    torch.save(tensors, tmp_path / "pytorch_lora_weights.bin")
    assert same_lora(read_lora_file(tmp_path / "pytorch_lora_weights.bin", places)[0], lora)


def test_a_folder_of_peft_has_its_alpha_beside_it(tmp_path, places, lora_on):
    tensors, _ = GRAMMARS["peft"].write(lora_on(unet=("attn1.",)), places)
    save_file(
        {f"base_model.model.{k[5:]}": v for k, v in tensors.items()}, tmp_path / "x.safetensors"
    )
    assert read_lora_file(tmp_path / "x.safetensors", places)[0].unet
    shutil.move(tmp_path / "x.safetensors", tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 5}))
    lora, _ = read_lora_file(tmp_path, places)
    assert {factors.alpha for _, _, factors in lora} == {5.0}
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no adapter_model\.safetensors"):
        read_lora_file(tmp_path, places)


def test_what_does_not_fit_is_not_written(tmp_path, places, lora_on):
    lora = lora_on(unet=("conv_in",))
    with pytest.raises(ValueError, match=r"LoRA is written as \.safetensors"):
        write_lora_file(tmp_path / "x.bin", lora, GRAMMARS["kohya"], places)
    with pytest.raises(ValueError, match="the LoRA does not fit: unet conv_in has A"):
        write_lora_file(
            tmp_path / "x.safetensors", lora, GRAMMARS["kohya"], places_in(BundleConfig())
        )
    assert not list(tmp_path.iterdir())


def test_a_file_that_adapts_nothing_is_refused(tmp_path, places):
    save_file({"<cat>": torch.ones(2, 16)}, tmp_path / "x.safetensors", {"<cat>": "<embed>"})
    with pytest.raises(ValueError, match="looks like learned token embeddings"):
        read_lora_file(tmp_path / "x.safetensors", places)


WRONG = (torch.int64, torch.uint8, torch.bool, torch.complex64)


@pytest.mark.parametrize("dtype", WRONG)
@pytest.mark.parametrize("name", GRAMMARS)
def test_a_factor_of_another_kind_is_refused_in_every_grammar(
    tmp_path, places, lora_on, name, dtype
):
    path = write_lora_file(
        tmp_path / "x.safetensors", lora_on(**ATTENTIONS), GRAMMARS[name], places
    )
    tensors, metadata = load_file(path), open_source(path).metadata
    key = next(key for key in tensors if not key.endswith("alpha"))
    save_file(tensors | {key: tensors[key].to(dtype)}, path, metadata)
    with pytest.raises(ValueError) as caught:
        read_lora_file(path, places)
    said = f"the LoRA does not fit: {key} is {dtype}, wanted a floating-point tensor"
    assert str(caught.value) == f"{path}: {said}"


@pytest.mark.parametrize("alpha", [torch.tensor(3), torch.tensor(3.0)])
def test_alpha_may_be_a_whole_number(tmp_path, places, lora_on, alpha):
    lora = lora_on(unet=("conv_in",))
    path = write_lora_file(tmp_path / "x.safetensors", lora, GRAMMARS["kohya"], places)
    save_file(load_file(path) | {"lora_unet_conv_in.alpha": alpha}, path)
    assert read_lora_file(path, places)[0].unet["conv_in"].alpha == 3
    for wrong in (torch.tensor(True), torch.tensor(1j)):
        save_file(load_file(path) | {"lora_unet_conv_in.alpha": wrong}, path)
        with pytest.raises(ValueError, match=rf"α is {wrong.dtype}, wanted a number"):
            read_lora_file(path, places)


@pytest.mark.parametrize("method", ["OFT", "IA3", "BOFT", "LoHa", "LoKr", "Vera", "HRA", "AdaLora"])
def test_folders_of_the_packages_other_methods_are_refused_by_name(
    pipeline, tmp_path, places, method
):
    peft = pytest.importorskip("peft")
    more = {
        "IA3": {"feedforward_modules": []},
        "AdaLora": {"total_step": 7},
        "OFT": {"oft_block_size": 2, "r": 0},
        "BOFT": {"boft_block_size": 2},
    }
    config = getattr(peft, f"{method}Config")(
        target_modules=[f"down_blocks.0.attentions.{i}.proj_in" for i in range(2)]
        if method in ("LoHa", "LoKr")
        else ["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"],
        **more.get(method, {}),
    )
    unet = type(pipeline.unet).from_config(pipeline.unet.config)
    peft.get_peft_model(unet, config).save_pretrained(tmp_path)
    assert kind_of(tmp_path) == kind_of(tmp_path / "adapter_model.safetensors") == "lora"
    title = {"IA3": r"\(IA\)³", "Vera": "VeRA", "HRA": "another method", "AdaLora": "AdaLoRA"}
    with pytest.raises(ValueError, match=rf"it is {title.get(method, method)}.*, and not LoRA"):
        read_lora_file(tmp_path, places)


@pytest.mark.parametrize("name", [*PLAIN, "attn-procs"])
def test_a_bundled_token_comes_with_the_lora(tmp_path, places, lora_on, same_lora, name, fresh):
    """Whatever the grammar, and the model then has it; a second tensor of it is SDXL's."""
    lora = lora_on(unet=("attn1.",))
    path = write_lora_file(tmp_path / "x.safetensors", lora, GRAMMARS[name], places)
    token = {"bundle_emb.module.string_to_param.*": torch.ones(3, 16)}
    save_file(load_file(path) | token, path, open_source(path).metadata)
    found, grammar = read_lora_file(path, places)
    assert grammar is GRAMMARS[name] and list(found.tokens) == ["module"]
    assert same_lora(replace(found, tokens={}), lora) and not misfits(found, places)
    attach_lora(fresh, found)
    rows = fresh.text.embeddings.token_embedding.weight
    assert fresh.learned == {"module": 3} and torch.equal(rows[-3:], torch.ones(3, 16))
    save_file(load_file(path) | {"bundle_emb.module.clip_g": torch.ones(3, 16)}, path)
    with pytest.raises(ValueError, match="is a second tensor of its token, wanted one, not SDXL's"):
        read_lora_file(path, places)


@pytest.mark.parametrize("name", ["diffusers", "peft", "kohya"])
def test_kernels_of_one_pixel_may_be_left_out_or_added(tmp_path, places, lora_on, same_lora, name):
    """1 × 1 convolutions as matrices, linear layers as 1 × 1: the same LoRA."""
    lora = lora_on(unet=("proj_in", "conv_shortcut", "attn1", "conv1"), text=("q_proj",))
    path = write_lora_file(tmp_path / "x.safetensors", lora, GRAMMARS[name], places)
    turned = {
        key: tensor.flatten(1).contiguous()
        if tensor.shape[2:] == (1, 1)
        else tensor[..., None, None]
        if tensor.ndim == 2
        else tensor
        for key, tensor in load_file(path).items()
    }
    save_file(turned, path, open_source(path).metadata)
    found, _ = read_lora_file(path, places)
    assert same_lora(found, lora) and not misfits(found, places)


def test_files_that_failed_once(trial):
    """Each has its LoRA: factors by the layers' own names, as the file has them."""
    places = places_in(read_config(ZOO / "avatars" / "config.json"))
    for name, layers in (("k_unet_base", 56), ("mixed", 56), ("bundle", 132), ("conv1x1_2d", 132)):
        path = trial(f"lora/{name}.safetensors")
        lora, _ = read_lora_file(path, places)
        assert len(lora.unet) == layers and not misfits(lora, places)
        sizes = sum(f.A.numel() + f.B.numel() for _, _, f in lora)
        weights = [t for k, t in load_file(path).items() if k[-7:] == ".weight"]
        assert sizes == sum(map(torch.numel, weights))
        assert {token: tuple(v.shape) for token, v in lora.tokens.items()} == (
            {"hatman": (2, 96)} if name == "bundle" else {}
        )
