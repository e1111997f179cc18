"""The settings in a JSON file of diffusers or transformers, and what a reader asks of them.

A setting that our networks do not have is refused by its name and value, so that no model is built
with a part left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Json = Mapping[str, Any]  # what a JSON file holds is not known before it is checked
VAE_DOWN, VAE_UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
PASSED = {  # what describes the file, the training, or a precision, and not the network
    "addition_embed_type_num_heads",  # of an embedding that addition_embed_type would add
    "architectures",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "force_upcast",
    "gradient_checkpointing",
    "initializer_factor",
    "initializer_range",
    "pad_token_id",
    "projection_dim",  # of a projection that the text encoder leaves out
    "sample_size",
    "torch_dtype",
    "transformers_version",
    "upcast_attention",
}


class Blocks(NamedTuple):
    """The names of a UNet's blocks of one way, with attention and without."""

    attends: str
    plain: str

    def named(self, attends: bool) -> str:
        """Return the name of a block that attends, or does not."""
        return self.attends if attends else self.plain


@dataclass(frozen=True)
class Reader:
    """The settings of one JSON file, taken out one by one; what is left over is refused."""

    where: str
    data: dict[str, Any]

    def take(self, name: str, default: object = None) -> Any:
        """Return a setting and count it as read."""
        return self.data.pop(name, default)

    def one(self, name: str, default: object = None) -> Any:
        """Return a setting that may be a list of equal values, as that value.

        Raises ValueError for a list of several values.
        """
        value = self.take(name, default)
        if isinstance(value, list):
            if len(set(map(str, value))) != 1:
                raise self.error(name, value, "one value for all resolutions")
            return value[0]
        return value

    def fixed(self, wanted: Json) -> None:
        """Raise ValueError unless these settings are what our networks have."""
        for name, value in wanted.items():
            found = self.take(name, value)
            if found != value:
                raise self.error(name, found, repr(value))

    def attention(self, down: Blocks, up: Blocks, usual: Sequence[bool]) -> tuple[bool, ...]:
        """Return which resolutions of a UNet attend, finest first; the way up must mirror them.

        Raises ValueError where it does not, and for other kinds of blocks.
        """
        kinds = self.take("down_block_types", [down.named(attends) for attends in usual])
        if set(kinds) - set(down):
            raise self.error("down_block_types", kinds, f"{down.attends} and {down.plain} only")
        found = tuple(kind == down.attends for kind in kinds)
        back = self.take("up_block_types", [up.named(attends) for attends in usual[::-1]])
        if list(back) != [up.named(attends) for attends in found[::-1]]:
            raise self.error("up_block_types", back, "the mirror of down_block_types")
        return found

    def plain_levels(self, levels: int) -> None:
        """Raise ValueError unless an autoencoder's blocks are the plain ones at all resolutions."""
        for name, kind in (("down_block_types", VAE_DOWN), ("up_block_types", VAE_UP)):
            found = self.take(name, [kind] * levels)
            if list(found) != [kind] * levels:
                raise self.error(name, found, f"{levels} times {kind}")

    def nothing_else(self) -> None:
        """Raise ValueError for a setting that is on and that nobody took."""
        for name, value in self.data.items():
            if value and name not in PASSED and not name.startswith("_"):
                raise self.error(name, value, "it off: our network has no such part")

    def error(self, name: str, found: object, wanted: str) -> ValueError:
        """Return the error for a setting."""
        return ValueError(f"{self.where}: {name} is {found!r}, wanted {wanted}")
