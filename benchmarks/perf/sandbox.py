"""What the sandbox costs and how it holds: `python -m aotd.benchmarks.perf.sandbox [--kills N] [--soak N]`.

Without options: one program run confined, without walls, by plain `exec` in this process and by a fresh
interpreter, taking turns in one run; programs a second on two workers; the cost of a call; how soon a zygote
is ready. `--kills N` ends 8 kinds of endless loop N times each, 4 at once. `--soak N` runs N programs, a
tenth of them hostile, and looks for what they leave behind (Linux).
"""

from __future__ import annotations

import argparse
import collections
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from aotd.agent.sandbox.host import Inputs, Limits, Sandbox
from aotd.agent.sandbox.outcome import Killed, Returned

__all__ = ["HOSTILE", "LOOPS", "Left", "Spread", "kills", "soak"]

INPUTS: Final = Inputs(frames=tuple(range(32)), query="Which object was put down?", possible_answers=None)
HEAD: Final = "def execute_command(video_clip, query, possible_answers):\n    "

ORDINARY: Final = (
    HEAD
    + """seen = {}
    for place, word in enumerate(query.split()):
        seen[word] = seen.get(word, 0) + place
    return max(seen, key=len)
"""
)

LOOPS: Final = {
    "empty loop": "while True: pass",
    "loop that swallows": "while True:\n        try: [].x\n        except: pass",
    "endless iterator": "return sum(iter(int, 1))",
    "one long operation": "return 10 ** 10 ** 9",
    "expression that backtracks": "import re\n    return re.match('(a|a)*b', 'a' * 64)",
    "endless cycle": "import itertools\n    return max(itertools.cycle([1]))",
    "search without end": "return ('a' * 10**7 + 'b').count('a' * 10**6 + 'b') + sum(map(len, iter(str, 1)))",
    "recursion that doubles": "f = lambda n: n and f(n - 1) + f(n - 1)\n    return f(200)",
}
"""Bodies that never end, by what they do."""

HOSTILE: Final = (
    "while True: pass",
    "return 10 ** 10 ** 9",
    "xs = []\n    while True: xs.append('x' * 10 ** 6 + 'y')",
    "return [0] * 10 ** 10",
    "while True: print('x' * 1000)",
    "while True: trim(video_clip, 1)",
    "f = lambda n: f(n + 1)\n    return f(0)",
    "return ().__class__.__base__.__subclasses__()",
    "import os\n    return os.system('id')",
    "return " + "(" * 300 + ")" * 300,
)
"""Bodies that want too much or what is not there."""


class Left(NamedTuple):
    """What there is of the host and its zygotes at a moment."""

    zombies: int
    descriptors: int
    host_mb: float
    zygotes_mb: float


