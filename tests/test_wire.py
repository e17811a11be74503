"""The wire between child and host: what a child may write, which clips are its own, what it may spend."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aotd.agent.sandbox.admit import admit
from aotd.agent.sandbox.backend import AnswerMisfit, Limits
from aotd.agent.sandbox.jail.arguments import DEPTH, ITEMS, SIZE, TEXT, Function, encode
from aotd.agent.sandbox.jail.clips import Clip
from aotd.agent.sandbox.jail.text import clean, show
from aotd.agent.sandbox.outcome import Killed, NextCall, Outcome, Raised, Returned
from aotd.agent.sandbox.wire import NODES, Malformed, Misfit, decode
from aotd.tools.api import API, wire

FUNCTIONS: dict[str, Function] = {f["name"]: f for f in wire()}  # type: ignore[misc]
ROOT = tuple(range(32))


def write(outcome: dict[str, Any]) -> bytes:
    """Write an outcome as a child does."""
    return json.dumps(outcome, ensure_ascii=False).encode("utf-8", "surrogatepass")


def made(number: int, function: str, **args: Any) -> dict[str, Any]:
    """Write a call on line 2; an argument `clip="clip1"` is a handle."""
    written = {key: {"$clip": value} if key == "clip" else value for key, value in args.items()}
    local = API[function].local
    return {"number": number, "function": function, "args": written, "line": 2, "local": local}


def pending(call: dict[str, Any], *before: dict[str, Any], **history: Any) -> bytes:
    """Write that the program waits at a call."""
    return write({"outcome": "next_call", "call": call, "history": {"calls": before, **history}})


def gave(*frames: int) -> dict[str, Any]:
    """Answer with a clip."""
    return {"ok": {"$clip": {"frames": list(frames)}}}


def take(data: bytes, *answers: dict[str, Any], **limits: int) -> Outcome:
    """Read an outcome and hold it against what the program was given, as the host does."""
    budgets = Limits(**limits)  # type: ignore[arg-type]
    return admit(decode(data, len(answers), budgets.calls), ROOT, answers, budgets)


RETURNED = {"outcome": "returned", "answer": "The cup.", "parsable": True, "history": {}}
RAISED = {"outcome": "raised", "type": "ValueError", "message": "no", "line": 2, "history": {}}
KILLED = {"outcome": "killed", "reason": "output", "message": "too much"}
REFUSED = {"outcome": "refused", "reasons": [{"line": 1, "kind": "policy", "message": "no", "hint": ""}]}


@pytest.mark.parametrize(
    ("honest", "lie"),
    [
        (RAISED, {"message": "x" * 301}),
        (RAISED, {"message": "\x1b[2J"}),
        (RAISED, {"message": "left\u202eright"}),
        (RAISED, {"type": "x" * 81}),
        (RAISED, {"type": ""}),
        (RAISED, {"line": 0}),
        (RAISED, {"line": 10**9}),
        (RETURNED, {"answer": "x" * 10_001}),
        (RETURNED, {"answer": ["x"] * 201}),
        (RETURNED, {"answer": ["x" * 2001]}),
        (RETURNED, {"answer": "\x1b[2J"}),
        (RETURNED, {"answer": 2**63}),
        (RETURNED, {"answer": {"a": 1}}),
        (RETURNED, {"answer": "x" * 201, "parsable": False}),
        (RETURNED, {"answer": 7, "parsable": False}),
        (RETURNED, {"history": {"output": ["x" * 2001]}}),
        (RETURNED, {"history": {"output": ["a\nb"]}}),
        (RETURNED, {"history": {"lines": {"0": 1}}}),
        (RETURNED, {"history": {"lines": {"2": 0}}}),
        (RETURNED, {"history": {"variables": {"now": {"a": "1"}}}}),
        (RETURNED, {"history": {"variables": {"end": {"a": "x" * 201}}}}),
        (RETURNED, {"history": {"variables": {"end": {f"a{n}": "1" for n in range(33)}}}}),
        (RETURNED, {"history": {"isolation": ["process"] * 65}}),
        (KILLED, {"message": "\x07"}),
        (KILLED, {"reason": "mercy"}),
        (REFUSED, {"reasons": REFUSED["reasons"] * 101}),  # type: ignore[operator]
        (REFUSED, {"reasons": [{"line": 1, "kind": "whim", "message": "no", "hint": ""}]}),
        (REFUSED, {"reasons": [{"line": -1, "kind": "policy", "message": "no", "hint": ""}]}),
        (REFUSED, {"reasons": [{"line": 1, "kind": "policy", "message": "x" * 301, "hint": ""}]}),
    ],
)
def test_text_that_an_honest_child_would_have_cut_is_refused(
    honest: dict[str, Any], lie: dict[str, Any]
) -> None:
    """The host does not rely on the child to bound and clean what it tells."""
    assert decode(write(honest), 0, 64).outcome == honest["outcome"]
    with pytest.raises(Malformed):
        decode(write(honest | lie), 0, 64)


def test_a_key_stands_once() -> None:
    """An object that gives a key twice is refused wherever it stands: parsers differ on which one counts."""
    good = write(RAISED)
    for double in (b'"line":1,"line"', b'"\\u006cine":1,"line"'):
        with pytest.raises(Malformed, match="twice"):
            decode(good.replace(b'"line"', double), 0, 64)
    call = pending(made(1, "exist", clip="clip0", query="a"))
    with pytest.raises(Malformed, match="twice"):
        decode(call.replace(b'"query"', b'"query":"b","query"'), 0, 64)


@pytest.mark.parametrize(
    "data",
    [
        b'"' + b'\\"' * (1 << 19),
        b'"' * (1 << 20),
        b'{"a":"' + b"\\" * ((1 << 20) - 6),
        b"[" * 25 + b"]" * 25,
        b"[" + b"[]," * (NODES // 3) + b"[]]",
        b"[" + b'""' * (1 << 18) + b"]",
        b"[1e999]",
        b"[" + b"7" * 25 + b"]",
        b"[NaN]",
        b"[-Infinity]",
        "{}".encode("utf-16"),
        "\ufeff{}".encode(),
        b"\x00" * 100,
        b"",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_bytes_that_would_keep_a_parser_busy_are_refused(data: bytes) -> None:
    """Endless texts, deep or wide nesting and odd numbers cost one pass over the bytes, then Malformed."""
    with pytest.raises(Malformed):
        decode(data, 0, 64)


def test_numbers_without_a_finite_value_are_refused() -> None:
    """A float that overflows on reading is no argument, though its digits look harmless."""
    call = pending(made(1, "select_answer", query="q", info={"$dict": [["a", 0.5]]}, possible_answers=None))
    assert isinstance(decode(call, 0, 64), NextCall)
    for odd in (b"1e999", b"9223372036854775808", b'{"a":1}', b'{"$dict":[["a"]]}', b'{"$clip":"clip0"}'):
        with pytest.raises(Malformed):
            decode(call.replace(b"0.5", odd), 0, 64)


@pytest.mark.parametrize(
    "handle", [[], {}, ["clip0"], 0, None, "clip1", "clip01", "clip-1", "CLIP0", "clip0 "]
)
def test_a_handle_is_one_that_was_given_or_nothing(handle: Any) -> None:
    """A value in the place of a clip that is not a known handle is refused, of whatever type it is."""
    call = made(1, "exist", clip="clip0", query="a")
    assert isinstance(take(pending(call)), NextCall)
    call["args"]["clip"] = {"$clip": handle}
    with pytest.raises(Malformed):
        take(pending(call))


def test_a_clip_that_a_call_failed_to_give_cannot_be_named() -> None:
    """A call that raised gave no clip: naming it would be naming nothing."""
    find, exist = made(1, "Find", clip="clip0", obj="cup"), made(2, "exist", clip="clip1", query="a")
    data = pending(exist, find)
    assert isinstance(take(data, gave(1)), NextCall)
    with pytest.raises(Malformed, match="not given"):
        take(data, {"error": {"kind": "EmptyClip", "message": "no"}})


def test_reads_are_held_against_the_clips() -> None:
    """The host knows what each clip's attributes are, so a child cannot tell other ones."""
    calls = [made(1, "Find", clip="clip0", obj="a"), made(2, "trim", clip="clip1", start=3, end=9)]

    def read(clip: str, attribute: str, value: int | None, after: int = 2) -> Outcome:
        seen = {"line": 2, "clip": clip, "attribute": attribute, "value": value, "after_call": after}
        history = {"calls": calls, "reads": [seen]}
        return take(write(RETURNED | {"history": history}), gave(2, 4, 8, 9))

    for clip, attribute, value in (
        ("clip0", "num_frames", 32),
        ("clip1", "end", 10),
        ("clip2", "start", 4),
        ("clip2", "end", 9),
        ("clip2", "num_frames", 2),
    ):
        assert isinstance(read(clip, attribute, value), Returned)
        with pytest.raises(Malformed):
            read(clip, attribute, value + 1)
        with pytest.raises(Malformed):
            read(clip, attribute, None)
    for clip, after in (("clip3", 2), ("clip2", 1), ("clip2", 3), ("clip2", -1)):
        with pytest.raises(Malformed):
            read(clip, "start", 4, after)


