"""Everything but the weights of a model of images that takes no text: network, schedule, sampling.

As JSON it has the key `network` beside the fields: `ddpm`, `adm` or `ldm`, of which the UNet is.
An autoencoder with `codes` is vector-quantized, one without has a KL penalty.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from latentgeo.core import schedule as schedules
from latentgeo.core.parameterization import Kind, check_kind
from latentgeo.models.adm_layers import ADMConfig
from latentgeo.models.bundles.text_to_image import from_plain
from latentgeo.models.ddpm_unet import DDPMConfig
from latentgeo.models.unet import UNetConfig
from latentgeo.models.vae import VAEConfig
from latentgeo.models.vqvae import VQConfig

Network = DDPMConfig | ADMConfig | UNetConfig
Variance = Literal["small", "large", "learned"]
NETWORKS: dict[str, type[Network]] = {"ddpm": DDPMConfig, "adm": ADMConfig, "ldm": UNetConfig}


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The noise schedule. The defaults are DDPM's."""

    kind: str = "linear"  # a name in core.schedule.SCHEDULES
    T: int = 1000  # noising steps
    start: float | None = None  # β_1, of the kinds that have one; None is the kind's own
    end: float | None = None  # β_T

    def __post_init__(self) -> None:
        """Refuse a schedule that there is not."""
        if self.kind not in schedules.SCHEDULES:
            wanted = ", ".join(schedules.SCHEDULES)
            raise ValueError(f"schedule: kind is {self.kind!r}, wanted one of {wanted}")
        if self.kind == "cosine" and (self.start, self.end) != (None, None):
            raise ValueError("schedule: got a start or an end of cosine, which has neither")

    def build(self) -> schedules.Schedule:
        """Return the tables."""
        ends = {"start": self.start, "end": self.end}
        given = {name: value for name, value in ends.items() if value is not None}
        return schedules.SCHEDULES[self.kind](self.T, **given)


@dataclass(frozen=True, kw_only=True)
class ImageDefaults:
    """How a model is sampled where the user does not say."""

    size: int = 256  # image side in pixels
    steps: int = 50  # network evaluations
    spacing: schedules.Spacing = "leading"  # of the sampling times
    offset: int = 0  # of leading spacing
    final: schedules.Landing = "zero"  # the last step lands on ᾱ_0 = 1 ("zero") or ᾱ_1 ("first")
    clip: bool = True  # x̂_0 is kept in [-1, 1]; not of latents
    variance: Variance = "small"  # of an ancestral step: β̃_t, β_t ("large"), or learned


@dataclass(frozen=True, kw_only=True)
class ImageModelConfig:
    """Everything but the weights. The defaults are DDPM's, of CelebA-HQ 256 × 256."""

    name: str = "ddpm-celebahq256"
    unet: Network = DDPMConfig()
    autoencoder: VAEConfig | None = None  # None: the images themselves are diffused
    schedule: ScheduleConfig = ScheduleConfig()
    prediction: Kind = "eps"  # what the UNet returns: eps, x_0 or v
    sampling: ImageDefaults = ImageDefaults()

    def __post_init__(self) -> None:
        """Refuse parts that do not go together."""
        check_kind(self.prediction)
        variance, twice = self.sampling.variance, self.learned_variance
        if variance not in get_args(Variance) or (variance == "learned" and not twice):
            wanted = f"one of {', '.join(get_args(Variance))}" if twice else "small or large"
            raise ValueError(f"sampling: variance is {variance!r}, wanted {wanted}")
        channels = self.unet.in_channels
        if self.autoencoder and self.autoencoder.latent_channels != channels:
            raise ValueError(
                f"the autoencoder has {self.autoencoder.latent_channels} latent channels, the UNet "
                f"takes {channels}"
            )
        if self.autoencoder and self.sampling.clip:
            raise ValueError("sampling: clip is on, wanted it off: latents leave [-1, 1]")

    @property
    def network(self) -> str:
        """Which of `NETWORKS` the UNet is."""
        return next(name for name, cls in NETWORKS.items() if isinstance(self.unet, cls))

    @property
    def learned_variance(self) -> bool:
        """Whether the UNet returns the place of its variance behind its prediction."""
        return self.unet.out_channels == 2 * self.unet.in_channels

    @property
    def classes(self) -> int | None:
        """The number of classes of a class-conditional model."""
        return self.unet.classes if isinstance(self.unet, ADMConfig) else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, h, w) of what is diffused: an image of the default size, or its latent."""
        side = self.sampling.size // (self.autoencoder.factor if self.autoencoder else 1)
        return (self.unet.in_channels, side, side)


def plain_config(config: ImageModelConfig) -> dict[str, Any]:
    """Return a configuration as tables of plain values, for JSON."""
    return {"network": config.network, **asdict(config)}


def config_from(data: Mapping[str, Any], where: str) -> ImageModelConfig:
    """Return the configuration that `plain_config` made plain; ValueError names what is wrong."""
    if not isinstance(data, Mapping) or data.get("network") not in NETWORKS:
        found = data.get("network") if isinstance(data, Mapping) else data
        raise ValueError(f"{where}: network is {found!r}, wanted one of {', '.join(NETWORKS)}")
    autoencoder = data.get("autoencoder")
    parts: dict[str, type[Any]] = {
        "unet": NETWORKS[data["network"]],
        "autoencoder": VQConfig if "codes" in (autoencoder or {}) else VAEConfig,
        "schedule": ScheduleConfig,
        "sampling": ImageDefaults,
    }
    made = {
        name: from_plain(cls, data[name], f"{where}: {name}")
        for name, cls in parts.items()
        if data.get(name) is not None
    }
    rest = {name: value for name, value in data.items() if name != "network"}
    made.setdefault("unet", parts["unet"]())
    config: ImageModelConfig = from_plain(ImageModelConfig, {**rest, **made}, where)
    return config
