"""Break the sandbox if it can be broken: `python -m aotd.benchmarks.perf.fuzz [--programs N] [--frames N]`.

Changes good programs at random and takes each through `check` and `run`; changes outcomes of children at
random and gives them to the host's parser, and frames of zygotes to the worker. Nothing but the declared
errors may come of it, nothing may hang, and the host may not grow by 64 MB. Prints counts; exits with 1 if
that does not hold. It looks for faults of the host, not for ways out: `tests/attacks` does that.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from aotd.agent.sandbox.admit import admit
from aotd.agent.sandbox.backend import AnswerMisfit, Backend, Inputs, Limits
from aotd.agent.sandbox.host import Sandbox
from aotd.agent.sandbox.jail.protocol import OUTCOME, REPLY
from aotd.agent.sandbox.outcome import Killed, NextCall, Outcome
from aotd.agent.sandbox.wire import Malformed, decode
from aotd.agent.sandbox.worker import Lost, Starter, Worker
from aotd.benchmarks.perf.mutate import damage, mutate, programs, programs_of_tests
from aotd.tools.api import API

__all__ = ["Counted", "fuzz_frames", "fuzz_programs", "fuzz_replies", "resident_mb"]

HANG: Final = 60
"""Seconds after which one input counts as a hang: the process then ends with all stacks."""

GROWTH: Final = 64
"""MB by which the host may grow."""

Counted = Counter[str]
"""How often each thing came about; host exceptions begin with `!`."""

_INPUTS: Final = Inputs(frames=tuple(range(32)), query="What?", possible_answers=("The cup.", "The book."))
_LIMITS: Final = Limits(wall_seconds=0.5, cpu_seconds=1, memory_mb=192)
_VALUES: Final[dict[str, Any]] = {
    "clip": {"$clip": {"frames": [2, 3, 9]}},
    "bool": True,
    "int": 2,
    "list[str]": ["cup", "book"],
    "str": "The cup.",
}
_ANSWERS: Final[list[dict[str, Any]]] = [{"ok": True}]


def fuzz_programs(backend: Backend, count: int, seed: int, threads: int = 2) -> tuple[Counted, float]:
    """Take changed programs through a backend; give what came of them and the slowest one's seconds."""
    chance, corpus = random.Random(seed), programs(seed) + programs_of_tests()
    texts = (mutate(chance, corpus) for _ in range(count))
    counted, slowest = Counted(), 0.0
    with ThreadPoolExecutor(threads) as pool:
        for found, seconds in _few_at_a_time(pool, lambda text: _follow(backend, text), texts, 4 * threads):
            counted.update(found)
            slowest = max(slowest, seconds)
    return counted, slowest


def _few_at_a_time(
    pool: ThreadPoolExecutor, work: Callable[[str], tuple[list[str], float]], items: Iterator[str], ahead: int
) -> Iterator[tuple[list[str], float]]:
    """Map in order without making all items at once."""
    waiting = []
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= ahead:
            with _watched():
                yield waiting.pop(0).result()
    for left in waiting:
        with _watched():
            yield left.result()


def _follow(backend: Backend, text: str) -> tuple[list[str], float]:
    """Check a program, then run it up to its third call."""
    begin = time.perf_counter()
    try:
        found = ["check refuses" if backend.check(text, _INPUTS) else "check passes"]
        answers: list[dict[str, Any]] = []
        for _ in range(3):
            outcome = backend.run(text, _INPUTS, answers)
            if not isinstance(outcome, NextCall):
                break
            answers.append({"ok": _VALUES[API[outcome.call.function].returns]})
        found.append(f"run {_ending(outcome)}")
    except Exception as error:  # noqa: BLE001 - what is looked for
        found = [f"!{type(error).__name__} for {text!r}"]
    return found, time.perf_counter() - begin


def _ending(outcome: Outcome) -> str:
    if not isinstance(outcome, Killed):
        return outcome.outcome
    return f"killed: {outcome.reason}" + (f": {outcome.message}" if outcome.reason == "lost" else "")


