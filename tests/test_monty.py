"""The second backend: what it has in common with the first one, and where they differ."""

from __future__ import annotations

import importlib.resources
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_monty", reason="pydantic-monty (aotd[monty]) is not installed")

from aotd.agent.sandbox.backend import AnswerMisfit, Backend, Inputs, Limits
from aotd.agent.sandbox.host import Sandbox
from aotd.agent.sandbox.monty import HEAP_MB, MontySandbox
from aotd.agent.sandbox.outcome import Killed, NextCall, Outcome, Raised, Refused, Returned
from aotd.tools.api import API

INPUTS = Inputs(frames=tuple(range(32)), query="What happened?", possible_answers=("The cup.", "The book."))
LIMITS = Limits(wall_seconds=10, isolation="best-effort")


def build(kind: str, limits: Limits = LIMITS, workers: int = 1) -> MontySandbox | Sandbox:
    """Make a backend of a kind."""
    return (MontySandbox if kind == "monty" else Sandbox)(limits, workers=workers)


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Backend, Backend]]:
    """The backends: process and Monty."""
    with build("process") as process, build("monty") as monty:
        yield process, monty


@pytest.fixture(scope="module")
def monty(both: tuple[Backend, Backend]) -> Backend:
    """The second backend."""
    return both[1]


def program(body: str) -> str:
    """Put lines into an entry function; its first line is line 2."""
    lines = "\n".join("    " + line for line in body.strip("\n").split("\n"))
    return f"def execute_command(video_clip, query, possible_answers):\n{lines}\n"


def run(backend: Backend, body: str, *answers: dict[str, Any]) -> Outcome:
    """Run a body on the common inputs."""
    return backend.run(program(body), INPUTS, answers)


def told(outcome: Outcome) -> dict[str, Any]:
    """Give an outcome without what only one backend can tell, or what differs between runs."""
    flat = outcome.model_dump()
    if flat.get("history"):
        for key in ("lines", "variables", "isolation", "seconds"):
            del flat["history"][key]
    return flat


def clip(*frames: int) -> dict[str, Any]:
    """Answer with a clip."""
    return {"ok": {"$clip": {"frames": list(frames)}}}


STEPS = """
person = Find(video_clip, "person")
before = trim(person, end=8)
print("frames", before.num_frames)
if exist(before, "cup"):
    names = Query_Objs(before, "object held")
    return select_answer(query, {"seen": names, "window": (before.start, before.end)}, possible_answers)
return "none"
"""
ANSWERS = [clip(2, 3, 9), {"ok": True}, {"ok": ["cup", "book"]}, {"ok": "The cup."}]
EMPTY = {"error": {"kind": "EmptyClip", "message": "no frames"}}
BROKEN = {"error": {"kind": "bad-request", "message": "too\nlong"}}
ASK = "try:\n    return Video_query(video_clip, 'x')\nexcept ToolError as error:\n    return str(error)"


