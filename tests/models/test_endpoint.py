"""Endpoints that answer, stumble, talk nonsense or move away, on a server of our own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.servers import Scripted, completion, running

from exante.errors import InputError, RunError
from exante.models.endpoint import KEY, Ask, EndpointSpeaker
from exante.models.servers import ServerSettings
from exante.records import Message
from exante.speakers import Bill, Said

SECRET = "key-for-tests-only"
HELLO = [(Message(role="user", content="hello"),)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(KEY, raising=False)
    found = Scripted()
    with running(found):
        yield found


def speaker(
    server: Scripted, *, settings: ServerSettings | None = None, **options: Any
) -> tuple[EndpointSpeaker, list[float]]:
    """An endpoint that does not wait, and how long it would have waited."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)

    found = EndpointSpeaker(
        server.url, "some/model", settings=settings or ServerSettings(), sleep=sleep, **options
    )
    return found, pauses


def test_replies_come_in_order_and_requests_are_greedy(server: Scripted) -> None:
    talks = [(Message(role="user", content=f"say {i}"),) for i in range(20)]
    asked, pauses = speaker(server, max_new_tokens=7)
    assert asked.reply(talks) == [f"<say {i}>" for i in range(20)]
    assert pauses == []
    assert set(server.paths) == {"/v1/chat/completions"}
    assert all(body["temperature"] == 0 and body["max_tokens"] == 7 for body in server.seen)
    assert {body["model"] for body in server.seen} == {"some/model"}
    assert set(server.keys) == {None}
    assert asked.reply([]) == []


def test_passing_faults_are_tried_again_with_growing_pauses(server: Scripted) -> None:
    server.replies = [
        (429, {"Retry-After": "7"}, b"slow down"),
        (503, {}, b""),
        (200, {}, b"<html>garbage"),
        (200, {}, b'{"choices": []}'),
        (200, {}, completion("at last")),
    ]
    asked, pauses = speaker(server)
    assert asked.reply(HELLO) == ["at last"]
    assert len(server.seen) == 5
    # What the server asks for is kept, in steps: the own pause first.
    own = [pause for pause in pauses if pause < 7 - 1]
    assert 0.5 <= own[0] <= 1
    assert max(pauses) > 5
    assert asked.bill == Bill(requests=1, prompt_tokens=10, tokens=5, retries=4)


def test_pauses_double_and_are_jittered(server: Scripted) -> None:
    server.replies = [(503, {}, b"")]
    asked, pauses = speaker(server)
    with pytest.raises(RunError, match="status 503"):
        asked.reply(HELLO)
    assert [2**n / 2 <= pause <= 2**n for n, pause in enumerate(pauses)] == [True] * 4
    assert len(set(pauses)) == 4


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (429, b"slow  down\n", "status 429 slow down"),
        (500, b"", "status 500"),
        (200, b"<html>", "its reply is no JSON"),
        (200, b"[" * 100_000, "its reply is no JSON"),
        (200, b"{}", "no choices"),
        (200, b'{"choices": []}', "no choices"),
        (200, b'{"choices": [{"text": "a"}]}', "no choices"),
        (200, b"null", "no choices"),
        (200, completion(["a"]), "is no text"),
    ],
)
def test_faults_that_stay_are_said(
    server: Scripted, status: int, content: bytes, message: str
) -> None:
    server.replies = [(status, {}, content)]
    asked, pauses = speaker(server, settings=ServerSettings(tries=3))
    with pytest.raises(RunError, match=message) as caught:
        asked.reply(HELLO)
    assert len(server.seen) == 3
    assert len(pauses) == 2
    assert f"{server.url}#some/model" in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_request_that_is_wrong_is_not_repeated(server: Scripted, status: int) -> None:
    server.replies = [(status, {}, b"no such model")]
    asked, pauses = speaker(server)
    with pytest.raises(RunError, match=f"status {status} no such model"):
        asked.reply(HELLO)
    assert len(server.seen) == 1
    assert pauses == []