def test_an_answer_that_fits_cannot_be_called_a_misfit() -> None:
    """Only an answer that is really of the wrong kind is the caller's fault and stops a run."""
    claim = {
        "outcome": "misfit",
        "message": "so",
        "history": {"calls": [made(1, "exist", clip="clip0", query="a")]},
    }
    assert isinstance(decode(write(claim), 1, 64), Misfit)
    with pytest.raises(AnswerMisfit, match="answer 1 must be a bool, which exist gives") as caught:
        take(write(claim), {"ok": "yes"})
    assert [call.function for call in caught.value.history.calls] == ["exist"]
    with pytest.raises(Malformed):
        take(write(claim), {"ok": True})
    with pytest.raises(Malformed):
        take(write(claim | {"history": {"calls": []}}))


def spent(data: bytes, *answers: dict[str, Any], **limits: int) -> str:
    """Give what a program was ended for, or nothing."""
    outcome = take(data, *answers, **limits)
    assert not isinstance(outcome, Killed) or outcome.reason == "budget"
    return outcome.message if isinstance(outcome, Killed) else ""


def test_the_budget_of_clips_ends_at_the_call_beyond_it() -> None:
    """Clips are counted whoever makes them; the call that goes beyond is not in the history."""
    trims = [made(n, "trim", clip="clip0", start=n) for n in (1, 2)]
    data = pending(made(3, "Find", clip="clip2", obj="a"), *trims)
    assert spent(data, clips=3) == ""
    assert spent(data, clips=2) == "the program made more than 2 clips"
    outcome = take(data, clips=1)
    assert isinstance(outcome, Killed)
    assert outcome.history is not None
    assert [call.number for call in outcome.history.calls] == [1]