def test_replay_is_the_same(both: tuple[Backend, Backend]) -> None:
    """Calls, arguments, lines, reads and output of a run are the same with each further answer."""
    for k in range(len(ANSWERS) + 1):
        process, monty = (run(backend, STEPS, *ANSWERS[:k]) for backend in both)
        assert told(process) == told(monty)
        assert isinstance(monty, Returned if k == len(ANSWERS) else NextCall)
    assert isinstance(monty, Returned)
    assert monty.answer == "The cup."
    assert monty.history.output == ("frames 2",)
    assert [(c.number, c.function, c.line) for c in monty.history.calls][1] == (2, "trim", 3)
    assert [(r.attribute, r.value, r.line) for r in monty.history.reads][1:] == [
        ("start", 2, 7),
        ("end", 4, 7),
    ]


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        ("return trim(video_clip, 5, 5).start", ()),
        ("try:\n    trim(video_clip, 5, 5).end\nexcept EmptyClip:\n    return 'empty'", ()),
        (ASK, (EMPTY,)),
        (ASK, (BROKEN,)),
        ("raise EmptyClip('mine')", ()),
        ("raise ValueError('no')", ()),
        ("return {'a': 1}['b']", ()),
        ("return 1 / 0", ()),
        ("assert query == ''\nreturn 1", ()),
        ("def again(n):\n    return 1 / n\nreturn again(0)", ()),
        ("try:\n    exist(video_clip, 'a')\nexcept Exception:\n    return 'swallowed'", ()),
        ("try:\n    exist(video_clip, 'a')\nfinally:\n    return 'swallowed'", ()),
        ("f = exist\nreturn f(video_clip, query='a')", ()),
        ("return [exist(video_clip, name) for name in 'ab']", ({"ok": True},)),
        ("for _ in range(65):\n    trim(video_clip, 1)\nreturn 1", ()),
        ("c = trim(clip=video_clip, end=None)\nreturn Video_caption(c)", ()),
        ("return Filter_frames_with_act(video_clip, ('b', 'a'))", ()),
        ("return Query_Objs(video_clip, 'x', {'b', 'a'})", ()),
        ("return select_answer('q', {'a': {'b': [None, True, 1.5, ('c',)]}}, None)", ()),
        *((f"return {value}", ()) for value in ("True", "1", "1.5", "'x'", "None", "['x']", "('b', 'a')")),
        *((f"return {value}", ()) for value in ("{'a': 1}", "[1, 2]", "10 ** 30", "'x' * 20000")),
        ("return video_clip.num_frames + trim(video_clip, 4, 6).end", ()),
        ("x = 1\nreturn x.foo", ()),
        ("print('\\x1b[2J', 'a\\nb')\nraise ValueError('\\x1b[2J')", ()),
        ("return 'a\\x07b'", ()),
        ("class A:\n    pass\nreturn 1", ()),
        ("import os\nreturn 1", ()),
        ("_x__ = 1\nreturn query.__class__", ()),
        ("x = = 1", ()),
        ("return " + "-" * 100 + "1", ()),
    ],
)
def test_the_same_program_comes_to_the_same(
    both: tuple[Backend, Backend], body: str, answers: tuple[dict[str, Any], ...]
) -> None:
    """Outcome, messages, lines, calls, reads and output agree to the letter."""
    process, monty = (run(backend, body, *answers) for backend in both)
    assert told(process) == told(monty)


@pytest.mark.parametrize(
    "call",
    [
        "Find(video_clip)",
        "Find(video_clip, 'a', 'b')",
        "Find(video_clip, thing='a')",
        "Find(video_clip, 'a', obj='b')",
        "Find('clip', 'a')",
        "Find(video_clip, 3)",
        "Find(video_clip, ['a'])",
        "trim(video_clip, True)",
        "trim(video_clip, 1.0)",
        "Query_Objs(video_clip, 'a', ['b'] * 201)",
        "Find(video_clip, 'a' * 2001)",
        "Find(video_clip, 'a' + chr(7))",
        "select_answer(query, {'c': video_clip}, None)",
        "select_answer(query, {1: 'a'}, None)",
        "select_answer(query, {'a': float('inf')}, None)",
        "select_answer(query, {'a': 2 ** 64}, None)",
        "select_answer(query, {'a': {'a': {'a': {'a': {'a': {'a': {}}}}}}}, None)",
    ],
)
def test_wrong_arguments_raise_the_same(both: tuple[Backend, Backend], call: str) -> None:
    """A wrong argument raises inside the program with the same type, line and words."""
    process, monty = (run(backend, f"x = 1\nreturn {call}") for backend in both)
    assert isinstance(monty, Raised)
    assert monty.line == 3
    assert told(process) == told(monty)


EXAMPLES = importlib.resources.files("aotd.prompts") / "examples"


