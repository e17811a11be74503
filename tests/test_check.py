"""Why a program is refused before it runs: the contract with the API, and a dry run without models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from aotd.agent.sandbox.host import Inputs, Limits, Sandbox
from aotd.cli.errors import UsageError
from aotd.cli.programs import check, exec_program

INPUTS = Inputs(frames=tuple(range(32)), query="What happened?", possible_answers=("The cup.", "The book."))
OPEN = INPUTS.model_copy(update={"possible_answers": None})
HEAD = "def execute_command(video_clip, query, possible_answers):\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One sandbox for the file."""
    with Sandbox(workers=1) as made:
        yield made


def program(body: str) -> str:
    """Put lines into an entry function; its first line is line 2."""
    return HEAD + "\n".join("    " + line for line in body.split("\n"))


@pytest.mark.parametrize(
    ("source", "line", "message", "hint"),
    [
        ("def execute(video_clip):\n    return 1", None, "no execute_command", "begin with"),
        ("def execute_command(video_clip, query):\n    return 1", 1, "wrong parameters", "possible_answers"),
        ("\ndef execute_command(a, b, c):\n    return 1", 2, "wrong parameters", "video_clip"),
        (program("x = 1"), 1, "returns no answer", "return answer"),
        (program("x = 1\nreturn"), 1, "returns no answer", "return answer"),
        (program("def f():\n    return 1\nreturn None"), 1, "returns no answer", "return answer"),
        (program("return find(video_clip, 'a')"), 2, "unknown name find", "did you mean Find?"),
        (program("x = 1\nreturn Query_Obj(video_clip, 'a')"), 3, "Query_Obj", "Query_Objs"),
        (program("return Detect(video_clip)"), 2, "unknown name Detect", "functions: Find"),
        (program("return answr"), 2, "unknown name answr", "functions:"),
        (program("answer = 1\nreturn answr"), 3, "unknown name answr", "did you mean answer?"),
        (program("return open('x')"), 2, "open is not available", "no files"),
        (program("return str(type(query))"), 2, "type is not available", "isinstance"),
        (program("return callable(query)"), 2, "callable is not available", "there are abs, all"),
        (program("return _pick(possible_answers)"), 2, "unknown name _pick", "functions:"),
        (program("def _pick(v):\n    return v[0]\nreturn _pik('a')"), 4, "_pik", "did you mean _pick?"),
        (program("import numpy as np\nreturn 1"), 2, "numpy cannot be imported", "math and statistics"),
        (program("import datetime\nreturn 1"), 2, "datetime cannot be imported", "no clock"),
        (program("x = max([1], key=[1].__getitem__)\nreturn x"), 2, "__getitem__", "lambda i: x[i]"),
        (program("x = " + "-" * 100 + "1\nreturn x"), 2, "nested deeper", "several statements"),
        (program("return getattr(query, 'x')"), 2, "getattr is not available", "no use here"),
        (program("return exist(video_clip)"), 2, "exist lacks query", "write exist(clip, query)"),
        (
            program("return exist(video_clip, 'a', 'b')"),
            2,
            "takes 2 arguments, 3 given",
            "exist(clip, query)",
        ),
        (program("return exist(video_clip, obj='a')"), 2, "no parameter obj", "exist(clip, query)"),
        (program("return exist(video_clip, 'a', query='b')"), 2, "query twice", "exist(clip, query)"),
        (program("return trim(video_clip, 1, finish=2)"), 2, "no parameter finish", "start=None, end=None"),
        (program("return exist('video', 'a')"), 2, "clip of exist is str", "must be clip"),
        (program("return exist(video_clip, 3)"), 2, "query of exist is int", "must be str"),
        (program("return exist(video_clip, ['a'])"), 2, "is list", "must be str"),
        (program("return trim(video_clip, -1.5)"), 2, "start of trim is float", "must be int"),
        (program("return trim(video_clip, start=True)"), 2, "start of trim is bool", "must be int"),
        (
            program("return Query_Objs(video_clip, 'a',\n  'b')"),
            3,
            "possible_answers of Query_Objs",
            "list[str]",
        ),
        (program("return Query_Objs(video_clip, 'a', ['b', 1])"), 2, "a list holding int", "list[str]"),
        (program("return select_answer(query, 'info', None)"), 2, "info of select_answer is str", "dict"),
        (
            program("return select_answer(query, {})"),
            2,
            "lacks possible_answers",
            "select_answer(query, info",
        ),
        (
            HEAD + "    return f'{query}'\nprint(execute_command)",
            3,
            "outside execute_command",
            "constants",
        ),
        (program("return 1 +"), 2, "invalid syntax", "plain Python"),
        (program("class A:\n    pass\nreturn A"), 2, "classes are not allowed", "functions"),
    ],
)
def test_lint_names_the_line_and_the_mend(
    sandbox: Sandbox, source: str, line: int | None, message: str, hint: str
) -> None:
    """Each breach of the contract is told with its line, what is wrong and how to write it."""
    reasons = sandbox.check(source, INPUTS)
    assert reasons
    assert (reasons[0].line, True, True) == (line, message in reasons[0].message, hint in reasons[0].hint), (
        reasons
    )


