"""Endpoints as systems, against a real server on the loopback interface."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np
import pytest

from pytest_aibench.bounds import Verdict, at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.inference.runner import LoadGenerator
from pytest_aibench.loadgen.async_system import AsyncSystem
from pytest_aibench.loadgen.effort import Effort
from pytest_aibench.loadgen.http_system import EndpointError, HttpEndpoint, http_system
from pytest_aibench.loadgen.protocols.base import (
    BodyReader,
    Headers,
    HttpProtocol,
    PlainJson,
    Reader,
    Request,
)
from pytest_aibench.loadgen.protocols.kserve_v2 import KServeV2
from pytest_aibench.loadgen.protocols.openai import OpenAIChat
from pytest_aibench.outcome import Outcome, judge_all
from pytest_aibench.scenarios import Offline, Scenario, Server, SingleStream
from tests.servers import Handler, Received, Responder, Served, serving
from tests.systems import asking

CHAT = OpenAIChat(model="m")
NET = KServeV2(model="net", input="x")
DONE = b"data: [DONE]\n\n"


def token(text: str) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text.encode()


async def doubling(request: Received, responder: Responder) -> None:
    await responder.send_json({"outputs": [2 * sample for sample in request.json()["samples"]]})


async def chatting(request: Received, responder: Responder) -> None:
    """Answer with the prompt, a letter a token."""
    prompt = request.json()["messages"][0]["content"]
    await responder.stream([*map(token, prompt), DONE], pause_s=0.0005)
    await responder.end()


async def classifying(request: Received, responder: Responder) -> None:
    """Score class c of digit d by 1 where c = d: the digit stands in the tensor itself."""
    (tensor,) = request.json()["inputs"]
    scores = np.eye(4)[np.array(tensor["data"], int)]
    output = {"name": "y", "datatype": "FP64", "shape": scores.shape, "data": scores.tolist()}
    await responder.send_json({"model_name": "net", "outputs": [output]})


def ask(handler: Handler, *samples: Any, **settings: Any) -> Sequence[Any]:
    with serving(handler) as server, asking(system_of(server, **settings)) as asker:
        return asker.ask(*samples)


def system_of(server: Served, **settings: Any) -> AsyncSystem:
    return http_system(HttpEndpoint(server.url, **settings))


def failure(handler: Handler, **settings: Any) -> str:
    """The message, without the server's address, of a request that fails; it is sent once."""
    with serving(handler) as server, asking(system_of(server, **settings)) as asker:
        with pytest.raises(EndpointError) as caught:
            asker.ask("ab")
        assert len(server.requests) == 1
        message = str(caught.value)
        assert message.startswith(server.url)
        assert "\n" not in message
        return message.removeprefix(server.url)


def test_plain_json_there_and_back() -> None:
    assert ask(doubling, 1, 2, 3) == [2, 4, 6]


def test_kserve_there_and_back() -> None:
    first, second = ask(classifying, 3, 0, protocol=NET)
    assert (first.argmax(), second.argmax()) == (3, 0)


def test_a_query_of_several_prompts_is_several_requests() -> None:
    assert ask(chatting, "abc", "d", "ef", protocol=CHAT) == ["abc", "d", "ef"]


def test_tokens_are_stamped_as_they_arrive_and_the_answer_at_its_last_byte() -> None:
    with serving(chatting) as server, asking(system_of(server, protocol=CHAT)) as asker:
        begin = asker.now()
        asker.issue("abc")
        completion = asker.answer()
    (trace,) = completion.tokens
    first, second, third = trace.arrivals_ns
    assert begin < first < second < third < completion.at_ns < asker.now()
    assert trace.n_tokens == 3


def test_making_sense_of_the_response_is_not_held_against_the_endpoint() -> None:
    read_at_ns: list[int] = []

    def parse(body: bytes) -> list[int]:
        read_at_ns.append(perf_counter_ns())
        return [1]

    class Json(PlainJson):
        """Notes when it begins to make sense of a response."""

        def reader(self, headers: Headers) -> Reader:
            return BodyReader(parse)

    with serving(doubling) as server, asking(system_of(server, protocol=Json())) as asker:
        asker.issue(1)
        completion = asker.answer()
    assert completion.at_ns < read_at_ns[0]


def test_an_event_may_be_split_between_slow_parts() -> None:
    async def split(request: Received, responder: Responder) -> None:
        stream = token("é") + token("b") + DONE
        await responder.stream([stream[i : i + 7] for i in range(0, len(stream), 7)])
        await responder.end()

    assert ask(split, "x", protocol=CHAT) == ["éb"]


