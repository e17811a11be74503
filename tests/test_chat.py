"""The text model behind an OpenAI-compatible server, against a real HTTP server with a script."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aotd.tools.chat_wire import Structured
from aotd.tools.ledger import Prices, Usage, total
from aotd.tools.models import Message, Reply, TextRequest, ToolError
from aotd.tools.scripted_server import Asked, Said, ScriptedServer

pytest.importorskip("openai", reason="the extra `llm` is not installed")

from aotd.tools.chat import ChatServer

YES_NO = ("yes", "no")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the keys of whoever runs the tests out of them."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def ask(text: str, choices: tuple[str, ...] | None = None) -> TextRequest:
    """Make a request with one user message."""
    return TextRequest(role="judge", messages=(Message(role="user", content=text),), choices=choices)


def one(server: ScriptedServer, request: TextRequest, **settings: Any) -> Reply | ToolError:
    """Ask one request of a client that lives no longer."""
    with ChatServer(server.base_url, "scripted", **settings) as chat:
        return chat.complete([request])[0]


def echo(asked: Asked) -> Said:
    """Say what was asked."""
    return Said(text=asked.last)


def say(said: Said) -> Callable[[Asked], Said]:
    """Say the same to everything."""
    return lambda _: said


def test_replies_come_in_the_order_of_the_requests() -> None:
    """Requests that are answered out of order are returned in order."""
    with (
        ScriptedServer(lambda asked: Said(text=asked.last, delay=0.03 * (int(asked.last) % 3))) as server,
        ChatServer(server.base_url, "scripted", concurrency=16) as chat,
    ):
        replies = chat.complete([ask(str(n)) for n in range(30)])
    assert [r.text for r in replies if isinstance(r, Reply)] == [str(n) for n in range(30)]


def test_the_server_never_has_more_requests_open_than_allowed() -> None:
    """The limit holds over all threads together, and it is reached."""
    with (
        ScriptedServer(lambda asked: Said(text=asked.last, delay=0.05)) as server,
        ChatServer(server.base_url, "scripted", concurrency=4) as chat,
        ThreadPoolExecutor(3) as lanes,
    ):
        batches = [[ask(f"{lane}-{n}") for n in range(8)] for lane in range(3)]
        replies = list(lanes.map(chat.complete, batches))
    assert [[r.text for r in batch if isinstance(r, Reply)] for batch in replies] == [
        [f"{lane}-{n}" for n in range(8)] for lane in range(3)
    ]
    assert server.busiest == 4


def test_messages_model_and_generation_settings_are_sent_as_given() -> None:
    """The body holds the model, all messages in order, temperature, length and seed, and nothing else."""
    request = TextRequest(
        role="planner",
        messages=(Message(role="system", content="Be brief."), Message(role="user", content="Hé?")),
    )
    with ScriptedServer(echo) as server:
        one(server, request, temperature=0.5, max_tokens=7, seed=0)
        one(server, request, temperature=None)
    assert server.asked[0].body == {
        "model": "scripted",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hé?"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "seed": 0,
    }
    assert server.asked[1].body.keys() == {"model", "messages", "max_tokens"}


@pytest.mark.parametrize(
    ("status", "message", "kind", "retryable"),
    [
        (400, "messages must alternate", "bad-request", False),
        (
            400,
            "This model's maximum context length is 2048 tokens. However, you requested",
            "too-long",
            False,
        ),
        (
            400,
            "The input (9 tokens) is longer than the model's context length (8 tokens).",
            "too-long",
            False,
        ),
        (400, "max_tokens=8000 cannot be greater than max_model_len=512.", "too-long", False),
        (413, "payload", "too-long", False),
        (422, "Unexpected fields in the request: {'seed'}", "bad-request", False),
        (408, "slow", "timeout", True),
        (409, "conflict", "server", True),
        (429, "slow down", "rate-limit", True),
        (500, "oops", "server", True),
        (503, "loading", "server", True),
    ],
)
def test_an_error_status_becomes_an_error_of_its_kind(
    status: int, message: str, kind: str, *, retryable: bool
) -> None:
    """Each status has one kind, keeps the server's words, and is asked once."""
    with ScriptedServer(say(Said(status=status, text=message))) as server:
        answer = one(server, ask("a"))
    assert answer == ToolError(kind=kind, message=f"{status} {message}", retryable=retryable)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (Said(hang_up=True), "connection", "no connection to http://127.0.0.1"),
        (Said(raw=b'{"choices": [{"mess'), "server", "not JSON"),
        (Said(raw=b"\xff\xfe"), "server", "not JSON"),
        (Said(raw=b'{"choices": []}'), "server", "choices"),
        (Said(raw=b'"hello"'), "server", "malformed reply"),
        (Said(raw=b'{"choices": [{"message": {"content": 3}}]}'), "server", "choices.0.message.content"),
        (Said(delay=5.0), "timeout", "in 0.3 s"),
    ],
)
def test_a_broken_reply_is_an_error_to_be_retried(said: Said, kind: str, words: str) -> None:
    """Hanging up, nonsense and silence are the server's fault and told as such."""
    with ScriptedServer(say(said)) as server:
        answer = one(server, ask("a"), timeout_seconds=0.3)
    assert isinstance(answer, ToolError)
    assert (answer.kind, answer.retryable) == (kind, True)
    assert words in answer.message
    assert len(server.asked) == 1


