"""Differences: two traces aligned by what their calls ask, and two runs question by question."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from aotd.benchmarks.run_diff import OtherQuestion, compare_runs
from aotd.traces.alignment import align, first_difference
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Attempt, Call, Clip, Example, Failure, Provenance, Question, Trace, Video
from aotd.world.build import write_annotation
from tests.conftest import Aotd


def clip(*frames: int) -> Clip:
    """Make a clip of these frames."""
    return Clip(video="v", span=None, grid_ids=frames)


def trace(*calls: tuple[str, JsonValue, object], answer: str | None = "a") -> Trace:
    """Make a trace of calls: function, argument (an int names the clip that this call gave), result."""
    made = tuple(
        Call.model_validate(
            {
                "number": number,
                "function": function,
                "line": number + 1,
                "args": {"clip": {"$clip": f"clip{given}"}} if isinstance(given, int) else {"query": given},
                "result": result,
            }
        )
        for number, (function, given, result) in enumerate(calls, start=1)
    )
    return Trace(video=Video(id="v", digest="id:v"), span=None, program="p", calls=made, answer=answer)


def changes(old: Trace, new: Trace) -> list[str]:
    """Align two traces; tell each pair by its numbers and what became of it."""
    return [
        f"{pair.old.number if pair.old else '-'}{pair.new.number if pair.new else '-'} {pair.change}"
        for pair in align(old, new)
    ]


WHOLE = trace(("Find", 0, clip(3, 4)), ("Count", 1, 2), ("Video_query", "what", "x"))


@pytest.mark.parametrize(
    ("new", "expected", "where"),
    [
        (WHOLE, ["11 same", "22 same", "33 same"], None),
        (  # one call more: later ones still ask the same, though their clip has another name
            trace(("exist", 0, True), ("Find", 0, clip(3, 4)), ("Count", 2, 2), ("Video_query", "what", "x")),
            ["-1 added", "12 same", "23 same", "34 same"],
            "call 1 (exist, line 2)",
        ),
        (  # one call less
            trace(("Count", 0, 2), ("Video_query", "what", "x")),
            ["1- removed", "21 arguments", "32 same"],
            "call 1 (Find, line 2)",
        ),
        (  # another clip: what is asked of it is another thing
            trace(("Find", 0, clip(9)), ("Count", 1, 2), ("Video_query", "what", "x")),
            ["11 result", "22 arguments", "33 same"],
            "call 1 (Find, line 2)",
        ),
        (  # the same clip, another answer
            trace(("Find", 0, clip(3, 4)), ("Count", 1, 2), ("Video_query", "what", "y")),
            ["11 same", "22 same", "33 result"],
            "call 3 (Video_query, line 4)",
        ),
        (  # the calls are the same, the answer is not
            WHOLE.model_copy(update={"answer": "b"}),
            ["11 same", "22 same", "33 same"],
            "answer",
        ),
        (
            WHOLE.model_copy(update={"failure": Failure(outcome=Outcome.BUDGET, type="x", message="y")}),
            ["11 same", "22 same", "33 same"],
            "failure",
        ),
        (WHOLE.model_copy(update={"span": (0.0, 2.0)}), ["11 same", "22 same", "33 same"], "span"),
    ],
)
def test_traces_are_aligned_by_what_their_calls_ask(
    new: Trace, expected: list[str], where: str | None
) -> None:
    """Hand-made pairs of traces align as a reader would align them, and their first difference is named."""
    assert changes(WHOLE, new) == expected
    found = first_difference(WHOLE, new)
    assert (found and found.where) == where


CALLS = st.lists(
    st.tuples(st.sampled_from(["Find", "Count", "exist"]), st.text("ab", max_size=2), st.integers(0, 2)),
    max_size=6,
)


@given(CALLS, CALLS)
def test_an_alignment_loses_no_call_and_keeps_the_order(
    old: list[tuple[str, JsonValue, object]], new: list[tuple[str, JsonValue, object]]
) -> None:
    """Each call of both traces stands once, in order; a trace beside itself is the same throughout."""
    first, second = trace(*old), trace(*new)
    pairs = align(first, second)
    assert [pair.old for pair in pairs if pair.old] == list(first.calls)
    assert [pair.new for pair in pairs if pair.new] == list(second.calls)
    assert {pair.change for pair in align(first, first)} <= {"same"}
    assert first_difference(first, first) is None
    asked = [pair.change in ("same", "result") for pair in pairs]
    alike = [pair.change == "arguments" for pair in pairs]
    assert 3 * sum(asked) + sum(alike) >= 3 * longest_common(old, new)


def longest_common(old: list[tuple[str, JsonValue, object]], new: list[tuple[str, JsonValue, object]]) -> int:
    """Give the length of the longest common subsequence of what is asked, by trying all."""
    asked = [item[:2] for item in old], [item[:2] for item in new]
    for size in range(min(map(len, asked)), 0, -1):
        if any(
            list(some) in map(list, combinations(asked[1], size)) for some in combinations(asked[0], size)
        ):
            return size
    return 0


def example(key: str, outcome: Outcome, traced: Trace | None = WHOLE, kind: str = "T") -> Example:
    """Make an example that ended in a way."""
    return Example(
        question=Question(id=key, dataset="d", video_id="v", text="?", answer="a", type=kind),
        attempts=(Attempt(program="p", trace=traced),),
        outcome=outcome,
        provenance=Provenance(run="r"),
    )


def test_runs_are_compared_question_by_question() -> None:
    """Turned questions, functions and the test come out as counted by hand: 1 against 6 is p = 0.125."""
    other = trace(("Find", 0, clip(9)), ("Count", 1, 2), ("Video_query", "what", "x"))
    first = {str(n): example(str(n), Outcome.RIGHT if n < 6 else Outcome.WRONG) for n in range(9)}
    second = {str(n): example(str(n), Outcome.WRONG, other) for n in range(6)}
    second |= {"6": example("6", Outcome.RIGHT, WHOLE.model_copy(update={"answer": "b"}))}
    second |= {"7": example("7", Outcome.WRONG), "9": example("9", Outcome.RIGHT)}
    found = compare_runs(first, second)
    assert (found.both, found.only_first, found.only_second) == (8, ("8",), ("9",))
    assert [row.question_id for row in found.turned_right] == ["6"]
    assert [row.question_id for row in found.turned_wrong] == [str(n) for n in range(6)]
    assert (found.functions, found.functions_of_turned) == ({"Find": 6, "answer": 1},) * 2
    # Two-sided: 2 * (1 + 7) / 2**7
    assert (found.all.right_before, found.all.right_after, found.all.p) == (6, 1, 0.125)
    assert found.by_type == {"T": found.all}


def test_a_question_without_a_trace_or_an_answer_is_not_lost() -> None:
    """A program that never ran is a difference, and without a known answer nothing turns."""
    old, new = example("1", Outcome.WRONG), example("1", Outcome.NO_RESPONSE, None)
    found = compare_runs({"1": old}, {"1": new})
    assert [(row.function, row.was, row.now) for row in found.parted] == [
        ("no trace", "a program ran", "no program ran")
    ]
    unknown = old.question.model_copy(update={"answer": None})
    old, new = (e.model_copy(update={"question": unknown}) for e in (old, example("1", Outcome.RIGHT)))
    found = compare_runs({"1": old}, {"1": new})
    assert (found.all.questions, found.turned_right, len(found.parted)) == (0, (), 1)


def test_one_id_for_two_questions_is_refused() -> None:
    """Runs of other data sets are not compared by chance of their ids."""
    old = example("1", Outcome.RIGHT)
    new = old.model_copy(update={"question": old.question.model_copy(update={"text": "Another?"})})
    with pytest.raises(OtherQuestion, match="different things as 1"):
        compare_runs({"1": old}, {"1": new})


def test_two_whole_runs_and_one_question_of_them(aotd: Aotd, tmp_path: Path) -> None:
    """An oracle that sees no future loses what only the future shows; the figures and the JSON say so."""
    world = write_annotation(tmp_path / "world", clips=2)
    for name, more in (("all", ()), ("past", ("oracle.future=false",))):
        assert aotd("generate", "star", world, "--preset", "oracle", "--out", tmp_path / name, *more)[0] == 0
    code, out, _ = aotd("diff", tmp_path / "all", tmp_path / "past", "--json", tmp_path / "found.json")
    assert code == 0
    found = json.loads((tmp_path / "found.json").read_text())
    # Of these forms, and of no others, clips end before the event that is asked for.
    later = ("Feasibility_T2", "Feasibility_T5", "Feasibility_T6")
    asked = [record["question_id"] for record in json.loads(world.read_text())]
    lost = [key for key in asked if key.startswith(later)]
    assert len(lost) > 1
    assert [row["question_id"] for row in found["turned_wrong"]] == lost
    assert found["by_type"]["Feasibility"]["right_before"] > len(lost)
    assert found["all"]["p"] == pytest.approx(2 / 2 ** len(lost))
    assert "Turned wrong" in out
    question = found["turned_wrong"][0]["question_id"]
    assert question in out
    code, out, _ = aotd(
        "diff", tmp_path / "all", tmp_path / "past", question, "--json", tmp_path / "one.json"
    )
    assert (code, "First difference: " in out) == (0, True)
    one = json.loads((tmp_path / "one.json").read_text())
    assert one["outcomes"] == ["right", "abstained"]
    assert len(one["calls"]) >= 4
    code, out, _ = aotd("diff", tmp_path / "all", tmp_path / "all")
    assert (code, ", 0 with a difference" in out, "Turned" in out) == (0, True, False)


def test_what_cannot_be_compared_is_one_line(aotd: Aotd, tmp_path: Path) -> None:
    """No such run or question, and no place for the JSON: one line each."""
    world = write_annotation(tmp_path / "world", clips=1)
    run = tmp_path / "run"
    assert aotd("generate", "star", world, "--preset", "oracle", "--out", run, "--limit", 1)[0] == 0
    for words, told in {
        (run, tmp_path / "no"): "give the folder of a run",
        (run, run, "Nothing"): "no example of question 'Nothing'",
        (run, run, "--json", tmp_path / "no/x.json"): "x.json: No such file or directory",
    }.items():
        code, _, err = aotd("diff", *words)
        assert (code, told in err.strip().splitlines()[-1]) == (2, True), err
