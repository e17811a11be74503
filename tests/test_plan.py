"""Recorded programs, the planner's page and the prompt loader."""

from __future__ import annotations

import ast
import asyncio
import builtins
import json
from pathlib import Path

import jinja2
import pytest

from aotd.agent.plan import Planned, RecordedPlanner, planner_page
from aotd.prompts.loader import examples, prompt
from aotd.tools.api import API, ENTRY
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Question


def question(key: str = "q1", text: str = "What?", options: tuple[str, ...] | None = None) -> Question:
    """Make a question."""
    return Question(id=key, dataset="star", video_id="v", text=text, options=options)


def recorded(folder: Path, *lines: str) -> Path:
    """Write a file of recorded programs."""
    path = folder / "programs.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_recorded_programs_are_found_by_id(tmp_path: Path) -> None:
    """Each question gets its own source; other keys and blank lines do not matter."""
    row = {"question_id": "q2", "source": "def f(): ...", "ok": True, "reasons": []}
    path = recorded(tmp_path, json.dumps({"question_id": "q1", "source": "x = 'é'"}), "", json.dumps(row))
    planned = [asyncio.run(RecordedPlanner(path).plan(question(q))) for q in ("q2", "q1")]
    assert [(p.source, p.failure) for p in planned] == [("def f(): ...", None), ("x = 'é'", None)]


def test_a_question_without_a_program_is_no_response(tmp_path: Path) -> None:
    """A missing row and a null source are the planner's silence, each with its reason."""
    path = recorded(tmp_path, '{"question_id": "q1", "source": null}')
    planned = [asyncio.run(RecordedPlanner(path).plan(question(q))) for q in ("q1", "q9")]
    assert planned == [
        Planned(None, Outcome.NO_RESPONSE, "the recorded source is null"),
        Planned(None, Outcome.NO_RESPONSE, "no recorded program has this id"),
    ]


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", '{"source": "x"}', '{"question_id": 3, "source": "x"}', '{"question_id": "q"}', '"q"'],
)
def test_a_malformed_row_is_named_in_one_line(tmp_path: Path, line: str) -> None:
    """The error tells the file and the line, and what a row needs."""
    path = recorded(tmp_path, '{"question_id": "q1", "source": "x"}', line)
    with pytest.raises(ValueError, match=r"programs\.jsonl, line 2: .*`question_id`") as caught:
        RecordedPlanner(path)
    assert "\n" not in str(caught.value)


def test_two_programs_for_one_question_are_refused(tmp_path: Path) -> None:
    """The error tells both lines."""
    row = '{"question_id": "q1", "source": "x"}'
    with pytest.raises(ValueError, match="lines 1 and 3: two programs for 'q1'"):
        RecordedPlanner(recorded(tmp_path, row, "", row))


def test_identity_follows_the_file(tmp_path: Path) -> None:
    """Other programs, other identity."""
    first = RecordedPlanner(recorded(tmp_path, '{"question_id": "q1", "source": "x"}')).identity
    again = RecordedPlanner(recorded(tmp_path, '{"question_id": "q1", "source": "x"}')).identity
    other = RecordedPlanner(recorded(tmp_path, '{"question_id": "q1", "source": "y"}')).identity
    assert first == again != other
    assert first.startswith("recorded/")


def test_the_page_holds_the_whole_api() -> None:
    """Every signature and every line of every docstring is on the page."""
    lines = {line.strip() for line in planner_page().splitlines()}
    for function in API.values():
        assert function.signature in lines
        assert {line.strip() for line in function.doc.splitlines()} <= lines
    assert "execute_command(video_clip, query, possible_answers)" in planner_page()


def test_examples_are_programs_of_the_api() -> None:
    """Each example is Python that defines the entry and knows only the API, builtins and its own names."""
    assert len(examples()) == 6
    for program in examples().values():
        assert program in planner_page()
        tree = ast.parse(program)
        (entry,) = tree.body
        assert isinstance(entry, ast.FunctionDef)
        assert (entry.name, tuple(a.arg for a in entry.args.args)) == ("execute_command", ENTRY)
        names = [node for node in ast.walk(entry) if isinstance(node, ast.Name)]
        bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        assert used <= bound | set(ENTRY) | set(API) | set(dir(builtins))
        assert isinstance(entry.body[-1], ast.Return)


def test_templates_are_strict() -> None:
    """A slot without a value is an error, and a template that does not exist too."""
    with pytest.raises(jinja2.UndefinedError):
        prompt("planner").render({})
    with pytest.raises(FileNotFoundError):
        prompt("no-such-template")
    assert len(prompt("planner").sha256) == 64
