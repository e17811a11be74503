"""Run one program: start it, answer its call, start it again with one more answer, until it ends.

A program is a pure function of its tools' answers, so a run is a replay: nothing is kept alive between
calls. The host owns the clips: it hands out handles, computes what they stand for, and checks that every
replay makes the same calls as before. This file does not score the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final, NamedTuple

from pydantic import JsonValue

from aotd.agent.prepare import Scene
from aotd.agent.sandbox.backend import AnswerMisfit, Backend, Inputs
from aotd.agent.sandbox.outcome import History, Killed, Made, NextCall, Raised, Refused, Returned
from aotd.tools.api import API
from aotd.tools.calls import EmptyClip, Functions, ToolFailed, trim
from aotd.traces.handles import entries, handle
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Call, CallError, Clip, Failure, Trace

__all__ = ["UNWATCHED", "Ask", "RunRefused", "Runner", "Watch", "run_program"]

_KILLED = {
    "timeout": Outcome.TIMEOUT,
    "memory": Outcome.MEMORY,
    "budget": Outcome.BUDGET,
    "output": Outcome.BUDGET,
    "lost": Outcome.WORKER_LOST,
}
_EMPTIED_BY = {
    "Filter_frames_with_act": Outcome.EMPTY_GROUNDING,
    "Find": Outcome.NOT_FOUND,
    "Filter_frames_with_obj": Outcome.NOT_FOUND,
}


class RunRefused(Exception):
    """The sandbox refused a program that had passed the check."""


class Runner(NamedTuple):
    """The sandbox and the threads that wait for it."""

    sandbox: Backend
    threads: Executor


Ask = Callable[[], Awaitable[Call]]
"""Asks a question's functions for the result of one call."""


def _unheard(_: Call) -> None:
    pass


async def _asked(_: Call, ask: Ask) -> Call:
    return await ask()


class Watch(NamedTuple):
    """Who looks on while a program runs, and who may answer its calls in place of the functions."""

    heard: Callable[[Call], None] = _unheard
    """Gets every call with its result, in order, those computed inside the sandbox too."""
    answer: Callable[[Call, Ask], Awaitable[Call]] = _asked
    """Gives a call its result: by asking for it, or from elsewhere."""


UNWATCHED: Final = Watch()
"""Nobody looks on, and the functions answer."""


async def run_program(
    program: str, scene: Scene, functions: Functions, runner: Runner, watch: Watch = UNWATCHED
) -> Trace:
    """Run `program` on the scene's root clip and record what it did.

    What `watch` raises ends the run and is raised here.

    Raises
    ------
    RunRefused
        If the program's policy check fails now though it passed before.
    ModelDown
        If a model stops answering.
    """
    state = _State(scene.clip, watch)
    question = scene.question
    inputs = Inputs(frames=scene.clip.grid_ids, query=question.text, possible_answers=question.options)
    loop = asyncio.get_running_loop()
    begin, spent = time.perf_counter(), 0.0
    while True:
        run = partial(runner.sandbox.run, program, inputs, state.answers, spent=spent)
        try:
            result = await loop.run_in_executor(runner.threads, run)
        except AnswerMisfit as error:
            if state.follow(error.history) is None:
                raise  # the answer is at fault, and so are we
            result = Killed(reason="lost", message=str(error), history=error.history)
        if isinstance(result, Refused):
            raise RunRefused("; ".join(r.message for r in result.reasons))
        history = result.history
        failure = state.follow(history) if history else None
        if history:
            spent += history.seconds
        if failure is None and isinstance(result, NextCall):
            await state.answer(result.call, functions)
            continue
        failure = failure or _failure(result, state)
        answer = result.answer if isinstance(result, Returned) and failure is None else None
        caught = any(c.error is not None and c.error.kind != "EmptyClip" for c in state.calls)
        return Trace(
            video=scene.video,
            span=scene.span,
            program=program,
            calls=tuple(state.calls),
            reads=history.reads if history else (),
            lines=history.lines if history else {},
            variables=history.variables if history else {},
            output=history.output if history else (),
            answer=answer,
            failure=failure,
            isolation=history.isolation if history else runner.sandbox.active,
            future_visible=scene.future_visible,
            keyframes_outside=scene.sheet.outside if scene.sheet else 0,
            degraded=caught and (failure is None or failure.outcome is not Outcome.TOOL_ERROR),
            seconds=round(time.perf_counter() - begin, 6),
        )