class Spread(NamedTuple):
    """Times, in milliseconds."""

    median: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Summarise times in seconds."""
        ordered = sorted(1000 * s for s in seconds)
        last = len(ordered) - 1
        return cls(*(ordered[min(last, int(share * len(ordered)))] for share in (0.5, 0.95, 0.99, 1.0)))

    def __str__(self) -> str:
        return (
            f"median {self.median:7.2f} ms, p95 {self.p95:7.2f}, p99 {self.p99:7.2f}, most {self.most:7.2f}"
        )


def kills(times: int, at_once: int, wall: float = 0.3) -> list[float]:
    """End each loop so many times; give the seconds from each deadline to the verdict."""

    def end(body: str) -> float:
        begin = time.perf_counter()
        outcome = sandbox.run(f"{HEAD}{body}\n", INPUTS, [])
        after = time.perf_counter() - begin - wall
        assert isinstance(outcome, Killed), (body, outcome)
        assert outcome.reason == "timeout", (body, outcome)
        return after

    with (
        Sandbox(Limits(wall_seconds=wall), workers=at_once) as sandbox,
        ThreadPoolExecutor(at_once) as threads,
    ):
        _start(sandbox, at_once)
        return list(threads.map(end, list(LOOPS.values()) * times))


def soak(programs: int, wall_seconds: float = 0.25) -> tuple[collections.Counter[str], list[Left]]:
    """Run programs, a tenth of them hostile.

    Parameters
    ----------
    programs
        How many.
    wall_seconds
        Limit of each; endless ones take all of it.

    Returns
    -------
    tuple
        How the programs ended, by what was asked of them; and what there was after each tenth of them.
    """

    def run(number: int) -> str:
        kind, source = "ordinary", ORDINARY
        if number % 10 == 0:
            kind, source = "hostile", f"{HEAD}{HOSTILE[number // 10 % len(HOSTILE)]}\n"
        outcome = sandbox.run(source, INPUTS, [])
        reason = f" ({outcome.reason})" if isinstance(outcome, Killed) else ""
        return f"{kind}: {outcome.outcome}{reason}"

    ends: collections.Counter[str] = collections.Counter()
    left: list[Left] = []
    with Sandbox(Limits(wall_seconds=wall_seconds), workers=2) as sandbox, ThreadPoolExecutor(2) as threads:
        _start(sandbox, 2)
        for tenth in range(10):
            ends.update(threads.map(run, range(tenth * programs // 10, (tenth + 1) * programs // 10)))
            left.append(_look())
    return ends, left


def _start(sandbox: Sandbox, workers: int) -> None:
    """Have all zygotes running."""
    with ThreadPoolExecutor(workers) as threads:
        list(
            threads.map(
                lambda _: sandbox.run(f"{HEAD}return sum(range(10 ** 6))\n", INPUTS, []), range(workers)
            )
        )


def _look() -> Left:
    """Look at this process, its children and theirs (Linux)."""
    host = Path("/proc", str(os.getpid()))
    zygotes = _children(host)
    zombies = [p for z in zygotes for p in (z, *_children(z)) if _field(p, "State").startswith("Z")]
    everyone = (host, *zygotes)
    return Left(
        zombies=len(zombies),
        descriptors=sum(len(list((process / "fd").iterdir())) for process in everyone),
        host_mb=_resident(host),
        zygotes_mb=sum(map(_resident, zygotes)),
    )


def _children(process: Path) -> list[Path]:
    lists = [(task / "children").read_text() for task in (process / "task").iterdir()]
    return [Path("/proc", pid) for text in lists for pid in text.split()]


def _field(process: Path, name: str) -> str:
    lines = (process / "status").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{name}:")), "0")


def _resident(process: Path) -> float:
    return int(_field(process, "VmRSS").split()[0]) / 1024


# What a run costs


def in_process() -> None:
    """Run the ordinary program by plain `exec`, as nobody should."""
    scope: dict[str, Any] = {}
    exec(compile(ORDINARY, "<program>", "exec"), scope)  # noqa: S102 - our own text
    assert scope["execute_command"](None, INPUTS.query, None) == "object"


def fresh_interpreter() -> None:
    """Run the ordinary program in an interpreter of its own, with no walls."""
    ask = f"{ORDINARY}\nprint(execute_command(None, {INPUTS.query!r}, None))"
    told = subprocess.run([sys.executable, "-I", "-S", "-c", ask], capture_output=True, check=True)
    assert told.stdout == b"object\n"


def confined(sandbox: Sandbox) -> Callable[[], None]:
    """Give a function that runs the ordinary program in a sandbox."""

    def run() -> None:
        outcome = sandbox.run(ORDINARY, INPUTS, [])
        assert isinstance(outcome, Returned), outcome
        assert outcome.answer == "object"

    return run


def ways(rounds: int) -> dict[str, list[float]]:
    """Time the ordinary program in each way, taking turns; seconds."""
    with (
        Sandbox(Limits(isolation="strict"), workers=1) as strict,
        Sandbox(Limits(isolation="none"), workers=1) as none,
    ):
        arms = {
            "confined": confined(strict),
            "no walls": confined(none),
            "plain exec": in_process,
            "fresh interpreter": fresh_interpreter,
        }
        times: dict[str, list[float]] = {name: [] for name in arms}
        for turn in range(rounds + 20):
            for name, arm in arms.items():
                begin = time.perf_counter()
                arm()
                if turn >= 20:
                    times[name].append(time.perf_counter() - begin)
    return times


def rate(programs: int, workers: int) -> float:
    """Count confined programs a second."""
    with Sandbox(workers=workers) as sandbox, ThreadPoolExecutor(workers) as threads:
        _start(sandbox, workers)
        run = confined(sandbox)
        begin = time.perf_counter()
        list(threads.map(lambda _: run(), range(programs)))
        return programs / (time.perf_counter() - begin)


def call_cost(rounds: int) -> tuple[float, float, float]:
    """Give seconds of a local call, of an answered call, and of a question of 4 calls: 5 runs in turn."""
    local, answered = (
        f"{HEAD}for i in range(32): {call}\n    return 1\n" for call in ("trim(video_clip, i)", _EXIST)
    )
    empty = f"{HEAD}for i in range(32): str(i)\n    return 1\n"
    four = HEAD + "".join(f"{_EXIST}\n    " for _ in range(4)) + "return 1\n"
    yes = {"ok": True}
    times: dict[str, list[float]] = {"empty": [], "local": [], "answered": [], "question": []}
    with Sandbox(workers=1) as sandbox:
        _start(sandbox, 1)
        for _ in range(rounds):
            for name, source, known in (
                ("empty", empty, [[]]),
                ("local", local, [[]]),
                ("answered", answered, [[yes] * 32]),
                ("question", four, [[yes] * k for k in range(5)]),
            ):
                begin = time.perf_counter()
                for answers in known:
                    sandbox.run(source, INPUTS, answers)
                times[name].append(time.perf_counter() - begin)
    middle = {name: statistics.median(found) for name, found in times.items()}
    return (
        (middle["local"] - middle["empty"]) / 32,
        (middle["answered"] - middle["empty"]) / 32,
        middle["question"],
    )


_EXIST: Final = "exist(video_clip, 'cup')"


def readiness(times: int) -> list[float]:
    """Time the start of a zygote, its self-test included; seconds."""
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        with Sandbox(workers=1) as sandbox:
            sandbox.layers()
            found.append(time.perf_counter() - begin)
    return found


def tell_costs(rounds: int) -> None:
    """Measure what a run costs and print."""
    times = ways(rounds)
    base = statistics.median(times["confined"])
    for name, found in times.items():
        ratio = statistics.median(found) / base
        print(f"{name:18}: {Spread.of(found)}; {ratio:8.4f} times confined")
    for workers in (1, 2):
        print(f"{workers} worker(s)       : {rate(4 * rounds, workers):.0f} confined programs/s")
    local, answered, question = call_cost(max(rounds // 5, 10))
    print(f"a call             : {1e6 * local:.0f} us local, {1e6 * answered:.0f} us answered, ", end="")
    print(f"{1000 * question:.1f} ms for a question of 4 calls (5 runs)")
    print(f"zygote ready       : {Spread.of(readiness(20))}")


def tell_kills(times: int) -> None:
    """Measure how soon loops end and print."""
    found = kills(times, at_once=4)
    print(f"{len(LOOPS)} kinds of loop {times} times each, 4 at once, after the deadline: {Spread.of(found)}")


def tell_soak(programs: int) -> None:
    """Look for what programs leave behind and print."""
    begin = time.perf_counter()
    ends, left = soak(programs)
    print(f"{programs} programs in {time.perf_counter() - begin:.0f} s")
    for end, count in sorted(ends.items()):
        print(f"  {end}: {count}")
    for tenth, moment in enumerate(left, 1):
        print(f"  after {10 * tenth:3} %: {moment}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--kills", type=int, metavar="N")
    parser.add_argument("--soak", type=int, metavar="N")
    wanted = parser.parse_args()
    if wanted.kills:
        tell_kills(wanted.kills)
    if wanted.soak:
        tell_soak(wanted.soak)
    if not wanted.kills and not wanted.soak:
        tell_costs(wanted.rounds)


if __name__ == "__main__":
    main()
