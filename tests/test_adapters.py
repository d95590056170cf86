"""Which system a model gets."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from pytest_aibench.loadgen.async_system import AsyncSystem
from pytest_aibench.loadgen.http_system import HttpEndpoint
from pytest_aibench.loadgen.systems import InlineSystem, adapt, adapt_concurrent
from pytest_aibench.loadgen.token_systems import TokenServer, TokenSystem


async def coroutine(samples: Sequence[int]) -> Sequence[int]:
    return samples


def generator(sample: int) -> Iterator[int]:
    yield sample


async def async_generator(sample: int) -> AsyncIterator[int]:
    yield sample


class Model:
    """An object that answers later in two ways."""

    async def __call__(self, samples: Sequence[int]) -> Sequence[int]:
        """Answer all samples."""
        return samples

    def stream(self, sample: int) -> Iterator[int]:
        """Answer one sample token by token."""
        yield sample


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (coroutine, AsyncSystem),
        (functools.partial(coroutine), AsyncSystem),
        (Model(), AsyncSystem),
        (async_generator, AsyncSystem),
        (generator, TokenSystem),
        (Model().stream, TokenSystem),
        (TokenServer(generator, workers=2), TokenSystem),
        (HttpEndpoint("http://localhost:8000"), AsyncSystem),
        (list, InlineSystem),
    ],
)
def test_a_model_gets_the_system_of_its_kind(model: object, kind: type) -> None:
    assert type(adapt(model)) is kind


@pytest.mark.parametrize("model", [list, len, "a text", None, lambda samples: samples])
def test_others_are_left_to_others(model: object) -> None:
    assert adapt_concurrent(model, None) is None
