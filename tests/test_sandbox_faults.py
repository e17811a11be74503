"""Programs and processes that go wrong: every one ends as an outcome, and the next run is fine."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.agent.sandbox.host import Inputs, Limits, Sandbox
from aotd.agent.sandbox.outcome import Killed, NextCall, Outcome, Raised, Refused, Returned
from aotd.agent.sandbox.wire import Malformed, Misfit, decode
from tests.processes import alive, children_of, wait_for

INPUTS = Inputs(frames=tuple(range(32)), query="What happened?", possible_answers=("The cup.", "The book."))


def run(sandbox: Sandbox, body: str) -> Outcome:
    """Run lines as the body of an entry function; the first is line 2."""
    lines = "\n".join("    " + line for line in body.split("\n"))
    return sandbox.run(f"def execute_command(video_clip, query, possible_answers):\n{lines}\n", INPUTS, [])


def returned(sandbox: Sandbox, body: str) -> Any:
    """Run a body that returns and give its answer."""
    outcome = run(sandbox, body)
    assert isinstance(outcome, Returned), outcome
    return outcome.answer


def test_budgets_of_calls_and_output(sandbox: Sandbox) -> None:
    """The 65th call and too much printing end a run, even inside a handler that swallows all."""
    over = run(sandbox, "while True:\n    try:\n        trim(video_clip, 1)\n    except:\n        pass")
    assert isinstance(over, Killed)
    assert over.reason == "budget"
    assert over.history is not None
    assert len(over.history.calls) == 64
    assert returned(sandbox, "for _ in range(64):\n    trim(video_clip, 1)\nreturn 'ok'") == "ok"
    loud = run(sandbox, "while True:\n    print('x' * 1000)")
    assert isinstance(loud, Killed)
    assert loud.reason == "output"


@pytest.mark.parametrize(
    "body",
    [
        "return len('x' * 10 ** 10)",
        "xs = []\nwhile True:\n    xs.append('x' * 10 ** 6 + 'y')",
        "xs = []\nwhile True:\n    try:\n        xs.append([0] * 10 ** 6)\n    except:\n        pass",
        "return [0] * (10 ** 9)",
    ],
)
def test_memory_runs_out(sandbox: Sandbox, body: str) -> None:
    """A memory bomb ends as memory, caught or not, and the next run is fine."""
    outcome = run(sandbox, body)
    assert isinstance(outcome, Killed)
    assert outcome.reason == "memory"
    assert returned(sandbox, "return 1") == 1


def test_recursion_is_an_exception(sandbox: Sandbox) -> None:
    """Endless recursion raises in the program like any other error."""
    outcome = run(sandbox, "def again(n):\n    return again(n + 1)\nreturn again(0)")
    assert isinstance(outcome, Raised)
    assert outcome.type == "RecursionError"


LOOP = "while True:\n    pass"


def test_an_endless_loop_ends_at_the_deadline() -> None:
    """A loop is ended at its deadline, within half a second, and the next run is fine."""
    with Sandbox(Limits(wall_seconds=0.5), workers=1) as quick:
        for body in (LOOP, "return sum(v for v in iter(int, 1))", "return 10 ** 10 ** 9"):
            begin = time.monotonic()
            outcome = run(quick, body)
            assert isinstance(outcome, Killed)
            assert outcome.reason == "timeout"
            assert time.monotonic() - begin < 2
        assert returned(quick, "return 1") == 1


def test_time_is_summed_over_runs(sandbox: Sandbox) -> None:
    """What earlier runs took is taken from the deadline."""
    outcome = sandbox.run("anything", INPUTS, [], spent=20.0)
    assert isinstance(outcome, Killed)
    assert outcome.reason == "timeout"


def test_processor_time_is_limited() -> None:
    """A child that burns its processor seconds is ended before its wall time is over."""
    with Sandbox(Limits(wall_seconds=30, cpu_seconds=1), workers=1) as short:
        begin = time.monotonic()
        outcome = run(short, LOOP)
        assert isinstance(outcome, Killed)
        assert outcome.reason == "timeout"
        assert time.monotonic() - begin < 15


def zygote(sandbox: Sandbox) -> int:
    """Process id of a sandbox's only zygote."""
    pid: int = wait_for(lambda: sandbox._all[0].pid)
    return pid


def test_a_zygote_killed_between_runs_is_replaced(sandbox: Sandbox) -> None:
    """The run after a zygote's death starts another and is repeated there."""
    assert returned(sandbox, "return 1") == 1
    first = zygote(sandbox)
    os.kill(first, signal.SIGKILL)
    assert returned(sandbox, "return 2") == 2
    assert zygote(sandbox) != first


def test_a_zygote_killed_during_a_run_is_replaced() -> None:
    """A run is repeated once when its zygote dies, and is lost when that one dies too."""
    with Sandbox(Limits(wall_seconds=20), workers=1) as victim, ThreadPoolExecutor(1) as threads:
        assert returned(victim, "return 1") == 1
        waiting = threads.submit(run, victim, LOOP)
        for _ in range(2):
            pid = zygote(victim)
            children = wait_for(lambda pid=pid: children_of(pid))
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda children=children: not any(map(alive, children)))
            wait_for(lambda pid=pid: waiting.done() or victim._all[0].pid not in (pid, None))
        outcome = waiting.result(timeout=10)
        assert isinstance(outcome, Killed)
        assert outcome.reason == "lost"
        assert returned(victim, "return 2") == 2


