"""The whole story of a run: plan, check, run, score, write, verify, record.

    Question --plan--> Program --run--> Trace --write--> Rationale --verify--> Verdicts --> Example

Questions go through in order of their videos, many at once; every one ends in one outcome and one row of the
run folder. Stopping is safe at any moment: what is recorded is done, the rest is done by the next call.
This file opens no file and prints nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from aotd.agent.plan import Planned, Planner
from aotd.agent.prepare import Fault, Places, Scene, prepare
from aotd.agent.run import Runner, run_program
from aotd.agent.sandbox.host import Inputs
from aotd.agent.score import Scored, score
from aotd.agent.verify import check_answer, check_faithful
from aotd.agent.write import TemplateWriter
from aotd.tools.build import Toolbox
from aotd.traces.outcomes import RIGHT, Outcome
from aotd.traces.records import (
    Attempt,
    Example,
    Provenance,
    Question,
    Rationale,
    Reason,
    Refusal,
    Trace,
    Verdict,
)
from aotd.traces.situations import SituationGraph
from aotd.traces.star_vocabulary import OBJECT_NAMES

__all__ = ["Item", "Pipeline", "Told"]

PLAN_BATCH = 64
"""Questions planned at once."""


class Item(NamedTuple):
    """A question and the annotation that oracles may read."""

    question: Question
    graph: SituationGraph | None


class Told(NamedTuple):
    """A chain of thought, what the checks found, and whether it is kept."""

    rationale: Rationale | None = None
    verdicts: tuple[Verdict, ...] = ()
    kept: bool = False
    dropped: str = ""


class Pipeline(NamedTuple):
    """Everything that a run needs, composed by the caller."""

    planner: Planner
    toolbox: Toolbox
    runner: Runner
    writer: TemplateWriter
    places: Places
    provenance: Provenance
    future: bool
    """Oracles may see annotation after a question's end."""
    allow_future: bool
    """Chains of thought of such questions are kept."""
    live_programs: int

    async def generate(
        self, items: Iterable[Item], record: Callable[[Example], None], stop: asyncio.Event
    ) -> None:
        """Take every item to its outcome; `record` gets each example as it is done.

        Setting `stop` ends the run after the programs in flight. An error of ours, or a model that does not
        answer, ends it at once; nothing recorded is lost.
        """
        places = asyncio.Semaphore(self.live_programs)
        ordered = sorted(items, key=lambda item: item.question.video_id)
        async with asyncio.TaskGroup() as group:
            for begin in range(0, len(ordered), PLAN_BATCH):
                batch = ordered[begin : begin + PLAN_BATCH]
                plans = await self._plan([item.question for item in batch])
                for item, planned in zip(batch, plans, strict=True):
                    await places.acquire()
                    if stop.is_set():
                        return
                    task = group.create_task(self._finish(item, planned, record))
                    task.add_done_callback(lambda _: places.release())

    async def _plan(self, questions: Sequence[Question]) -> Sequence[Planned]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self.planner.plan, questions)

    async def _finish(self, item: Item, planned: Planned, record: Callable[[Example], None]) -> None:
        record(await self.answer(item, planned))

    async def answer(self, item: Item, planned: Planned) -> Example:
        """Take one planned question to its outcome."""
        question = item.question
        loop = asyncio.get_running_loop()
        scene = await loop.run_in_executor(
            None, lambda: prepare(question, item.graph, self.places, future=self.future)
        )
        if isinstance(scene, Fault):
            return self._example(question, (), Scored(scene.outcome, None, scene.detail))
        if planned.source is None:
            outcome = planned.failure or Outcome.NO_RESPONSE
            return self._example(question, (), Scored(outcome, None, planned.detail))
        attempt = await self.attempt(scene, planned.source)
        if attempt.trace is None:
            refusal = attempt.refusal
            outcome = refusal.outcome if refusal else Outcome.BREAKS_CONTRACT
            detail = refusal.reasons[0].message if refusal and refusal.reasons else ""
            return self._example(question, (attempt,), Scored(outcome, None, detail))
        scored = score(question, attempt.trace)
        return self._example(question, (attempt,), scored, self.tell(question, attempt.trace, scored))

    async def attempt(self, scene: Scene, program: str) -> Attempt:
        """Check a program and, unless it is refused, run it."""
        question = scene.question
        inputs = Inputs(frames=scene.clip.grid_ids, query=question.text, possible_answers=question.options)
        loop = asyncio.get_running_loop()
        reasons = await loop.run_in_executor(self.runner.threads, self.runner.sandbox.check, program, inputs)
        if reasons:
            return Attempt(program=program, refusal=Refusal(outcome=_refused(reasons), reasons=reasons))
        functions = self.toolbox.functions(scene.timeline, scene.sheet)
        return Attempt(program=program, trace=await run_program(program, scene, functions, self.runner))

    def tell(self, question: Question, trace: Trace, scored: Scored) -> Told:
        """Write the chain of thought of a right answer and check it."""
        answered = check_answer(question, trace, scored)
        if scored.outcome not in RIGHT:
            return Told(verdicts=(answered,), dropped=f"the answer is {scored.outcome}")
        rationale = self.writer.write(question, trace)
        verdicts = (answered, check_faithful(question, trace, rationale, OBJECT_NAMES))
        failed = [v for v in verdicts if not v.passed]
        dropped = ""
        if failed:
            dropped = f"{failed[0].check}: {failed[0].reason}"
        elif trace.degraded:
            dropped = "the program caught a tool's error and went on"
        elif trace.future_visible and not self.allow_future:
            dropped = "an oracle saw annotation after the question's end (allow_future=true keeps it)"
        return Told(rationale, verdicts, kept=not dropped, dropped=dropped)

    def _example(
        self, question: Question, attempts: tuple[Attempt, ...], scored: Scored, told: Told | None = None
    ) -> Example:
        told = told or Told(dropped=f"the question ended as {scored.outcome}")
        return Example(
            question=question,
            attempts=attempts,
            outcome=scored.outcome,
            detail=scored.detail,
            answer_rule=scored.rule,
            rationale=told.rationale,
            verdicts=told.verdicts,
            kept=told.kept,
            dropped=told.dropped,
            provenance=self.provenance,
        )


def _refused(reasons: Sequence[Reason]) -> Outcome:
    kinds = {reason.kind for reason in reasons}
    if "syntax" in kinds:
        return Outcome.UNPARSEABLE
    if kinds & {"policy", "limits"}:
        return Outcome.REFUSED_BY_POLICY
    return Outcome.BREAKS_CONTRACT
