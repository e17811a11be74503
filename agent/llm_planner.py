"""The planner `llm`: a chat model reads the API's page and writes a program; told what failed, it mends it.

Checks no program and runs none. How often a program may be mended is the pipeline's part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from aotd.agent.conversation import conversation
from aotd.agent.plan import Planned, planner_page
from aotd.agent.program_text import program_of
from aotd.prompts.loader import BUILT_IN, Templates
from aotd.tools.models import Message, Reply, TextRequest, ToolError
from aotd.tools.text_role import TextRole
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Attempt, Question

__all__ = ["LlmPlanner"]


class LlmPlanner:
    """Writes programs by a chat model, as AoTD does (CVPR 2025), and mends them.

    Parameters
    ----------
    role
        The chat model.
    templates
        The prompts.
    """

    def __init__(self, role: TextRole, templates: Templates = BUILT_IN) -> None:
        self._role = role
        self._templates = templates
        self._page = Message(role="system", content=planner_page(templates))
        self._prompts = {
            "planner": hashlib.sha256(self._page.content.encode()).hexdigest(),
            **{name: templates[name].sha256 for name in ("question", "repair")},
        }
        told = hashlib.sha256("".join(self._prompts.values()).encode()).hexdigest()
        self._identity = f"llm/{role.identity}/{told[:16]}"

    @property
    def identity(self) -> str:
        """`llm/`, the model's identity and a hash of all prompts."""
        return self._identity

    @property
    def prompts(self) -> dict[str, str]:
        """SHA-256 by prompt; of `planner` it is that of the whole page, API and examples included."""
        return dict(self._prompts)

    async def plan(self, question: Question, attempts: Sequence[Attempt] = ()) -> Planned:
        """Ask for a program, or for a mended one when there are attempts.

        Raises
        ------
        ModelDown
            If the model does not answer at all.
        """
        messages = conversation(self._page, question, attempts, self._templates)
        request = TextRequest(role="planner", messages=messages)
        return _planned(await self._role.ask(request, context=f"{question.id}/plan/{len(attempts)}"))


def _planned(reply: Reply | ToolError) -> Planned:
    if isinstance(reply, ToolError):
        return Planned(None, Outcome.NO_RESPONSE, f"{reply.kind}: {reply.message}")
    if reply.truncated:
        return Planned(None, Outcome.TRUNCATED, "it was cut off at the longest reply allowed; be brief")
    source = program_of(reply.text)
    if source is not None:
        return Planned(source, None, "")
    begin = " ".join(reply.text.split())[:80]
    return Planned(None, Outcome.NO_RESPONSE, f'it holds no program: "{begin}"' if begin else "it is empty")
