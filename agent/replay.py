"""Run recorded programs again, answered from the run's journal: their traces must come out equal.

What a call needs of models is looked up in the journal (`aotd.tools.recorded`) and composed anew, so that a
replay checks the program, the sandbox and the functions together. No model is loaded and no video, annotation
or network is needed. A call whose answers the journal does not give is taken from the recorded trace, and
counted. The first thing that comes out otherwise is named, and ends the replay of its program.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

from aotd.agent.config import RunConfig
from aotd.agent.engine import open_sandbox
from aotd.agent.pipeline import Pipeline
from aotd.agent.plan import Planned, Planner, planner_page
from aotd.agent.prepare import Scene
from aotd.agent.run import Ask, Runner, Watch
from aotd.agent.sandbox.backend import Inputs
from aotd.agent.tell import Teller
from aotd.agent.write import TemplateWriter
from aotd.prompts.loader import Templates
from aotd.tools.batching import Backbone
from aotd.tools.build import Places, Toolbox
from aotd.tools.cache import Cache
from aotd.tools.device import Device, Devices
from aotd.tools.models import Selector
from aotd.tools.recorded import NOT_RECORDED, Journalled, recorded_models
from aotd.tools.sampling import root_clip, timeline_of
from aotd.tools.selector import RuleSelector
from aotd.traces.call_text import asked_text, call_text, flat
from aotd.traces.outcomes import Outcome
from aotd.traces.records import GRID, Attempt, Call, Example, Question, Trace

__all__ = [
    "BY_HAND",
    "Divergence",
    "GivenProgram",
    "Offline",
    "Replayed",
    "Steps",
    "changed_prompts",
    "offline",
    "recorded_scene",
    "replay",
]

BY_HAND: Final = "the result was set by hand"
"""Note on a call whose result no model gave."""

_BY_CLOCK: Final = frozenset({Outcome.TIMEOUT, Outcome.MEMORY, Outcome.WORKER_LOST})
"""Ends that come at no fixed place of a program: only its calls up to there are compared."""

_OF_THE_PLACE: Final = frozenset({"isolation", "keyframes_outside"})
"""Fields of a trace that tell of the machine and of the annotation, which a replay does not read."""


class Divergence(NamedTuple):
    """The first thing that came out otherwise."""

    where: str
    """Such as `attempt 1, call 3 (Find, line 4)`."""
    was: str
    now: str


class Replayed(NamedTuple):
    """What became of one question."""

    question_id: str
    programs: int
    counts: Counter[str]
    """Calls by where their results came from: `journal`, `trace`, `sandbox`, `hand`."""
    divergence: Divergence | None


class GivenProgram:
    """A planner that has one program for every question, and no other."""

    def __init__(self, source: str) -> None:
        self._source = source

    @property
    def identity(self) -> str:
        """`given/` and a hash of the program."""
        return f"given/{hashlib.sha256(self._source.encode('utf-8', 'replace')).hexdigest()[:16]}"

    @property
    def prompts(self) -> dict[str, str]:
        """None."""
        return {}

    async def plan(self, question: Question, attempts: Sequence[Attempt] = ()) -> Planned:
        """Give the program."""
        return Planned(self._source, None, "given")


class Steps:
    """A recorded trace beside a program that runs, as far as both do the same."""

    def __init__(self, recorded: Trace | None) -> None:
        self._calls = recorded.calls if recorded else ()
        self.parted = False
        """A call was not made before, or came out otherwise."""

    def at(self, call: Call) -> Call | None:
        """Give the recorded call of the same number."""
        return self._calls[call.number - 1] if call.number <= len(self._calls) else None

    def same(self, call: Call) -> Call | None:
        """Give the recorded call if this one and all before it ask the same; it takes this one's line."""
        known = self.at(call)
        if self.parted or known is None or (known.function, known.args) != (call.function, call.args):
            self.parted = True
            return None
        return known.model_copy(update={"line": call.line})

    def heard(self, call: Call) -> None:
        """Note whether a call came out as it was recorded."""
        known = self.same(call)
        self.parted = known is None or _outcome_of(known) != _outcome_of(call)