def test_the_budget_of_frames_counts_what_models_are_asked_about() -> None:
    """Each call costs the frames of its clip as the host knows it; trimming costs nothing."""
    calls = [
        made(1, "Find", clip="clip0", obj="a"),
        made(2, "trim", clip="clip1", end=4),
        made(3, "exist", clip="clip2", query="a"),
    ]
    data = pending(made(4, "Compare", a="a", b="b"), *calls)
    cost = 32 + 3
    assert spent(data, gave(1, 2, 3, 9), {"ok": True}, frames=cost) == ""
    assert "frames" in spent(data, gave(1, 2, 3, 9), {"ok": True}, frames=cost - 1)
    assert spent(data, gave(1, 9), {"ok": True}, frames=cost - 2) == ""


def test_the_budget_of_text_counts_bytes() -> None:
    """Texts count in bytes of UTF-8 wherever they stand, keys of dicts too; handles and numbers do not."""
    info = {"$dict": [["k" * 24, ["é" * 250, {"$dict": [["x", 5]]}]]]}
    call = made(1, "select_answer", query="q" * 499, info=info, possible_answers=None)
    assert 24 + 2 * 250 + 1 + 499 == 1024
    assert spent(pending(call), text_kb=1) == ""
    call["args"]["query"] += "q"
    assert spent(pending(call), text_kb=1) == "the program wrote more than 1 KB in its calls"


def test_the_budget_of_calls_counts_the_pending_one() -> None:
    """A child that lets more calls through than it may is not believed."""
    trims = [made(n, "trim", clip="clip0") for n in range(1, 64)]
    call = made(64, "exist", clip="clip63", query="a")
    assert isinstance(take(pending(call, *trims)), NextCall)
    with pytest.raises(Malformed, match="more calls"):
        take(pending(call, *trims), calls=63)


def arguments(function: str, **bound: Any) -> dict[str, Any]:
    """Encode arguments as the child does."""
    return encode(FUNCTIONS[function], bound)


CLIP = Clip(0, ROOT)