def test_a_reply_of_no_words_is_empty(server: Scripted) -> None:
    server.replies = [(200, {}, completion(None))]
    assert speaker(server)[0].reply(HELLO) == [""]


def test_nobody_there_is_said(server: Scripted) -> None:
    asked, pauses = speaker(server, settings=ServerSettings(tries=2))
    asked.url = "http://127.0.0.1:1/v1"
    with pytest.raises(RunError, match="see whether the server is up"):
        asked.reply(HELLO)
    assert len(pauses) == 1


def test_pauses_are_bounded_whatever_the_endpoint_wants(server: Scripted) -> None:
    server.replies = [(429, {"Retry-After": "86400"}, b""), (429, {"Retry-After": "soon"}, b"")]
    asked, pauses = speaker(server, settings=ServerSettings(tries=3))
    with pytest.raises(RunError):
        asked.reply(HELLO)
    assert 55 < max(pauses) <= 60


def test_the_key_is_sent_and_never_said(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    asked, _ = speaker(server)
    asked.reply(HELLO)
    assert server.keys == [f"Bearer {SECRET}"]
    server.replies = [(401, {}, f"wrong key {SECRET}, says the proxy".encode())]
    with pytest.raises(RunError) as caught:
        asked.reply(HELLO)
    assert "wrong key ..., says" in str(caught.value)
    printed = capfd.readouterr()
    for text in (str(caught.value), repr(caught.value), asked.name, printed.out, printed.err):
        assert SECRET not in text


def test_what_is_meant_for_this_machine_goes_through_no_proxy(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert speaker(server, settings=ServerSettings(tries=1))[0].reply(HELLO) == ["<hello>"]


def test_redirects_are_not_followed_with_the_key(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    server.replies = [(302, {"Location": server.url + "/elsewhere"}, b"")]
    with pytest.raises(RunError, match="status 302"):
        speaker(server)[0].reply(HELLO)
    assert server.paths == ["/v1/chat/completions"]


def test_a_key_does_not_travel_in_the_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)
    with pytest.raises(InputError, match="in the open") as caught:
        EndpointSpeaker("http://example.org/v1", "m")
    assert SECRET not in str(caught.value)
    for url in ("https://example.org/v1", "http://localhost:8000/v1", "http://[::1]:8000/v1"):
        assert EndpointSpeaker(url, "m").name == f"{url}#m"
    monkeypatch.delenv(KEY)
    assert EndpointSpeaker("http://example.org/v1", "m").name == "http://example.org/v1#m"


@pytest.mark.parametrize(
    "url", ["https://me:word@example.org/v1", "https://example.org/v1?key=word"]
)
def test_secrets_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InputError, match=KEY) as caught:
        EndpointSpeaker(url, "m")
    assert "word@" not in str(caught.value)
    assert "key=" not in str(caught.value)


def test_a_key_that_is_none_is_refused_without_being_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "two\nlines")
    with pytest.raises(InputError, match="no key may hold") as caught:
        EndpointSpeaker("https://example.org/v1", "m")
    assert "two" not in str(caught.value)


def test_as_many_at_once_as_is_set_and_no_more(server: Scripted) -> None:
    server.together = threading.Barrier(3, timeout=60)
    asked, _ = speaker(server, settings=ServerSettings(at_once=3))
    asked.reply([(Message(role="user", content=str(i)),) for i in range(12)])
    assert server.most_at_once == 3


def test_limits_per_minute_spread_requests(server: Scripted) -> None:
    talks = [(Message(role="user", content=f"{i}"),) for i in range(4)]
    asked, pauses = speaker(server, settings=ServerSettings(requests_per_minute=60, at_once=1))
    asked.reply(talks)
    assert [round(pause) for pause in pauses] == [1, 2, 3]
    asked, pauses = speaker(server, settings=ServerSettings(tokens_per_minute=60, at_once=1))
    asked.reply(talks)
    # Booked by the limit of a reply, settled by what the server counted: 15 tokens, 15 seconds.
    assert [round(pause) for pause in pauses] == [15, 30, 45]


