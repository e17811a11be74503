"""Terminal views: the figures of a run, and one question from its program to its verdicts.

Questions, programs and models' words are not trusted: they are shown as plain text, without markup and
without control characters. This file computes no figures and prints nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aotd.benchmarks.bound import BoundReport
from aotd.traces.answers import letter, render
from aotd.traces.call_text import asked_text, given_text
from aotd.traces.outcomes import GROUPS, RIGHT
from aotd.traces.page_text import source_lines
from aotd.traces.records import Attempt, Call, Example, Trace
from aotd.traces.report import Funnel, Report

__all__ = ["bound_table", "example_view", "report_table"]

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)


def _plain(text: str) -> str:
    """Take escape sequences and control characters out of a text that is not ours; keep line breaks."""
    bare = _ESCAPES.sub("", text).expandtabs(4)
    return "".join(c for c in bare if c == "\n" or c.isprintable())


def _line(text: str) -> str:
    return " ".join(_plain(text).split())


def _short(text: str, longest: int = 60) -> str:
    flat = _line(text)
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}\u2026"


def report_table(report: Report) -> Group:
    """Show a run's figures: accuracy, outcomes, types with their funnel, and calls."""
    parts: list[RenderableType] = [_accuracy(report), Text(), _outcomes(report)]
    parts += [Text(), _types(report), Text(), _chains(report)]
    if report.calls:
        parts += [Text(), _spent(report)]
    return Group(*parts)


def _accuracy(report: Report) -> Text:
    told = [
        f"{report.questions} questions, {report.right} right:",
        f"  {_percent(report.accuracy_all)} of the {report.gold} with a known answer",
        f"  {_percent(report.accuracy_answered)} of the {report.scored} answered and scored",
    ]
    if report.macro is not None and len(report.by_type) > 1:
        told.append(f"  {_percent(report.macro)} as the mean over types")
    if report.repair.tried:
        repair = report.repair
        told.append(
            f"{repair.tried} sent back to the planner: {repair.scored} of them scored, {repair.right} right; "
            f"{_percent(repair.accuracy_without)} right without"
        )
    text = Text("\n".join(told))
    if report.future_visible:
        text.append(
            f"\n{report.future_visible} answered with the future visible to an oracle", style="yellow"
        )
    return text


def _outcomes(report: Report) -> Table:
    table = _table("outcome", "questions", "share", "")
    for group, outcomes in GROUPS.items():
        for outcome in outcomes:
            count = report.outcomes.get(outcome, 0)
            if count:
                style = "green" if outcome in RIGHT else "red" if group == "scored" else ""
                table.add_row(
                    Text(outcome, style),
                    str(count),
                    _percent(count / report.questions),
                    Text(group, "dim"),
                )
    table.add_section()
    table.add_row("all", str(report.questions), _percent(1.0 if report.questions else None), "")
    return table


def _types(report: Report) -> Table:
    table = _table("type", "questions", "right", "accuracy")
    for name, of_type in report.by_type.items():
        accuracy = _percent(of_type.accuracy)
        table.add_row(Text(_line(name)), str(of_type.questions), str(of_type.right), accuracy)
    table.add_section()
    table.add_row("all", str(report.questions), str(report.right), _percent(report.accuracy_all))
    return table


def _chains(report: Report) -> Table:
    table = _table("chains of", *Funnel.model_fields)
    for name, of_type in report.by_type.items():
        table.add_row(Text(_line(name)), *(str(count) for count in of_type.funnel.model_dump().values()))
    table.add_section()
    table.add_row("all", *(str(count) for count in report.funnel.model_dump().values()))
    return table


def _spent(report: Report) -> Table:
    table = _table("function", "calls", "cached", "seconds")
    for name, calls in report.calls.items():
        table.add_row(Text(_line(name)), str(calls.calls), str(calls.cached), f"{calls.seconds:.2f}")
    return table


def bound_table(beside: BoundReport) -> Group:
    """Show how far STAR's own programs come, and the questions on which ours part from them."""
    solved = _table("type", "solved", "questions")
    for name, share in beside.solved.items():
        solved.add_row(Text(_line(name)), str(share.solved), str(share.total))
    agreement = _table("STAR's programs and ours", "questions")
    for name, count in beside.agreement.items():
        agreement.add_row(name, str(count))
    parted = _table("question", "STAR's program", "ours", "outcome", left=4)
    for row in beside.parted:
        mark = "\u2713 " if row.executor_right else "\u2717 "
        cells = (row.question_id, mark + row.executor, row.answer, row.outcome)
        parted.add_row(*(Text(_short(cell)) for cell in cells))
    parts: list[RenderableType] = [solved, Text(), agreement]
    return Group(*parts, Text(), parted) if beside.parted else Group(*parts)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position < left or not column else "right")
    return table