class Offline(NamedTuple):
    """What replays share: settings, journal, sandbox, threads."""

    config: RunConfig
    journal: Journalled
    runner: Runner
    device: Device

    @property
    def by_times(self) -> bool:
        """Whether spans follow from times alone, as they do where oracles may see the future."""
        config = self.config
        reads_graphs = "oracle" in (config.detector.kind, config.grounder.kind, config.video_model.kind)
        return reads_graphs and config.oracle.future

    def scene(self, example: Example, trace: Trace) -> Scene:
        """Settle a question as it was when the trace was recorded."""
        return recorded_scene(example.question, trace, by_times=self.by_times)

    def pipeline(
        self, example: Example, planner: Planner, watch: Watch, rule: Selector | None = None
    ) -> Pipeline:
        """Compose a pipeline for one question whose models answer from the journal; it has no judge.

        `rule` chooses where the journal has no choice.
        """
        settings = self.config.functions
        backbone = Backbone(
            Cache(settings.cache_mb * 1_000_000), self.device, lambda _: None, settings.batch_items
        )
        models = recorded_models(self.journal, example.provenance.models, example.question.id, rule)
        roles = example.provenance.models | {"planner": planner.identity}
        return Pipeline(
            planner=planner,
            toolbox=Toolbox(self.config, models, Places.all_at(backbone)),
            runner=self.runner,
            teller=Teller(TemplateWriter(), None, self.config.allow_future),
            answer_judge=None,
            library=None,
            frames=None,
            provenance=example.provenance.model_copy(update={"models": roles}),
            future=self.by_times,
            repairs=0,
            live_programs=1,
            watch=watch,
        )

    async def settle(self, example: Example, trace: Trace, planner: Planner, watch: Watch) -> Example:
        """Take an example's question to an outcome again, in the place where `trace` was recorded.

        Where answers were chosen by rules alone, those that the journal lacks are.
        """
        by_rule = self.config.selector.kind == "rule" and self.config.embedder is None
        pipeline = self.pipeline(example, planner, watch, RuleSelector() if by_rule else None)
        new = await pipeline.settle(self.scene(example, trace))
        # How much annotation lay outside was counted then; it is not read now.
        seen = {"keyframes_outside": trace.keyframes_outside}
        attempts = [
            a if a.trace is None else a.model_copy(update={"trace": a.trace.model_copy(update=seen)})
            for a in new.attempts
        ]
        return new.model_copy(update={"attempts": tuple(attempts)})


@contextmanager
def offline(config: RunConfig, journal: Journalled) -> Iterator[Offline]:
    """Start a sandbox for programs that are answered from a journal."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(open_sandbox(config.sandbox, config.workers))
        threads = stack.enter_context(ThreadPoolExecutor(config.workers, "sandbox"))
        device = stack.enter_context(Devices()).of("journal")
        yield Offline(config, journal, Runner(sandbox, threads), device)


def recorded_scene(question: Question, trace: Trace, *, by_times: bool) -> Scene:
    """Settle a question from its trace, as `aotd.agent.prepare` did from its video.

    Parameters
    ----------
    by_times
        Oracles could see the future: the number of frames follows from times even if there was a video.
    """
    clip = root_clip(question.video_id, trace.span)
    fps = question.fps or trace.video.fps or 0.0
    timeline = timeline_of(trace.video, trace.span, fps, by_times=by_times)
    return Scene(question, trace.video, trace.span, timeline, clip, None, trace.future_visible)


async def replay(example: Example, bench: Offline, program: str | None = None) -> Replayed:
    """Run all programs of an example again, refused ones through the check.

    Parameters
    ----------
    program
        Run this in place of the last program that ran; its lines may differ, its calls and answer may not.
    """
    attempts = list(enumerate(example.attempts, start=1))
    if program is not None:
        attempts = [(n, attempt) for n, attempt in attempts if attempt.trace is not None][-1:]
    counts: Counter[str] = Counter()
    programs = 0
    for number, attempt in attempts:
        programs += bool(attempt.program)
        if attempt.trace is not None:
            walk = _Walk(attempt.trace, counts, lines=program in (None, attempt.program))
            found = await walk.run(example, bench, program or attempt.program, number - 1)
        else:
            found = await _recheck(example.question, attempt, bench) if attempt.program else None
        if found is not None:
            found = found._replace(where=f"attempt {number}, {found.where}")
            return Replayed(example.question.id, programs, counts, found)
    return Replayed(example.question.id, programs, counts, None)


def changed_prompts(examples: Iterable[Example], config: RunConfig) -> list[Divergence]:
    """Name the prompts that are not what they were when the examples were made."""
    templates = Templates(config.prompts.model_dump(exclude_none=True))
    recorded = {item for example in examples for item in example.provenance.prompts.items()}
    told = []
    for name, was in sorted(recorded):
        now = _prompt_digest(name.partition("/")[2], templates)
        if now != was:
            told.append(Divergence(f"prompt {name}", was[:12], now[:12]))
    return told


def _prompt_digest(name: str, templates: Templates) -> str:
    if name == "planner":  # its hash is that of the whole page
        return hashlib.sha256(planner_page(templates).encode()).hexdigest()
    try:
        return templates[name].sha256
    except FileNotFoundError:
        return "no such prompt"


class _Parted(Exception):
    """A call is not as it was recorded."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.where)
        self.divergence = divergence


