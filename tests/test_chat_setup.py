"""Addresses, keys and models of a server: what is refused, what is kept secret, what a model is known by."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from aotd.tools.models import Message, Reply, TextRequest
from aotd.tools.scripted_server import Asked, Said, ScriptedServer

pytest.importorskip("openai", reason="the extra `llm` is not installed")

from aotd.tools.chat import ChatServer, ChatSetupError

KEY = "sk-secret-0123456789"
YES_NO = ("yes", "no")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the keys of whoever runs the tests out of them."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def ask(text: str, choices: tuple[str, ...] | None = None) -> TextRequest:
    """Make a request with one user message."""
    return TextRequest(role="judge", messages=(Message(role="user", content=text),), choices=choices)


def echo(asked: Asked) -> Said:
    """Say what was asked."""
    return Said(text=asked.last)


def say(said: Said) -> Callable[[Asked], Said]:
    """Say the same to everything."""
    return lambda _: said


@pytest.mark.parametrize(
    ("status", "mend"), [(401, "set OPENAI_API_KEY"), (403, "set OPENAI"), (402, "credit")]
)
def test_a_refused_key_stops_at_once(status: int, mend: str) -> None:
    """A refusal that every request would get is one line naming server, model and mend, not an answer."""
    with (
        ScriptedServer(say(Said(status=status, text="bad key"))) as server,
        ChatServer(server.base_url, "scripted", concurrency=1) as chat,
        pytest.raises(ChatSetupError, match=mend) as told,
    ):
        chat.complete([ask(str(n)) for n in range(50)])
    message = str(told.value)
    assert server.base_url in message
    assert "'scripted'" in message
    assert "\n" not in message
    assert len(server.asked) < 50


def test_an_unknown_model_stops_at_once() -> None:
    """A model that the server lacks is a fault of the set-up, in the server's words and ours."""
    with (
        ScriptedServer(echo) as server,
        ChatServer(server.base_url, "other") as chat,
        pytest.raises(
            ChatSetupError, match=r"'other'.*404 The model `other` does not exist.*base_url and model"
        ),
    ):
        chat.complete([ask("a")])


@pytest.mark.parametrize(
    "message",
    [
        "Model Not Exist",
        "Invalid model: mistral-huge",
        "Server is pinned to 'Qwen/Qwen2-7B'; requested 'scripted'.",
        "API key not valid. Please pass a valid API key.",
    ],
)
def test_a_wrong_model_told_as_a_bad_request_stops_at_once(message: str) -> None:
    """Servers that answer 400 to a wrong model or key are understood by their words."""
    with (
        ScriptedServer(say(Said(status=400, text=message))) as server,
        ChatServer(server.base_url, "scripted") as chat,
        pytest.raises(ChatSetupError, match=r"400 .*check base_url and model, then the key"),
    ):
        chat.complete([ask("a", YES_NO)])


def test_the_key_goes_into_the_header_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that repeats the key in its refusal does not bring it into an error, identity or repr."""
    monkeypatch.setenv("MY_KEY", f"{KEY}\n")

    def script(asked: Asked) -> Said:
        message = "x" * 280 + asked.headers["authorization"]
        return Said(
            status={"a": 200, "b": 400, "c": 401}[asked.last], text=message if asked.last != "a" else ""
        )

    with (
        ScriptedServer(script) as server,
        ChatServer(server.base_url, "scripted", api_key_env="MY_KEY") as chat,
    ):
        refused = chat.complete([ask("a"), ask("b")])[1]
        with pytest.raises(ChatSetupError, match="check the key in MY_KEY") as told:
            chat.complete([ask("c")])
        shown = [repr(chat), str(vars(chat)), chat.identity.model_dump_json(), str(told.value), repr(refused)]
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert all(KEY[:6] not in text for text in shown)


def test_a_key_that_was_not_named_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `api_key_env=None` a key that happens to be in the environment stays there."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ScriptedServer(echo) as server, ChatServer(server.base_url, "scripted", api_key_env=None) as chat:
        chat.complete([ask("a")])
    assert KEY not in str(server.asked[0].headers)


def test_a_key_that_no_header_can_carry_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with foreign characters is told at once, without repeating it."""
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}“")
    with pytest.raises(ChatSetupError, match="OPENAI_API_KEY holds") as told:
        ChatServer("http://localhost:8000", "m")
    assert KEY not in str(told.value)


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://8.8.8.8/v1", "https://gpu.example.org"])
def test_a_remote_server_wants_a_key(url: str) -> None:
    """A missing key is told before the first request, with the variable to set; saying `none` is allowed."""
    with pytest.raises(ChatSetupError, match="set the environment variable OPENAI_API_KEY"):
        ChatServer(url, "m")
    ChatServer(url, "m", api_key_env=None)


@pytest.mark.parametrize(
    ("url", "settled"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("http://gpu7:8000/v1/", "http://gpu7:8000/v1"),
        ("http://10.0.0.3/openai/v1", "http://10.0.0.3/openai/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_may_leave_out_the_version(url: str, settled: str) -> None:
    """A bare host gets `/v1`, and servers nearby need no key."""
    assert ChatServer(url, "m").identity.settings["base_url"] == settled


def test_a_bare_address_reaches_the_server() -> None:
    """An address without `/v1` is asked under `/v1`."""
    with (
        ScriptedServer(echo) as server,
        ChatServer(server.base_url.removesuffix("/v1"), "scripted") as chat,
    ):
        assert chat.complete([ask("a")]) == [Reply(text="a")]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:hunter2@host/v1", "no user, password"),
        ("user:hunter2@host", "no user, password"),
        ("http://host/v1?api-key=hunter2", "no user, password"),
        ("localhost:8000", "is no address"),
        ("http://", "is no address"),
        ("http://host:port/v1", "is no address"),
        ("http://[::1", "is no address"),
    ],
)
def test_a_wrong_address_is_refused_without_repeating_secrets(url: str, words: str) -> None:
    """What is no address, or holds a password or key, is told in one line that does not hold it."""
    with pytest.raises(ChatSetupError, match=words) as told:
        ChatServer(url, "m", api_key_env=None)
    assert "hunter2" not in str(told.value)


def test_identity_holds_what_decides_the_replies() -> None:
    """Model, server and generation are in the identity; sampling is marked; concurrency and time are not."""
    greedy = ChatServer("http://localhost:8000", "m").identity
    assert (greedy.id, greedy.sampled, greedy.revision) == ("server/m", False, None)
    assert greedy.generation == {"temperature": 0.0, "max_tokens": 2048, "seed": None}
    assert ChatServer("http://localhost:8000", "m", temperature=0.7).identity.sampled
    assert ChatServer("http://localhost:8000", "m", concurrency=1, timeout_seconds=1).identity == greedy
    for other in ({"seed": 1}, {"structured": "none"}, {"max_tokens": 9}):
        assert ChatServer("http://localhost:8000", "m", **other).identity.key != greedy.key  # type: ignore[arg-type]


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `openai` the error is one line with what to install."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ChatSetupError, match=r"pip install 'aotd\[llm\]'"):
        ChatServer("http://localhost:8000", "m")