def example_view(example: Example) -> Group:
    """Show one question: options and truth, program with its calls, answer, chain of thought, verdicts."""
    parts = [*_question(example)]
    for number, attempt in enumerate(example.attempts, start=1):
        title = "Program" if len(example.attempts) == 1 else f"Program, attempt {number}"
        parts += [_heading(title), _program(attempt)]
    parts += _ending(example)
    if example.rationale is not None:
        parts.append(_heading("Chain of thought"))
        for sentence in example.rationale.sentences:
            cited = f"  {list(sentence.calls)}" if sentence.calls else ""
            parts.append(_indented(Text.assemble(_line(sentence.text), (cited, "dim"))))
    if example.verdicts or example.dropped:
        parts += [_heading("Verdicts"), *_verdicts(example)]
    return Group(*parts)


def _heading(title: str) -> Text:
    return Text(f"\n{title}", style="bold")


def _indented(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, 2))


def _question(example: Example) -> Iterable[RenderableType]:
    question, trace = example.question, example.trace
    origin = [question.id, question.dataset, question.type, f"video {question.video_id}"]
    if question.span:
        origin.append(f"{question.span[0]:g} to {question.span[1]:g} s")
    if trace and trace.video.path:
        origin.append(trace.video.path)
    yield Text("  ".join(_line(part) for part in origin if part), style="dim")
    yield Text(_line(question.text), style="bold")
    for index, option in enumerate(question.options or ()):
        true = question.answer is not None and option.strip() == question.answer.strip()
        told = f"({letter(index)}) {_line(option)}"
        yield _indented(Text(f"{told}  \u2713 truth" if true else told, style="green" if true else ""))
    if question.options is None and question.answer is not None:
        yield _indented(Text(f"truth: {_line(question.answer)}", style="green"))


def _program(attempt: Attempt) -> RenderableType:
    """Show each line with how often it ran, whether it failed, and the calls made on it."""
    trace, refusal = attempt.trace, attempt.refusal
    table = Table.grid(padding=(0, 1))
    for justify in ("right", "right", "left"):
        table.add_column(justify=justify)
    by_line: dict[int, list[Call]] = {}
    for call in trace.calls if trace else ():
        by_line.setdefault(call.line, []).append(call)
    reasons = refusal.reasons if refusal else ()
    for number, source in enumerate(source_lines(attempt.program), start=1):
        here = [reason for reason in reasons if reason.line == number]
        mark = Text("\u2717", "red") if here else _mark(number, trace)
        table.add_row(Text(str(number), "dim"), mark, Text(_plain(source) or " "))
        for call in by_line.get(number, ()):
            table.add_row("", "", _indented(_call(call)))
        for reason in here:
            table.add_row("", "", Text(f"  {_line(reason.message)} {_line(reason.hint)}".rstrip(), "red"))
    for reason in reasons:
        if reason.line is None:
            table.add_row("", Text("\u2717", "red"), Text(_line(reason.message), "red"))
    return table


def _mark(number: int, trace: Trace | None) -> Text:
    """Mark a line: failed, run (and how often, if more than once), or not reached."""
    if trace is None:
        return Text("\u00b7", "dim")
    if trace.failure is not None and trace.failure.line == number:
        return Text("\u2717", "red")
    hits = trace.lines.get(number, 0)
    if not hits:
        return Text("\u00b7", "dim")
    return Text(f"{hits}\u00d7\u2713" if hits > 1 else "\u2713", "green")


def _call(call: Call) -> Text:
    text = Text(f"{call.number}. {asked_text(call)}", style="cyan")
    text.append(f" \u2192 {given_text(call)}", style="default" if call.error is None else "red")
    for note in call.notes:
        text.append(f"\n   {_short(note)}", style="dim")
    return text


def _ending(example: Example) -> list[RenderableType]:
    trace = example.trace
    parts: list[RenderableType] = []
    if trace is not None and trace.answer is not None:
        parts.append(_titled("Answer", _line(render(trace.answer))))
    if trace is not None and trace.failure is not None:
        failure = trace.failure
        where = "" if failure.line is None else f" (line {failure.line})"
        parts.append(_titled("Failure", f"{_line(f'{failure.type}: {failure.message}')}{where}", "red"))
    rule = f" (rule: {example.answer_rule})" if example.answer_rule else ""
    detail = f": {_line(example.detail)}" if example.detail else ""
    style = "green" if example.outcome in RIGHT else "red"
    parts.append(_titled("Outcome", f"{example.outcome}{detail}{rule}", style))
    if trace is not None and trace.future_visible:
        parts.append(_titled("Note", "an oracle saw annotation after the question's end", "yellow"))
    if parts:
        parts.insert(0, Text())
    return parts


def _titled(title: str, content: str, style: str = "") -> Text:
    return Text.assemble((f"{title}  ", "bold"), (content, style))


def _verdicts(example: Example) -> Iterable[RenderableType]:
    for verdict in example.verdicts:
        mark, style = ("\u2713", "green") if verdict.passed else ("\u2717", "red")
        yield _indented(Text.assemble((f"{mark} {verdict.check}", style), f"  {_line(verdict.reason)}"))
    yield _indented(Text("kept" if example.kept else f"not kept: {_line(example.dropped)}", style="bold"))