def test_connections_are_kept_and_not_more_than_allowed() -> None:
    busy: list[int] = [0, 0]

    async def counting(request: Received, responder: Responder) -> None:
        busy[0] += 1
        busy[1] = max(busy)
        await asyncio.sleep(0.001)
        busy[0] -= 1
        await doubling(request, responder)

    with serving(counting) as server:
        with asking(system_of(server, connections=3)) as asker:
            for number in range(30):
                asker.issue(number)
            outputs = sorted(asker.answer().outputs[0] for _ in range(30))
        assert outputs == list(range(0, 60, 2))
        assert server.connections == 3
        assert busy[1] == 3


def test_headers_are_sent_and_never_shown() -> None:
    with serving(doubling) as server:
        endpoint = HttpEndpoint(server.url, headers={"Authorization": "Bearer secret"})
        with asking(http_system(endpoint)) as asker:
            asker.ask(1)
        (request,) = server.requests
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["content-type"] == "application/json"
    assert "secret" not in repr(endpoint)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask(doubling, 1) == [2]


def test_a_status_of_failure() -> None:
    async def fail(request: Received, responder: Responder) -> None:
        await responder.send(b"the upstream\n exploded " + b"x" * 300, status=500)

    shown = "the upstream exploded " + "x" * 178
    assert failure(fail) == f": status 500, the request failed; the response begins: {shown}"


def test_the_body_of_a_failure_is_not_held_against_the_protocol() -> None:
    async def fail(request: Received, responder: Responder) -> None:
        await responder.send(b"data: oops\n\n", status=429)

    assert failure(fail, protocol=CHAT) == (
        "/v1/chat/completions: status 429, the request failed; the response begins: data: oops"
    )


def test_a_redirect_is_not_followed() -> None:
    async def redirect(request: Received, responder: Responder) -> None:
        await responder.send(b"", status=307, Location="/elsewhere")

    assert failure(redirect) == ": status 307, the request failed"


def test_a_body_that_makes_no_sense() -> None:
    async def mumble(request: Received, responder: Responder) -> None:
        await responder.send(b"hello")

    assert re.fullmatch(
        r": status 200, this is not JSON \(.*\); the response begins: hello", failure(mumble)
    )


def test_a_body_of_another_protocol() -> None:
    async def other(request: Received, responder: Responder) -> None:
        await responder.send_json({"results": []})

    assert failure(other, protocol=OpenAIChat(model="m", stream=False)) == (
        "/v1/chat/completions: status 200, the response is not what its protocol says "
        "(KeyError: 'choices'); the response begins: {\"results\": []}"
    )


def test_an_error_in_the_middle_of_a_stream() -> None:
    async def run_out(request: Received, responder: Responder) -> None:
        await responder.stream([token("a"), b'data: {"error":{"message":"out of memory"}}\n\n'])
        await responder.end()

    message = failure(run_out, protocol=CHAT)
    assert "status 200, the server reports an error: out of memory; the resp" in message


def test_a_connection_that_is_reset() -> None:
    async def reset(request: Received, responder: Responder) -> None:
        responder.reset()

    assert re.fullmatch(r": (ReadError|RemoteProtocolError) .*", failure(reset))


def test_a_connection_that_is_reset_in_the_middle_of_a_stream() -> None:
    async def reset(request: Received, responder: Responder) -> None:
        await responder.stream([token("a")])
        responder.reset()

    message = failure(reset, protocol=CHAT)
    assert re.search(r"status 200, (ReadError|RemoteProtocolError) .*; the response", message)


def test_a_stream_that_ends_early() -> None:
    async def end_early(request: Received, responder: Responder) -> None:
        await responder.stream([token("a")])
        await responder.end()

    message = failure(end_early, protocol=CHAT)
    assert "the stream ended without [DONE] and without a finish_reason" in message


def test_a_server_that_never_answers() -> None:
    async def hang(request: Received, responder: Responder) -> None:
        await asyncio.sleep(60)

    assert failure(hang, timeout="50 ms") == ": not answered within 50 ms"


def test_a_server_that_drips_for_ever() -> None:
    async def drip(request: Received, responder: Responder) -> None:
        await responder.stream([token("a")] * 10_000)

    message = failure(drip, protocol=CHAT, timeout="100 ms")
    assert "status 200, not answered within 100 ms; the response begins: data:" in message


def test_a_port_where_nobody_listens() -> None:
    with serving(doubling) as server:
        endpoint = HttpEndpoint(server.url)
    with asking(http_system(endpoint)) as asker, pytest.raises(EndpointError) as caught:
        asker.ask(1)
    assert re.match(f"{server.url}: ConnectError .*", str(caught.value))


def test_after_a_failure_the_next_query_is_answered() -> None:
    async def fail_once(request: Received, responder: Responder) -> None:
        if request.json()["samples"] == [0]:
            responder.reset()
        else:
            await doubling(request, responder)

    with serving(fail_once) as server, asking(system_of(server)) as asker:
        with pytest.raises(EndpointError):
            asker.ask(0)
        assert asker.ask(1) == [2]


