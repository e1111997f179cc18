"""A cache of latents and embeddings: the same training, and refused where it does not belong."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from latentgeo.models.bundles.text_to_image import TextToImage, save_bundle
from latentgeo.models.vae import VAE
from latentgeo.train import cache_writer
from latentgeo.train.cache_writer import write_cache
from latentgeo.train.data.cache import Cached, open_cache, read_index
from latentgeo.train.data.latents import cached
from latentgeo.train.data.stream import open_source
from latentgeo.train.diffusion import train as train_diffusion
from latentgeo.train.settings import Cache, TrainDiffusion
from latentgeo.train.smoothing.settings import TrainSmooth
from latentgeo.train.smoothing.smooth import train as train_smooth

CPU = torch.device("cpu")


@pytest.fixture
def model(tmp_path: Path, tiny: TextToImage) -> Path:
    save_bundle(tiny, tmp_path / "model")
    return tmp_path / "model"


def make(model: Path, data: Path, out: Path, **changes: object) -> Path:
    common = {"model": str(model), "data": str(data), "out": out, "device": "cpu"}
    write_cache(Cache(**{**common, "part": 4, "batch": 3, **changes}))  # type: ignore[arg-type]
    return out


def smooth(model: Path, data: Path, out: Path, **changes: object) -> dict[str, torch.Tensor]:
    common = {"model": str(model), "data": str(data), "out": out, "device": "cpu"}
    small = {
        "steps": 2,
        "batch": 4,
        "accumulate": 2,
        "rank": 2,
        "samples": 1,
        "rate": 0.01,
        "sample_every": 0,
    }
    train_smooth(TrainSmooth(**{**common, **small, **changes}))  # type: ignore[arg-type]
    return load_file(out / "smooth_lora.safetensors")


def test_moments_and_embeddings_are_those_of_the_model(
    model: Path, pictures: Path, tiny: TextToImage, tmp_path: Path
) -> None:
    """Of eleven pictures in parts of four; a caption is embedded once, the empty one too."""
    source = open_cache(make(model, pictures, tmp_path / "c"), 16, vae=tiny.vae, text=tiny)
    images = open_source(str(pictures), 16)
    wanted = cached(images, tiny.vae, CPU)  # encoded 32 at a time, not 3
    assert len(source) == 11 and len(source.texts) == 12
    for i in range(11):
        got, want = source.read(i), wanted.read(i)
        assert (got.caption, got.name) == (want.caption, want.name)
        torch.testing.assert_close(got.image, want.image, rtol=1e-5, atol=1e-6)
    captions = ["disc 7", "", "disc 7"]
    torch.testing.assert_close(source.context(captions), tiny.encode_text(captions))
    half = open_cache(
        make(model, pictures, tmp_path / "h", store="bf16"), 16, vae=tiny.vae, text=tiny
    )
    torch.testing.assert_close(half.read(5).image, wanted.read(5).image, rtol=2**-8, atol=1e-6)


def test_training_is_the_same_from_images_and_from_a_cache(
    model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights after two steps, with captions that are dropped; no network encodes any more."""
    make(model, pictures, tmp_path / "c")
    wanted = smooth(model, pictures, tmp_path / "images", drop_caption=0.5)
    monkeypatch.delattr(VAE, "posterior")
    monkeypatch.delattr(TextToImage, "encode_text")
    got = smooth(model, tmp_path / "c", tmp_path / "cache", drop_caption=0.5)
    for name, weight in wanted.items():
        torch.testing.assert_close(got[name], weight, rtol=1e-4, atol=1e-6, msg=name)


def test_train_diffusion_reads_a_cache(model: Path, pictures: Path, tmp_path: Path) -> None:
    folder = make(model, pictures, tmp_path / "c")
    common = {"data": str(folder), "vae": str(model), "size": 16, "preset": "tiny", "steps": 1}
    train_diffusion(
        TrainDiffusion(**common, out=tmp_path / "d", batch=2, sample_every=0, device="cpu")
    )  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="another size, 16, not 32"):
        train_diffusion(TrainDiffusion(**{**common, "size": 32}, out=tmp_path / "e", device="cpu"))  # type: ignore[arg-type]


