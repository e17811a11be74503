"""Who ends whom: endless programs, stopped and killed zygotes, killed hosts, and what is left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from aotd.agent.sandbox.host import Inputs, Limits, Sandbox
from aotd.agent.sandbox.outcome import Killed, Outcome, Returned
from aotd.benchmarks.perf.sandbox import HOSTILE, LOOPS, kills, soak
from tests.processes import alive, children_of, wait_for

if sys.platform != "linux":
    pytest.skip("processes are looked up in /proc", allow_module_level=True)

INPUTS = Inputs(frames=tuple(range(32)), query="What happened?", possible_answers=None)
LOOP = "while True: pass"


def run(sandbox: Sandbox, body: str) -> Outcome:
    """Run one line as the body of an entry function."""
    return sandbox.run(f"def execute_command(video_clip, query, possible_answers):\n    {body}\n", INPUTS, [])


def zygotes(sandbox: Sandbox) -> list[int]:
    """Process ids of a sandbox's zygotes, once all of them take jobs."""
    pids: list[int] = wait_for(lambda: all(w.pid for w in sandbox._all) and [w.pid for w in sandbox._all])
    return pids


def test_every_kind_of_loop_is_ended() -> None:
    """Loops in the program, in C code and in recursion end as timeouts soon after their deadline."""
    late = kills(1, at_once=2)
    assert len(late) == len(LOOPS) == 8
    assert max(late) < 2


def test_programs_leave_nothing_behind() -> None:
    """After programs, a tenth of them hostile, there is no zombie, no further descriptor, no more memory."""
    ends, left = soak(20 * len(HOSTILE), wall_seconds=1.5)  # more than an ordinary one takes anywhere
    assert ends["ordinary: returned"] == 18 * len(HOSTILE)
    assert ends.total() == 20 * len(HOSTILE)
    assert [moment.zombies for moment in left] == [0] * 10
    assert len({moment.descriptors for moment in left}) == 1
    assert left[-1].host_mb < 1.2 * left[0].host_mb
    assert left[-1].zygotes_mb < 1.2 * left[0].zygotes_mb


def test_a_stopped_zygote_does_not_hold_up_a_verdict() -> None:
    """When a zygote is silent past the deadline the host ends it and its child itself, and starts another."""
    with Sandbox(Limits(wall_seconds=1), workers=1) as sandbox, ThreadPoolExecutor(1) as threads:
        assert isinstance(run(sandbox, "return 1"), Returned)
        (pid,) = zygotes(sandbox)
        begin = time.monotonic()
        waiting = threads.submit(run, sandbox, LOOP)
        children = wait_for(lambda: children_of(pid))
        os.kill(pid, signal.SIGSTOP)
        outcome = waiting.result(timeout=30)
        assert time.monotonic() - begin < 5
        assert isinstance(outcome, Killed)
        assert (outcome.reason, outcome.message) == ("lost", "the sandbox process did not answer in time")
        wait_for(lambda: not any(map(alive, (pid, *children))))
        assert isinstance(run(sandbox, "return 1"), Returned)


def test_a_killed_zygote_costs_no_other_run() -> None:
    """A run on another worker goes on undisturbed; the run in flight is repeated on a new zygote."""
    body = "return sum(1 for _ in range(10 ** 6))"
    with Sandbox(Limits(wall_seconds=60, cpu_seconds=60), workers=2) as sandbox:
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(run, sandbox, body) for _ in range(2)]
            before = zygotes(sandbox)
            wait_for(lambda: all(children_of(pid) for pid in before))
            os.kill(before[0], signal.SIGKILL)
            assert [w.result(timeout=60).outcome for w in waiting] == ["returned"] * 2
        after = zygotes(sandbox)
        assert before[0] not in after
        assert before[1] in after


def test_a_forbidden_call_is_told_as_such(sandbox: Sandbox) -> None:
    """A child that the system's filter ends is lost, and the message says why."""
    with ThreadPoolExecutor(1) as threads:
        assert isinstance(run(sandbox, "return 1"), Returned)
        waiting = threads.submit(run, sandbox, LOOP)
        for _ in range(2):
            (child,) = wait_for(lambda: children_of(zygotes(sandbox)[0]))
            os.kill(child, signal.SIGSYS)
            wait_for(lambda child=child: not alive(child))
        outcome = waiting.result(timeout=30)
    assert isinstance(outcome, Killed)
    assert outcome.message == "the system ended the child for a call that is not allowed"


def test_threads_that_ask_may_end() -> None:
    """A zygote outlives the thread whose run started it, though it ends with the host."""
    with Sandbox(workers=1) as sandbox:
        thread = threading.Thread(target=run, args=(sandbox, "return 1"))
        thread.start()
        thread.join()
        (pid,) = zygotes(sandbox)
        assert isinstance(run(sandbox, "return 2"), Returned)
        assert zygotes(sandbox) == [pid]


def test_a_closed_sandbox_leaves_no_process() -> None:
    """Closing ends zygotes and children at once, also those that are stopped."""
    sandbox = Sandbox(Limits(wall_seconds=60, cpu_seconds=60), workers=1)
    with ThreadPoolExecutor(1) as threads:
        assert isinstance(run(sandbox, "return 1"), Returned)
        waiting = threads.submit(run, sandbox, LOOP)
        (pid,) = zygotes(sandbox)
        children = wait_for(lambda: children_of(pid))
        os.kill(pid, signal.SIGSTOP)
        sandbox.close()
        wait_for(lambda: not any(map(alive, (pid, *children))), seconds=2)
        with pytest.raises(RuntimeError, match="closed"):
            waiting.result(timeout=10)


HOST = """
import os, sys, threading, time
from aotd.agent.sandbox.host import Inputs, Limits, Sandbox
sandbox = Sandbox(Limits(wall_seconds=60, cpu_seconds=60), workers=1)
inputs = Inputs(frames=(0,), query="q", possible_answers=None)
entry = "def execute_command(video_clip, query, possible_answers):\\n    "
sandbox.run(entry + "return 1", inputs, [])
threading.Thread(target=sandbox.run, args=(entry + "while True: pass", inputs, [])).start()
heir = os.fork() if sys.argv[1] == "forked" else 0
if sys.argv[1] == "forked" and heir == 0:
    time.sleep(60)
    os._exit(0)
print(sandbox._all[0].pid, heir, flush=True)
"""


@pytest.mark.parametrize("how", ["spinning", "stopped", "forked"])
def test_nothing_outlives_a_killed_host(how: str) -> None:
    """When the host is killed, zygote and child end within two seconds.

    Also when the zygote is stopped, and when a copy of the host still holds the host's end of the socket.
    """
    with subprocess.Popen([sys.executable, "-c", HOST, how], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pid, heir = map(int, host.stdout.readline().split())
        try:
            children = wait_for(lambda: children_of(pid))
            if how == "stopped":
                os.kill(pid, signal.SIGSTOP)
            host.kill()
            wait_for(lambda: not any(map(alive, (pid, *children))), seconds=2)
        finally:
            host.kill()
            if heir:
                os.kill(heir, signal.SIGKILL)
