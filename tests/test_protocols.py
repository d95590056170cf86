"""What endpoints speak, without a network: requests as bytes, responses cut anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.protocols.base import BadReplyError, HttpProtocol, PlainJson, Reply
from pytest_aibench.loadgen.protocols.kserve_v2 import JSON_LENGTH, KServeV2
from pytest_aibench.loadgen.protocols.openai import (
    Event,
    EventDecoder,
    OpenAIChat,
    OpenAICompletions,
)

CHAT = OpenAIChat(model="m")
STREAM = (
    b"\xef\xbb\xbf: a comment\r\n\r\n"
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}\n\n'
    b'event: message\rdata: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\r\r'
    b'data:{"choices":[{"delta":{"content":"na\xc3\xafve "}}]}\r\n\r\n'
    b'data: {"choices":[{\r\ndata: "delta":{"content":"caf\xc3\xa9"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"completion_tokens":7}}\n\n'
    b"data: [DONE]\n\n"
)
"""All that the protocol allows: three line ends, comments, no space, an event on two lines."""


def read(protocol: HttpProtocol, *parts: bytes, headers: Mapping[str, str] | None = None) -> Reply:
    """What a protocol makes of a response that arrives in parts, at 0, 1, 2 ... ns."""
    reader = protocol.reader(headers or {})
    for at_ns, part in enumerate(parts):
        reader.feed(part, at_ns)
    return reader.finish()


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    borders = [0, *sorted(at), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


def body_of(protocol: HttpProtocol, samples: Sequence[Any]) -> Any:
    (request,) = protocol.requests(samples)
    return json.loads(request.content)


def test_a_stream_means_the_same_at_every_single_cut() -> None:
    for position in range(len(STREAM)):
        assert read(CHAT, STREAM[:position], STREAM[position:]).outputs == ["naïve café"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_a_stream_means_the_same_wherever_it_is_cut(at: list[int]) -> None:
    reply = read(CHAT, *cut(STREAM, at))
    assert reply.outputs == ["naïve café"]
    (trace,) = reply.tokens
    assert trace.n_tokens == 7
    assert len(trace.arrivals_ns) == 3
    assert list(trace.arrivals_ns) == sorted(trace.arrivals_ns)


def test_tokens_arrive_when_their_event_is_complete() -> None:
    begin = b'data: {"choices":[{"text":"a"'
    reply = read(
        OpenAICompletions(model="m"),
        begin,
        b"}]}\n",
        b'\ndata: {"choices":[{"text":"b","finish_reason":"length"}]}\n\n',
    )
    assert reply.outputs == ["ab"]
    assert reply.tokens[0].arrivals_ns == [2, 2]
    assert reply.tokens[0].n_tokens == 2


def test_an_event_without_its_final_blank_line_counts() -> None:
    begin = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    assert read(CHAT, begin, b"data: [DONE]").outputs == ["a"]


def test_events_have_names_and_data() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"\xef\xbb\xbfdata: x\n\n") == [Event("message", "x")]
    assert decoder.feed(b"id: 1\nevent: error\ndata: a\ndata:  b\n\n\n\n") == [
        Event("error", "a\n b")
    ]
    assert decoder.feed(b"retry: 5\n\ndata\n\n") == [Event("message", "")]
    assert decoder.finish() == []


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (b'data: {"error":{"message":"out of memory","code":500}}', "out of memory"),
        (b'data: {"error":"overloaded"}', "overloaded"),
        (b'data: {"object":"error","message":"too long"}', "too long"),
        (b'event: error\ndata: {"message":"gone"}', "gone"),
    ],
)
def test_an_error_in_the_middle_of_a_stream_fails(event: bytes, message: str) -> None:
    first = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    with pytest.raises(BadReplyError, match=f"^the server reports an error: {message}$"):
        read(CHAT, first, event + b"\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize("broken", [b"", b": alive\n\n", b'{"choices":[{"text":"whole"}]}'])
def test_a_stream_that_breaks_off_fails(broken: bytes) -> None:
    with pytest.raises(BadReplyError, match=r"ended without \[DONE\] and without a finish_reason"):
        read(CHAT, broken)


def test_an_event_that_is_not_json_fails() -> None:
    with pytest.raises(BadReplyError, match="this is not JSON"):
        read(CHAT, b"data: oops\n\n")


def test_other_choices_than_the_first_are_no_tokens() -> None:
    second = b'data: {"choices":[{"index":1,"text":"x"}]}\n\ndata: [DONE]\n\n'
    reply = read(OpenAICompletions(model="m"), second)
    assert (reply.outputs, reply.tokens[0].n_tokens) == ([""], 0)


def test_a_chat_request() -> None:
    protocol = OpenAIChat(model="m", options={"max_tokens": 5, "stream_options": None})
    assert protocol.path == "/v1/chat/completions"
    assert body_of(protocol, [np.array("hello")]) == {
        "model": "m",
        "stream": True,
        "stream_options": None,
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 5,
    }
    messages = [{"role": "system", "content": "be brief"}]
    assert body_of(protocol, [messages])["messages"] == messages


def test_each_prompt_is_a_request_of_its_own() -> None:
    protocol = OpenAICompletions(model="m", stream=False)
    prompts = [json.loads(r.content)["prompt"] for r in protocol.requests(["a", np.array([1, 2])])]
    assert prompts == ["a", [1, 2]]
    assert "stream_options" not in json.loads(protocol.requests(["a"])[0].content)


@pytest.mark.parametrize(
    ("protocol", "choice", "text"),
    [
        (OpenAIChat(model="m", stream=False), {"message": {"content": "hi"}}, "hi"),
        (OpenAIChat(model="m", stream=False), {"message": {"content": None}}, ""),
        (OpenAICompletions(model="m", stream=False), {"text": "hi"}, "hi"),
    ],
)
def test_a_whole_answer(protocol: HttpProtocol, choice: dict[str, Any], text: str) -> None:
    reply = read(protocol, json.dumps({"choices": [choice]}).encode())
    assert (reply.outputs, reply.tokens) == ([text], ())


def test_a_whole_answer_that_is_an_error_fails() -> None:
    with pytest.raises(BadReplyError, match="the server reports an error: no such model"):
        read(OpenAIChat(model="m", stream=False), b'{"error":{"message":"no such model"}}')


def test_plain_json() -> None:
    samples = [np.array([1.5, 2.5]), 3, "text"]
    assert body_of(PlainJson(), samples) == {"samples": [[1.5, 2.5], 3, "text"]}
    assert read(PlainJson(), b'{"outp', b'uts": [1, [2]]}').outputs == [1, [2]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1]", "this is not a JSON object"),
        (b"{", "this is not JSON"),
        (b'{"outputs": 1}', "there is no list 'outputs'"),
        (b"\xff", "this is not JSON"),
    ],
)
def test_a_malformed_body_fails(body: bytes, message: str) -> None:
    with pytest.raises(BadReplyError, match=message):
        read(PlainJson(), body)


def test_what_json_cannot_say_is_refused() -> None:
    message = "cannot send a object as JSON: give numbers, text, lists or arrays"
    with pytest.raises(UserError, match=message):
        PlainJson().requests([object()])


@pytest.mark.parametrize(
    ("protocol", "path"),
    [
        (KServeV2(model="net", input="x"), "/v2/models/net/infer"),
        (KServeV2(model="net", input="x", version="3"), "/v2/models/net/versions/3/infer"),
    ],
)
def test_kserve_paths(protocol: KServeV2, path: str) -> None:
    assert protocol.path == path


def test_a_kserve_request_stacks_the_samples() -> None:
    samples = [np.array([1, 2], np.int64), np.array([3, 4], np.int64)]
    protocol = KServeV2(model="net", input="x", output="y", datatype="FP32")
    assert body_of(protocol, samples) == {
        "inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}],
        "outputs": [{"name": "y"}],
    }
    (tensor,) = body_of(KServeV2(model="net", input="x"), samples)["inputs"]
    assert tensor["datatype"] == "INT64"
    (tensor,) = body_of(KServeV2(model="net", input="x"), ["ab", "c"])["inputs"]
    assert (tensor["datatype"], tensor["data"]) == ("BYTES", ["ab", "c"])


def kserve_response(*tensors: tuple[str, str, list[int], list[Any]]) -> bytes:
    names = ("name", "datatype", "shape", "data")
    outputs = [dict(zip(names, tensor, strict=True)) for tensor in tensors]
    return json.dumps({"model_name": "net", "outputs": outputs}).encode()


def test_kserve_outputs_are_split_along_the_first_axis() -> None:
    protocol = KServeV2(model="net", input="x")
    flat = kserve_response(("y", "FP32", [2, 2], [1.5, 2, 3, 4]))
    nested = kserve_response(("y", "FP32", [2, 2], [[1.5, 2], [3, 4]]))
    for response in (flat, nested):
        first, second = read(protocol, response).outputs
        assert first.tolist() == [1.5, 2.0]
        assert second.dtype == np.float32
    assert read(protocol, kserve_response(("y", "BYTES", [2], ["a", "b"]))).outputs == ["a", "b"]


def test_kserve_outputs_are_found_by_name() -> None:
    response = kserve_response(("y", "INT8", [1], [1]), ("z", "BOOL", [1], [True]))
    assert read(KServeV2(model="net", input="x", output="z"), response).outputs == [True]
    with pytest.raises(BadReplyError, match="expected one output, got y, z"):
        read(KServeV2(model="net", input="x"), response)
    with pytest.raises(BadReplyError, match="expected the output 'w', got y, z"):
        read(KServeV2(model="net", input="x", output="w"), response)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float16", "float32"])
def test_binary_tensors_survive_the_way_there_and_back(dtype: str) -> None:
    tensor = np.arange(6).reshape(2, 3).astype(dtype)
    protocol = KServeV2(model="net", input="x", binary=True)
    (request,) = protocol.requests(list(tensor))
    length = int(request.headers[JSON_LENGTH])
    message = json.loads(request.content[:length])
    assert message["parameters"] == {"binary_data_output": True}
    assert message["inputs"][0]["parameters"] == {"binary_data_size": tensor.nbytes}
    head = json.dumps({"outputs": message["inputs"]}).encode()
    response = head + request.content[length:]
    reply = read(protocol, response, headers={JSON_LENGTH: str(len(head))})
    assert np.array_equal(np.array(reply.outputs), tensor)
    assert reply.outputs[0].dtype == np.dtype(dtype)


def test_several_binary_tensors_follow_each_other() -> None:
    outputs = [
        {"name": name, "datatype": "INT8", "shape": [n], "parameters": {"binary_data_size": n}}
        for name, n in (("y", 1), ("z", 2))
    ]
    head = json.dumps({"outputs": outputs}).encode()
    headers = {JSON_LENGTH: str(len(head))}
    assert read(KServeV2(model="n", input="x", output="z"), head + b"\1\2\3", headers=headers) == (
        Reply([2, 3])
    )


def test_a_binary_tensor_of_the_wrong_size_fails() -> None:
    output = {"name": "y", "datatype": "FP32", "shape": [2]}
    head = json.dumps({"outputs": [{**output, "parameters": {"binary_data_size": 8}}]}).encode()
    with pytest.raises(BadReplyError, match="the output has 3 bytes, its shape needs 8"):
        read(KServeV2(model="n", input="x"), head + b"abc", headers={JSON_LENGTH: str(len(head))})


@pytest.mark.parametrize(
    ("protocol", "sample", "message"),
    [
        (KServeV2(model="n", input="x", binary=True), "text", "binary=True sends numbers only"),
        (KServeV2(model="n", input="x"), np.complex64(1), "KServe v2 has no type for complex64"),
    ],
)
def test_samples_that_kserve_cannot_send(protocol: KServeV2, sample: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        protocol.requests([sample])


def test_an_unknown_datatype_is_refused() -> None:
    with pytest.raises(UserError, match="unknown datatype 'FLOAT': use one of BOOL, UINT8, "):
        KServeV2(model="n", input="x", datatype="FLOAT")
