"""Deep Speech 2 (Amodei et al., 2015, section 3), with as many layers and as wide as wanted."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class BatchRNN(nn.Module):
    """A bidirectional recurrent layer whose input is normalised over the batch (section 3.2)."""

    def __init__(self, inputs: int, hidden: int, normalised: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(inputs) if normalised else nn.Identity()
        self.rnn = nn.GRU(inputs, hidden, batch_first=True, bidirectional=True)
        self.hidden = hidden

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, t, inputs) to (n, t, hidden), the sum of both directions."""
        n, length, width = inputs.shape
        normalised = self.norm(inputs.reshape(n * length, width)).view(n, length, width)
        outputs: Tensor = self.rnn(normalised)[0]
        return outputs.view(n, length, 2, self.hidden).sum(dim=2)


class DeepSpeech2(nn.Module):
    """Two convolutions over a spectrogram, recurrent layers, a linear one for CTC.

    Args:
        bands: Frequencies of a spectrogram.
        symbols: Letters and the blank, which is the first.
        layers: Recurrent layers, of ``hidden`` units each way.
        channels: Of both convolutions.
        kernels: Their sizes, bands times frames.
    """

    def __init__(
        self,
        bands: int = 161,
        symbols: int = 29,
        layers: int = 5,
        hidden: int = 800,
        channels: int = 32,
        kernels: tuple[tuple[int, int], tuple[int, int]] = ((41, 11), (21, 11)),
    ) -> None:
        super().__init__()
        first, second = kernels
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, channels, first, stride=(2, 2), padding=_half(first)),
            nn.BatchNorm2d(channels),
            nn.Hardtanh(0, 20),
            nn.Conv2d(channels, channels, second, stride=(2, 1), padding=_half(second)),
            nn.BatchNorm2d(channels),
            nn.Hardtanh(0, 20),
        )
        width = channels * (-(-bands // 4))
        self.recurrent = nn.Sequential(
            BatchRNN(width, hidden, normalised=False),
            *(BatchRNN(hidden, hidden, normalised=True) for _ in range(layers - 1)),
        )
        self.norm = nn.BatchNorm1d(hidden)
        self.symbols = nn.Linear(hidden, symbols, bias=False)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Log-probabilities of symbols (n, t / 2, symbols) of spectrograms (n, 1, bands, t)."""
        features = self.convolutions(spectrograms)
        states = self.recurrent(features.flatten(1, 2).transpose(1, 2))
        n, length, hidden = states.shape
        scores = self.symbols(self.norm(states.reshape(n * length, hidden)))
        return functional.log_softmax(scores.view(n, length, -1), dim=-1)


def _half(kernel: tuple[int, int]) -> tuple[int, int]:
    return kernel[0] // 2, kernel[1] // 2
