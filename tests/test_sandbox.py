"""Runs in the sandbox: replay, values, records, and programs that behave badly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.agent.sandbox.host import AnswerMisfit, Inputs, Sandbox
from aotd.agent.sandbox.outcome import NextCall, Outcome, Raised, Returned

INPUTS = Inputs(frames=tuple(range(32)), query="What happened?", possible_answers=("The cup.", "The book."))


def program(body: str) -> str:
    """Put lines into an entry function; its first line is line 2."""
    lines = "\n".join("    " + line for line in body.strip("\n").split("\n"))
    return f"def execute_command(video_clip, query, possible_answers):\n{lines}\n"


def clip(*frames: int) -> dict[str, Any]:
    """Answer with a clip."""
    return {"ok": {"$clip": {"frames": list(frames)}}}


def run(sandbox: Sandbox, body: str, *answers: dict[str, Any]) -> Outcome:
    """Run a body on the common inputs."""
    return sandbox.run(program(body), INPUTS, answers)


def returned(sandbox: Sandbox, body: str, *answers: dict[str, Any]) -> Any:
    """Run a body that returns and give its answer."""
    outcome = run(sandbox, body, *answers)
    assert isinstance(outcome, Returned), outcome
    return outcome.answer


STEPS = """
person = Find(video_clip, "person")
before = trim(person, end=8)
if exist(before, "cup"):
    names = Query_Objs(before, "object held")
    return select_answer(query, {"seen": names, "window": (before.start, before.end)}, possible_answers)
