"""Image models as folders of diffusers: what it writes we read, what we write it reads, equally."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentgeo.core import ddim
from latentgeo.core.schedule import times
from latentgeo.models.bundles.image_config import ImageDefaults, ScheduleConfig
from latentgeo.models.formats.diffusers.folder import INDEX, old_name
from latentgeo.models.formats.diffusers.image import (
    is_image_folder,
    read_image_folder,
    write_image_folder,
)
from tests.models.bundles.test_image_model import CONFIGS, made, same
from tests.models.formats.test_load_parity import relative

each = pytest.mark.parametrize("name", ["ddpm", "ldm"])
WEIGHTS = "diffusion_pytorch_model"


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_round_trip_is_bit_exact(name, dtype, tmp_path):
    model = made(CONFIGS[name])
    folder = write_image_folder(model, tmp_path / "m", dtype)
    back = read_image_folder(folder, dtype=None)
    model.to("cpu", dtype)
    model.config = back.config  # which has no number of steps of its own
    assert same(back, model)
    assert back.config.schedule == CONFIGS[name].schedule
    assert back.config.shape == CONFIGS[name].shape and is_image_folder(folder)


def test_ddpm_is_read_from_every_shape_of_folder(tmp_path):
    """With folders for its parts, without as it is published, the UNet alone, and pickled."""
    model = made(CONFIGS["ddpm"])
    whole = write_image_folder(model, tmp_path / "whole")
    flat = Path(shutil.copytree(whole / "unet", tmp_path / "flat"))
    shutil.copy(whole / "scheduler" / "scheduler_config.json", flat)
    shutil.copy(whole / INDEX, flat)
    pickled = Path(shutil.copytree(whole / "unet", tmp_path / "pickled"))
    torch.save(load_file(pickled / f"{WEIGHTS}.safetensors"), pickled / f"{WEIGHTS}.bin")
    (pickled / f"{WEIGHTS}.safetensors").unlink()
    for folder in (whole, flat, whole / "unet", pickled):
        found = read_image_folder(folder)
        assert is_image_folder(folder)
        model.config = found.config
        assert same(found, model)
        assert (found.config.schedule, found.config.sampling) == (
            ScheduleConfig(),
            ImageDefaults(size=12),
        )


@each
def test_attentions_had_other_names(name, tmp_path):
    """Up to diffusers 0.17: query, key, value and proj_attn."""
    model = made(CONFIGS[name])
    folder = write_image_folder(model, tmp_path)
    for part in folder.glob(f"*/{WEIGHTS}.safetensors"):
        state = {old_name(key): value for key, value in load_file(part).items()}
        assert any(key.endswith(".attentions.0.proj_attn.weight") for key in state)
        assert not any(re.search(r"\.to_[qkvo]", key) for key in state)
        save_file(state, part)
    found = read_image_folder(folder)
    model.config = found.config
    assert same(found, model)


def test_wrong_folders_are_refused(tmp_path):
    folder = write_image_folder(made(CONFIGS["ddpm"]), tmp_path)
    path = folder / "unet" / f"{WEIGHTS}.safetensors"
    state = load_file(path)
    del state["conv_in.bias"]
    save_file(state, path)
    with pytest.raises(ValueError, match=r"does not fit: missing conv_in\.bias \(8,\)"):
        read_image_folder(folder)
    save_file({"lora_unet_mid_block.lora_up.weight": torch.ones(8, 2)}, path)
    with pytest.raises(ValueError, match="does not fit: it looks like LoRA; missing"):
        read_image_folder(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no weights in .*unet"):
        read_image_folder(folder)
    (folder / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"scheduler_config\.json does not exist"):
        read_image_folder(folder)
    with pytest.raises(ValueError, match="adm: a folder of diffusers has q, k and v of ADM apart"):
        write_image_folder(made(CONFIGS["adm"]), tmp_path / "adm")
    assert not (tmp_path / "adm").exists()


def test_other_folders_are_not_of_images(tmp_path):
    (tmp_path / INDEX).write_text(json.dumps({"unet": ["diffusers", "UNet2DConditionModel"]}))
    assert not is_image_folder(tmp_path)
    assert not is_image_folder(tmp_path / "gone")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Pipelines of diffusers with weights of its own, and the folders into which it writes them."""
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(5)
    blocks = {"layers_per_block": 2, "norm_num_groups": 4}
    ddpm = diffusers.DDPMPipeline(
        unet=diffusers.UNet2DModel(
            sample_size=12,
            block_out_channels=(8, 12, 20),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=None,
            norm_eps=1e-6,
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
            **blocks,
        ),
        scheduler=diffusers.DDPMScheduler(clip_sample=False, beta_end=0.015),
    )
    ldm = diffusers.LDMPipeline(
        vqvae=diffusers.VQModel(
            block_out_channels=(8, 8, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            num_vq_embeddings=11,
            scaling_factor=0.5,
            **blocks,
        ),
        unet=diffusers.UNet2DModel(
            sample_size=8,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            **blocks,
        ),
        scheduler=diffusers.DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195, clip_sample=False
        ),
    )
    pipes = {"ddpm": ddpm, "ldm": ldm}
    folders = {name: tmp_path_factory.mktemp(name) for name in pipes}
    for name, pipe in pipes.items():
        pipe.save_pretrained(folders[name])
        pipe.set_progress_bar_config(disable=True)
    return pipes, folders


