"""Tell a right answer as a chain of thought, check it, and say whether it is kept.

The mechanical checks come first and cost nothing; a judge is asked only about chains that pass them. A chain
that is not kept says why. This file writes no text of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from aotd.agent.complete import check_complete
from aotd.agent.judge import Judge
from aotd.agent.score import Scored
from aotd.agent.verify import check_faithful
from aotd.agent.write import Unwritten, Writer
from aotd.traces.outcomes import RIGHT
from aotd.traces.records import Question, Rationale, Trace, Verdict
from aotd.traces.star_vocabulary import OBJECT_NAMES

__all__ = ["Teller", "Told"]


class Told(NamedTuple):
    """A chain of thought, what the checks found, and whether it is kept."""

    rationale: Rationale | None = None
    verdicts: tuple[Verdict, ...] = ()
    kept: bool = False
    dropped: str = ""


class Teller(NamedTuple):
    """A writer and what its chains must pass."""

    writer: Writer
    judge: Judge | None
    allow_future: bool
    """Keep chains of questions in which an oracle saw annotation after the question's end."""
    made_up: bool = False
    """A model of the run has made-up weights, so an answer is right by chance and no chain is kept."""

    async def tell(self, question: Question, trace: Trace, scored: Scored, answered: Verdict) -> Told:
        """Write the chain of thought of a right answer and check it.

        Parameters
        ----------
        answered
            The verdict on the answer, which comes first among the verdicts.
        """
        if scored.outcome not in RIGHT:
            return Told(verdicts=(answered,), dropped=f"the answer is {scored.outcome}")
        written = await self.writer.write(question, trace)
        if isinstance(written, Unwritten):
            return Told(verdicts=(answered,), dropped=f"not written: {written.reason}")
        verdicts = [
            answered,
            check_faithful(question, trace, written, OBJECT_NAMES),
            check_complete(question, trace, written),
        ]
        if self.judge is not None and all(v.passed for v in verdicts):
            verdicts.append(await self.judge.judge(question, written))
        dropped = self._why_dropped(trace, verdicts)
        return Told(written, tuple(verdicts), kept=not dropped, dropped=dropped)

    def _why_dropped(self, trace: Trace, verdicts: list[Verdict]) -> str:
        failed = next((v for v in verdicts if not v.passed), None)
        if failed is not None:
            return f"{failed.check}: {failed.reason}"
        if self.made_up:
            return "weights are made up: the answer is right by chance"
        if trace.degraded:
            return "the program caught a tool's error and went on"
        if trace.future_visible and not self.allow_future:
            return "an oracle saw annotation after the question's end (allow_future=true keeps it)"
        return ""
