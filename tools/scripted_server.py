"""A small real HTTP server that speaks OpenAI's chat API from a script: for tests and documentation.

    with ScriptedServer(lambda asked: Said(text="yes")) as server:
        ChatServer(server.base_url, "scripted").complete(requests)

It can be late, refuse, hang up and talk nonsense on demand, and be stopped and started again on its port.
It runs no model, checks no key, and listens on this machine only.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, NamedTuple, Self

__all__ = ["Asked", "Said", "ScriptedServer"]


class Asked(NamedTuple):
    """A completion request as it arrived."""

    body: dict[str, Any]
    headers: dict[str, str]
    """By lower-case name."""

    @property
    def last(self) -> str:
        """Text of the last message."""
        return "\n".join(part["text"] for part in self._parts if part["type"] == "text")

    @property
    def attached(self) -> list[tuple[str, bytes]]:
        """Media type and content of the pictures and videos of the last message, in order."""
        urls = [part[part["type"]]["url"] for part in self._parts if part["type"] != "text"]
        split = [url.removeprefix("data:").split(";base64,") for url in urls]
        return [(kind, base64.b64decode(content, validate=True)) for kind, content in split]

    @property
    def _parts(self) -> list[dict[str, Any]]:
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, list) else [{"type": "text", "text": str(content)}]


class Said(NamedTuple):
    """What to answer; the default is an empty reply that ended by itself."""

    text: str | None = ""
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    """With `reply_tokens`: the usage to report; none is reported without both."""
    reply_tokens: int | None = None
    status: int = 200
    """An error status sends `text` as the error's message."""
    retry_after: str | None = None
    delay: float = 0.0
    """Seconds before anything is sent."""
    raw: bytes | None = None
    """Sent as the body in place of a completion."""
    hang_up: bool = False
    """Close the connection without an answer."""


class ScriptedServer:
    """Answers `/v1/chat/completions` from `script` and `/v1/models` with one model.

    `script` runs in a thread per connection. `asked` holds the requests in order of arrival, `busiest` the
    most that were open at one time.

    Parameters
    ----------
    script
        From a request to its answer.
    model
        Name of the model; another name is answered with 404.
    owner
        What `/v1/models` says of the model's owner; vLLM says `vllm`.
    """

    def __init__(
        self, script: Callable[[Asked], Said], model: str = "scripted", owner: str = "scripted"
    ) -> None:
        self.asked: list[Asked] = []
        self.busiest = 0
        self._script = script
        self._model = model
        self._owner = owner
        self._port = 0
        self._open = 0
        self._lock = threading.Lock()
        self._http: _Http | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """Address for clients; the same after a restart."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        """Listen: on any free port at first, on the same one afterwards."""
        self._http = _Http(self._port, self)
        self._port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="scripted-server")
        self._thread.start()

    def stop(self) -> None:
        """Cut every connection and free the port."""
        http, thread = self._http, self._thread
        self._http = self._thread = None
        if http is not None and thread is not None:
            http.shutdown()
            thread.join()
            http.cut()
            http.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def models(self) -> dict[str, Any]:
        """Body of `/v1/models`."""
        return {
            "object": "list",
            "data": [{"id": self._model, "object": "model", "created": 0, "owned_by": self._owner}],
        }

    def answer(self, asked: Asked, stopping: threading.Event) -> Said:
        """Count a request in, run the script and its delay, count it out."""
        with self._lock:
            self.asked.append(asked)
            self._open += 1
            self.busiest = max(self.busiest, self._open)
        try:
            if asked.body.get("model") != self._model:
                return Said(status=404, text=f"The model `{asked.body.get('model')}` does not exist.")
            said = self._script(asked)
            stopping.wait(said.delay)
            return said
        finally:
            with self._lock:
                self._open -= 1


class _Http(ThreadingMixIn, TCPServer):
    """The listening socket, and the connections to cut when it stops."""

    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, port: int, scripted: ScriptedServer) -> None:
        self.scripted = scripted
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def add(self, connection: socket.socket) -> None:
        """Remember an open connection; one that comes while the server stops is ended at once."""
        with self._lock:
            self._connections.add(connection)
            if self.stopping.is_set():
                _shut(connection)

    def drop(self, connection: socket.socket) -> None:
        """Forget a connection that its handler closes."""
        with self._lock:
            self._connections.discard(connection)

    def cut(self) -> None:
        """End all connections; their handlers then return."""
        with self._lock:
            self.stopping.set()
            for connection in self._connections:
                _shut(connection)


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests as real servers do."""

    server: _Http
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.server.add(self.connection)

    def handle(self) -> None:
        # A client that goes away, or a stop, ends the connection wherever it is.
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def finish(self) -> None:
        self.server.drop(self.connection)
        try:
            super().finish()
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._send(200, json.dumps(self.server.scripted.models()).encode())
        else:
            self._send(404, _error("no such path"))

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v1/chat/completions":
            self._send(404, _error("no such path"))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = self.server.scripted.answer(Asked(json.loads(content), headers), self.server.stopping)
        if said.hang_up or self.server.stopping.is_set():
            self.close_connection = True
            _shut(self.connection)
        elif said.raw is not None:
            self._send(said.status, said.raw, said.retry_after)
        elif said.status >= 400:
            self._send(said.status, _error(said.text or ""), said.retry_after)
        else:
            self._send(said.status, json.dumps(_completion(said)).encode())

    def _send(self, status: int, body: bytes, retry_after: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(body)


def _completion(said: Said) -> dict[str, Any]:
    completion: dict[str, Any] = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": said.text},
                "finish_reason": said.finish_reason,
            }
        ],
    }
    if said.prompt_tokens is not None and said.reply_tokens is not None:
        completion["usage"] = {
            "prompt_tokens": said.prompt_tokens,
            "completion_tokens": said.reply_tokens,
            "total_tokens": said.prompt_tokens + said.reply_tokens,
        }
    return completion


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "scripted", "code": None}}).encode()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was quicker
