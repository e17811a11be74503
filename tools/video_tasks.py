"""What a video language model is asked for each task of `VideoRequest`, and how its words are read.

Questions, options and descriptions stand in the prompts as quoted data. Replies are read by fixed rules: an
option is found by `mc_v1`, a list is taken line by line, yes and no must come first. Words that say nothing
of the kind are an abstention with a note, never a guess. Knows neither frames nor models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from aotd.prompts.loader import prompt
from aotd.prompts.quoting import quoted
from aotd.tools.models import Reply, ToolError, VideoAnswer, VideoRequest
from aotd.traces.answers import letter, mc_v1, normalise

__all__ = ["LONGEST_PHRASE", "MOST_PHRASES", "TASKS", "TaskPrompt", "ask_task", "prompt_hashes", "read_task"]

MOST_PHRASES: Final = 8
"""Phrases of a list that are kept; the prompt asks for no more."""

LONGEST_PHRASE: Final = 100
"""Characters; a longer line is no phrase."""

_LETTERS: Final = 26

TASKS: Final = ("choice", "open", "objects", "actions", "summary", "caption", "is_this")

_NEEDED: Final = {"choice": "question", "open": "question", "objects": "subject", "is_this": "subject"}

_YES_NO: Final = re.compile(r"[\s\"'*_.,:;()#-]*((?ai:yes|no))\b")
_NONE: Final = re.compile(r"\W*(?:none|nothing|no (?:such )?(?:object|action|thing)s?)\b", re.IGNORECASE)
_MARK: Final = r"(?:[(\[]?[A-Z][)\].:]|[A-Z]\s*(?:[,;/&.\n]|\band\b|$))"
_ITEMS: Final = re.compile(rf"\n|(?:[,;/&]|\band\b)\s*(?:and\s+)?(?={_MARK})")
"""Between the items of a list of options: line ends, and whatever stands before the next letter."""
_PARTS: Final = re.compile(r"[,;]|\band\b")
_BULLET: Final = re.compile(r"^\s*(?:[-*\u2022]|\d{1,2}[.):])\s+")
_QUOTES: Final = str.maketrans(dict.fromkeys("\"'*`[]\u201c\u201d\u2018\u2019"))
_WRAPPING: Final = " \t\"'`*_.,;\u201c\u201d\u2018\u2019"


class TaskPrompt(NamedTuple):
    """A rendered prompt, and the replies that it asks for if there are few."""

    text: str
    choices: tuple[str, ...] | None = None


def prompt_hashes() -> dict[str, str]:
    """Hash of each task's template."""
    templates = [prompt(f"video_{task}") for task in TASKS]
    return {template.name: template.sha256 for template in templates}


def ask_task(request: VideoRequest) -> TaskPrompt | VideoAnswer | ToolError:
    """Write a request's prompt; without a model, answer one that has nothing to choose from.

    Returns
    -------
    TaskPrompt or VideoAnswer or ToolError
        The prompt; an abstention if there are no options; an error if the request lacks what its task needs
        or has more options than there are letters.
    """
    needed = _NEEDED.get(request.task)
    if needed is not None and getattr(request, needed) is None:
        return ToolError(kind="bad-request", message=f"the task {request.task} needs a {needed}")
    if request.task == "choice" and request.options is None:
        return ToolError(kind="bad-request", message="the task choice needs options")
    if request.options is not None and not request.options:
        return VideoAnswer(texts=(), notes=("there are no options",))
    if request.options is not None and len(request.options) > _LETTERS:
        count = len(request.options)
        return ToolError(
            kind="too-many-options", message=f"{count} options; there are letters for {_LETTERS}"
        )
    slots = {
        "question": _quoted_or_none(request.question),
        "subject": _quoted_or_none(request.subject),
        "options": _lettered(request.options),
        "most": MOST_PHRASES,
    }
    return TaskPrompt(prompt(f"video_{request.task}").render(slots), _choices(request))


def read_task(request: VideoRequest, replies: Sequence[Reply]) -> VideoAnswer:
    """Read the replies to a request: one for each frame of a caption, else one."""
    if request.task == "caption":
        return _captions(replies)
    (reply,) = replies
    said = reply.text.strip()
    read = _read(request, reply, said) if said else VideoAnswer(texts=(), notes=("the reply is empty",))
    cut = ("the reply was cut off",) if reply.truncated and _wants_words(request) else ()
    return read.model_copy(update={"notes": (*read.notes, *cut), "raw": reply.text})