def nested(levels: int) -> dict[str, Any]:
    """Make dicts that hold one another."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("function", "fits", "beyond"),
    [
        ("Find", {"clip": CLIP, "obj": "x" * TEXT}, {"clip": CLIP, "obj": "x" * (TEXT + 1)}),
        ("Find", {"clip": CLIP, "obj": "a\tb\r\n\xa0"}, {"clip": CLIP, "obj": "a\x0bb"}),
        ("Find", {"clip": CLIP, "obj": "~"}, {"clip": CLIP, "obj": "\x7f"}),
        ("trim", {"clip": CLIP, "start": -(2**63)}, {"clip": CLIP, "start": -(2**63) - 1}),
        ("trim", {"clip": CLIP, "end": 2**63 - 1}, {"clip": CLIP, "end": 2**63}),
        (
            "Query_Objs",
            {"clip": CLIP, "query": "a", "possible_answers": ["b"] * ITEMS},
            {"clip": CLIP, "query": "a", "possible_answers": ["b"] * (ITEMS + 1)},
        ),
        (
            "select_answer",
            {"query": "q", "info": nested(DEPTH), "possible_answers": None},
            {"query": "q", "info": nested(DEPTH + 1), "possible_answers": None},
        ),
        (
            "select_answer",
            {"query": "q", "info": {str(n): n for n in range(ITEMS)}, "possible_answers": None},
            {"query": "q", "info": {str(n): n for n in range(ITEMS + 1)}, "possible_answers": None},
        ),
        (
            "select_answer",
            {"query": "", "info": {}, "possible_answers": ["x" * 1997] * 32},
            {"query": "", "info": {}, "possible_answers": ["x" * 2000] * 33},
        ),
    ],
)
def test_child_and_host_draw_the_same_lines(
    function: str, fits: dict[str, Any], beyond: dict[str, Any]
) -> None:
    """What just fits is written by the child and taken by the host; one more raises in the program."""
    written = arguments(function, **fits)
    assert len(json.dumps(written)) <= SIZE + 1000
    data = pending({**made(1, "exist"), "function": function, "local": API[function].local, "args": written})
    if not API[function].local:
        assert isinstance(take(data), NextCall)
    with pytest.raises(ValueError, match=f"{function}\\(\\) argument"):
        arguments(function, **beyond)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("Find", {"clip": {"$clip": "clip0"}, "obj": "x" * (TEXT + 1)}),
        ("Find", {"clip": {"$clip": "clip0"}, "obj": "\x0b"}),
        ("Find", {"clip": {"$clip": "clip0"}, "obj": "x", "more": 1}),
        ("Find", {"clip": {"$clip": "clip0"}}),
        ("Query_Objs", {"clip": {"$clip": "clip0"}, "query": "a", "possible_answers": ["b"] * (ITEMS + 1)}),
        ("Query_Objs", {"clip": {"$clip": "clip0"}, "query": "a", "possible_answers": [1]}),
        ("select_answer", {"query": "q", "info": {"a": 1}, "possible_answers": None}),
        ("select_answer", {"query": "q", "info": {"$dict": [[1, 1]]}, "possible_answers": None}),
        (
            "select_answer",
            {"query": "q", "info": {"$dict": [["a", [[[[[[1]]]]]]]]}, "possible_answers": None},
        ),
        (
            "select_answer",
            {"query": "q", "info": {"$dict": [["a", ["x" * 2000] * 40]]}, "possible_answers": None},
        ),
        ("Compare", {"a": {"$clip": "clip0"}, "b": "x"}),
    ],
)
def test_the_host_checks_what_the_child_should_have_checked(function: str, args: dict[str, Any]) -> None:
    """Arguments beyond the bounds are refused on the host too, where no child can change the rule."""
    with pytest.raises(Malformed):
        take(pending({**made(1, "exist"), "function": function, "args": args}))


def test_lists_that_hold_one_another_end_soon() -> None:
    """A value of few objects that would be endless as JSON raises once it is beyond the size."""
    value: list[Any] = ["x"]
    for _ in range(DEPTH - 2):
        value = [value] * ITEMS
    with pytest.raises(ValueError, match="longer than 64 KB"):
        arguments("select_answer", query="q", info={"a": value}, possible_answers=None)
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="deeper"):
        arguments("select_answer", query="q", info={"a": loop}, possible_answers=None)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=5))
def test_what_a_child_writes_its_host_takes(info: dict[str, Any]) -> None:
    """Whatever a program may hand to a call passes the host's checks, and comes out as it went in."""
    try:
        written = arguments("select_answer", query="q", info=info, possible_answers=["a"])
    except ValueError:
        return
    outcome = take(pending({**made(1, "exist"), "function": "select_answer", "args": written}))
    assert isinstance(outcome, NextCall)
    assert outcome.call.args == written


@given(st.text(), st.recursive(st.text() | st.integers() | st.floats(), st.lists, max_leaves=20))
def test_cleaned_text_is_taken(text: str, value: Any) -> None:
    """Whatever a child cleans and shows is bounded and prints, so its host takes it."""
    history = {"output": [clean(text, 2000)], "variables": {"end": {"x": show(value)}}}
    outcome = decode(write(RAISED | {"message": clean(text, 300), "history": history}), 0, 64)
    assert isinstance(outcome, Raised)
