"""A recurrent layer for pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]


class ConvLSTM(nn.Module):
    """A long short-term memory at each pixel, whose gates are one convolution (Shi et al., 2015).

    Without peepholes, and with the forget gate's bias at 1, as in the code of Finn et al. (2016).
    """

    def __init__(self, channels_in: int, channels: int, size: int) -> None:
        super().__init__()
        self.channels = channels
        self.gates = nn.Conv2d(channels_in + channels, 4 * channels, size, padding=size // 2)

    def forward(self, inputs: Tensor, state: State | None) -> State:
        """Map (n, channels_in, h, w) and the last state to the next; None begins with zeros.

        A state is what the layer gives and what it remembers, (n, channels, h, w) each.
        """
        if state is None:
            nothing = inputs.new_zeros(len(inputs), self.channels, *inputs.shape[2:])
            state = nothing, nothing
        given, remembered = state
        gates = self.gates(torch.cat([inputs, given], dim=1))
        write, forget, read, content = gates.chunk(4, dim=1)
        remembered = torch.sigmoid(forget + 1) * remembered + torch.sigmoid(write) * content.tanh()
        return torch.sigmoid(read) * remembered.tanh(), remembered
