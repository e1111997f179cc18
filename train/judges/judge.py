"""Training of the embedded judge: a small CLIP on captioned images.

CLIP (Radford et al., arXiv 2103.00020), Sec. 2.3 to 2.5.

Captions   One of the grammar of models/judges/captions.py is shortened at random, anew each time it
           is seen, so that the text encoder reads "a smiling face" as well as a full description
Prompts    An image also has to find the value of each attribute that its caption states among the
           shortest captions, "a sad face" from "a serious face": a batch alone hardly ever asks
           for what is small in an image
Images     shifted, noised and now and then blurred, as the attribute classifier's are; half of them
           as a diffusion model predicts them from noise, where one is given
Batch      A text's other images are those of its part: of one rank and one accumulated part
"""

import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.core.contrastive import LARGEST_SCALE, contrastive_loss, prompt_loss
from latentgeo.models.bundles.presets import merges
from latentgeo.models.judges.captions import parse_caption, prompts, shortened
from latentgeo.models.judges.headed import write_headed
from latentgeo.models.judges.small_clip import SmallClip, SmallClipConfig
from latentgeo.models.tokenizer import Tokenizer
from latentgeo.train.data.draws import SEEDS, Draws
from latentgeo.train.data.stream import open_source
from latentgeo.train.judges.classifier import augment
from latentgeo.train.judges.predictions import Predictions, predictions_of
from latentgeo.train.judges.settings import TrainJudge
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import channels_last, remembered, session, stream
from latentgeo.train.loop.task import Batch, Stateless, Terms

PROMPTS = prompts()


class JudgeTask(Stateless):
    """What the loop trains: both encoders and the temperature."""

    def __init__(
        self, model: SmallClip, device: torch.device, predictions: Predictions | None = None
    ) -> None:
        self.model, self.device, self.predictions = model, device, predictions
        text = model.config.text
        self.tokenizer = Tokenizer(context=text.context, merges=merges(text))

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return all weights."""
        return dict(self.model.named_parameters())

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the loss of images (B, 3, H, W) and captions, and the share of right matches.

        CLIP Sec. 2.3b   a symmetric cross entropy over the cosines of all pairs
        """
        seeds = draws.integers(0, SEEDS).tolist()
        drawn = torch.Generator().manual_seed(seeds[0])
        x = augment(batch[0], drawn).to(self.device)
        if self.predictions is not None:
            x = self.predictions(x, draws)
        said = [shortened(text, random.Random(s)) for text, s in zip(batch[1], seeds, strict=True)]
        images = F.normalize(self.model.image_features(x).float(), dim=-1)
        every = self.embedded(said + self.prompts(seeds[0]))
        texts, told = every[: len(x)], every[len(x) :]
        with torch.autocast(self.device.type, enabled=False):
            scale = self.model.logit_scale.exp()
            loss = contrastive_loss(images, texts, scale)
            asked = self.asked(images, told, scale, batch[1])
        best = (images @ texts.T).detach().argmax(1).cpu()
        matched = (best == torch.arange(len(best))).float().mean()
        return loss + asked, {"matched": matched, "asked": asked.detach()}

    def prompts(self, seed: int) -> list[str]:
        """Return all prompts, of persons or of faces."""
        noun = "face" if seed % 2 else "person"
        return [text.replace("person", noun) for told in PROMPTS.values() for text in told.values()]

    def embedded(self, texts: list[str]) -> Tensor:
        """Return unit vectors (N, K), float32, of texts."""
        tokens = self.tokenizer(texts).to(self.device)
        return F.normalize(self.model.text_features(tokens).float(), dim=-1)

    def asked(self, images: Tensor, prompts: Tensor, scale: Tensor, captions: list[str]) -> Tensor:
        """Return the sum over attributes of the losses () of finding their values among prompts.

        CLIP Sec. 2.3b   with the values that the captions (N) state
        """
        stated = [parse_caption(text) for text in captions]
        losses, parts = [], prompts.split([len(told) for told in PROMPTS.values()])
        for (name, told), part in zip(PROMPTS.items(), parts, strict=True):
            places = {value: i for i, value in enumerate(told)}
            labels = [places.get(values.get(name, ""), -1) for values in stated]
            losses.append(prompt_loss(images, part, scale, torch.tensor(labels).to(images.device)))
        return torch.stack(losses).sum()

    def end_step(self) -> Terms:
        """Keep the temperature within its bound; return e^t.

        CLIP Sec. 2.5   clipped to prevent scaling the logits by more than 100
        """
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(LARGEST_SCALE))
        return {"scale": self.model.logit_scale.detach().exp()}

    def sample_grid(self) -> Tensor | None:
        """Return None: a judge draws nothing."""
        return None

    def save(self, folder: Path) -> None:
        """Write judge.safetensors, in float16."""
        path = write_headed(self.model, folder / "judge.safetensors", torch.float16)
        print(f"wrote {path}", flush=True)


def train(settings: TrainJudge) -> None:
    """Run `latentgeo train-judge`."""
    with session(settings) as device:
        opened = open_source(settings.data, settings.size, settings.on_bad, where=settings.where)
        model = SmallClip(SmallClipConfig(size=settings.size)).to(device)
        channels_last(settings, device, model)
        batches = stream(remembered(opened), settings)
        seen = predictions_of(settings.predictions, settings.size, device)
        Loop(JudgeTask(model, device, seen), batches, settings, device).run()
