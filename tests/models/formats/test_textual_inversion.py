"""Learned embeddings in files: both layouts, as pickles and as safetensors, and what is refused."""

import pytest
import torch
from safetensors.torch import save_file

from latentgeo.models.bundles.learned_tokens import add_tokens
from latentgeo.models.formats.textual_inversion import is_webui, read_embeddings, write_embeddings

WIDTH = 16
TOKENS = {
    "<cat>": torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0)),
    "dog": torch.ones(1, WIDTH, dtype=torch.float16),
}


@pytest.mark.parametrize("name", ["x.safetensors", "x.bin", "x.pt"])
def test_a_round_trip_is_bit_exact(tmp_path, name):
    found = read_embeddings(write_embeddings(tmp_path / name, TOKENS))
    assert found.keys() == TOKENS.keys()
    for token, vectors in TOKENS.items():
        assert torch.equal(found[token], vectors) and found[token].dtype == vectors.dtype


def test_webuis_pickle(tmp_path):
    """The token is the file's `name`, or the file's own name; other entries are passed over."""
    whole = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": TOKENS["<cat>"].requires_grad_()},
        "name": "kitty",
        "step": 300,
        "sd_checkpoint": None,
    }
    torch.save(whole, tmp_path / "x.pt")
    assert is_webui(tmp_path / "x.pt")
    found = read_embeddings(tmp_path / "x.pt")
    assert list(found) == ["kitty"] and torch.equal(found["kitty"], TOKENS["<cat>"])
    assert not found["kitty"].requires_grad
    torch.save({**whole, "name": None}, tmp_path / "y.pt")
    assert list(read_embeddings(tmp_path / "y.pt")) == ["y"]


def test_the_original_file(tmp_path):
    """embeddings.pt of the authors: a ParameterDict with every token under itself."""
    table = {token: torch.nn.Parameter(vectors.float()) for token, vectors in TOKENS.items()}
    whole = {"string_to_token": {"<cat>": torch.tensor(265)}}
    whole["string_to_param"] = torch.nn.ParameterDict(table)
    path = tmp_path / "embeddings.pt"
    torch.save(whole, path)
    found = read_embeddings(path)
    assert is_webui(path) and found.keys() == TOKENS.keys()
    assert all(torch.equal(found[token], TOKENS[token].float()) for token in TOKENS)
    assert not found["dog"].requires_grad


def test_webuis_safetensors(tmp_path):
    save_file({"emb_params": TOKENS["<cat>"].detach()}, tmp_path / "kitty.safetensors")
    assert not is_webui(tmp_path / "kitty.safetensors")
    found = read_embeddings(tmp_path / "kitty.safetensors")
    assert torch.equal(found["kitty"], TOKENS["<cat>"])


def test_diffusers_reads_what_we_write(fresh, pipeline, tmp_path):
    """The same ids and the same vectors, for prompts with the token, without, and with it twice."""
    transformers = pytest.importorskip("transformers")
    path = write_embeddings(tmp_path / "x.safetensors", {"<cat>": TOKENS["<cat>"].detach()})
    add_tokens(fresh, read_embeddings(path))
    pipeline.tokenizer.save_pretrained(tmp_path)
    pipe = pipeline.__class__(
        **{
            **pipeline.components,
            "tokenizer": transformers.CLIPTokenizer.from_pretrained(tmp_path),
        },
        requires_safety_checker=False,
    )
    before = pipe.text_encoder.get_input_embeddings().weight.clone()
    try:
        pipe.load_textual_inversion(path)
        for prompt in ("a <cat> and a smiling face", "face", "<cat>,<cat>!"):
            text = pipe.maybe_convert_prompt(prompt, pipe.tokenizer)
            assert pipe.tokenizer(text).input_ids[1:-1] == fresh.tokenizer.encode(prompt)
        learned = pipe.text_encoder.get_input_embeddings().weight[len(before) :]
        ours = fresh.text.embeddings.token_embedding.weight[len(before) :]
        assert torch.equal(learned, ours)
    finally:
        pipe.text_encoder.set_input_embeddings(torch.nn.Embedding.from_pretrained(before))


def test_what_is_no_embedding_is_refused(tmp_path):
    def refused(content, message, name="x.pt"):
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=message):
            read_embeddings(tmp_path / name)

    refused({"string_to_param": {"*": torch.ones(2, 16), "a": torch.ones(16)}}, "has 2 entries")
    refused({"conv.weight": torch.ones(3, 3, 3, 3)}, "looks like no family")
    refused({"clip_l": torch.ones(2, 768), "clip_g": torch.ones(2, 1280)}, "it is SDXL's")
    refused([1], "holds no state dict")
    with pytest.raises(FileNotFoundError):
        read_embeddings(tmp_path / "gone.bin")


def test_nan_is_warned_of(tmp_path):
    save_file({"<x>": torch.full((16,), float("nan"))}, tmp_path / "x.safetensors")
    with pytest.warns(UserWarning, match="<x> has 16 NaN values"):
        read_embeddings(tmp_path / "x.safetensors")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", ["x.safetensors", "x.bin", "webui.pt"])
def test_a_token_of_another_kind_is_refused(tmp_path, name, dtype):
    vectors = torch.ones(2, WIDTH).to(dtype)
    if name == "webui.pt":
        torch.save({"string_to_param": {"*": vectors}, "name": "x"}, tmp_path / name)
    else:
        write_embeddings(tmp_path / name, {"x": vectors})
    with pytest.raises(ValueError) as caught:
        read_embeddings(tmp_path / name)
    said = f"does not fit: x is {dtype}, wanted a floating-point tensor"
    assert str(caught.value) == f"{tmp_path / name} {said}"


@pytest.mark.parametrize("shape", [(), (0, WIDTH), (2, 3, WIDTH)])
def test_vectors_of_another_shape_are_refused(tmp_path, shape):
    torch.save({"string_to_param": {"*": torch.ones(shape)}, "name": "x"}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt: x is \(.*\), wanted \(n, width\)"):
        read_embeddings(tmp_path / "x.pt")


def test_nan_is_warned_of_in_either_layout(tmp_path):
    vectors = torch.full((2, WIDTH), float("nan"))
    torch.save({"string_to_param": {"*": vectors}, "name": "x"}, tmp_path / "x.pt")
    write_embeddings(tmp_path / "x.safetensors", {"x": vectors})
    for name in ("x.pt", "x.safetensors"):
        with pytest.warns(UserWarning, match=r"x has 32 NaN values"):
            read_embeddings(tmp_path / name)
