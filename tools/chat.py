"""A text model behind any OpenAI-compatible server: `vllm serve`, `transformers serve`, a vendor's own.

Sends many requests at once, keeps their order, and gives each its reply or its error. It asks nothing
twice: whoever holds the request decides whether to ask again (`aotd.tools.batching`). The key is read from
an environment variable that the settings name, and goes nowhere but into the request's header. Renders no
prompt, keeps no cache and starts no server. Needs the extra `llm` (the `openai` package), loaded when a
`ChatServer` is made.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import JsonValue

from aotd.tools.chat_wire import (
    Generation,
    PartsRequest,
    Structured,
    Style,
    error_of,
    explain,
    length_field,
    one_line,
    pause,
    read_reply,
    styles_for,
    write_body,
)
from aotd.tools.ledger import Ledger, Prices
from aotd.tools.models import ModelIdentity, Reply, TextRequest, ToolError

if TYPE_CHECKING:
    import openai

__all__ = ["ChatServer", "ChatSetupError"]

_CONNECT_SECONDS: Final = 10.0
"""A server that is there takes a connection at once, however long it thinks."""


class ChatSetupError(Exception):
    """A server, model or key that no request can succeed with, told in one line with its mend."""


class _Session(NamedTuple):
    """What lives between the first request and `close`: a thread with an event loop, and its connections."""

    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    client: openai.AsyncOpenAI
    slots: asyncio.Semaphore
    meeting: asyncio.Lock
    """Held while the server is asked what it is."""
    stop: asyncio.Event


class ChatServer:
    """A chat model on an OpenAI-compatible server.

    Thread-safe. Use it in a `with` block, or call `close`; connections are opened by the first request.

    Parameters
    ----------
    base_url
        The server's address, such as `http://localhost:8000/v1`; `/v1` is added to a bare host.
    model
        The model's name on the server.
    api_key_env
        Name of the environment variable that holds the key. A server on this machine or a private network
        may do without; None sends no key anywhere.
    temperature
        0 for greedy replies; None leaves it to the server.
    max_tokens
        Longest reply.
    seed
        Sent if given; servers promise little about it.
    timeout_seconds
        Longest wait for one reply, from sending to its last byte.
    concurrency
        Requests in flight at once, over all threads.
    structured
        How the server is told a request's choices. `auto` asks the server whether it is vLLM, which has its
        own way, and takes OpenAI's elsewhere. What a server refuses gives way to no way, and is not tried
        again.
    prices
        What the server charges.

    Raises
    ------
    ChatSetupError
        If the address is none or holds a password, the key is missing, or `openai` is not installed.
    """

    reads_pixels = False

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str | None = "OPENAI_API_KEY",
        temperature: float | None = 0.0,
        max_tokens: int = 2048,
        seed: int | None = None,
        timeout_seconds: float = 600.0,
        concurrency: int = 32,
        structured: Structured = "auto",
        prices: Prices | None = None,
    ) -> None:
        self._base_url, host = _address(base_url)
        self._model = model
        self._api_key_env = api_key_env
        self._generation = Generation(temperature, max_tokens, seed)
        self._timeout_seconds = timeout_seconds
        self._concurrency = concurrency
        self._structured: Structured = structured
        # Known from the server's list of models or first reply; what it refuses is taken out.
        self._styles: tuple[Style, ...] = ()
        self._length = length_field(host)
        self._lock = threading.Lock()
        self._session: _Session | None = None
        self.ledger = Ledger(prices or Prices())
        generated: dict[str, JsonValue] = dict(self._generation._asdict())
        self.identity = ModelIdentity(
            id=f"server/{model}",
            settings={"base_url": self._base_url, "structured": structured},
            generation=generated,
            sampled=temperature != 0,
        )
        self._check_key(host)
        _check_installed()

    @property
    def style(self) -> Style | None:
        """How choices are told to the server, as far as it has taken them; None while not known."""
        return self._styles[0] if self._styles else None

    def complete(self, requests: Sequence[TextRequest | PartsRequest]) -> Sequence[Reply | ToolError]:
        """Reply to each request, in order.

        A reply to a request with choices is one of them, or what the server said instead.

        Raises
        ------
        ChatSetupError
            If the server refuses the key, the model or the address; the other requests are given up.
        """
        if not requests:
            return []
        with self._lock:
            if self._session is None:
                self._session = self._open()
            session = self._session
            # Inside the lock: what `close` stops, it must know of.
            asked = asyncio.run_coroutine_threadsafe(self._complete(session, requests), session.loop)
        try:
            return asked.result()
        except BaseException:
            asked.cancel()
            raise

    def close(self) -> None:
        """Drop what is in flight and close the connections; a later request opens new ones."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.loop.call_soon_threadsafe(session.stop.set)
            session.thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _key(self) -> str:
        return os.environ.get(self._api_key_env, "").strip() if self._api_key_env else ""

    def _check_key(self, host: str) -> None:
        key = self._key()
        if self._api_key_env and not key and not _near(host):
            raise ChatSetupError(
                f"no key for {self._base_url}: set the environment variable {self._api_key_env}, or "
                "api_key_env=null if the server wants none"
            )
        if not (key.isascii() and key.isprintable()):
            raise ChatSetupError(
                f"the key in {self._api_key_env} holds characters that no key has: set it again"
            )

    def _open(self) -> _Session:
        import openai

        client = openai.AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._key() or "none",  # the client insists on a key, servers without one ignore it
            max_retries=0,
            timeout=openai.Timeout(None, connect=min(_CONNECT_SECONDS, self._timeout_seconds)),
        )
        ready: Future[_Session] = Future()
        thread = threading.Thread(
            target=lambda: asyncio.run(self._live(client, ready)), name="chat-server", daemon=True
        )
        thread.start()
        return ready.result()

    async def _live(self, client: openai.AsyncOpenAI, ready: Future[_Session]) -> None:
        """Keep the loop alive until `close`, then drop every request before its connection goes."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        slots = asyncio.Semaphore(self._concurrency)
        meeting = asyncio.Lock()
        ready.set_result(_Session(threading.current_thread(), loop, client, slots, meeting, stop))
        await stop.wait()
        asked = asyncio.all_tasks() - {asyncio.current_task()}
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await client.close()

    async def _complete(
        self, session: _Session, requests: Sequence[TextRequest | PartsRequest]
    ) -> Sequence[Reply | ToolError]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(session, request)) for request in requests]
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _one(self, session: _Session, request: TextRequest | PartsRequest) -> Reply | ToolError:
        async with session.slots:
            if not request.choices:
                return await self._ask(session, request, "none")
            styles = await self._known_styles(session)
            answer = await self._ask(session, request, styles[0])
            while _refused(answer) and len(styles) > 1:
                styles = styles[1:]
                answer = await self._ask(session, request, styles[0])
            # A refusal that no style mends is about the request and teaches nothing about styles.
            if isinstance(answer, Reply) and (not self._styles or len(styles) < len(self._styles)):
                self._styles = styles
            return answer

    async def _known_styles(self, session: _Session) -> tuple[Style, ...]:
        """Give the styles that the server may take, asking it once what it is."""
        import openai

        async with session.meeting:
            if self._styles or self._structured != "auto":
                return self._styles or styles_for(self._structured)
            try:
                async with asyncio.timeout(min(_CONNECT_SECONDS, self._timeout_seconds)):
                    models = await session.client.get("/models", cast_to=object)
            except (TimeoutError, ValueError, openai.APIConnectionError, openai.APIStatusError):
                # Not remembered: it may be starting. A server without a list is known by its first reply.
                return styles_for("auto")
            self._styles = styles_for("auto", models)
            return self._styles

    async def _ask(
        self, session: _Session, request: TextRequest | PartsRequest, style: Style
    ) -> Reply | ToolError:
        import openai

        body = write_body(request, self._model, self._generation, style, self._length)
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                data = await session.client.post("/chat/completions", cast_to=object, body=body)
        except (TimeoutError, openai.APITimeoutError):
            message = f"no reply from {self._base_url} in {self._timeout_seconds:g} s"
            return ToolError(kind="timeout", message=message, retryable=True)
        except openai.APIConnectionError as error:
            message = f"no connection to {self._base_url}: {one_line(str(error.__cause__ or error))}"
            return ToolError(kind="connection", message=message, retryable=True)
        except openai.APIStatusError as error:
            return await self._refusal(error)
        except ValueError:
            message = f"malformed reply from {self._base_url}: not JSON"
            return ToolError(kind="server", message=message, retryable=True)
        answer = read_reply(data, request.choices)
        if isinstance(answer, Reply):
            self.ledger.add(request.role, answer, time.perf_counter() - begin)
        return answer

    async def _refusal(self, error: openai.APIStatusError) -> ToolError:
        """Turn an error status into an error of the request, after the wait that the server asked for."""
        status = error.status_code
        said, key = explain(error.body), self._key()
        # A server may repeat the key that it refuses.
        message = one_line(f"{status} {said.replace(key, '[key]') if key else said}")
        failed = error_of(status, message)
        if failed is None:
            raise ChatSetupError(
                f"{self._base_url} refuses model {self._model!r}: {message} ({self._mend(status)})"
            ) from None
        if failed.retryable:
            await asyncio.sleep(pause(error.response.headers.get("retry-after"), datetime.now(UTC)))
        return failed

    def _mend(self, status: int) -> str:
        if status == 402:
            return "the account has no credit"
        if status not in (401, 403):
            return "check base_url and model, then the key"
        if self._api_key_env is None:
            return "name the environment variable of a key: api_key_env"
        return f"check the key in {self._api_key_env}" if self._key() else f"set {self._api_key_env} to a key"


def _refused(answer: Reply | ToolError) -> bool:
    return isinstance(answer, ToolError) and answer.kind == "bad-request"


def _check_installed() -> None:
    try:
        importlib.import_module("openai")
    except ImportError:
        raise ChatSetupError(
            "a model behind a server needs the openai package: pip install 'aotd[llm]'"
        ) from None


def _address(base_url: str) -> tuple[str, str]:
    """Split into a base URL ending without a slash, and its host; errors never repeat a password."""
    if "@" in base_url or "?" in base_url or "#" in base_url:
        raise ChatSetupError(
            "base_url may hold no user, password or query: give the key by api_key_env, the name of an "
            "environment variable"
        )
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https"):
        raise ChatSetupError(f"base_url {base_url!r} is no address: write it like http://localhost:8000/v1")
    path = parts.path.rstrip("/") or "/v1"
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}", host


def _near(host: str) -> bool:
    """Whether a host is this machine or on a private network: a private address or a name without a dot."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host