def test_one_bad_request_leaves_its_neighbours_alone() -> None:
    """A request's own error takes its place, and the others are answered."""

    def script(asked: Asked) -> Said:
        return Said(status=400, text="no") if asked.last == "b" else echo(asked)

    with ScriptedServer(script) as server, ChatServer(server.base_url, "scripted") as chat:
        answers = chat.complete([ask("a"), ask("b"), ask("c")])
    assert answers == [Reply(text="a"), ToolError(kind="bad-request", message="400 no"), Reply(text="c")]


def test_a_server_that_comes_back_is_asked_again_on_new_connections() -> None:
    """Requests to a server that died are errors to be retried; after its restart they succeed."""
    with ScriptedServer(echo) as server, ChatServer(server.base_url, "scripted") as chat:
        assert chat.complete([ask("before")]) == [Reply(text="before")]
        server.stop()
        lost = chat.complete([ask("a"), ask("b")])
        server.start()
        assert chat.complete([ask("a"), ask("b")]) == [Reply(text="a"), Reply(text="b")]
    assert [(e.kind, e.retryable) for e in lost if isinstance(e, ToolError)] == [("connection", True)] * 2


def test_a_server_that_dies_while_it_answers_is_a_lost_connection() -> None:
    """A request in flight when the server is killed is an error to be retried."""
    with ScriptedServer(say(Said(delay=10.0))) as server, ChatServer(server.base_url, "scripted") as chat:
        killer = threading.Timer(0.2, server.stop)
        killer.start()
        answer = chat.complete([ask("a")])[0]
        killer.join()
    assert isinstance(answer, ToolError)
    assert (answer.kind, answer.retryable) == ("connection", True)


def test_a_rate_limit_is_reported_after_the_wait_that_the_server_asks_for() -> None:
    """`Retry-After` delays the error, so that whoever asks again asks in time."""
    with ScriptedServer(say(Said(status=429, text="slow", retry_after="0.4"))) as server:
        begin = time.perf_counter()
        answer = one(server, ask("a"))
        waited = time.perf_counter() - begin
    assert isinstance(answer, ToolError)
    assert answer.kind == "rate-limit"
    assert waited >= 0.4