class _State:
    """The calls made so far, the answers given, and what each clip handle stands for."""

    def __init__(self, root: Clip, watch: Watch) -> None:
        self.calls: list[Call] = []
        self.answers: list[dict[str, JsonValue]] = []
        self._watch = watch
        self._clips: dict[str, Clip] = {"clip0": root}

    def follow(self, history: History) -> Failure | None:
        """Check that known calls were repeated, and add the local calls made since."""
        for known, made in zip(self.calls, history.calls, strict=False):
            if (known.function, known.args, known.line) != (made.function, made.args, made.line):
                message = f"call {made.number} was {known.function} and is now {made.function} on replay"
                return Failure(
                    outcome=Outcome.REPLAY_MISMATCH, type="Replay", message=message, line=made.line
                )
        if len(history.calls) < len(self.calls):
            message = f"{len(self.calls)} calls were made and only {len(history.calls)} on replay"
            return Failure(outcome=Outcome.REPLAY_MISMATCH, type="Replay", message=message)
        for made in history.calls[len(self.calls) :]:
            if made.local:
                self._add(_call(made).model_copy(update={"result": self._trim(made)}))
        return None

    async def answer(self, made: Made, functions: Functions) -> None:
        """Answer one call and record it."""
        begin = time.perf_counter()
        call = await self._watch.answer(_call(made), partial(self._ask, made, functions))
        self._add(call.model_copy(update={"seconds": round(time.perf_counter() - begin, 6)}))
        self.answers.append(_wire(call))

    async def _ask(self, made: Made, functions: Functions) -> Call:
        """Ask the functions; what they raise is the call's error."""
        call = _call(made)
        try:
            evidence = await getattr(functions, API[made.function].name)(**self._arguments(made))
        except EmptyClip as error:
            return call.model_copy(update={"error": CallError(kind="EmptyClip", message=str(error))})
        except ToolFailed as error:
            told = CallError(kind=error.error.kind, message=error.error.message[:300])
            return call.model_copy(update={"error": told})
        return call.model_copy(
            update={
                "result": evidence.value,
                "sightings": evidence.sightings,
                "notes": evidence.notes,
                "cached": evidence.cached,
            }
        )

    def _add(self, call: Call) -> None:
        if isinstance(call.result, Clip):
            self._clips[f"clip{call.number}"] = call.result
        self.calls.append(call)
        self._watch.heard(call)

    def source(self, clip: str) -> Call | None:
        """Return the call that first came out empty on the way to an empty clip."""
        first = None
        while (number := int(clip.removeprefix("clip"))) and not self._clips[clip].grid_ids:
            first = self.calls[number - 1]
            clip = handle(first.args["clip"]) or "clip0"
        return first

    def _trim(self, made: Made) -> Clip:
        clip, start, end = (self._plain(made.args.get(name)) for name in ("clip", "start", "end"))
        assert isinstance(clip, Clip)  # noqa: S101 - the wire has checked arguments against the declaration
        return trim(clip, start if isinstance(start, int) else None, end if isinstance(end, int) else None)

    def _arguments(self, made: Made) -> dict[str, object]:
        return {name: self._plain(value) for name, value in made.args.items()}

    def _plain(self, value: JsonValue) -> object:
        clip = handle(value)
        if clip is not None:
            return self._clips[clip]
        if isinstance(value, dict):
            return {key: self._plain(item) for key, item in entries(value)}
        return [self._plain(v) for v in value] if isinstance(value, list) else value


def _call(made: Made) -> Call:
    return Call(
        number=made.number, function=made.function, line=made.line, args=dict(made.args), local=made.local
    )


def _wire(call: Call) -> dict[str, JsonValue]:
    if call.error is not None:
        return {"error": {"kind": call.error.kind, "message": call.error.message}}
    if isinstance(call.result, Clip):
        return {"ok": {"$clip": {"frames": list(call.result.grid_ids)}}}
    result = call.result
    return {"ok": list(result) if isinstance(result, list) else result}


def _failure(result: NextCall | Returned | Raised | Killed, state: _State) -> Failure | None:
    if isinstance(result, Killed):
        return Failure(outcome=_KILLED[result.reason], type=result.reason, message=result.message)
    if isinstance(result, Raised):
        return _raised(result, state)
    if isinstance(result, Returned) and not result.parsable:
        message = "the program returned neither text, number, truth value nor list of texts"
        return Failure(outcome=Outcome.ANSWER_UNPARSEABLE, type="answer", message=message)
    return None


def _raised(result: Raised, state: _State) -> Failure:
    outcome = Outcome.PROGRAM_EXCEPTION
    last = state.calls[-1] if state.calls else None
    if result.type == "EmptyClip":
        empty = _empty_clip(result, state)
        source = state.source(empty) if empty else None
        outcome = _EMPTIED_BY.get(source.function, Outcome.NO_FRAMES) if source else Outcome.NO_FRAMES
    elif result.type == "ToolError" and last is not None and last.error is not None:
        outcome = Outcome.TOOL_ERROR
    return Failure(outcome=outcome, type=result.type, message=result.message, line=result.line)


def _empty_clip(result: Raised, state: _State) -> str | None:
    """Return the handle whose emptiness was raised: a failed read after the last call, or the call's clip."""
    reads = result.history.reads
    if reads and reads[-1].value is None and reads[-1].after_call == len(state.calls):
        return reads[-1].clip
    failed = [c for c in state.calls if c.error is not None and c.error.kind == "EmptyClip"]
    return handle(failed[-1].args.get("clip")) if failed else None
