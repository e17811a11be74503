"""The closed list of outcomes: every question ends in exactly one of them.

Groups follow the life of a question. A report counts all of them, so its counts sum to the number of
questions. This file does not decide outcomes; `aotd.agent` does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["GROUPS", "RIGHT", "SCORED", "Outcome"]


class Outcome(StrEnum):
    """How a question ended."""

    MISSING_VIDEO = "missing-video"
    UNREADABLE_VIDEO = "unreadable-video"
    BAD_ANNOTATION = "bad-annotation"

    NO_RESPONSE = "no-response"
    UNPARSEABLE = "unparseable"
    TRUNCATED = "truncated"
    REFUSED_BY_POLICY = "refused-by-policy"
    BREAKS_CONTRACT = "breaks-contract"

    PROGRAM_EXCEPTION = "program-exception"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    BUDGET = "budget"
    TOOL_ERROR = "tool-error"
    WORKER_LOST = "worker-lost"
    REPLAY_MISMATCH = "replay-mismatch"

    EMPTY_GROUNDING = "empty-grounding"
    NOT_FOUND = "not-found"
    NO_FRAMES = "no-frames"

    NO_RETURN = "no-return"
    ANSWER_UNPARSEABLE = "answer-unparseable"
    NOT_AN_OPTION = "not-an-option"
    ABSTAINED = "abstained"
    ANSWERED_UNSCORED = "answered-unscored"

    WRONG = "wrong"
    WRONG_AFTER_REPAIR = "wrong-after-repair"
    RIGHT_AFTER_REPAIR = "right-after-repair"
    RIGHT = "right"


GROUPS: Final[dict[str, tuple[Outcome, ...]]] = {
    "input": (Outcome.MISSING_VIDEO, Outcome.UNREADABLE_VIDEO, Outcome.BAD_ANNOTATION),
    "planner": (
        Outcome.NO_RESPONSE,
        Outcome.UNPARSEABLE,
        Outcome.TRUNCATED,
        Outcome.REFUSED_BY_POLICY,
        Outcome.BREAKS_CONTRACT,
    ),
    "execution": (
        Outcome.PROGRAM_EXCEPTION,
        Outcome.TIMEOUT,
        Outcome.MEMORY,
        Outcome.BUDGET,
        Outcome.TOOL_ERROR,
        Outcome.WORKER_LOST,
        Outcome.REPLAY_MISMATCH,
    ),
    "evidence": (Outcome.EMPTY_GROUNDING, Outcome.NOT_FOUND, Outcome.NO_FRAMES),
    "answer": (
        Outcome.NO_RETURN,
        Outcome.ANSWER_UNPARSEABLE,
        Outcome.NOT_AN_OPTION,
        Outcome.ABSTAINED,
        Outcome.ANSWERED_UNSCORED,
    ),
    "scored": (Outcome.WRONG, Outcome.WRONG_AFTER_REPAIR, Outcome.RIGHT_AFTER_REPAIR, Outcome.RIGHT),
}
"""Outcomes by stage, in the order a question passes through them."""

RIGHT: Final = frozenset({Outcome.RIGHT, Outcome.RIGHT_AFTER_REPAIR})
"""Outcomes that count as right."""

SCORED: Final = frozenset(GROUPS["scored"])
"""Outcomes in which the answer was compared with a gold answer."""