SCHEMA = {
    "type": "object",
    "properties": {"choice": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["choice"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("structured", "field", "value", "said"),
    [
        ("guided", "structured_outputs", {"choice": ["yes", "no"]}, "no"),
        (
            "response_format",
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "choice", "strict": True, "schema": SCHEMA}},
            '{"choice": "no"}',
        ),
    ],
)
def test_choices_are_sent_as_the_server_wants_them(
    structured: Structured, field: str, value: object, said: str
) -> None:
    """What vLLM and OpenAI document is what is sent, and the reply is read either way."""
    with ScriptedServer(say(Said(text=said))) as server:
        assert one(server, ask("a", YES_NO), structured=structured) == Reply(text="no")
        one(server, ask("a"), structured=structured)
    assert server.asked[0].body[field] == value
    assert field not in server.asked[1].body


def refusing(*fields: str, status: int = 400) -> Callable[[Asked], Said]:
    """Refuse requests with certain fields, as strict servers do."""

    def script(asked: Asked) -> Said:
        unknown = [f for f in fields if f in asked.body]
        return Said(status=status, text=f"unknown field {unknown}") if unknown else Said(text=" No\n")

    return script


@pytest.mark.parametrize("status", [400, 422])
def test_what_a_server_refuses_is_not_tried_again(status: int) -> None:
    """`auto` goes down to plain text once; the next request starts there."""
    with (
        ScriptedServer(refusing("response_format", "structured_outputs", status=status)) as server,
        ChatServer(server.base_url, "scripted") as chat,
    ):
        assert chat.style is None
        assert chat.complete([ask("a", YES_NO)]) == [Reply(text="no")]
        assert len(server.asked) == 3
        assert chat.complete([ask("b", YES_NO)]) == [Reply(text="no")]
        assert len(server.asked) == 4
        assert chat.style == "none"


def test_auto_stops_at_the_first_way_that_the_server_takes() -> None:
    """A server that knows vLLM's parameter alone keeps getting it."""
    with (
        ScriptedServer(refusing("response_format")) as server,
        ChatServer(server.base_url, "scripted") as chat,
    ):
        assert chat.complete([ask("a", YES_NO)]) == [Reply(text="no")]
        assert chat.style == "guided"


@pytest.mark.parametrize(("owner", "sent"), [("vllm", "structured_outputs"), ("library", "response_format")])
def test_auto_asks_the_server_whether_it_is_vllm(owner: str, sent: str) -> None:
    """A model list owned by vLLM gets vLLM's parameter, any other server gets OpenAI's."""
    with ScriptedServer(say(Said(text="yes")), owner=owner) as server:
        assert one(server, ask("a", YES_NO)) == Reply(text="yes")
    assert server.asked[0].body.keys() & {"structured_outputs", "response_format"} == {sent}


def test_a_server_that_was_down_is_asked_again_what_it_is() -> None:
    """A lost connection teaches nothing about the server's ways."""
    with (
        ScriptedServer(say(Said(text="yes")), owner="vllm") as server,
        ChatServer(server.base_url, "scripted") as chat,
    ):
        server.stop()
        (lost,) = chat.complete([ask("a", YES_NO)])
        assert isinstance(lost, ToolError)
        assert chat.style is None
        server.start()
        assert chat.complete([ask("a", YES_NO)]) == [Reply(text="yes")]
        assert chat.style == "guided"


def test_a_request_that_is_bad_in_itself_does_not_change_the_way() -> None:
    """A refusal with and without the parameter is the request's, so later requests are still restricted."""

    def script(asked: Asked) -> Said:
        return Said(status=400, text="bad") if asked.last == "bad" else Said(text='{"choice": "yes"}')

    with ScriptedServer(script) as server, ChatServer(server.base_url, "scripted") as chat:
        assert chat.complete([ask("bad", YES_NO)]) == [ToolError(kind="bad-request", message="400 bad")]
        assert chat.complete([ask("good", YES_NO)]) == [Reply(text="yes")]
        assert chat.style == "response_format"


def test_a_reply_cut_short_says_so() -> None:
    """`finish_reason` length marks the reply as truncated."""
    with ScriptedServer(say(Said(text="def exec", finish_reason="length"))) as server:
        assert one(server, ask("a")) == Reply(text="def exec", truncated=True)