def fuzz_frames(count: int, seed: int) -> tuple[Counted, float]:
    """Give changed outcomes to the host's parser; give what came of them and the slowest one's seconds."""
    chance, counted, slowest = random.Random(seed), Counted(), 0.0
    for _ in range(count):
        data = damage(chance)
        begin = time.perf_counter()
        with _watched():
            try:
                counted[
                    f"frame {admit(decode(data, 1, 64), tuple(range(32)), _ANSWERS, Limits()).outcome}"
                ] += 1
            except Malformed:
                counted["frame malformed"] += 1
            except AnswerMisfit:
                counted["frame misfit"] += 1
            except Exception as error:  # noqa: BLE001 - what is looked for
                counted[f"!{type(error).__name__} for {data[:2000]!r}"] += 1
        slowest = max(slowest, time.perf_counter() - begin)
    return counted, slowest


def fuzz_replies(count: int, seed: int) -> Counted:
    """Answer a worker's job with noise, as a zygote gone mad would: a reply or Lost, nothing else."""
    chance, counted = random.Random(seed), Counted()
    for _ in range(count):
        worker = Worker(Starter(), (), 64)
        ours, theirs = socket.socketpair()
        worker._control = ours
        size = chance.choice((0, 5, 5, 400, OUTCOME, 2**32 - 1))
        header = REPLY.pack(size, chance.getrandbits(31), chance.random() < 0.5, chance.random())
        with theirs, _watched():
            theirs.sendall(
                chance.choice((header + chance.randbytes(chance.choice((0, 5, 400))), chance.randbytes(99)))
            )
            theirs.shutdown(socket.SHUT_WR)
            try:
                worker.exchange(b"{}", wall=0.1, cpu_seconds=1, memory_mb=64)
                counted["reply"] += 1
            except Lost:
                counted["reply lost"] += 1
            except Exception as error:  # noqa: BLE001 - what is looked for
                counted[f"!{type(error).__name__} for a reply of {size} bytes"] += 1
            worker.close()
    return counted


@contextmanager
def _watched() -> Iterator[None]:
    """End the process with all stacks if this takes too long."""
    faulthandler.dump_traceback_later(HANG, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def resident_mb() -> float:
    """Resident memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def _report(title: str, counted: Counted, begun: float, slowest: float, before: float) -> bool:
    """Print what came of it; tell whether all is well."""
    growth = resident_mb() - before
    print(
        f"{title}: {time.perf_counter() - begun:.1f} s, slowest {slowest:.2f} s, host grew by {growth:.1f} MB"
    )
    for what, number in counted.most_common():
        print(f"  {number:6}  {what}")
    return growth < GROWTH and not any(what.startswith("!") for what in counted)


def main() -> None:
    """Fuzz and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", choices=("process", "monty"), default="process")
    wanted = parser.parse_args()
    fuzz_frames(200, wanted.seed + 1)  # what is loaded once is not growth
    well, before, begun = True, resident_mb(), time.perf_counter()
    counted, slowest = fuzz_frames(wanted.frames, wanted.seed)
    well &= _report(f"{wanted.frames} frames", counted, begun, slowest, before)
    begun = time.perf_counter()
    counted = fuzz_replies(wanted.frames // 10, wanted.seed)
    well &= _report(f"{wanted.frames // 10} replies", counted, begun, 0.0, before)
    with _backend(wanted.backend) as backend:
        fuzz_programs(backend, 50, wanted.seed + 1)
        before, begun = resident_mb(), time.perf_counter()
        counted, slowest = fuzz_programs(backend, wanted.programs, wanted.seed)
    well &= _report(f"{wanted.programs} programs on {wanted.backend}", counted, begun, slowest, before)
    sys.exit(0 if well else 1)


@contextmanager
def _backend(kind: str) -> Iterator[Backend]:
    if kind == "process":
        with Sandbox(_LIMITS, workers=2) as process:
            yield process
        return
    from aotd.agent.sandbox.monty import MontySandbox

    with MontySandbox(_LIMITS.model_copy(update={"isolation": "best-effort"}), workers=2) as monty:
        yield monty


if __name__ == "__main__":
    main()