@pytest.mark.parametrize(
    ("url", "protocol", "target"),
    [
        ("http://h:1", CHAT, "http://h:1/v1/chat/completions"),
        ("http://h:1/", CHAT, "http://h:1/v1/chat/completions"),
        ("http://h:1/proxy/", NET, "http://h:1/proxy/v2/models/net/infer"),
    ],
)
def test_where_requests_are_posted_to(url: str, protocol: HttpProtocol, target: str) -> None:
    assert HttpEndpoint(url, protocol).target == target


def test_plain_json_is_posted_to_the_url_itself() -> None:
    assert HttpEndpoint("http://h:1/predict/").target == "http://h:1/predict/"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "localhost:8000"}, "cannot load 'localhost:8000': write it like 'http://local"),
        ({"url": "http://"}, "cannot load 'http://': write it like 'http://localhost:8000'"),
        ({"url": "http://me:secret@host"}, "the endpoint's url must be an address only: pass sec"),
        ({"url": "me:secret@host"}, "the endpoint's url must be an address only: pass secrets in "),
        ({"url": "http://host?key=secret"}, "the endpoint's url must be an address only: pass sec"),
        ({"timeout": "5"}, "timeout='5' needs a time unit: write it like '15 ms' or '2 s'"),
        ({"connections": 0}, "connections=0 must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        HttpEndpoint(**{"url": "http://localhost", **settings})
    assert ":secret" not in str(caught.value)


def test_a_missing_httpx_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    message = "HttpEndpoint needs httpx: run pip install 'pytest-aibench[http]'"
    with pytest.raises(UserError, match=re.escape(message)):
        http_system(HttpEndpoint("http://localhost"))


def dataset(samples: Sequence[Any]) -> Dataset:
    return Dataset(
        name="prompts",
        split="test",
        samples=np.array(samples),
        references=np.arange(len(samples)),
        licence="none",
        source="made here",
    )


def generator_of_loads() -> LoadGenerator:
    def settle(result: LoadResult, outcome: Outcome) -> None:
        """Judged by the test itself."""

    effort = Effort("test", 0.0, 10.0, sequential=False)
    return LoadGenerator(effort=effort, settle=settle, memory={})


@pytest.mark.parametrize(
    "scenario",
    [
        SingleStream(min_queries=50),
        Server(target_qps=200, latency_bound="10 s", min_queries=50),
        Offline(samples=100),
    ],
)
def test_a_load_of_an_endpoint_for_tensors(scenario: Scenario) -> None:
    with serving(classifying) as server:
        endpoint = HttpEndpoint(server.url, NET)
        result = generator_of_loads().run(endpoint, dataset([0, 1, 2, 3]), scenario, max_batch=4)
    outcome = judge_all(result, {"top1": at_least(1.0)})
    assert outcome.violations == ()
    assert outcome.verdict is Verdict.PASSED


def test_a_load_of_an_endpoint_for_chat() -> None:
    with serving(chatting) as server:
        endpoint = HttpEndpoint(server.url, CHAT)
        scenario = Server(target_qps=100, latency_bound="10 s", percentile=0.9, min_queries=50)
        result = generator_of_loads().run(endpoint, dataset(["abc", "defgh"]), scenario)
    outcome = judge_all(result, {"ttft_p90": at_most("10 s"), "tpot_p90": at_most("10 s")})
    assert outcome.violations == ()
    assert outcome.verdict is Verdict.PASSED
    assert result.load.tokens is not None
    assert set(result.load.tokens.n_tokens) == {3, 5}


def test_a_client_that_cannot_keep_up_makes_the_run_invalid() -> None:
    class SlowJson(PlainJson):
        """Takes longer to write a request than there is time between two."""

        def requests(self, samples: Sequence[Any]) -> Sequence[Request]:
            time.sleep(0.02)
            return PlainJson.requests(self, samples)

    with serving(doubling) as server:
        scenario = Server(target_qps=100, latency_bound="100 ms", min_queries=40)
        endpoint = HttpEndpoint(server.url, SlowJson())
        result = generator_of_loads().run(endpoint, dataset([1, 2]), scenario)
    assert [violation.rule for violation in result.violations] == ["the load generator keeps time"]


def test_one_failed_request_fails_the_run() -> None:
    served: list[int] = []

    async def fail_the_tenth(request: Received, responder: Responder) -> None:
        served.append(1)
        if len(served) == 10:
            await responder.send(b"overloaded", status=503)
        else:
            await doubling(request, responder)

    with serving(fail_the_tenth) as server:
        endpoint = HttpEndpoint(server.url)
        with pytest.raises(EndpointError, match="status 503, the request failed") as caught:
            generator_of_loads().run(endpoint, dataset([1, 2]), SingleStream())
    if sys.version_info >= (3, 11):
        assert "raised this on query" in caught.value.__notes__[0]
