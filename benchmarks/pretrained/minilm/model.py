"""The encoder of BERT in six layers of 384, and sentences' embeddings made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

WORDS, POSITIONS, SEGMENTS = 30_522, 512, 2
WIDTH, HIDDEN, HEADS, LAYERS = 384, 1536, 12, 6
EPSILON = 1e-12
PAD = 0
"""Number of the token that fills texts up."""

_NAMES = {
    "embeddings.LayerNorm": "norm",
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "segments",
    "pooler.dense": "pooler",
    "encoder.layer": "encoder.layers",
    "attention.self": "self_attn.in_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}
_NAME = re.compile("|".join(map(re.escape, sorted(_NAMES, key=len, reverse=True))))


class SentenceEncoder(nn.Module):
    """Maps tokens (n, t), filled up with `PAD`, to embeddings (n, 384) of length 1.

    BERT (Devlin et al., 2019), whose layers are PyTorch's own, and the mean over a text's tokens
    (Reimers and Gurevych, Sentence-BERT, 2019, section 3). The pooler has weights but no part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.segments = nn.Embedding(SEGMENTS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, EPSILON)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, HIDDEN, activation="gelu", layer_norm_eps=EPSILON, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.pooler = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings in fp32, for nearness would suffer from less."""
        is_pad = tokens == PAD
        places = torch.arange(tokens.shape[1], device=tokens.device)
        embedded = self.words(tokens) + self.positions(places) + self.segments.weight[0]
        encoded = self.encoder(self.norm(embedded), src_key_padding_mask=is_pad)
        return functional.normalize(mean_of_tokens(encoded.float(), is_pad), dim=1)


def mean_of_tokens(encoded: Tensor, is_pad: Tensor) -> Tensor:
    """Mean of encoded tokens (n, t, k) that are no filling (n, t): shape (n, k)."""
    total = encoded.masked_fill(is_pad[..., None], 0).sum(dim=1)
    return total / (~is_pad).sum(dim=1, keepdim=True)


def from_published(weights: Mapping[str, Tensor]) -> SentenceEncoder:
    """The encoder with the published weights, in which queries, keys and values lie apart.

    Raises:
        KeyError: Queries, keys or values of a layer are missing.
        RuntimeError: Another weight is missing, too many, or of another shape.
    """
    named = {_NAME.sub(lambda m: _NAMES[m[0]], name): value for name, value in weights.items()}
    named.pop("embeddings.position_ids", None)  # 0, 1, 2, …
    for layer in range(LAYERS):
        for kind in ("weight", "bias"):
            joint = f"encoder.layers.{layer}.self_attn.in_proj"
            parts = [named.pop(f"{joint}.{part}.{kind}") for part in ("query", "key", "value")]
            named[f"{joint}_{kind}"] = torch.cat(parts)
    with torch.device("meta"):
        encoder = SentenceEncoder()
    encoder.load_state_dict(named, assign=True)
    return encoder.eval()