def test_all_reasons_are_told_in_order_of_lines(sandbox: Sandbox) -> None:
    """Policy and contract are judged together, and nothing is told twice."""
    source = program("import os\nx = Fnd(video_clip, 'a')\nexist(video_clip)\nclass A:\n    pass")
    reasons = sandbox.check(source, INPUTS)
    assert [(r.line, r.kind) for r in reasons] == [
        (1, "contract"),
        (2, "policy"),
        (3, "contract"),
        (4, "contract"),
        (5, "policy"),
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("names = Query_Objs(video_clip, 'a')\nreturn names.lower()", "AttributeError: 'list' object"),
        (
            "part = Find(video_clip, 'a')\nreturn part.frames",
            "AttributeError: a clip has no attribute 'frames'",
        ),
        ("part = video_clip.trim(1, 2)\nreturn str(part)", "write trim(clip, ...)"),
        ("part = Find(video_clip, 'a')\nreturn part[0]", "TypeError: a clip has no items"),
        ("part = Find(video_clip, 'a')\nreturn len(part)", "TypeError"),
        ("names = Query_Objs(video_clip, 'a')\nreturn 'x' + names", "TypeError"),
        ("n = Count(video_clip, 'a')\nreturn exist(video_clip, n)", "TypeError: exist() argument 'query'"),
        ("n = 1\nreturn select_answer(query, {'clip': video_clip}, possible_answers)", "TypeError"),
        ("def f():\n    return late\nreturn f() and [late for late in 'a']", "NameError"),
        ("n = 1\nreturn m + (m := 1)", "UnboundLocalError"),
        ("if not exist(video_clip, 'a'):\n    return None + 1\nreturn 'a'", "TypeError"),
        ("if exist(video_clip, 'a'):\n    return query.frames\nreturn 'a'", "AttributeError"),
        ("if Find(video_clip, 'a').num_frames == 0:\n    return query + 1\nreturn 'a'", "TypeError"),
        ("for name in Query_Objs(video_clip, 'a'):\n    query = name.text\nreturn query", "AttributeError"),
        (
            "n = Count(video_clip, 'a') or\\\n    Find(video_clip, 'b')[0]\nreturn str(n)",
            "a clip has no items",
        ),
    ],
)
def test_the_dry_run_refuses_certain_faults(sandbox: Sandbox, body: str, words: str) -> None:
    """A fault that comes about whenever its line is reached, in any branch, is refused with its line."""
    (reason,) = sandbox.check(program(body), INPUTS)
    assert reason.kind == "dry-run"
    assert words in reason.message
    assert reason.line in (2, 3)


@pytest.mark.parametrize(
    "body",
    [
        "return Query_Objs(video_clip, 'a')[7]",
        "return {'a': 1}[Video_caption(video_clip)[0]]",
        "return int(Video_query(video_clip, 'how many?'))",
        "import re\nreturn re.search(r'\\d+', Video_query(video_clip, 'how many?')).group()",
        "text = Video_summary(video_clip)\nreturn {True: 'y'}.get('yes' in text.lower()).upper()",
        "return 1 / (Count(video_clip, 'a') - 1)",
        "return 1 / Count(video_clip, 'a')",
        "return trim(Find(video_clip, 'a'), 40).start",
        "return next(v for v in Query_Objs(video_clip, 'a') if v == 'zebra')",
        "raise RuntimeError('no idea')\nreturn 1",
        "while True:\n    exist(video_clip, 'a')\nreturn 1",
        "x = 'a' * 10 ** 10\nreturn x",
        "if exist(video_clip, 'a'):\n    x = 1\nreturn str(x)",
        "for name in Query_Objs(video_clip, 'a'):\n    found = name\nreturn found",
        "best = None\nfor name in Query_Objs(video_clip, 'a'):\n    best = name\nreturn best.upper()",
        "part = None\nif exist(video_clip, 'a'):\n    part = video_clip\nreturn str(part.num_frames)",
        "options = [o for o in possible_answers if exist(video_clip, o)]\nreturn options[0]",
        "return Filter_frames_with_act(Filter_frames_with_obj(video_clip, 'a'), 'b').num_frames * 'x'",
        "return (Query_Actions(video_clip) + [Video_summary(video_clip)])[0].upper()",
        "return 'same' if Compare('a', 'b') else 'other'",
    ],
)
def test_the_dry_run_lets_chance_pass(sandbox: Sandbox, body: str) -> None:
    """What depends on the answers, or on how many there are, is no reason to refuse."""
    assert sandbox.check(program(body), INPUTS) == ()


def test_the_dry_run_sees_the_questions_own_inputs(sandbox: Sandbox) -> None:
    """A program that needs options is refused for an open-ended question only."""
    source = program("return possible_answers[0]")
    assert sandbox.check(source, INPUTS) == ()
    assert "TypeError" in sandbox.check(source, OPEN)[0].message


