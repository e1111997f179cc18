"""Tokens beside a model's vocabulary, whose embeddings were learned (textual inversion).

Gal et al., arXiv 2208.01618: a new word v* is one or more vectors of the text encoder's embedding,
found by optimisation with everything else frozen.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from latentgeo.models.bundles.text_to_image import TextToImage


@torch.no_grad()
def add_tokens(bundle: TextToImage, tokens: Mapping[str, Tensor]) -> None:
    """Give the model tokens, each with its vectors (n, width), to be written in prompts.

    Raises ValueError, leaving the model as it was, on a token that it has, or that has no letters,
    and on vectors of another width.
    """
    if not tokens:
        return
    rows = {token: _vectors(bundle, token, found) for token, found in tokens.items()}
    embedding = bundle.text.embeddings.token_embedding
    weight = torch.cat([embedding.weight, *(row.to(embedding.weight) for row in rows.values())])
    longer = nn.Embedding.from_pretrained(weight, freeze=not embedding.weight.requires_grad)
    bundle.text.embeddings.token_embedding = longer
    bundle.text.config = replace(bundle.text.config, vocabulary=len(weight))
    bundle.learned |= {token: len(row) for token, row in rows.items()}
    vars(bundle).pop("tokenizer", None)  # made anew, with the tokens, when it is next asked for


def _vectors(bundle: TextToImage, token: str, found: Tensor) -> Tensor:
    """Return a token's vectors (n, width) after checking them and its name."""
    width = bundle.config.text.width
    vectors = found[None] if found.ndim == 1 else found
    if vectors.ndim != 2 or vectors.shape[1] != width or not len(vectors):
        raise ValueError(f"token {token!r} is {tuple(found.shape)}, wanted (n, {width})")
    if token != token.strip() or not token:
        raise ValueError(f"token {token!r} is empty or has spaces at its ends")
    if token in bundle.learned or len(bundle.tokenizer.encode(token)) == 1:
        raise ValueError(f"token {token!r} is in the vocabulary already; give it another name")
    return vectors
