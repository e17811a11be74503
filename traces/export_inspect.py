"""A run as an eval log of Inspect (inspect_ai) for `inspect view`: a sample per question, calls as events.

The score `aotd` is C for a right answer, I for a wrong one or none, and N where no truth is known; the
outcome and why stand beside it. Needs inspect-ai, which the extra `inspect` brings. Nothing runs in Inspect.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aotd.traces.answers import letter, match_option, render
from aotd.traces.call_text import given_text
from aotd.traces.outcomes import GROUPS, RIGHT
from aotd.traces.records import Call, Example, Question
from aotd.traces.runs import Manifest

if TYPE_CHECKING:
    from inspect_ai.event import ToolEvent
    from inspect_ai.log import EvalLog, EvalResults, EvalSample
    from inspect_ai.scorer import Score

__all__ = ["InspectMissing", "write_inspect"]

_SCORER: Final = "aotd"


class InspectMissing(RuntimeError):
    """An eval log was asked for and inspect-ai is not installed."""


def write_inspect(examples: Iterable[Example], manifest: Manifest, out: Path) -> int:
    """Write a log; the file's ending, `.eval` or `.json`, is its format.

    Returns
    -------
    int
        Samples written.

    Raises
    ------
    InspectMissing
        Without inspect-ai.
    ValueError
        If the file has another ending.
    OSError
        If the file cannot be written.
    """
    if find_spec("inspect_ai") is None:
        raise InspectMissing("an Inspect log needs inspect-ai: pip install 'aotd[inspect]'")
    if out.suffix not in (".eval", ".json"):
        raise ValueError(f"{out}: an Inspect log ends in .eval or .json")
    from inspect_ai.log import write_eval_log

    log = _log(sorted(examples, key=lambda example: example.question.id), manifest)
    write_eval_log(log, str(out))
    return len(log.samples or [])


def _log(examples: list[Example], manifest: Manifest) -> EvalLog:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSpec

    datasets = sorted({example.question.dataset for example in examples})
    spec = EvalSpec(
        created=manifest.created,
        task=" ".join(datasets) or "aotd",
        dataset=EvalDataset(
            name=manifest.annotation.name if manifest.annotation else None,
            samples=len(examples),
            sample_ids=[example.question.id for example in examples],
        ),
        model=str(manifest.models.get("planner", "none")),
        config=EvalConfig(),
        packages=manifest.software,
        metadata={"models": manifest.models, "config_hash": manifest.config_hash},
    )
    return EvalLog(
        status="success", eval=spec, results=_results(examples), samples=[_sample(e) for e in examples]
    )


def _results(examples: list[Example]) -> EvalResults:
    """Count as a report does: the accuracy is over all questions with a known answer."""
    from inspect_ai.log import EvalMetric, EvalResults, EvalScore

    known = [example for example in examples if example.question.answer is not None]
    right = sum(example.outcome in RIGHT for example in known)
    metrics = {"accuracy": EvalMetric(name="accuracy", value=right / len(known))} if known else {}
    score = EvalScore(
        name=_SCORER,
        scorer=_SCORER,
        metrics=metrics,
        scored_samples=len(known),
        unscored_samples=len(examples) - len(known),
    )
    return EvalResults(total_samples=len(examples), completed_samples=len(examples), scores=[score])


def _sample(example: Example) -> EvalSample:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ModelOutput

    question, trace = example.question, example.trace
    answer = render(trace.answer) if trace is not None and trace.answer is not None else ""
    return EvalSample(
        id=question.id,
        epoch=1,
        input=question.text,
        choices=list(question.options) if question.options is not None else None,
        target=_target(question),
        messages=_messages(example, answer),
        output=ModelOutput.from_content(
            model=example.provenance.models.get("planner", "none"), content=answer
        ),
        scores={_SCORER: _score(example, answer)},
        metadata=_about(example),
        events=[_event(call) for call in trace.calls] if trace is not None else [],
        total_time=trace.seconds if trace is not None else None,
    )


def _target(question: Question) -> str:
    """Give the truth as Inspect has it: a letter where there are options."""
    if question.answer is None:
        return ""
    index = match_option(question.answer, question.options).index if question.options else None
    return question.answer if index is None else letter(index)


def _messages(example: Example, answer: str) -> list[Any]:
    """Tell question, programs, calls with their results, and the chain of thought as a conversation."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser
    from inspect_ai.tool import ToolCall

    messages: list[Any] = [ChatMessageUser(id="question", content=example.question.text)]
    for number, attempt in enumerate(example.attempts, start=1):
        calls = attempt.trace.calls if attempt.trace is not None else ()
        made = [
            ToolCall(id=f"{number}.{call.number}", function=call.function, arguments=dict(call.args))
            for call in calls
        ]
        program = ChatMessageAssistant(
            id=f"program {number}", content=attempt.program, tool_calls=made or None
        )
        messages.append(program)
        messages += [
            ChatMessageTool(
                id=f"result {number}.{call.number}",
                content=given_text(call),
                tool_call_id=f"{number}.{call.number}",
                function=call.function,
            )
            for call in calls
        ]
        if attempt.refusal is not None:
            reasons = "; ".join(reason.message for reason in attempt.refusal.reasons)
            messages.append(ChatMessageUser(id=f"refusal {number}", content=f"refused: {reasons}"))
    told = example.rationale.text if example.rationale is not None else answer
    return [*messages, ChatMessageAssistant(id="answer", content=told)] if told else messages


def _score(example: Example, answer: str) -> Score:
    from inspect_ai.scorer import Score

    known = example.question.answer is not None
    value = ("C" if example.outcome in RIGHT else "I") if known else "N"
    told = f"{example.outcome}: {example.detail}" if example.detail else example.outcome.value
    return Score(value=value, answer=answer or None, explanation=told)


def _about(example: Example) -> dict[str, Any]:
    group = next(name for name, outcomes in GROUPS.items() if example.outcome in outcomes)
    return {
        "video": example.question.video_id,
        "type": example.question.type,
        "outcome": example.outcome.value,
        "stage": group,
        "kept": example.kept,
        "dropped": example.dropped,
        "future_visible": bool(example.trace and example.trace.future_visible),
        "verdicts": {v.check: f"{'passed' if v.passed else 'failed'}: {v.reason}" for v in example.verdicts},
    }


def _event(call: Call) -> ToolEvent:
    from inspect_ai.event import ToolEvent
    from inspect_ai.tool import ToolCallError

    error = None
    if call.error is not None:
        error = ToolCallError(type="unknown", message=f"{call.error.kind}: {call.error.message}")
    return ToolEvent(
        id=str(call.number),
        function=call.function,
        arguments=dict(call.args),
        result=given_text(call),
        error=error,
        failed=call.error is not None,
        working_time=call.seconds,
        metadata={"line": call.line, "cached": call.cached, "notes": list(call.notes)},
    )
