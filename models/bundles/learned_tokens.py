"""Tokens beside a model's vocabulary, whose embeddings were learned (textual inversion).

Gal et al., arXiv 2208.01618: a new word v* is one or more vectors of the text encoder's embedding,
found by optimisation with everything else frozen.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from latentgeo.models.bundles.text_to_image import BundleConfig, TextToImage, merges
from latentgeo.models.formats.files.strict import no_weight
from latentgeo.models.tokenizer import Tokenizer

NONE: Mapping[str, int] = {}


@torch.no_grad()
def add_tokens(bundle: TextToImage, tokens: Mapping[str, Tensor]) -> None:
    """Give the model tokens, each with its vectors (n, width), to be written in prompts.

    Raises ValueError, leaving the model as it was, on a token that it has, or that has no letters,
    and on vectors of another width.
    """
    if not tokens:
        return
    if said := token_faults(tokens, bundle.config, bundle.learned):
        raise ValueError("; ".join(said))
    rows = {token: torch.atleast_2d(found) for token, found in tokens.items()}
    embedding = bundle.text.embeddings.token_embedding
    weight = torch.cat([embedding.weight, *(row.to(embedding.weight) for row in rows.values())])
    longer = nn.Embedding.from_pretrained(weight, freeze=not embedding.weight.requires_grad)
    bundle.text.embeddings.token_embedding = longer
    bundle.text.config = replace(bundle.text.config, vocabulary=len(weight))
    bundle.learned |= {token: len(row) for token, row in rows.items()}
    vars(bundle).pop("tokenizer", None)  # made anew, with the tokens, when it is next asked for


def token_faults(
    tokens: Mapping[str, Tensor], config: BundleConfig, learned: Mapping[str, int] = NONE
) -> list[str]:
    """Return what keeps tokens from being a model's that has learned others before."""
    if not tokens:
        return []
    text, said = config.text, []
    known = Tokenizer(context=text.context, merges=merges(text), learned={**learned})
    for token, found in tokens.items():
        shape = tuple(found.shape)
        if len(shape) not in (1, 2) or shape[-1] != text.width or not shape[0]:
            said.append(f"token {token!r} is {shape}, wanted (n, {text.width})")
        said += no_weight(f"token {token!r}", found.dtype)
        if token != token.strip() or not token:
            said.append(f"token {token!r} is empty or has spaces at its ends")
        elif token in learned or len(known.encode(token)) == 1:
            said.append(f"token {token!r} is in the vocabulary already; give it another name")
    return said