@pytest.mark.parametrize(
    "name", sorted(part.name for part in EXAMPLES.iterdir() if part.name.endswith(".txt"))
)
def test_worked_examples_run_alike(both: tuple[Backend, Backend], name: str) -> None:
    """The planner's examples pass both checks and make the same calls to the same end."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    values = {"clip": clip(2, 3, 9)["ok"], "bool": True, "int": 2, "list[str]": ["a", "b"], "str": "The cup."}
    answers: list[dict[str, Any]] = []
    assert [backend.check(text, INPUTS) for backend in both] == [(), ()]
    for _ in range(20):
        process, monty = (backend.run(text, INPUTS, answers) for backend in both)
        assert told(process) == told(monty)
        if not isinstance(monty, NextCall):
            break
        answers.append({"ok": values[API[monty.call.function].returns]})
    assert isinstance(monty, Returned)


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("return Fnd(video_clip, 'a')", ["contract"]),
        ("return Find(video_clip)", ["contract"]),
        ("return open('x')", ["policy"]),
        ("x = video_clip + 1\nreturn x", ["dry-run"]),
        ("return video_clip.lenght", ["dry-run"]),
        ("if exist(video_clip, 'a'):\n    return 'a'\nreturn Video_query(video_clip, query)", []),
        ("return Find(video_clip, 'a').start", []),
        ("while True:\n    trim(video_clip, 1)\nreturn 1", []),
    ],
)
def test_checks_find_the_same(both: tuple[Backend, Backend], body: str, kinds: list[str]) -> None:
    """Both checks refuse for the same kinds at the same lines, and for nothing that a run may survive."""
    process, monty = (backend.check(program(body), INPUTS) for backend in both)
    assert [reason.kind for reason in monty] == kinds
    assert [(reason.kind, reason.line) for reason in process] == [(r.kind, r.line) for r in monty]


@pytest.mark.parametrize("kind", ["process", "monty"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("while True:\n    pass", "timeout"),
        (
            "while True:\n    try:\n        while True:\n            pass\n    except:\n        pass",
            "timeout",
        ),
        ("return len('x' * 10 ** 10)", "memory"),
        (
            "xs = []\nwhile True:\n    try:\n        xs.append([0] * 10 ** 6)\n    except:\n        pass",
            "memory",
        ),
        ("while True:\n    try:\n        print('x' * 1000)\n    except:\n        pass", "output"),
        ("while True:\n    try:\n        trim(video_clip)\n    except:\n        pass", "budget"),
    ],
)
def test_what_never_ends_is_ended(kind: str, body: str, reason: str) -> None:
    """Time, memory, output and calls end a program by the same reason, and the next one is fine."""
    with build(kind, Limits(wall_seconds=1, memory_mb=128, isolation="best-effort")) as backend:
        outcome = run(backend, body)
        assert isinstance(outcome, Killed)
        assert outcome.reason == reason
        assert isinstance(run(backend, "return 1"), Returned)


@pytest.mark.parametrize("kind", ["process", "monty"])
@pytest.mark.parametrize("budget", ["clips", "frames", "text_kb"])
def test_budgets_hold_for_both(kind: str, budget: str) -> None:
    """The budgets of clips, frames and text end a run at the call that goes beyond."""
    body = "for n in range(9):\n    c = trim(video_clip)\nreturn Video_query(c, 'x' * 1200)"
    limits = Limits(isolation="best-effort", **{budget: 1})  # type: ignore[arg-type]
    with build(kind, limits) as backend:
        outcome = run(backend, body)
        assert isinstance(outcome, Killed)
        assert outcome.reason == "budget"
        assert "more than 1" in outcome.message


@pytest.mark.parametrize("kind", ["process", "monty"])
def test_closing_ends_what_runs(kind: str) -> None:
    """After close nothing runs, and a run in progress ends with an error."""
    backend = build(kind)
    with ThreadPoolExecutor(1) as threads:
        begin = time.monotonic()
        waiting = threads.submit(run, backend, "while True:\n    pass")
        time.sleep(0.5)
        backend.close()
        with pytest.raises(RuntimeError, match="closed"):
            waiting.result(timeout=9)
        assert time.monotonic() - begin < 9
    with pytest.raises(RuntimeError, match="closed"):
        run(backend, "return 1")


def test_time_of_earlier_runs_counts(monty: Backend) -> None:
    """A question whose time is spent is not run again."""
    outcome = monty.run(program("return 1"), INPUTS, [], spent=11)
    assert isinstance(outcome, Killed)
    assert outcome.reason == "timeout"


def test_a_misfit_answer_is_the_callers_fault(monty: Backend) -> None:
    """An answer of the wrong kind is an error of the host and names the answer."""
    with pytest.raises(AnswerMisfit, match="answer 2 must be a bool, which exist gives"):
        run(monty, "Find(video_clip, 'a')\nreturn exist(video_clip, 'b')", clip(1), {"ok": "yes"})


def test_programs_run_side_by_side_and_share_nothing() -> None:
    """Four threads on two workers each get their own answers, from workers that served nobody before."""
    with build("monty", workers=2) as pair, ThreadPoolExecutor(4) as threads:
        bodies = [f"global kept\nkept = {n}\nreturn kept" for n in range(12)]
        outcomes = list(threads.map(lambda body: run(pair, body), bodies))
        assert [o.answer for o in outcomes if isinstance(o, Returned)] == list(range(12))
        left = run(pair, "try:\n    return kept\nexcept NameError:\n    return 'nothing'")
        assert isinstance(left, Returned)
        assert left.answer == "nothing"


def test_runs_repeat_to_the_letter(monty: Backend) -> None:
    """Sets iterate in one order in every worker, or a run could not be repeated."""
    body = "return ' '.join({'cup', 'book', 'phone', 'door', 'sofa', 'dish', 'bag'})"
    outcomes = [run(monty, body) for _ in range(3)]
    assert len({o.answer for o in outcomes if isinstance(o, Returned)}) == 1  # type: ignore[type-var]


def test_a_worker_that_dies_is_replaced() -> None:
    """A run whose worker is killed twice is lost, and the next program runs."""
    backend = MontySandbox(LIMITS, workers=1)
    with backend, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run, backend, "while True:\n    pass")
        killed: set[int] = set()
        end = time.monotonic() + 9
        while len(killed) < 2 and time.monotonic() < end:
            time.sleep(0.2)
            for pid in backend._busy - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        outcome = waiting.result(timeout=5)
        assert isinstance(outcome, Killed)
        assert outcome.reason == "lost"
        assert isinstance(run(backend, "return 1"), Returned)


def test_large_arguments_do_not_fill_the_host() -> None:
    """What a program may pass to a call is bounded by its heap, whatever memory it is allowed."""
    before = _resident_mb()
    with build("monty", Limits(memory_mb=4096, isolation="best-effort")) as backend:
        for size in (HEAP_MB // 5, 2 * HEAP_MB):
            outcome = run(backend, f"return Find(video_clip, 'x' * {size * 1024 * 1024})")
            assert isinstance(outcome, (Raised, Killed))
    assert _resident_mb() - before < 64


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def test_walls_are_never_claimed() -> None:
    """Strict isolation is refused with the way out; what is around a program is named on its trace."""
    with pytest.raises(ValueError, match="set sandbox\\.isolation=best-effort"):
        MontySandbox(Limits(isolation="strict"))
    with build("monty") as backend:
        outcome = run(backend, "return 1")
        assert isinstance(outcome, Returned)
        assert outcome.history.isolation[1:] == ("process", "heap-limit", "time-limit", "language")
        assert outcome.history.isolation[0].startswith("monty ")


@pytest.mark.parametrize(
    ("body", "outcome", "words"),
    [
        ("x = [1]\ndel x[0]\nreturn 1", Refused, "'del' statement"),
        ("import statistics\nreturn 1", Raised, "No module named 'statistics'"),
        ("return sorted([1], key=lambda v: exist(video_clip, 'a'))", Raised, "cannot suspend"),
        ("raise ValueError(3)", Raised, "Internal error in monty"),
        ("return {video_clip: 1}", Raised, "unhashable"),
        ("return str(video_clip)", Returned, "Clip()"),
        ("return any(exist(video_clip, name) for name in 'ab')", NextCall, "'b'"),
    ],
)
def test_known_differences(monty: Backend, body: str, outcome: type, words: str) -> None:
    """What Monty does otherwise is what the page on security lists, no more and no less."""
    found = run(monty, body, {"ok": True})
    assert isinstance(found, outcome), found
    assert words in str(found)
    if not isinstance(found, Refused):
        assert found.history is not None
        assert (found.history.lines, found.history.variables) == ({}, {})
