"""The whole story of a run: plan, check, run, score, write, verify, record.

    Question --plan--> Program --run--> Trace --write--> Rationale --verify--> Verdicts --> Example

A program that is refused or fails goes back to its planner with the reason, a bounded number of times.
Questions go through in order of their videos, many at once; every one ends in one outcome and one row of the
run folder. Stopping is safe at any moment: what is recorded is done, the rest is done by the next call.
This file opens no file and prints nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from aotd.agent.judge import AnswerJudge
from aotd.agent.plan import Planned, Planner
from aotd.agent.prepare import Fault, Scene, prepare
from aotd.agent.run import UNWATCHED, Runner, Watch, run_program
from aotd.agent.sandbox.backend import Inputs
from aotd.agent.score import Scored, judged, score
from aotd.agent.tell import Teller, Told
from aotd.agent.verify import check_answer
from aotd.tools.build import Toolbox
from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.traces.answers import render
from aotd.traces.outcomes import GROUPS, Outcome
from aotd.traces.records import GRID, Attempt, Example, Provenance, Question, Reason, Refusal, Trace, Verdict
from aotd.traces.situations import SituationGraph

__all__ = ["Item", "Pipeline"]

_REPAIRABLE = {
    *GROUPS["planner"],
    Outcome.PROGRAM_EXCEPTION,
    Outcome.TIMEOUT,
    Outcome.MEMORY,
    Outcome.BUDGET,
    Outcome.NO_RETURN,
    Outcome.ANSWER_UNPARSEABLE,
    Outcome.NOT_AN_OPTION,
}
"""Outcomes that are the program's fault; whether its answer is right is never told to a planner."""


class Item(NamedTuple):
    """A question and the annotation that oracles may read."""

    question: Question
    graph: SituationGraph | None


class Pipeline(NamedTuple):
    """Everything that a run needs, composed by `aotd.agent.engine`."""

    planner: Planner
    toolbox: Toolbox
    runner: Runner
    teller: Teller
    answer_judge: AnswerJudge | None
    library: Library | None
    """The run's videos; without it no video is opened."""
    frames: FrameStore | None
    """Their frames, for models that look at them."""
    provenance: Provenance
    future: bool
    """Oracles may see annotation after a question's end."""
    repairs: int
    """Times that a program may be sent back to its planner."""
    live_programs: int
    watch: Watch = UNWATCHED
    """Looks on while programs run; for one question at a time."""
    planned: Callable[[Planned], None] | None = None
    """Gets each program, or why there is none, before it is checked and run."""

    async def generate(
        self, items: Iterable[Item], record: Callable[[Example], None], stop: asyncio.Event
    ) -> None:
        """Take every item to its outcome; `record` gets each example as it is done.

        Setting `stop` ends the run after the programs in flight. An error of ours, or a model that does not
        answer, ends it at once; nothing recorded is lost.
        """
        places = asyncio.Semaphore(self.live_programs)
        async with asyncio.TaskGroup() as group:
            for item in sorted(items, key=lambda item: item.question.video_id):
                await places.acquire()
                if stop.is_set():
                    return
                task = group.create_task(self._finish(item, record))
                task.add_done_callback(lambda _: places.release())

    async def _finish(self, item: Item, record: Callable[[Example], None]) -> None:
        record(await self.answer(item))

    async def answer(self, item: Item) -> Example:
        """Take one question to its outcome."""
        question = item.question
        loop = asyncio.get_running_loop()
        scene = await loop.run_in_executor(
            None, lambda: prepare(question, item.graph, self.library, future=self.future)
        )
        if isinstance(scene, Fault):
            return self._example(question, [], Scored(scene.outcome, None, scene.detail))
        if self.frames is not None and scene.video.path is not None:
            # Whatever the program asks about lies on the grid: one pass over the file will do.
            self.frames.expect(scene.timeline.video, map(scene.timeline.index, range(GRID)))
        return await self.settle(scene)

    async def settle(self, scene: Scene) -> Example:
        """Take a question whose video, span and frames are settled to its outcome."""
        question = scene.question
        attempts: list[Attempt] = []
        while True:
            planned = await self.planner.plan(question, tuple(attempts))
            if attempts and planned.source in (None, attempts[-1].program):
                break  # the planner has nothing else to offer
            if self.planned is not None:
                self.planned(planned)
            attempts.append(await self.attempt(scene, planned, len(attempts)))
            scored = _scored(question, attempts)
            if scored.outcome not in _REPAIRABLE or len(attempts) > self.repairs:
                break
        trace = attempts[-1].trace
        if trace is None:
            return self._example(question, attempts, scored)
        return await self._told(question, trace, attempts, scored)

    async def attempt(self, scene: Scene, planned: Planned, number: int) -> Attempt:
        """Check a program and, unless it is refused, run it; attempts are numbered from 0."""
        if planned.source is None:
            outcome = planned.failure or Outcome.NO_RESPONSE
            reason = Reason(line=None, kind="planner", message=planned.detail)
            return Attempt(program="", refusal=Refusal(outcome=outcome, reasons=(reason,)))
        question, program = scene.question, planned.source
        inputs = Inputs(frames=scene.clip.grid_ids, query=question.text, possible_answers=question.options)
        loop = asyncio.get_running_loop()
        reasons = await loop.run_in_executor(self.runner.threads, self.runner.sandbox.check, program, inputs)
        if reasons:
            return Attempt(program=program, refusal=Refusal(outcome=_refused(reasons), reasons=reasons))
        functions = self.toolbox.functions(scene.timeline, scene.sheet, f"{question.id}/{number}")
        trace = await run_program(program, scene, functions, self.runner, self.watch)
        return Attempt(program=program, trace=trace)

    async def _told(
        self, question: Question, trace: Trace, attempts: Sequence[Attempt], scored: Scored
    ) -> Example:
        """Have an open answer judged, tell a right one, and make the example."""
        answered: Verdict | None = None
        if scored.open and self.answer_judge is not None and trace.answer is not None:
            answered = await self.answer_judge.same(question, render(trace.answer))
            scored = judged(scored, answered, attempts=len(attempts))
        answered = answered or check_answer(question, trace, scored)
        told = await self.teller.tell(question, trace, scored, answered)
        return self._example(question, attempts, scored, told)

    def _example(
        self, question: Question, attempts: Sequence[Attempt], scored: Scored, told: Told | None = None
    ) -> Example:
        told = told or Told(dropped=f"the question ended as {scored.outcome}")
        return Example(
            question=question,
            attempts=tuple(attempts),
            outcome=scored.outcome,
            detail=scored.detail,
            answer_rule=scored.rule,
            rationale=told.rationale,
            verdicts=told.verdicts,
            kept=told.kept,
            dropped=told.dropped,
            provenance=self.provenance,
        )


def _scored(question: Question, attempts: Sequence[Attempt]) -> Scored:
    """Score the last attempt."""
    last = attempts[-1]
    if last.trace is not None:
        return score(question, last.trace, attempts=len(attempts))
    refusal = last.refusal or Refusal(outcome=Outcome.NO_RESPONSE)
    return Scored(refusal.outcome, None, refusal.reasons[0].message if refusal.reasons else "")


def _refused(reasons: Sequence[Reason]) -> Outcome:
    kinds = {reason.kind for reason in reasons}
    if "syntax" in kinds:
        return Outcome.UNPARSEABLE
    if kinds & {"policy", "limits"}:
        return Outcome.REFUSED_BY_POLICY
    return Outcome.BREAKS_CONTRACT
