"""A sequence-to-sequence model that attends to its source and may copy from it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components.summarization.data import BEGIN, END, PAD, UNKNOWN

_NEVER = -1e9
"""Logarithm of no chance at all, but with a gradient that is a number."""

State = tuple[Tensor, Tensor]
"""Of the decoder's LSTM, each of shape (1, n, hidden)."""


class Source(NamedTuple):
    """What is known of the texts before a headline is written.

    Attributes:
        words: Ids, with copied ones behind the vocabulary, (n, s).
        values: Encoded words, (n, s, 2 hidden).
        keys: What they are compared by, (n, s, hidden).
    """

    words: Tensor
    values: Tensor
    keys: Tensor


class Choice(NamedTuple):
    """What the next words follow from.

    Attributes:
        attention: Logarithm of that to each source word, (n, t, s).
        gate: Log-odds of a word that is written against a copied one, (n, t, 1).
        features: What the scores of written words are made of, (n, t, hidden).
    """

    attention: Tensor
    gate: Tensor
    features: Tensor


class Summarizer(nn.Module):
    """The model of Paulus et al. (2017, section 2), which attends, copies and looks back.

    What it attends to goes to the next word and not into the decoder, so all words of a headline
    are learnt at once.

    Args:
        read: Number of words that are told apart in texts.
        written: Number of the first of them that can be written without copying.
        repeatable: Number of the first of these that may stand in a headline twice.
    """

    def __init__(
        self,
        read: int,
        written: int,
        repeatable: int,
        embedding: int = 256,
        hidden: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.read = read
        self.repeatable = repeatable
        self.embedding = nn.Embedding(read, embedding)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.encoder = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.reduce_hidden = nn.Linear(2 * hidden, hidden)
        self.reduce_cell = nn.Linear(2 * hidden, hidden)
        self.decoder = nn.LSTM(embedding, hidden, batch_first=True)
        self.key = nn.Linear(2 * hidden, hidden, bias=False)
        self.own_key = nn.Linear(hidden, hidden, bias=False)
        self.gate = nn.Linear(4 * hidden, 1)
        self.output = nn.Linear(4 * hidden, hidden)
        self.scores = nn.Linear(hidden, written)
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor, headline: Tensor) -> Tensor:
        """Log-likelihood of each word of headlines (n, t) of texts (n, s), given those before it.

        One dimension: words that are filled in, or can be neither written nor copied, are left out.
        """
        source, state = self._encode(words)
        before = functional.pad(headline[:, :-1], (1, 0), value=BEGIN)
        hidden, _ = self.decoder(self._embed(before), state)
        choice = self._choose(source, self.dropout(hidden))
        there = (headline != PAD) & (headline != UNKNOWN)
        attention, gate, features = (each[there] for each in choice)
        word = headline[there][:, None]
        copies = words[:, None].expand_as(choice.attention)[there] == word
        copied = attention.masked_fill(~copies, _NEVER).logsumexp(dim=-1, keepdim=True)
        scores = self.scores(features).log_softmax(dim=-1)
        can = word < scores.shape[-1]
        written = scores.gather(1, word.where(can, PAD)).masked_fill(~can, _NEVER)
        either = functional.logsigmoid(gate) + written, functional.logsigmoid(-gate) + copied
        return torch.logaddexp(*either).squeeze(-1)

    def summarize(self, words: Tensor, length: int, beams: int = 4) -> Tensor:
        """The likeliest headlines, by the mean of a word: ids, shape (n, length).

        A beam search; `END` is followed by `PAD` alone.
        """
        source, state = self._encode(words)
        source = Source(*(each.repeat_interleave(beams, dim=0) for each in source))
        rows = torch.arange(len(words), device=words.device)
        state = _at(state, rows.repeat_interleave(beams))
        written = words.new_full((len(words) * beams, 1), BEGIN)
        hidden = source.values[:, :0, : self.decoder.hidden_size]
        nats = torch.zeros(len(words), beams, device=words.device)
        nats[:, 1:] = -torch.inf  # all begin alike
        for _ in range(length):
            newest, state = self.decoder(self._embed(written[:, -1:]), state)
            hidden = torch.cat((hidden, newest), dim=1)
            longer = nats[..., None] + self._next(source, hidden, written).view(*nats.shape, -1)
            lengths = 1 + (written > END).sum(dim=1).view(*nats.shape, 1)
            best = (longer / lengths).flatten(1).topk(beams).indices
            nats = longer.flatten(1).gather(1, best)
            line = (rows[:, None] * beams + best // longer.shape[2]).flatten()
            word = (best % longer.shape[2]).view(-1, 1)
            written = torch.cat((written[line], word), dim=1)
            hidden, state = hidden[line], _at(state, line)
        return written[::beams, 1:]

    def _encode(self, words: Tensor) -> tuple[Source, State]:
        values, ends = self.encoder(self._embed(words))
        hidden, cell = (end.transpose(0, 1).flatten(1) for end in ends)
        state = (self.reduce_hidden(hidden).relu()[None], self.reduce_cell(cell).relu()[None])
        values = self.dropout(values)
        return Source(words, values, self.key(values)), state

    def _choose(self, source: Source, hidden: Tensor) -> Choice:
        """What follows from the decoder's states so far, (n, t, hidden)."""
        attention = self._attend(source, hidden)
        context = attention.exp() @ source.values
        past = functional.pad(hidden[:, :-1], (0, 0, 1, 0))
        own_context = functional.scaled_dot_product_attention(
            hidden, self.own_key(past), past, is_causal=True
        )
        features = torch.cat((hidden, context, own_context), dim=-1)
        output = self.dropout(self.output(features).tanh())
        return Choice(attention, self.gate(features), output)

    def _attend(self, source: Source, hidden: Tensor) -> Tensor:
        """Attention to the source, less where it has been before (equations 2 to 4)."""
        scores = hidden @ source.keys.transpose(1, 2)
        before = functional.pad(scores.logcumsumexp(dim=1)[:, :-1], (0, 0, 1, 0))
        filled = (source.words == PAD)[:, None]
        return (scores - before).masked_fill(filled, -torch.inf).log_softmax(dim=-1)

    def _next(self, source: Source, hidden: Tensor, written: Tensor) -> Tensor:
        """Log-likelihoods of the words after those written, (n, read + s).

        No word is repeated but a repeatable one; nothing but `PAD` comes after the end.
        """
        attention, gate, features = (each[:, -1] for each in self._choose(source, hidden))
        writes = gate.sigmoid()
        chances = writes * self.scores(features).softmax(dim=-1)
        places = self.read + source.words.shape[1] - chances.shape[1]
        chances = functional.pad(chances, (0, places)).scatter_add(
            1, source.words, (1 - writes) * attention.exp()
        )
        chances = chances.scatter(1, written.where(written >= self.repeatable, PAD), 0)
        chances[:, UNKNOWN] = 0
        ended = (written == END).any(dim=1)
        chances[ended] = functional.one_hot(written.new_tensor(PAD), chances.shape[1]).to(chances)
        return chances.float().log()

    def _embed(self, words: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(self.embedding(words.where(words < self.read, UNKNOWN)))
        return embedded


def _at(state: State, rows: Tensor) -> State:
    hidden, cell = state
    return hidden[:, rows], cell[:, rows]
