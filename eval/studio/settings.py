"""The settings of `studio`."""

from dataclasses import dataclass

from latentgeo.core.run.cli import option
from latentgeo.core.run.limits import within
from latentgeo.models.bundles.settings import Dtype


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Open a page in the browser where every method is tried by hand.

    Each result comes with the command that repeats it. `pip install 'latentgeo[studio]'` first.
    """

    model: str = option(
        "avatars", "model of prompts: NAME, folder or file; adapters beside it are tried, too"
    )
    image_model: str = option("avatars-ddpm", "model without text, whose directions are tried")
    host: str = option(
        "127.0.0.1", "address to listen on; any other than this lets other machines in"
    )
    port: int = option(7860, "port to listen on; 0: any that is free")
    browser: bool = option(True, "open the page in the browser")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse ports that there are not."""
        within(self, 0, 2**16, "port")