def test_an_endless_program_passes_the_check() -> None:
    """A dry run that runs out of time says nothing against a program."""
    with Sandbox(Limits(wall_seconds=0.3), workers=1) as quick:
        assert quick.check(program("while True:\n    pass\nreturn 1"), INPUTS) == ()


runner = CliRunner()
app = typer.Typer()
app.command("check")(check)
app.command("exec")(exec_program)
GIVEN = {"video_clip": {"video": "v", "start": 0, "end": 32}, "query": "q", "possible_answers": ["a", "b"]}


def invoke(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a command and read its one JSON object."""
    result = runner.invoke(app, arguments)
    assert result.stdout, result.exception
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """File for a program."""
    path = tmp_path / "program.py"
    path.write_text(program("part = Find(video_clip, 'cup')\nreturn str(part.num_frames)"))
    return path


def test_check_prints_its_findings(file: Path) -> None:
    """`check` exits 0 on a good program and 1 with reasons on a bad one."""
    assert invoke("check", str(file)) == (0, {"ok": True, "reasons": []})
    file.write_text(program("return Fnd(video_clip)"))
    code, told = invoke("check", str(file))
    assert code == 1
    assert told["ok"] is False
    assert told["reasons"] == [
        {"line": 2, "kind": "contract", "message": "unknown name Fnd", "hint": "did you mean Find?"}
    ]


def test_exec_pauses_and_returns(file: Path, tmp_path: Path) -> None:
    """`exec` shows the next call, and the answer once the calls have theirs; files and JSON both serve."""
    code, told = invoke("exec", str(file), "--inputs", json.dumps(GIVEN))
    isolation = told.pop("isolation")
    assert "process" in isolation
    assert (code, told) == (
        0,
        {
            "outcome": "next_call",
            "line": 2,
            "function": "Find",
            "args": {"clip": {"$clip": "clip0"}, "obj": "cup"},
            "answer": None,
            "error": None,
            "reason": None,
            "calls": 0,
        },
    )
    inputs, answers = tmp_path / "inputs.json", tmp_path / "answers.json"
    inputs.write_text(json.dumps(GIVEN))
    answers.write_text('[{"ok": {"$clip": {"frames": [3, 4]}}}]')
    code, told = invoke("exec", str(file), "--inputs", str(inputs), "--answers", str(answers))
    assert (code, told["outcome"], told["answer"], told["calls"]) == (0, "returned", "2", 1)


@pytest.mark.parametrize(
    ("body", "answers", "expected"),
    [
        ("return Video_query(video_clip, 'q')", [{"error": {"kind": "k", "message": "m"}}], "raised"),
        ("import os\nreturn 1", [], "refused"),
        ("while True:\n    trim(video_clip, 1)\nreturn 1", [], "killed"),
    ],
)
def test_exec_exits_1_without_an_answer(file: Path, body: str, answers: list[Any], expected: str) -> None:
    """An exception, a refusal and a limit are told in the same object, with exit code 1."""
    file.write_text(program(body))
    code, told = invoke("exec", str(file), "--inputs", json.dumps(GIVEN), "--answers", json.dumps(answers))
    assert (code, told["outcome"]) == (1, expected)
    if expected == "raised":
        assert told["error"] == {"type": "ToolError", "message": "m"}
    else:
        assert told["reason"]


@pytest.mark.parametrize(
    ("inputs", "answers", "words"),
    [
        ("missing.json", "[]", "missing.json: No such file"),
        ("{", "[]", "--inputs: not JSON"),
        ("{}", "[]", "--inputs: video_clip: Field required"),
        (json.dumps(GIVEN | {"query": 3}), "[]", "--inputs: query:"),
        (json.dumps(GIVEN | {"extra": 3}), "[]", "--inputs: extra:"),
        (json.dumps(GIVEN | {"video_clip": {"video": "v", "start": 5, "end": 2}}), "[]", "start <= end"),
        (json.dumps(GIVEN), '{"ok": 1}', "--answers: value:"),
        (json.dumps(GIVEN), '[{"okay": 1}]', "--answers: 0"),
        (json.dumps(GIVEN), "[NaN]", "--answers: not JSON"),
        (json.dumps(GIVEN), '[{"ok": "text"}]', "--answers: answer 1 must be a clip, which Find gives"),
    ],
)
def test_exec_names_what_is_wrong_with_a_file(file: Path, inputs: str, answers: str, words: str) -> None:
    """Bad input is one line that names the file or option and the field."""
    result = runner.invoke(app, ["exec", str(file), "--inputs", inputs, "--answers", answers])
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


def test_check_names_an_unreadable_file(tmp_path: Path) -> None:
    """A program file that is missing or is no text is bad input."""
    missing = runner.invoke(app, ["check", str(tmp_path / "none.py")])
    assert isinstance(missing.exception, UsageError)
    assert "none.py: No such file" in str(missing.exception)
    (tmp_path / "raw.py").write_bytes(b"\xff\xfe")
    raw = runner.invoke(app, ["check", str(tmp_path / "raw.py")])
    assert "raw.py: it is not UTF-8 text" in str(raw.exception)
