"""What to do when a model is at fault: ask again, and find out whether it is the request or the model.

A request that fails alone several times, while another one is answered, is itself at fault. If the other one
fails too the model is down, and the run waits for it in growing pauses before it gives up. This file knows
nothing of batches or queues.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from aotd.tools.models import ToolError

__all__ = ["ModelDown", "Patience", "insist", "out_of_memory", "retryable"]

_LOG: Final = logging.getLogger(__name__)

TRIES: Final = 3
"""Times that a request must fail alone before it can be blamed."""

FIRST_PAUSE: Final = 0.5
"""Seconds before a request is asked alone for the second time; each further pause is twice as long."""

LONGEST_PAUSE: Final = 30.0
"""Seconds; a server that is back is noticed no later."""

_OUT_OF_MEMORY: Final = frozenset({"MemoryError", "OutOfMemoryError"})

Answer = TypeVar("Answer")


class ModelDown(Exception):
    """A model that cannot answer for now: the run stops and can be resumed."""

    def __init__(self, model: str, error: ToolError) -> None:
        super().__init__(
            f"model {model} does not answer ({error.kind}: {error.message}); mend it, then `aotd resume`"
        )


class Patience(NamedTuple):
    """How long to wait for a model, and how."""

    seconds: float
    """Sum of all pauses before a model counts as down."""
    wait: Callable[[float], Awaitable[None]]


def retryable(answer: object) -> bool:
    """Tell whether an answer is an error of the model's own, which is never kept."""
    return isinstance(answer, ToolError) and answer.retryable


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that memory ran out; known by name, so that torch is not needed."""
    return any(kind.__name__ in _OUT_OF_MEMORY for kind in type(error).__mro__)


async def insist(
    model: str,
    ask: Callable[[], Awaitable[Answer | ToolError]],
    probe: Callable[[], Awaitable[bool]],
    patience: Patience,
) -> Answer | ToolError:
    """Ask one request alone until it is answered or the blame is clear.

    Parameters
    ----------
    model
        The model's id, for the error.
    ask
        Asks the request in a batch of one.
    probe
        Tells whether the model answers a request that it could answer before.
    patience
        How long to go on while the model answers nothing.

    Returns
    -------
    Answer | ToolError
        The model's answer, or the request's own error, no longer retryable.

    Raises
    ------
    ModelDown
        When neither the request nor the probe is answered and patience is at an end.
    """
    waited, pause, tries = 0.0, FIRST_PAUSE, 0
    while True:
        answer = await ask()
        if not (isinstance(answer, ToolError) and answer.retryable):
            if tries >= TRIES:
                _LOG.warning("model %s answers again", model)
            return answer
        tries += 1
        if tries == TRIES:
            told = f"{answer.kind}: {answer.message}"
            _LOG.warning("model %s does not answer (%s); waiting up to %g s", model, told, patience.seconds)
        if tries >= TRIES:
            if await probe():
                # The model may have come back between the two: only a failure after the probe is proof.
                answer = await ask()
                if not (isinstance(answer, ToolError) and answer.retryable):
                    return answer
                return answer.model_copy(update={"retryable": False})
            if waited >= patience.seconds:
                raise ModelDown(model, answer)
        step = min(pause, patience.seconds - waited)
        await patience.wait(step)
        waited, pause = waited + step, min(2 * pause, LONGEST_PAUSE)