def test_a_server_whose_limit_is_used_up_is_left_alone(server: Scripted) -> None:
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"}
    server.replies = [(200, spent, completion("one")), (200, {}, completion("two"))]
    asked, pauses = speaker(server, settings=ServerSettings(at_once=1))
    talks = [(Message(role="user", content=f"{i}"),) for i in range(2)]
    assert asked.reply(talks) == ["one", "two"]
    assert [round(pause) for pause in pauses] == [20]


def test_reasoning_is_told_apart_and_a_cut_turn_is_marked(server: Scripted) -> None:
    cut = json.loads(completion("an answer", reasoning_content="a thought"))
    cut["choices"][0]["finish_reason"] = "length"
    server.replies = [(200, {}, json.dumps(cut).encode())]
    asked, _ = speaker(server)
    ((_, said),) = asked.each([Ask(HELLO[0], {"seed": 7})])
    assert said == Said(
        text="an answer", reasoning="a thought", finish="length", prompt_tokens=10, tokens=5
    )
    assert server.seen[0]["seed"] == 7


class Kept(dict[str, Said]):
    """A memory."""

    def put(self, key: str, said: Said) -> None:
        self[key] = said

    def all(self) -> Any:
        return self.values()


def test_what_is_remembered_is_not_asked_again(server: Scripted) -> None:
    memory = Kept()
    talks = [(Message(role="user", content=text),) for text in ("a", "b", "a")]
    asked, _ = speaker(server, memory=memory)
    assert asked.reply(talks) == ["<a>", "<b>", "<a>"]
    assert len(server.seen) == 2
    again, _ = speaker(server, memory=memory)
    assert again.reply([*talks, *HELLO]) == ["<a>", "<b>", "<a>", "<hello>"]
    assert len(server.seen) == 3
    assert again.bill.requests == 3
    other, _ = speaker(server, memory=memory, max_new_tokens=3)
    other.reply(talks[:1])
    assert len(server.seen) == 4


def test_what_came_before_a_fault_is_remembered(server: Scripted) -> None:
    server.replies = [(200, {}, completion("one")), (400, {}, b"maximum context length is 8")]
    memory = Kept()
    asked, _ = speaker(server, memory=memory, settings=ServerSettings(at_once=1))
    talks = [(Message(role="user", content=text),) for text in "abc"]
    with pytest.raises(RunError, match="maximum context length is 8") as caught:
        asked.reply(talks)
    assert "shorten the prompt" in str(caught.value)
    assert [said.text for said in memory.values()] == ["one"]
    assert asked.foresee(talks).requests == 2


def test_it_works_where_a_loop_runs_already(server: Scripted) -> None:
    async def inside() -> list[str]:
        return speaker(server)[0].reply(HELLO)

    assert asyncio.run(inside()) == ["<hello>"]


def test_costs_come_from_given_prices_alone(server: Scripted) -> None:
    asked, _ = speaker(server, max_new_tokens=100)
    assert asked.foresee(HELLO) == Bill(requests=1, prompt_tokens=2, tokens=100)
    priced = ServerSettings(prompt_price=1e6, reply_price=2e6)
    asked, _ = speaker(server, settings=priced)
    asked.reply(HELLO)
    assert asked.bill.cost == 10 + 2 * 5
    assert str(asked.bill) == "1 requests, 10 + 5 tokens, cost 20.0000"


def test_the_server_tells_what_it_serves(server: Scripted) -> None:
    assert speaker(server)[0].served() == {"id": "some/model", "owned_by": "tests"}
    for models in ([{"id": "other"}], [], None, ["some/model"]):
        server.models = models
        assert speaker(server)[0].served() == {}
    server.list_status = 500
    assert speaker(server)[0].served() == {}
    server.list_status = 401
    with pytest.raises(RunError, match="status 401"):
        speaker(server)[0].served()