def test_what_was_interrupted_goes_on(
    model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three parts is interrupted; the first is not made again, the rest is."""
    make(model, pictures, tmp_path / "whole")
    write, calls = cache_writer.write_safetensors, []

    def interrupted(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
        calls.append(path.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(path, tensors)

    monkeypatch.setattr(cache_writer, "write_safetensors", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(model, pictures, tmp_path / "cut")
    with pytest.raises(ValueError, match=r"cache .*cut: it is not complete"):
        smooth(model, tmp_path / "cut", tmp_path / "early")
    make(model, pictures, tmp_path / "cut")
    parts = [f"part-{n:05d}.safetensors" for n in range(3)]
    assert calls == [*parts[:2], *parts[1:]]
    for path in sorted((tmp_path / "whole").iterdir()):
        assert path.read_bytes() == (tmp_path / "cut" / path.name).read_bytes(), path.name


def test_a_cache_of_other_weights_is_refused_by_name(
    model: Path, pictures: Path, tiny: TextToImage, tmp_path: Path
) -> None:
    """The autoencoder's and the text encoder's; another UNet is no reason."""
    folder = make(model, pictures, tmp_path / "c")
    tiny.unet.conv_in.weight.data.add_(1)
    assert isinstance(open_cache(folder, 16, vae=tiny.vae, text=tiny), Cached)
    with pytest.raises(ValueError, match=r"cache .*c: it was made with another size, 16, not 24"):
        open_cache(folder, 24, vae=tiny.vae, text=tiny)
    tiny.text.state_dict()["embeddings.position_embedding.weight"].add_(1)
    with pytest.raises(ValueError, match="another text encoder"):
        open_cache(folder, 16, vae=tiny.vae, text=tiny)
    assert isinstance(open_cache(folder, 16, vae=tiny.vae), Cached)
    next(tiny.vae.parameters()).data.add_(1)
    with pytest.raises(ValueError, match="another autoencoder"):
        open_cache(folder, 16, vae=tiny.vae, text=tiny)


def test_a_folder_is_not_gone_on_with_for_something_else(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = make(model, pictures, tmp_path / "c")
    for changes, name in (
        ({"size": 8}, "size"),
        ({"store": "bf16"}, "store"),
        ({"part": 5}, "part"),
    ):
        with pytest.raises(ValueError, match=f"another {name}, .*choose another out"):
            make(model, pictures, folder, **changes)
    (tmp_path / "more").mkdir()
    for path in pictures.iterdir():
        (tmp_path / "more" / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "more" / "metadata.jsonl").open("a") as file:
        file.write('\n{"file_name": "0.png", "text": "a disc"}')
    with pytest.raises(ValueError, match="another data"):
        make(model, tmp_path / "more", folder)


def test_bad_items_are_left_out_and_counted(model: Path, pictures: Path, tmp_path: Path) -> None:
    for path in pictures.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "6.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"6\.png"):
        folder = make(model, tmp_path, tmp_path.parent / "bad")
    index = read_index(folder)
    assert index["parts"] == [4, 3, 3] and index["items"] == 11
    captions = {caption for caption, _ in Cached(folder, index).labels}
    assert index["bad"] == {"empty file": 1} and "disc 6" not in captions


def test_a_part_that_is_not_whole_is_named(model: Path, pictures: Path, tmp_path: Path) -> None:
    folder = make(model, pictures, tmp_path / "c")
    path = folder / "part-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"part-00001\.safetensors.*truncated"):
        smooth(model, folder, tmp_path / "run")
    with pytest.raises(ValueError, match="give them to latentgeo cache"):
        smooth(model, folder, tmp_path / "flipped", flip=True)