return "none"
"""
ANSWERS = [clip(2, 3, 9), {"ok": True}, {"ok": ["cup", "book"]}, {"ok": "The cup."}]


def test_replay_walks_a_program_step_by_step(sandbox: Sandbox) -> None:
    """Each further answer moves the pause to the next call, with the calls before it unchanged."""
    names, args = [], []
    for k in range(4):
        outcome = run(sandbox, STEPS, *ANSWERS[:k])
        assert isinstance(outcome, NextCall)
        names.append(outcome.call.function)
        args.append(outcome.call.args)
    assert names == ["Find", "exist", "Query_Objs", "select_answer"]
    assert args[:2] == [
        {"clip": {"$clip": "clip0"}, "obj": "person"},
        {"clip": {"$clip": "clip2"}, "query": "cup"},
    ]
    assert args[3] == {
        "query": "What happened?",
        "info": {"$dict": [["seen", ["cup", "book"]], ["window", [2, 4]]]},
        "possible_answers": ["The cup.", "The book."],
    }
    assert returned(sandbox, STEPS, *ANSWERS) == "The cup."


def test_a_run_is_recorded(sandbox: Sandbox) -> None:
    """The record tells calls, reads, line hits, variables at each call and printed lines."""
    outcome = run(sandbox, "for i in range(3):\n    print('at', i)\nc = trim(video_clip, 4, 6)\nreturn c.end")
    assert isinstance(outcome, Returned)
    history = outcome.history
    assert outcome.answer == 6
    assert [(c.number, c.function, c.line, c.local) for c in history.calls] == [(1, "trim", 4, True)]
    assert history.calls[0].args == {"clip": {"$clip": "clip0"}, "start": 4, "end": 6}
    assert [r.model_dump() for r in history.reads] == [
        {"line": 5, "clip": "clip1", "attribute": "end", "value": 6, "after_call": 1}
    ]
    assert (history.lines[3], history.lines[4]) == (3, 1)
    assert history.variables["1"]["i"] == "2"
    assert "c" not in history.variables["1"]
    assert history.variables["end"]["c"] == "<clip frames 4..5>"
    assert history.output == ("at 0", "at 1", "at 2")
    assert {"process", "limit-memory", "limit-open-files", "language"} <= set(history.isolation)
    assert 0 < history.seconds < 20


def test_text_of_a_program_is_made_harmless(sandbox: Sandbox) -> None:
    """Control characters, direction marks and addresses never leave in messages, output or variables."""
    outcome = run(sandbox, "x = '\\x1b[2J'\nprint(x, '\\u202e', execute_command)\nraise ValueError(x)")
    assert isinstance(outcome, Raised)
    assert outcome.message == "\\x1b[2J"
    assert outcome.history.output == ("\\x1b[2J \\u202e <function execute_command>",)
    assert outcome.history.variables["end"]["x"].isprintable()


@pytest.mark.parametrize(
    "value", ["video_clip", "{'a': 1}", "[1, 2]", "float('nan')", "10**30", "trim", "'x' * 20000"]
)
def test_strange_answers_are_marked(sandbox: Sandbox, value: str) -> None:
    """A value that is no answer comes back as text that says so."""
    outcome = run(sandbox, f"return {value}")
    assert isinstance(outcome, Returned)
    assert not outcome.parsable
    assert isinstance(outcome.answer, str)


def test_an_answer_may_be_of_each_plain_kind(sandbox: Sandbox) -> None:
    """True stays a truth value and 1 a number on the way out."""
    for value in (True, False, 1, 1.5, "x", None, ["x"]):
        assert repr(returned(sandbox, f"return {value!r}")) == repr(value)


def test_an_empty_clip_raises_where_it_has_nothing(sandbox: Sandbox) -> None:
    """Reading `.start` of an empty clip raises EmptyClip, with the read on record; a program may catch it."""
    raised = run(sandbox, "return trim(video_clip, 5, 5).start")
    assert isinstance(raised, Raised)
    assert (raised.type, raised.line) == ("EmptyClip", 2)
    assert raised.history.reads[0].value is None
    assert (
        returned(sandbox, "try:\n    trim(video_clip, 5, 5).end\nexcept EmptyClip:\n    return 'empty'")
        == "empty"
    )


def test_errors_of_calls_are_raised_in_the_program(sandbox: Sandbox) -> None:
    """EmptyClip and ToolError reach the program by their names, and it may catch them."""
    empty = {"error": {"kind": "EmptyClip", "message": "no frames"}}
    broken = {"error": {"kind": "bad-request", "message": "too\nlong"}}
    body = "try:\n    return Video_query(video_clip, 'x')\nexcept ToolError as error:\n    return str(error)"
    assert returned(sandbox, body, broken) == "too\\nlong"
    outcome = run(sandbox, body, empty)
    assert isinstance(outcome, Raised)
    assert (outcome.type, outcome.message) == ("EmptyClip", "no frames")
    assert [c.number for c in outcome.history.calls] == [1]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ("Find(video_clip)", "TypeError", "missing the argument 'obj'"),
        ("Find(video_clip, 'a', 'b')", "TypeError", "takes 2 arguments but 3"),
        ("Find(video_clip, thing='a')", "TypeError", "unexpected keyword argument 'thing'"),
        ("Find(video_clip, 'a', obj='b')", "TypeError", "multiple values"),
        ("Find('clip', 'a')", "TypeError", "must be a clip, not str"),
        ("Find(None, 'a')", "TypeError", "must be a clip, not None"),
        ("Find(video_clip, 3)", "TypeError", "must be a str, not int"),
        ("Find(video_clip, ['a'])", "TypeError", "must be a str, not list"),
        ("trim(video_clip, True)", "TypeError", "must be an int or None, not bool"),
        ("trim(video_clip, 1.0)", "TypeError", "not float"),
        ("Filter_frames_with_act(video_clip, ['a', 1])", "TypeError", "must hold str only, not int"),
        ("Query_Objs(video_clip, 'a', 'b')", "TypeError", "a list of str or None, not str"),
        ("Query_Objs(video_clip, 'a', {'b': 'c'})", "TypeError", "not dict"),
        ("select_answer(query, {'c': video_clip}, None)", "TypeError", "cannot hold a clip"),
        ("select_answer(query, {'f': len}, None)", "TypeError", "cannot hold builtin_function"),
        ("select_answer(query, {1: 'a'}, None)", "TypeError", "str keys"),
        ("select_answer(query, ['a'], None)", "TypeError", "must be a dict, not list"),
        ("Find(video_clip, 'a' * 2001)", "ValueError", "longer than 2000"),
        ("Query_Objs(video_clip, 'a', ['b'] * 201)", "ValueError", "more than 200"),
        (
            "select_answer(query, {'a': {'a': {'a': {'a': {'a': {'a': {}}}}}}}, None)",
            "ValueError",
            "6 levels",
        ),
        ("select_answer(query, {'a': float('inf')}, None)", "ValueError", "not a number"),
        ("select_answer(query, {'a': 2 ** 64}, None)", "ValueError", "64 bits"),
        ("Find(video_clip, chr(0xD800))", "ValueError", "half of a character"),
    ],
)
def test_wrong_arguments_raise_at_once(sandbox: Sandbox, call: str, error: str, words: str) -> None:
    """A wrong argument raises inside the program, before any call is made."""
    outcome = run(sandbox, f"x = 1\nreturn {call}")
    assert isinstance(outcome, Raised)
    assert (outcome.type, outcome.line) == (error, 3)
    assert words in outcome.message
    assert outcome.history.calls == ()


@pytest.mark.parametrize(
    ("call", "args"),
    [
        ("trim(clip=video_clip, end=None)", {"clip": {"$clip": "clip0"}}),
        (
            "Filter_frames_with_act(video_clip, ('b', 'a'))",
            {"clip": {"$clip": "clip0"}, "action": ["b", "a"]},
        ),
        (
            "Query_Objs(video_clip, 'x', {'b', 'a'})",
            {"clip": {"$clip": "clip0"}, "query": "x", "possible_answers": ["a", "b"]},
        ),
        (
            "select_answer('q', {'a': {'b': [None, True, 1.5, ('c',)]}}, None)",
            {
                "query": "q",
                "info": {"$dict": [["a", {"$dict": [["b", [None, True, 1.5, ["c"]]]]}]]},
                "possible_answers": None,
            },
        ),
    ],
)
def test_arguments_are_written_plainly(sandbox: Sandbox, call: str, args: dict[str, Any]) -> None:
    """Omitted defaults stay out, tuples become lists, sets sorted lists, dicts are wrapped."""
    outcome = run(sandbox, f"c = {call}\nVideo_caption(video_clip)")
    assert isinstance(outcome, NextCall)
    made = [*outcome.history.calls, outcome.call][0]
    assert made.args == args


def test_a_misfit_answer_is_the_callers_fault(sandbox: Sandbox) -> None:
    """An answer of the wrong kind is an error of the host and names the answer."""
    with pytest.raises(AnswerMisfit, match="answer 2 must be a bool, which exist gives"):
        run(sandbox, "Find(video_clip, 'a')\nexist(video_clip, 'b')", clip(1), {"ok": "yes"})


@pytest.mark.parametrize(
    "body",
    [
        "try:\n    exist(video_clip, 'a')\nexcept Exception:\n    return 'swallowed'",
        "try:\n    exist(video_clip, 'a')\nexcept:\n    return 'swallowed'",
        "try:\n    exist(video_clip, 'a')\nfinally:\n    return 'swallowed'",
        "try:\n    exist(video_clip, 'a')\nfinally:\n    Count(video_clip, 'b')",
        "for _ in range(3):\n    try:\n        exist(video_clip, 'a')\n    finally:\n        continue",
        "return sorted([1, 2], key=lambda v: exist(video_clip, 'a'))",
        "return list(map(lambda v: exist(video_clip, 'a'), 'ab'))",
    ],
)
def test_a_pause_cannot_be_intercepted(sandbox: Sandbox, body: str) -> None:
    """Whatever surrounds a call without an answer, the run ends at that call."""
    outcome = run(sandbox, body)
    assert isinstance(outcome, NextCall)
    assert outcome.call.function == "exist"
    assert outcome.call.number == 1


def test_iteration_over_sets_is_the_same_in_every_zygote() -> None:
    """A restarted zygote hashes texts as the first one did."""
    body = "return ' '.join({'cup', 'book', 'phone', 'door', 'sofa', 'dish', 'bag'})"
    seen = set()
    for _ in range(3):
        with Sandbox(workers=1) as fresh:
            seen.add(returned(fresh, body))
    assert len(seen) == 1


BRANCHES = """
found = []
part = video_clip
for name in ("cup", "book", "phone"):
    if exist(part, name):
        part = Find(part, name)
        if part.num_frames == 0:
            break
        found.append(name)
    else:
        part = trim(part, start=4)
        found.append(Video_summary(part))
while found and exist(part, found[-1]):
    found.pop()
return select_answer(query, {"found": found}, possible_answers)
"""
SOURCES = {"exist": st.booleans(), "Find": st.lists(st.integers(0, 31), unique=True).map(sorted)}


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_more_answers_only_extend_the_calls(sandbox: Sandbox, data: st.DataObject) -> None:
    """The calls of a run with k answers are a prefix of those with k + 1."""
    answers: list[dict[str, Any]] = []
    before: list[Any] = []
    for _ in range(12):
        outcome = run(sandbox, BRANCHES, *answers)
        assert isinstance(outcome, (NextCall, Returned))
        calls = [c.model_dump() for c in outcome.history.calls]
        pending = [outcome.call.model_dump()] if isinstance(outcome, NextCall) else []
        assert (calls + pending)[: len(before)] == before
        before = calls + pending
        if isinstance(outcome, Returned):
            break
        value: Any = data.draw(SOURCES.get(outcome.call.function, st.text(max_size=10)))
        answers.append(clip(*value) if outcome.call.function == "Find" else {"ok": value})
