"""A chat completion as OpenAI-compatible servers write it: the body sent, the reply read, errors told apart.

Pure functions over JSON values. A reply is never guessed at: one that should be a choice and is none comes
back as the server wrote it. Sends nothing and waits for nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, Field, JsonValue, ValidationError

from aotd.tools.models import Reply, TextRequest, ToolError

__all__ = [
    "LONGEST_PAUSE",
    "Generation",
    "LengthField",
    "PartsRequest",
    "Structured",
    "Style",
    "chosen",
    "error_of",
    "explain",
    "length_field",
    "one_line",
    "pause",
    "read_reply",
    "styles_for",
    "write_body",
]

Style = Literal["response_format", "guided", "none"]
"""How a server is told the choices: OpenAI's JSON schema, vLLM's `structured_outputs`, or not at all."""

Structured = Literal["auto", "response_format", "guided", "none"]

_ANYWHERE: Final[tuple[Style, ...]] = ("response_format", "guided", "none")
# vLLM takes both; a bare choice costs a token or two, and in JSON a weak model may write blanks to the end.
_VLLM: Final[tuple[Style, ...]] = ("guided", "response_format", "none")

LengthField = Literal["max_tokens", "max_completion_tokens"]

LONGEST_PAUSE: Final = 30.0
"""Seconds waited at most when a server says when to come back."""

_LONGEST_MESSAGE: Final = 300

_TOO_LONG: Final = re.compile(
    r"context[ _-]?(length|window|size)|max_model_len|too long|longer than|max_new_tokens` must be",
    re.IGNORECASE,
)
"""How servers say that prompt and reply do not fit (OpenAI, vLLM, SGLang, llama.cpp, TGI)."""


_NO_SUCH_MODEL: Final = re.compile(
    r"model\b.{0,200}\bnot (exist|found)|(invalid|unknown) model|pinned to|api key", re.IGNORECASE
)
"""How servers that answer 400 say that model or key is wrong (DeepSeek, Mistral, transformers, Gemini)."""


class Generation(NamedTuple):
    """How replies are generated; None leaves a setting to the server."""

    temperature: float | None
    max_tokens: int
    seed: int | None


class PartsRequest(NamedTuple):
    """A request with one user message, made of parts such as text and pictures, as the wire has them."""

    role: str
    """For whom it counts in the ledger."""
    parts: tuple[dict[str, JsonValue], ...]
    choices: tuple[str, ...] | None = None


def length_field(host: str) -> LengthField:
    """Name the field for the longest reply: OpenAI has renamed it, and not every server followed."""
    return "max_completion_tokens" if host == "api.openai.com" else "max_tokens"


def styles_for(structured: Structured, models: object = None) -> tuple[Style, ...]:
    """Order the styles to try until the server takes one; `auto` looks for vLLM in its list of models."""
    if structured == "none":
        return ("none",)
    if structured != "auto":
        return (structured, "none")
    listed = models.get("data") if isinstance(models, Mapping) else None
    owners = [m.get("owned_by") for m in listed if isinstance(m, Mapping)] if isinstance(listed, list) else []
    return _VLLM if "vllm" in owners else _ANYWHERE


def write_body(
    request: TextRequest | PartsRequest,
    model: str,
    generation: Generation,
    style: Style,
    length: LengthField,
) -> dict[str, JsonValue]:
    """Write the body of a completion request.

    Parameters
    ----------
    request
        Messages, and the choices if there are any.
    model
        The model's name on the server.
    generation
        Temperature, length and seed.
    style
        How to tell the server the choices.
    length
        Name of the field for the longest reply.
    """
    body: dict[str, JsonValue] = {
        "model": model,
        "messages": _messages(request),
        length: generation.max_tokens,
    }
    if generation.temperature is not None:
        body["temperature"] = generation.temperature
    if generation.seed is not None:
        body["seed"] = generation.seed
    if request.choices and style == "guided":
        body["structured_outputs"] = {"choice": list(request.choices)}
    if request.choices and style == "response_format":
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "choice", "strict": True, "schema": _schema(request.choices)},
        }
    return body


def _messages(request: TextRequest | PartsRequest) -> list[JsonValue]:
    if isinstance(request, PartsRequest):
        return [{"role": "user", "content": list(request.parts)}]
    return [{"role": m.role, "content": m.content} for m in request.messages]


def _schema(choices: Sequence[str]) -> dict[str, JsonValue]:
    return {
        "type": "object",
        "properties": {"choice": {"type": "string", "enum": list(choices)}},
        "required": ["choice"],
        "additionalProperties": False,
    }


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def read_reply(data: object, choices: Sequence[str] | None) -> Reply | ToolError:
    """Read a completion; with choices, a reply that is one of them gets that choice's exact text.

    A reply that is no choice stays as it was written: `reply.text in choices` tells. What is no completion
    at all is the server's fault, to be asked again.
    """
    try:
        completion = _Completion.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "reply"
        return ToolError(kind="server", message=f"malformed reply: {place}: {first['msg']}", retryable=True)
    first_choice = completion.choices[0]
    message = first_choice.message
    if message.refusal or first_choice.finish_reason == "content_filter":
        why = message.refusal or "the server's content filter took the reply"
        return ToolError(kind="refused", message=one_line(why))
    # Null content is a model that said nothing (all its tokens went into reasoning), not a broken server.
    text = message.content or ""
    usage = completion.usage or _Usage()
    return Reply(
        text=chosen(text, choices) if choices else text,
        truncated=first_choice.finish_reason == "length",
        prompt_tokens=usage.prompt_tokens or 0,
        reply_tokens=usage.completion_tokens or 0,
    )


def chosen(text: str, choices: Sequence[str]) -> str:
    """Give the choice that `text` is, bare or as `{"choice": ...}`, by case-insensitive match; else `text`.

    Two choices that differ in case alone are told apart by case, or not at all.
    """
    said = text.strip()
    if said.startswith("{"):
        try:
            wrapped = json.loads(said)
        except ValueError:
            return text
        value = wrapped.get("choice") if isinstance(wrapped, dict) and len(wrapped) == 1 else None
        if not isinstance(value, str):
            return text
        said = value.strip()
    if said in choices:
        return said
    same = {choice for choice in choices if choice.strip().casefold() == said.casefold()}
    return same.pop() if len(same) == 1 else text


def error_of(status: int, message: str) -> ToolError | None:
    """Tell what an error status means for one request; None if no request to this server can succeed.

    Wrong keys, models and addresses (401, 402, 403, 404, ..., some servers' 400) are faults of the set-up.
    """
    if status == 429:
        return ToolError(kind="rate-limit", message=message, retryable=True)
    if status == 408:
        return ToolError(kind="timeout", message=message, retryable=True)
    if status in (409, 425) or status >= 500:
        return ToolError(kind="server", message=message, retryable=True)
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(message)):
        return ToolError(kind="too-long", message=message)
    if status in (400, 422) and not _NO_SUCH_MODEL.search(message):
        return ToolError(kind="bad-request", message=message)
    return None


def explain(body: object) -> str:
    """Find the words in an error's body: `message`, FastAPI's `detail`, `error`, or the text itself."""
    while isinstance(body, Mapping):
        body = next((body[key] for key in ("message", "detail", "error") if body.get(key)), "")
    return body if isinstance(body, str) else json.dumps(body)


def one_line(text: str) -> str:
    """Put a server's words into one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 3] + "..."


def pause(retry_after: str | None, now: datetime) -> float:
    """Seconds to wait by a `Retry-After` header, in seconds or as a date; 0 without one, bounded above."""
    if retry_after is None:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after)
        except ValueError:
            return 0.0
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    # Written so that NaN gives no wait.
    return min(seconds, LONGEST_PAUSE) if seconds > 0 else 0.0
