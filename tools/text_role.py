"""A chat model in one of our roles, behind its front: what planners, writers and judges ask.

Knows no prompt and parses no reply.
"""

from __future__ import annotations

from aotd.tools.batching import Front
from aotd.tools.models import Reply, TextModel, TextRequest, ToolError

__all__ = ["TextRole"]


class TextRole:
    """A text model that is asked one request at a time; its front joins, remembers and journals them.

    Parameters
    ----------
    model
        The text model.
    front
        The model's front.
    """

    def __init__(self, model: TextModel, front: Front[TextRequest, Reply]) -> None:
        self._identity = f"{model.identity.id}/{model.identity.key}"
        self._front = front

    @property
    def identity(self) -> str:
        """The model's id and a hash of all that decides its replies."""
        return self._identity

    async def ask(self, request: TextRequest, *, context: str = "") -> Reply | ToolError:
        """Ask once.

        Parameters
        ----------
        context
            The question and step: replies drawn at random are kept for it alone.
        """
        (answered,) = await self._front.ask([request], context=context)
        return answered.answer
