"""A Llama (Touvron et al., 2023) of SmolLM2's size, under the names of the GGUF format."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

LAYERS, WIDTH, HIDDEN, WORDS = 30, 576, 1536, 49_152
HEADS, SHARED_HEADS = 9, 3
EPSILON = 1e-5
_HEAD_WIDTH = WIDTH // HEADS
_SLOWEST = 100_000.0

Cache = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, (n, shared heads, t, head width)."""


class Block(nn.Module):
    """Attention in which three heads share keys and values, and a gated linear unit."""

    def __init__(self) -> None:
        super().__init__()
        shared = SHARED_HEADS * _HEAD_WIDTH
        self.attn_norm = nn.RMSNorm(WIDTH, EPSILON)
        self.attn_q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.attn_k = nn.Linear(WIDTH, shared, bias=False)
        self.attn_v = nn.Linear(WIDTH, shared, bias=False)
        self.attn_output = nn.Linear(WIDTH, WIDTH, bias=False)
        self.ffn_norm = nn.RMSNorm(WIDTH, EPSILON)
        self.ffn_gate = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.ffn_up = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.ffn_down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(
        self, states: Tensor, turns: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map states (n, t, 576) to such, with keys and values up to here.

        Args:
            states: Of a text's tokens, or of the one behind those of the past.
            turns: Their positions, as cosines and sines, see `turns_of`.
            past: Keys and values of what is before.
        """
        normed = self.attn_norm(states)
        queries = turned(_heads(self.attn_q(normed)), turns)
        keys = turned(_heads(self.attn_k(normed)), turns)
        values = _heads(self.attn_v(normed))
        if past is not None:
            keys, values = torch.cat((past[0], keys), 2), torch.cat((past[1], values), 2)
        attended = functional.scaled_dot_product_attention(
            queries, _for_all(keys), _for_all(values), is_causal=past is None
        )
        states = states + self.attn_output(attended.transpose(1, 2).flatten(2))
        normed = self.ffn_norm(states)
        gated = functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed)
        return states + self.ffn_down(gated), (keys, values)


class Llama(nn.Module):
    """Scores the words that may follow; 134.5 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embd = nn.Embedding(WORDS, WIDTH)
        self.blk = nn.ModuleList(Block() for _ in range(LAYERS))
        self.output_norm = nn.RMSNorm(WIDTH, EPSILON)

    def forward(
        self, tokens: Tensor, past: Cache | None = None, *, last: bool = False
    ) -> tuple[Tensor, Cache]:
        """Scores of what follows each token, (n, t, 49 152), and the past with the tokens in it.

        Args:
            tokens: Whole texts (n, t); after a past, the next token of each, (n, 1).
            past: What the call before gave.
            last: Score only what follows the last token, (n, 1, 49 152).
        """
        begin = 0 if past is None else past[0][0].shape[2]
        states = self.token_embd(tokens)
        turns = turns_of(begin, begin + tokens.shape[1]).to(states)
        present: Cache = []
        for number, block in enumerate(self.blk):
            states, kept = block(states, turns, None if past is None else past[number])
            present.append(kept)
        normed = self.output_norm(states[:, -1:] if last else states)
        return functional.linear(normed, self.token_embd.weight), present


def from_published(weights: Mapping[str, Tensor]) -> Llama:
    """The model with the published weights.

    Raises:
        RuntimeError: A weight is missing, too many, or of another shape.
    """
    with torch.device("meta"):
        model = Llama()
    model.load_state_dict(weights, assign=True)
    return model.eval()


def turns_of(begin: int, end: int) -> Tensor:
    """Cosines and sines of the angles by which positions turn pairs of features, (2, t, 32)."""
    speeds = _SLOWEST ** -(torch.arange(0, _HEAD_WIDTH, 2) / _HEAD_WIDTH)
    angles = torch.outer(torch.arange(begin, end), speeds)
    return torch.stack((angles.cos(), angles.sin()))


def turned(features: Tensor, turns: Tensor) -> Tensor:
    """Turn each pair of neighbours (Su et al., RoFormer, 2021): (n, heads, t, 64) of such.

    The original has a half's first feature beside the other's; the GGUF format orders the weights
    so that pairs are neighbours.
    """
    first, second = features[..., ::2], features[..., 1::2]
    cosines, sines = turns
    pairs = (first * cosines - second * sines, first * sines + second * cosines)
    return torch.stack(pairs, -1).flatten(-2)


def _heads(features: Tensor) -> Tensor:
    """Split (n, t, width) to (n, heads, t, 64)."""
    n, t, _ = features.shape
    return features.view(n, t, -1, _HEAD_WIDTH).transpose(1, 2)


def _for_all(shared: Tensor) -> Tensor:
    return shared.repeat_interleave(HEADS // SHARED_HEADS, dim=1)
