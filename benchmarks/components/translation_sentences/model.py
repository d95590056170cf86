"""Recurrent networks that read and write, with attention between them (Luong et al., 2015)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Memory(NamedTuple):
    """What is known of the source sentences.

    Attributes:
        values: What can be attended to, (n, s, width).
        keys: What it is compared by, (n, s, width of a written position).
        filled: Where there is nothing, (n, 1, s).
    """

    values: Tensor
    keys: Tensor
    filled: Tensor


class AttentionGRU(nn.Module):
    """Global attention with the general score (section 3.1), read in both directions.

    What is attended to goes to the next token and not back into the decoder, so all tokens of a
    sentence are learnt at once. A position is its hidden state beside its embedding: so attention
    also gives the mean embedding of the source tokens, of which the next token's is guessed
    (Nguyen and Chiang, Improving Lexical Choice in Neural Machine Translation, 2018, section 4).

    Args:
        embeddings: Embeddings to begin with, (vocabulary, width); token 0 fills short sentences.
        hidden: Size of the states each way.
        dropout: Of embeddings and states.
    """

    def __init__(self, embeddings: Tensor, hidden: int, dropout: float) -> None:
        super().__init__()
        vocabulary, width = embeddings.shape
        self.embedding = nn.Embedding(vocabulary, width, _weight=embeddings.clone())
        self.encoder = nn.GRU(width, hidden, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden, hidden)
        self.decoder = nn.GRU(width, hidden, batch_first=True)
        self.key = nn.Linear(2 * hidden + width, hidden + width, bias=False)
        self.guess = nn.Linear(3 * hidden + 2 * width, width)
        with torch.no_grad():
            self.guess.weight[:, -width:] += torch.eye(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.dropout = nn.Dropout(dropout)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores of the next token at each position of targets (n, t) but the filled ones.

        They are of shape (positions, vocabulary).
        """
        memory, state = self._read(source)
        written, _ = self._run(self.decoder, target, state)
        return self._score(_attended(written, memory)[target != 0])

    def translate(self, source: Tensor, begin: int, end: int, length: int) -> Tensor:
        """The likeliest next token again and again: (n, at most ``length``), ended with ``end``."""
        memory, state = self._read(source)
        token = torch.full_like(source[:, :1], begin)
        ended = torch.zeros_like(token, dtype=torch.bool)
        tokens: list[Tensor] = []
        while len(tokens) < length and not ended.all():
            embedded = self.embedding(token)
            hidden, state = self.decoder(embedded, state)
            written = torch.cat((hidden, embedded), dim=-1)
            token = self._score(_attended(written, memory)).argmax(dim=-1)
            tokens.append(token)
            ended |= token == end
        return torch.cat(tokens, dim=1)

    def _read(self, source: Tensor) -> tuple[Memory, Tensor]:
        """What is known of sentences (n, s), and the decoder's first state."""
        values, last = self._run(self.encoder, source)
        state = self.bridge(last.transpose(0, 1).flatten(1)).tanh()
        return Memory(values, self.key(values), (source == 0)[:, None]), state[None]

    def _run(
        self, rnn: nn.GRU, tokens: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """States beside embeddings of sentences that end where they end, and the last states."""
        lengths = (tokens != 0).sum(dim=1).cpu()
        packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
        embedded = self.dropout(self.embedding(packed.data))
        hidden, last = rnn(packed._replace(data=embedded), state)
        both = torch.cat((self.dropout(hidden.data), embedded), dim=-1)
        positions, _ = pad_packed_sequence(
            packed._replace(data=both), batch_first=True, total_length=tokens.shape[1]
        )
        return positions, last

    def _score(self, positions: Tensor) -> Tensor:
        guessed = self.dropout(self.guess(positions).tanh())
        return functional.linear(guessed, self.embedding.weight, self.bias)


def _attended(written: Tensor, memory: Memory) -> Tensor:
    """Positions (n, t, width) beside what each of them attends to."""
    scores = written @ memory.keys.transpose(1, 2)
    attention = scores.masked_fill(memory.filled, -torch.inf).softmax(dim=-1)
    return torch.cat((written, attention @ memory.values), dim=-1)