class _Walk:
    """One program run again beside its trace."""

    def __init__(self, recorded: Trace, counts: Counter[str], *, lines: bool) -> None:
        self._recorded = recorded
        self._counts = counts
        self._lines = lines
        self._steps = Steps(recorded)

    async def run(self, example: Example, bench: Offline, program: str, number: int) -> Divergence | None:
        """Run it; `number` is that of the attempt, from 0."""
        watch = Watch(heard=self._heard, answer=self._answer)
        pipeline = bench.pipeline(example, GivenProgram(program), watch)
        scene = bench.scene(example, self._recorded)
        try:
            attempt = await pipeline.attempt(scene, Planned(program, None), number)
        except _Parted as parted:
            return parted.divergence
        if attempt.trace is None:
            reasons = attempt.refusal.reasons if attempt.refusal else ()
            return Divergence(
                "check of the program", "passed", flat("; ".join(r.message for r in reasons), 200)
            )
        return self._rest(attempt.trace)

    async def _answer(self, call: Call, ask: Ask) -> Call:
        known = self._steps.same(call)
        if known is None:
            self._part(call, asked_text(call))
        elif BY_HAND in known.notes:
            self._counts["hand"] += 1
            return known
        found = await ask()
        if known is not None and found.error is not None and found.error.kind == NOT_RECORDED:
            self._counts["trace"] += 1
            return known
        self._counts["journal"] += 1
        return found

    def _heard(self, call: Call) -> None:
        self._counts["sandbox"] += call.local
        known = self._steps.at(call)
        self._steps.heard(call)
        if known is None or self._steps.parted or not self._equal(known, call):
            self._part(call, call_text(call))

    def _equal(self, known: Call, call: Call) -> bool:
        was, now = known.canonical(), call.canonical()
        return was == now or (not self._lines and was | {"line": 0} == now | {"line": 0})

    def _part(self, call: Call, now: str) -> None:
        known = self._steps.at(call)
        was = "no such call" if known is None else call_text(known)
        if was == now and known is not None:
            was, now = _unlike(known.canonical(), call.canonical())
        where = f"call {call.number} ({call.function}, line {call.line})"
        raise _Parted(Divergence(where, was, now))

    def _rest(self, trace: Trace) -> Divergence | None:
        """Compare what is left of the traces when all calls of the new one were those of the old one."""
        made, now_made = len(self._recorded.calls), len(trace.calls)
        ended = self._recorded.failure
        if ended is not None and ended.outcome in _BY_CLOCK:
            now = "returned" if trace.failure is None else trace.failure.outcome.value
            return Divergence("end", ended.outcome.value, now) if now != ended.outcome else None
        if now_made < made:
            missing = self._recorded.calls[now_made]
            where = f"call {missing.number} ({missing.function}, line {missing.line})"
            return Divergence(where, call_text(missing), "no such call")
        was, now_is = (side.canonical() for side in (self._recorded, trace))
        if not self._lines:
            for side in (was, now_is):
                side["failure"] = side["failure"] and side["failure"] | {"line": None}
        fields = [*(["reads", "lines", "variables", "output"] if self._lines else []), "answer", "failure"]
        rest = [f for f in was if f not in {*fields, *_OF_THE_PLACE, "calls"}] if self._lines else []
        for field in (*fields, *rest):
            if was[field] != now_is[field]:
                return Divergence(field, *(flat(json.dumps(side[field]), 200) for side in (was, now_is)))
        return None


async def _recheck(question: Question, attempt: Attempt, bench: Offline) -> Divergence | None:
    """Check a program again that was refused."""
    inputs = Inputs(frames=tuple(range(GRID)), query=question.text, possible_answers=question.options)
    loop = asyncio.get_running_loop()
    runner = bench.runner
    reasons = await loop.run_in_executor(runner.threads, runner.sandbox.check, attempt.program, inputs)
    known = attempt.refusal.reasons if attempt.refusal else ()
    was, now = ("; ".join(flat(r.message, 100) for r in some) for some in (known, reasons))
    return Divergence("check of the program", was, now or "passed") if known != reasons else None


def _outcome_of(call: Call) -> tuple[Any, Any]:
    return call.result, call.error


def _unlike(was: dict[str, Any], now: dict[str, Any]) -> tuple[str, str]:
    """Tell the first field in which two records differ."""
    field = next(name for name in was if was[name] != now[name])
    return f"{field} {flat(json.dumps(was[field]), 200)}", f"{field} {flat(json.dumps(now[field]), 200)}"
