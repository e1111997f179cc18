"""The settings in a JSON file of diffusers or transformers, and what a reader asks of them.

Every setting is taken by `Reader.take`, which knows its type and range (`json_kinds.py`). One that
our networks do not have is refused by its name and value, so that no model is built with a part
left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from latentgeo.models.formats.files.json_kinds import CHANNELS, TEXT, Kind, several

T = TypeVar("T")
D = TypeVar("D")
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

    def take(self, name: str, default: D, kind: Kind[T]) -> T | D:
        """Return a setting and count it as read, or the default of one that is not there.

        Raises ValueError for a value of another kind; null is one, unless the default is null.
        """
        if name not in self.data:
            return default
        found = self.data.pop(name)
        if found is None and default is None:
            return default
        if (value := kind.of(found)) is None:
            raise self.error(name, found, kind.wanted)
        return value

    def one(self, name: str, default: D, kind: Kind[T]) -> T | D:
        """Return a setting that may be a list of equal values, as that value.

        Raises ValueError for a list of several values.
        """
        if isinstance(found := self.data.get(name), list):
            values = self.take(name, (), several(kind))
            if any(value != values[0] for value in values):
                raise self.error(name, found, "one value for all resolutions")
            self.data[name] = found[0]
        return self.take(name, default, kind)

    def divisor(self, name: str, default: int, *of: int) -> int:
        """Return a number of groups or heads, that divides these numbers of channels."""
        return self.divides(name, self.take(name, default, CHANNELS), *of)

    def divides(self, name: str, found: int, *channels: int) -> int:
        """Return what was found; ValueError unless it divides these numbers of channels."""
        if any(width % found for width in channels):
            raise self.error(name, found, f"a divisor of {' and '.join(map(str, channels))}")
        return found

    def off(self, *names: str) -> None:
        """Raise ValueError for what would make another schedule or sampler."""
        for name in names:
            if value := self.data.pop(name, None):
                raise self.error(name, value, "it off: it makes another schedule or sampler")

    def fixed(self, wanted: Json) -> None:
        """Raise ValueError unless these settings are what our networks have."""
        for name, value in wanted.items():
            found = self.data.pop(name, value)
            if found != value or isinstance(found, bool) != isinstance(value, bool):
                raise self.error(name, found, repr(value))

    def attention(
        self, down: Blocks, up: Blocks, usual: Sequence[bool], levels: int
    ) -> tuple[bool, ...]:
        """Return which resolutions of a UNet attend, finest first; the way up must mirror them.

        Raises ValueError where it does not, and for other kinds of blocks.
        """
        names = several(TEXT)
        kinds = self.take("down_block_types", tuple(map(down.named, usual)), names)
        if set(kinds) - set(down):
            wanted = f"{down.attends} and {down.plain} only"
            raise self.error("down_block_types", list(kinds), wanted)
        if len(kinds) != levels:
            wanted = f"one for each of the {levels} block_out_channels"
            raise self.error("down_block_types", list(kinds), wanted)
        found = tuple(kind == down.attends for kind in kinds)
        back = self.take("up_block_types", tuple(map(up.named, usual[::-1])), names)
        if back != tuple(up.named(attends) for attends in found[::-1]):
            raise self.error("up_block_types", list(back), "the mirror of down_block_types")
        return found

    def plain_levels(self, levels: int) -> None:
        """Raise ValueError unless an autoencoder's blocks are the plain ones at all resolutions."""
        for name, kind in (("down_block_types", VAE_DOWN), ("up_block_types", VAE_UP)):
            found = self.data.pop(name, [kind] * levels)
            if found != [kind] * levels and found != (kind,) * levels:
                raise self.error(name, found, f"{levels} times {kind}")

    def part(self, name: str) -> str | None:
        """Return the class of a part in an index, None where there is no such part.

        A part is a list of the library and the class, both null where it was left out.
        """
        match self.data.get(name):
            case None | [None, None]:
                return None
            case [str(), str(kind)]:
                return kind
            case found:
                raise self.error(name, found, "a list of its library and its class")

    def nothing_else(self) -> None:
        """Raise ValueError for a setting that is on and that nobody took."""
        for name, value in self.data.items():
            if value and name not in PASSED and not name.startswith("_"):
                raise self.error(name, value, "it off: our network has no such part")

    def error(self, name: str, found: object, wanted: str) -> ValueError:
        """Return the error for a setting."""
        return ValueError(f"{self.where}: {name} is {found!r}, wanted {wanted}")