@each
@torch.no_grad()
def test_computes_what_diffusers_computes_of_its_own_folder(theirs, name):
    """DDPM Sec. 4, LDM Sec. 3.3, DDIM Eq. 12: networks, and a picture in four steps, to 1e-5."""
    diffusers = pytest.importorskip("diffusers")
    pipe, model = theirs[0][name], read_image_folder(theirs[1][name])
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, *model.shape, generator=generator)
    tau = torch.tensor([3, 700])
    found = {"UNet": relative(model.predict()(x, tau + 1), pipe.unet(x, tau).sample)}
    if name == "ldm":
        image = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
        latents = pipe.vqvae.encode(image).latents * 0.5
        found["VQ encode"] = relative(model.encode(image), latents)
        decoded = pipe.vqvae.decode(latents / 0.5).sample
        found["VQ decode"] = relative(model.autoencoder.decode(latents), decoded)
    scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(4)
    z = x
    for t in scheduler.timesteps:
        z = scheduler.step(pipe.unet(z, t).sample, t, z).prev_sample
    ours = ddim.sample(
        model.predict(), model.schedule, x, times(model.schedule, 4, "leading", 0, "zero")
    )
    found["4 steps"] = relative(ours, z)
    for what, difference in found.items():
        print(f"diffusers folder, {name}, {what}: {difference:.1e}")
    assert max(found.values()) <= 1e-5


@each
@torch.no_grad()
def test_diffusers_reads_what_we_write(name, tmp_path):
    """Its loader finds every tensor, and its network computes what ours does."""
    diffusers = pytest.importorskip("diffusers")
    model = made(CONFIGS[name])
    pipeline = diffusers.DDPMPipeline if name == "ddpm" else diffusers.LDMPipeline
    pipe = pipeline.from_pretrained(write_image_folder(model, tmp_path), local_files_only=True)
    x, tau = torch.randn(2, *model.shape), torch.tensor([3, 700])
    assert relative(model.predict()(x, tau + 1), pipe.unet(x, tau).sample) <= 1e-5
    bars = pipe.scheduler.alphas_cumprod.double()
    torch.testing.assert_close(model.schedule.alpha_bar[1:], bars, rtol=1e-5, atol=0)
    if name == "ldm":
        assert relative(model.autoencoder.decode(x), pipe.vqvae.decode(x).sample) <= 1e-5
    assert pipe.scheduler.config.clip_sample == model.config.sampling.clip
