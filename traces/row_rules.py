"""What trainers demand of one row, as checks that never raise: any JSON value gives a list of faults.

Texts of faults hold no text of the row, so that equal faults of many rows can be told once. The rules follow
the loaders of AoTD, ms-swift 4.6, LLaMA-Factory 0.9 and the chat templates of transformers 5. This file reads
no rows; it looks whether videos exist, when it is told where.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from aotd.traces.export_canonical import CanonicalRow
from aotd.traces.export_samples import MARKS
from aotd.traces.records import GRID

__all__ = [
    "LLAMA",
    "SWIFT",
    "Fault",
    "Form",
    "aotd_rules",
    "canonical_rules",
    "chat_rules",
    "messages_rules",
    "sample_rules",
]

_MEDIA: Final = ("image", "video", "audio")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Fault(NamedTuple):
    """What is wrong with a row. A warning does not make its file invalid."""

    message: str
    warning: bool = False


class Form(NamedTuple):
    """How a chat row of texts is spelled: by default as LLaMA-Factory's OpenAI form and ms-swift's own."""

    messages: str = "messages"
    images: str | None = "images"
    videos: str | None = "videos"
    audios: str | None = "audios"
    role: str = "role"
    content: str = "content"
    system: frozenset[str] = frozenset({"system"})
    user: frozenset[str] = frozenset({"user"})
    assistant: frozenset[str] = frozenset({"assistant"})
    mends: bool = False
    """The trainer reads `video` as `videos`, adds missing marks, and joins turns of one speaker."""


LLAMA: Final = Form()
SWIFT: Final = Form(
    user=frozenset({"user", "tool", "tool_response"}),
    assistant=frozenset({"assistant", "tool_call"}),
    mends=True,
)
_TYPED: Final = Form()


def chat_rules(row: Any, form: Form, videos: Path | None) -> Iterator[Fault]:
    """Check a row of ms-swift or LLaMA-Factory: turns, texts, as many marks as media, paths."""
    if not isinstance(row, dict):
        yield Fault("a row must be a JSON object")
        return
    turns = row.get(form.messages)
    yield from _turn_faults(turns, form)
    texts = [(turn.get(form.role), turn.get(form.content)) for turn in _objects(turns)]
    for _, text in texts:
        yield from _text_faults(text, form.content)
    for role, text in texts:
        if role in form.assistant and isinstance(text, str) and _count(text):
            yield Fault("a mark such as <video> stands in an answer: no media belongs there")
    for medium, column in zip(_MEDIA, (form.images, form.videos, form.audios), strict=True):
        marks = sum(text.count(f"<{medium}>") for _, text in texts if isinstance(text, str))
        yield from _media_faults(row, medium, column, marks, form, videos)
    if form.mends:
        yield from _scale_faults(turns)


def aotd_rules(row: Any, videos: Path | None) -> Iterator[Fault]:
    """Check a row of AoTD: `video_path` and a typed `conversation` with one video."""
    if not isinstance(row, dict):
        yield Fault("a row must be a JSON object")
        return
    key = "conversation"
    if key not in row and "conversations" in row:
        key = "conversations"
        yield Fault("key `conversations`: AoTD's loader reads `conversation` only", warning=True)
    yield from _turn_faults(row.get(key), _TYPED._replace(messages=key))
    parts = [part for turn in _objects(row.get(key)) for part in _objects(turn.get("content"))]
    if sum(part.get("type") == "video" for part in parts) != 1:
        yield Fault('a conversation must hold one {"type": "video"}')
    yield from _typed_faults(row.get(key))
    yield from _path_faults(row.get("video_path"), "video_path", videos)


def messages_rules(row: Any, videos: Path | None) -> Iterator[Fault]:
    """Check a row for a chat template: typed `messages`, each media part with its place, `loss_weight`."""
    if not isinstance(row, dict):
        yield Fault("a row must be a JSON object")
        return
    turns = row.get("messages")
    yield from _turn_faults(turns, _TYPED)
    yield from _typed_faults(turns)
    parts = [part for turn in _objects(turns) for part in _objects(turn.get("content"))]
    for part in parts:
        if (medium := part.get("type")) in _MEDIA:
            places = [key for key in (medium, "path", "url") if key in part]
            if len(places) != 1:
                yield Fault(f"a {medium} part must have one of the keys {medium}, path, url")
            else:
                yield from _path_faults(part[places[0]], places[0], videos)
    if "loss_weight" in row and not _is_weight(row["loss_weight"]):
        yield Fault("loss_weight must be a number from 0")


def sample_rules(row: Any, videos: Path | None) -> Iterator[Fault]:
    """Check a row of the table `cot`."""
    for key in ("prompt", "response"):
        yield from _text_faults(row.get(key), key)
        if isinstance(row.get(key), str) and MARKS.search(row[key]):
            yield Fault(f"{key} holds a mark such as <video> or <|im_end|>")
    if row.get("kind") not in ("label", "rationale"):
        yield Fault("kind must be label or rationale")
    if not _is_weight(row.get("loss_weight")):
        yield Fault("loss_weight must be a number from 0")
    yield from _path_faults(row.get("video"), "video", videos)


def canonical_rules(row: Any, videos: Path | None) -> Iterator[Fault]:
    """Check a canonical row: its shape, and what its fields say of each other."""
    try:
        canonical = CanonicalRow.model_validate_json(json.dumps(row), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join("*" if isinstance(part, int) else ascii(part[:40])[1:-1] for part in first["loc"])
        yield Fault(f"{place or 'row'}: {' '.join(first['msg'].split())[:120]}")
        return
    except RecursionError:
        yield Fault("the row is nested too deeply")
        return
    options, gold = canonical.options, canonical.answer
    if gold is not None and gold.index is not None:
        inside = options is not None and 0 <= gold.index < len(options)
        if not inside or (options is not None and options[gold.index].strip() != gold.text.strip()):
            yield Fault("answer.index is not the option with the answer's text")
    if canonical.verdict.kept and canonical.cot is None:
        yield Fault("verdict.kept is true and there is no cot")
    if any(not 0 <= frame < GRID for step in canonical.trace for frame in step.frames):
        yield Fault(f"trace.*.frames are grid positions 0 to {GRID - 1}")
    if canonical.video is not None:
        yield from _path_faults(canonical.video, "video", videos)


def _turn_faults(turns: Any, form: Form) -> Iterator[Fault]:
    """Check who speaks: an optional system turn, then users and assistants in turn, an assistant last."""
    if not isinstance(turns, list) or not turns:
        yield Fault(f"key `{form.messages}` must be a list of turns, not empty")
        return
    if len(_objects(turns)) < len(turns):
        yield Fault(f"a turn must be an object with `{form.role}` and `{form.content}`")
        return
    roles = [turn.get(form.role) for turn in turns]
    if roles and _among(roles[0], form.system):
        roles = roles[1:]
    if not all(_among(role, form.user | form.assistant) for role in roles):
        yield Fault(f"`{form.role}` must be one of {', '.join(sorted(form.user | form.assistant))}")
        return
    if any(_among(role, (form.user, form.assistant)[i % 2]) is False for i, role in enumerate(roles)):
        yield Fault("user and assistant must take turns, the user first", warning=form.mends)
    if not roles or not _among(roles[-1], form.assistant):
        yield Fault("the last turn must be the assistant's")


def _typed_faults(turns: Any) -> Iterator[Fault]:
    """Check typed content: a text, or a list of parts with known types."""
    for turn in _objects(turns):
        content = turn.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(parts, list) or not parts or len(_objects(parts)) < len(parts):
            yield Fault("content must be a text or a list of parts, not empty")
            continue
        for part in parts:
            kind = part.get("type")
            if kind == "text":
                yield from _text_faults(part.get("text"), "text")
                if isinstance(part.get("text"), str) and _count(part["text"]):
                    yield Fault("a text holds a mark such as <video>: media are parts of their own")
            elif kind not in _MEDIA:
                yield Fault("type of a part must be text, image, video or audio")
            elif turn.get("role") == "assistant":
                yield Fault("an assistant's turn holds media")


def _text_faults(text: Any, name: str) -> Iterator[Fault]:
    if not isinstance(text, str):
        yield Fault(f"{name} must be a text")
        return
    if not text.strip() or not MARKS.sub("", text).strip():
        yield Fault(f"{name} is empty")
    if _SURROGATE.search(text):
        yield Fault(f"{name} holds half of a surrogate pair, which is no Unicode text")
    if "<|" in text and any(mark[2] for mark in MARKS.finditer(text)):
        yield Fault(f"{name} holds a control token such as <|im_end|>", warning=True)


def _media_faults(
    row: dict[str, Any], medium: str, column: str | None, marks: int, form: Form, videos: Path | None
) -> Iterator[Fault]:
    """Check that a column lists as many files as there are marks."""
    listed = row.get(column) if column else None
    if listed is None and medium in row and column != medium:
        if not form.mends:
            yield Fault(f"key `{medium}` is not read: it must be `{column or medium + 's'}`, a list")
            return
        yield Fault(f"key `{medium}`: write `{column}`, a list", warning=True)
        listed = row[medium]
    if isinstance(listed, str) and form.mends:
        listed = [listed]
    if not isinstance(listed, list | None):
        yield Fault(f"`{column}` must be a list")
        return
    entries = listed or []
    if marks < len(entries) and form.mends:
        yield Fault(f"fewer marks <{medium}> than entries of `{column}`: ms-swift adds them", warning=True)
    elif marks != len(entries):
        yield Fault(
            f"the number of marks <{medium}> is not the number of entries of `{column or medium + 's'}`"
        )
    for entry in entries:
        for path in entry if isinstance(entry, list) and entry else [entry]:
            yield from _path_faults(path, f"an entry of `{column}`", videos)


def _scale_faults(turns: Any) -> Iterator[Fault]:
    """Check ms-swift's weights of single turns."""
    for turn in _objects(turns):
        if (scale := turn.get("loss_scale")) is None:
            continue
        if not _is_weight(scale):
            yield Fault("loss_scale must be a number from 0")
        elif scale not in (0, 1):
            yield Fault("loss_scale has an effect with --is_binary_loss_scale false only", warning=True)


def _path_faults(path: Any, name: str, videos: Path | None) -> Iterator[Fault]:
    if not isinstance(path, str) or not path.strip():
        yield Fault(f"{name} must be a path")
        return
    if "://" in path[:16] or path.startswith("data:"):
        return
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    if absolute:
        yield Fault(f"{name} is an absolute path, which holds on one machine only", warning=True)
    elif ".." in PurePosixPath(path).parts:
        yield Fault(f"{name} leads out of the video folder", warning=True)
    if videos is not None and not _is_file(videos / path):
        yield Fault(f"{name} is not in the video folder")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name, or a zero byte
        return False


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _among(role: Any, roles: frozenset[str]) -> bool:
    return isinstance(role, str) and role in roles


def _count(text: str) -> int:
    return sum(text.count(f"<{medium}>") for medium in _MEDIA)


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