def test_a_child_that_crashes_is_lost() -> None:
    """A child that dies by itself, for no limit, is tried once more and then lost."""
    with Sandbox(workers=1) as sandbox, ThreadPoolExecutor(1) as threads:
        assert returned(sandbox, "return 1") == 1
        waiting = threads.submit(run, sandbox, LOOP)
        for _ in range(2):
            children = wait_for(lambda: children_of(zygote(sandbox)))
            os.kill(children[0], signal.SIGSEGV)
            wait_for(lambda children=children: not alive(children[0]))
        outcome = waiting.result(timeout=10)
        assert isinstance(outcome, Killed)
        assert outcome.reason == "lost"
        assert "signal 11" in outcome.message


def test_two_workers_serve_two_threads_at_once() -> None:
    """Two programs run side by side, each with its own answers."""
    with Sandbox(Limits(wall_seconds=20), workers=2) as pair, ThreadPoolExecutor(4) as threads:
        bodies = [f"return sum(range(20000)) * 0 + {n}" for n in range(40)]
        assert list(threads.map(lambda body: returned(pair, body), bodies)) == list(range(40))


def test_a_closed_sandbox_runs_nothing() -> None:
    """After close no program is started, and a run in progress ends with an error."""
    sandbox = Sandbox(workers=1)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run, sandbox, LOOP)
        wait_for(lambda: children_of(zygote(sandbox)))
        sandbox.close()
        with pytest.raises(RuntimeError, match="closed"):
            waiting.result(timeout=10)
    with pytest.raises(RuntimeError, match="closed"):
        run(sandbox, "return 1")


def _no_files(limits: str) -> bool:
    """Tell whether a process's limits let it open no file."""
    open_files = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    return open_files.split()[3:5] == ["0", "0"]


def test_a_child_is_confined(sandbox: Sandbox) -> None:
    """A running child has an empty environment, three null streams and one pipe, and no way to more files."""
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run, sandbox, LOOP)
        (child,) = wait_for(lambda: children_of(zygote(sandbox)))
        proc = Path("/proc", str(child))
        # A child confines itself just after it was forked; open files are the last limit.
        limits = wait_for(lambda: [text for text in [(proc / "limits").read_text()] if _no_files(text)])[0]
        environment = set((proc / "environ").read_bytes().split(b"\0")) - {b""}
        files = sorted((int(f.name), str(f.readlink())) for f in (proc / "fd").iterdir())
        os.kill(child, signal.SIGKILL)
        assert waiting.result(timeout=30)
    assert environment <= {b"PYTHONHASHSEED=0", b"PYTHON_JIT=0", b"LC_CTYPE=C.UTF-8"}
    assert [name for _, name in files[:3]] == ["/dev/null"] * 3
    assert [name.split(":")[0] for _, name in files[3:]] == ["pipe"]
    assert _no_files(limits)


GOOD = (
    b'{"outcome":"next_call","call":{"number":1,"function":"exist","args":{"clip":{"$clip":"clip0"},'
    b'"query":"cup"},"line":2,"local":false},"history":{"calls":[],"lines":{"2":1}}}'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"cup"', b'"cup","secret":1'),
        (b'"cup"', b"NaN"),
        (b'"cup"', b"3"),
        (b'"clip0"', b'"clip1"'),
        (b'"exist"', b'"system"'),
        (b'"exist"', b'"Compare"'),
        (b'"number":1', b'"number":2'),
        (b'"number":1', b'"number":' + b"9" * 30),
        (b'"number":1', b'"number":true'),
        (b'"local":false', b'"local":true'),
        (b'"line":2', b'"line":"2"'),
        (b'"calls":[]', b'"calls":' + b"[" * 100_000 + b"]" * 100_000),
        (b'"calls":[]', b'"calls":[' + b"[]," * 100_000 + b"[]]"),
        (b'"calls":[]', b'"calls":[],"seen":1'),
        (b'"cup"', b'"' + b"x" * (1 << 20) + b'"'),
        (b'"cup"', b'"\\ud800"'),
        (b'"cup"', b'"\xff"'),
        (b'"next_call"', b'"lost"'),
        (b"}}}", b"}}"),
        (b"}}}", b"}}} {}"),
    ],
)
def test_a_forged_outcome_is_not_believed(old: bytes, new: bytes) -> None:
    """An outcome that an honest child could not have written is refused, whatever is wrong with it."""
    assert decode(GOOD, 0, 64).outcome == "next_call"
    assert GOOD.count(old) == 1
    with pytest.raises(Malformed):
        decode(GOOD.replace(old, new), 0, 64)


@given(st.binary(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_damaged_outcomes_never_break_the_host(noise: bytes, at: int, cut: int) -> None:
    """Bytes put in or cut out of an outcome give an outcome or Malformed, nothing else."""
    with suppress(Malformed):
        outcome = decode(GOOD[:at] + noise + GOOD[at + cut :], 0, 64)
        assert isinstance(outcome, NextCall | Returned | Raised | Refused | Killed | Misfit)
