"""Finds the system for a model that answers later: an endpoint, a coroutine, a token generator."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any

from pytest_aibench.loadgen.async_system import async_system
from pytest_aibench.loadgen.http_system import HttpEndpoint, http_system
from pytest_aibench.loadgen.systems import ConcurrentSystem
from pytest_aibench.loadgen.token_systems import TokenServer, TokenSystem, async_token_system


def adapt_concurrent(model: Any, settle: Callable[[], None] | None) -> ConcurrentSystem | None:
    """Make a system of a model that answers later; None if it is nothing of the kind.

    Args:
        model: An `HttpEndpoint`, a `TokenServer`, a generator function or an async one, a
            coroutine function, or an object whose ``__call__`` is one of these.
        settle: Waits for the device.

    Raises:
        UserError: A package that it needs is not installed.
    """
    if isinstance(model, HttpEndpoint):
        return http_system(model)
    if isinstance(model, TokenServer):
        return TokenSystem(model, settle)
    if _is(isgeneratorfunction, model):
        return TokenSystem(TokenServer(model), settle)
    if _is(isasyncgenfunction, model):
        return async_token_system(model, settle)
    if _is(iscoroutinefunction, model):
        return async_system(model, settle)
    return None


def _is(kind: Callable[[Any], bool], model: Any) -> bool:
    return callable(model) and (kind(model) or kind(type(model).__call__))
