"""What a planner is, the planner that reads recorded programs, and the page that teaches one the API.

A planner turns questions into programs, or says in one outcome why it could not. It checks nothing and runs
nothing. The grammar planner is in `aotd.agent.grammar`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ValidationError

from aotd.prompts.loader import BUILT_IN, Templates, examples
from aotd.tools.api import API, ENTRY
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Attempt, Question

__all__ = ["Planned", "Planner", "RecordedPlanner", "planner_page"]


class Planned(NamedTuple):
    """What a planner gave for one question: exactly one of `source` and `failure`."""

    source: str | None
    """The program's text."""
    failure: Outcome | None
    """An outcome of the planner group."""
    detail: str = ""
    """One line about how the program came to be, or why there is none."""


class Planner(Protocol):
    """Writes programs for questions; many are asked for at once."""

    @property
    def identity(self) -> str:
        """What decides the planner's programs; it goes into the manifest."""
        ...

    @property
    def prompts(self) -> Mapping[str, str]:
        """SHA-256 of its prompts by name; none for a planner that asks no language model."""
        ...

    async def plan(self, question: Question, attempts: Sequence[Attempt] = ()) -> Planned:
        """Write a program; `attempts` are the earlier ones for this question, each refused or failed."""
        ...


class RecordedPlanner:
    """Gives the programs of a file: one JSON object a line with `question_id` and `source`.

    Other keys are ignored, and a null `source` is a program that was never written. Raises OSError if the
    file cannot be read and ValueError, naming the line, if it is not such a file.
    """

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        self._sources = _recorded(path, content)
        self._identity = f"recorded/{hashlib.sha256(content).hexdigest()[:16]}"

    @property
    def identity(self) -> str:
        """`recorded/` and a hash of the file."""
        return self._identity

    @property
    def prompts(self) -> Mapping[str, str]:
        """None."""
        return {}

    async def plan(self, question: Question, attempts: Sequence[Attempt] = ()) -> Planned:
        """Look the question up by its id; one without a program is `no-response`. Nothing is repaired."""
        source = self._sources.get(question.id)
        if source is not None:
            return Planned(source, None, "recorded")
        known = question.id in self._sources
        why = "the recorded source is null" if known else "no recorded program has this id"
        return Planned(None, Outcome.NO_RESPONSE, why)


class _Row(BaseModel):
    """What is read of one line; other keys are left alone."""

    question_id: str
    source: str | None


def _recorded(path: Path, content: bytes) -> dict[str, str | None]:
    sources: dict[str, str | None] = {}
    seen: dict[str, int] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = _Row.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            raise ValueError(
                f"{path}, line {number}: {where}: {first['msg']}; give `question_id` and `source` as texts"
            ) from None
        key = row.question_id
        if key in seen:
            raise ValueError(f"{path}, lines {seen[key]} and {number}: two programs for {key!r}; keep one")
        seen[key] = number
        sources[key] = row.source
    return sources


def planner_page(templates: Templates = BUILT_IN) -> str:
    """Write the constant part of the planner's prompt: the API, the rules and worked examples."""
    slots = {
        "functions": list(API.values()),
        "entry": f"execute_command({', '.join(ENTRY)})",
        "examples": examples(),
    }
    return templates["planner"].render(slots)