def test_a_model_that_says_nothing_gave_an_empty_reply() -> None:
    """Null content is a reply, not a broken server: asking again would stop the run for nothing."""
    with ScriptedServer(say(Said(text=None, finish_reason="length"))) as server:
        assert one(server, ask("a")) == Reply(text="", truncated=True)


def test_a_filtered_reply_is_an_error_of_its_request() -> None:
    """A reply that the server withholds is told, not taken for an empty one."""
    with ScriptedServer(say(Said(finish_reason="content_filter"))) as server:
        answer = one(server, ask("a"))
    assert isinstance(answer, ToolError)
    assert (answer.kind, answer.retryable) == ("refused", False)


def test_usage_is_in_the_reply_and_summed_by_role() -> None:
    """3 replies of 1000 + 200 tokens at 2 and 10 a million cost 3 x (0.002 + 0.002); errors cost nothing."""

    def script(asked: Asked) -> Said:
        failed = asked.last == "bad"
        return Said(status=500) if failed else Said(text="x", prompt_tokens=1000, reply_tokens=200)

    with (
        ScriptedServer(script) as server,
        ChatServer(server.base_url, "scripted", prices=Prices(prompt=2, reply=10)) as chat,
    ):
        replies = chat.complete([ask("a"), ask("bad"), ask("b"), ask("c")])
        plan = TextRequest(role="planner", messages=(Message(role="user", content="p"),))
        chat.complete([plan])
        usage = chat.ledger.usage()
    assert replies[0] == Reply(text="x", prompt_tokens=1000, reply_tokens=200)
    judge = usage["judge"]
    assert (judge.requests, judge.prompt_tokens, judge.reply_tokens) == (3, 3000, 600)
    assert judge.cost == pytest.approx(0.012)
    assert judge.seconds > 0
    assert total(usage.values()).cost == pytest.approx(0.016)
    assert list(usage) == ["judge", "planner"]


def test_an_unknown_price_makes_the_cost_unknown() -> None:
    """Without both prices there is no cost, and a sum with an unknown part is unknown."""
    with ScriptedServer(say(Said(prompt_tokens=5, reply_tokens=5))) as server:
        for prices in (None, Prices(prompt=1)):
            with ChatServer(server.base_url, "scripted", prices=prices) as chat:
                chat.complete([ask("a")])
                assert chat.ledger.usage()["judge"].cost is None
    assert total([Usage(cost=1.0), Usage(cost=None)]).cost is None


def test_closing_drops_what_is_in_flight() -> None:
    """`close` does not wait for a slow server, leaves no thread, and a later request starts anew."""

    def script(asked: Asked) -> Said:
        return Said(delay=20.0) if asked.last == "slow" else echo(asked)

    with ScriptedServer(script) as server, ThreadPoolExecutor(1) as lane:
        chat = ChatServer(server.base_url, "scripted")
        slow = lane.submit(chat.complete, [ask("slow")])
        while not server.asked:
            time.sleep(0.01)
        begin = time.perf_counter()
        chat.close()
        with pytest.raises(CancelledError):
            slow.result(timeout=10)
        assert time.perf_counter() - begin < 10
        assert not [t for t in threading.enumerate() if t.name == "chat-server"]
        assert chat.complete([ask("a")]) == [Reply(text="a")]
        chat.close()
        chat.close()


def test_the_example_of_the_page_about_servers_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The page's Python example prints what the page says it prints."""
    page = (Path(__file__).parent.parent / "docs" / "servers.md").read_text(encoding="utf-8")
    example = page.partition("```python\n")[2].partition("```")[0]
    exec(compile(example, "docs/servers.md", "exec"), {})  # noqa: S102
    printed = [line.partition("# ")[2] for line in example.splitlines() if line.startswith("print(")]
    assert capsys.readouterr().out.splitlines() == printed