def _read(request: VideoRequest, reply: Reply, said: str) -> VideoAnswer:
    if request.task == "choice":
        return _chosen(said, request.options or ())
    if request.task == "is_this":
        return _yes_or_no(said)
    if request.task in ("objects", "actions"):
        if request.options is not None:
            return _picked(said, request.options)
        return _phrases(said, truncated=reply.truncated)
    return VideoAnswer(texts=(_one_line(said),))


def _wants_words(request: VideoRequest) -> bool:
    """Whether a reply that went on too long may have lost something: one word of a choice is read first."""
    return request.task not in ("choice", "is_this")


def _choices(request: VideoRequest) -> tuple[str, ...] | None:
    if request.task == "is_this":
        return ("yes", "no")
    if request.task == "choice":
        return tuple(letter(i) for i in range(len(request.options or ())))
    return None


def _lettered(options: Sequence[str] | None) -> list[dict[str, str]] | None:
    if options is None:
        return None
    return [{"letter": letter(i), "text": quoted(option)} for i, option in enumerate(options)]


def _quoted_or_none(text: str | None) -> str | None:
    return None if text is None else quoted(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _chosen(said: str, options: Sequence[str]) -> VideoAnswer:
    parsed = mc_v1(said, options)
    if parsed.index is None:
        return VideoAnswer(texts=(), notes=(f"the reply names no one option: {parsed.rule}",))
    return VideoAnswer(texts=(options[parsed.index],), notes=(f"rule: {parsed.rule}",))


def _yes_or_no(said: str) -> VideoAnswer:
    found = _YES_NO.match(said)
    if found is None:
        return VideoAnswer(texts=(), notes=("the reply says neither yes nor no",))
    return VideoAnswer(texts=(found[1].lower(),))


def _picked(said: str, options: Sequence[str]) -> VideoAnswer:
    """Find the options that a list names, each by `mc_v1`; items that name none are told in a note."""
    indices: dict[int, None] = {}
    lost: list[str] = []
    for item in filter(None, (_bare(item) for item in _ITEMS.split(said.translate(_QUOTES)))):
        whole = mc_v1(item, options).index
        parts = [item] if whole is not None else [p.strip() for p in _PARTS.split(item) if p.strip()]
        found = [(part, mc_v1(part, options).index) for part in parts]
        indices.update({index: None for _, index in found if index is not None})
        lost += [part for part, index in found if index is None]
    if not indices and _NONE.match(said):
        return VideoAnswer(texts=(), notes=("the reply says that none fits",))
    notes = (f"parts of the reply that name no one option: {len(lost)}",) if lost else ()
    return VideoAnswer(texts=tuple(options[index] for index in indices), notes=notes)


def _phrases(said: str, *, truncated: bool) -> VideoAnswer:
    """Take a list line by line, or at its commas if it is one line; bounded in count and length."""
    if _NONE.match(said):
        return VideoAnswer(texts=(), notes=("the reply says that there is none",))
    lines = [line for line in said.splitlines() if line.strip()]
    items = re.split(r"[,;]", lines[0]) if len(lines) == 1 else lines
    if truncated:
        items = items[:-1]  # it stops in the middle
    found: dict[str, str] = {}
    for item in items:
        phrase = _one_line(_bare(item))
        if phrase and not phrase.endswith(":"):  # "Here are the objects:"
            found.setdefault(normalise(phrase), phrase)
    short = [phrase for phrase in found.values() if len(phrase) <= LONGEST_PHRASE]
    notes = []
    if len(short) < len(found):
        notes.append(f"left out, too long for a phrase: {len(found) - len(short)}")
    if len(short) > MOST_PHRASES:
        notes.append(f"left out, phrases beyond {MOST_PHRASES}: {len(short) - MOST_PHRASES}")
    return VideoAnswer(texts=tuple(short[:MOST_PHRASES]), notes=tuple(notes))


def _bare(item: str) -> str:
    return _BULLET.sub("", item).strip(_WRAPPING)


def _captions(replies: Sequence[Reply]) -> VideoAnswer:
    texts = tuple(_one_line(reply.text) for reply in replies)
    notes = []
    for count, what in (
        (texts.count(""), "are empty"),
        (sum(reply.truncated for reply in replies), "were cut off"),
    ):
        if count:
            notes.append(f"{count} of {len(texts)} captions {what}")
    return VideoAnswer(texts=texts, notes=tuple(notes), raw="\n".join(reply.text for reply in replies))
