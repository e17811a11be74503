"""Where hostile programs meet the sandbox, and a look at what changed.

Programs run through the product's own `Sandbox`, beside a folder, a port and a process that they must not
reach and that tell whether they were. What came of each is told as `Seen`; whether that is a success is for
the rule in `attack_corpus.py` to say.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from attack_bait import Place, Port, Victim
from attack_corpus import ANSWERS, GOOD, GOOD_ANSWER, Program, Seen, fill, successes

from aotd.agent.sandbox.host import Inputs, Limits, Sandbox
from aotd.agent.sandbox.isolation import Isolation
from aotd.agent.sandbox.outcome import History, Killed, NextCall, Outcome, Raised, Refused, Returned
from aotd.agent.sandbox.worker import Worker
from aotd.tools.api import API

__all__ = ["INPUTS", "MEMORY_MB", "Arena", "breach", "sandbox"]

INPUTS: Final = Inputs(
    frames=tuple(range(32)), query="What happened?", possible_answers=("The cup.", "The book.")
)

Calls = tuple[tuple[str, dict[str, Any]], ...]

MEMORY_MB: Final = 192
"""Megabytes that programs may take here: little, so that taking them is quick."""

SLACK_MB: Final = 32
"""Megabytes beyond the limit that a child keeps back for telling that memory ran out."""

ENDED: Final = "ended or stopped the zygote"

HOST_MB: Final = 64
"""Megabytes by which the host may grow for one program."""

_SUBREAPER: Final = 36
_LIBC: Final = ctypes.CDLL(None)


@contextmanager
def breach(uid: int | None = None) -> Iterator[None]:
    """Have sandboxes start zygotes whose children execute breach programs, as another user if named."""
    command = Worker._command
    entry = str(Path(__file__).parent / "attack_entry.py")

    def opened(worker: Worker) -> list[str]:
        words = command(worker)
        at = next(n for n, word in enumerate(words) if word.endswith("start.py"))
        return [*words[:at], entry, "-" if uid is None else str(uid), *words[at:]]

    Worker._command = opened  # type: ignore[method-assign]
    try:
        yield
    finally:
        Worker._command = command  # type: ignore[method-assign]


def sandbox(isolation: Isolation = "strict", layers: Collection[str] | None = None) -> Sandbox:
    """Make a sandbox as arenas need it."""
    return Sandbox(
        Limits(wall_seconds=20, memory_mb=MEMORY_MB, isolation=isolation), workers=1, layers=layers
    )


class Arena:
    """Runs hostile programs in a sandbox and looks at what changed.

    Parameters
    ----------
    sandbox
        With one worker and at least ten seconds of wall time.
    uid
        User of the victim; None for this process's.
    """

    def __init__(self, sandbox: Sandbox, uid: int | None = None) -> None:
        self._sandbox = sandbox
        self._folder = tempfile.TemporaryDirectory()
        Path(self._folder.name).chmod(0o755)
        self._place = Place(Path(self._folder.name) / "place")
        self._port = Port()
        self._uid = uid
        self._victim = Victim(uid)
        self._before = "before-" + secrets.token_hex(16)
        self._environment = "environment-" + secrets.token_hex(16)
        os.environ["AOTD_CANARY"] = self._environment
        _LIBC.prctl(_SUBREAPER, 1, 0, 0, 0)  # what a child leaves behind becomes a child of this process

    def __enter__(self) -> Self:
        assert self._good() == GOOD_ANSWER  # starts the zygote
        self._mine = self._children()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _LIBC.prctl(_SUBREAPER, 0, 0, 0, 0)
        self._port.close()
        self._victim.close()
        self._folder.cleanup()
        os.environ.pop("AOTD_CANARY", None)

    def canaries(self) -> list[str]:
        """Give what no program can know."""
        jail = str(Path(sys.modules[Sandbox.__module__].__file__ or "").parent)
        known = [self._place.canary, self._before, self._environment, *self._victim.canaries]
        return [*known, f"ppid={self._zygote()}", jail]

    def held(self, program: Program) -> list[str]:
        """Name the ways in which a program succeeds: once, and where time could be at fault, again."""
        found = successes(self.attack(program), self.canaries())
        if found and set(found) <= {"late", "memory", ENDED}:
            found = successes(self.attack(program), self.canaries())
        return found

    def attack(self, program: Program, more: Mapping[str, str] | None = None) -> Seen:
        """Run a program, then the good one, and tell what came of it."""
        places = {**self._place.places(), "PORT": str(self._port.number), "ENV": "AOTD_CANARY"}
        places |= {"VICTIM": str(self._victim.process.pid), "ADDRESS": str(self._victim.address)}
        source = fill(program.source, places | {"ZYGOTE": str(self._zygote())} | dict(more or {}))
        zygote, before = self._zygote(), _resident()
        with _Watch(zygote, self._sandbox.limits.memory_mb + SLACK_MB) as watch:
            begun = time.monotonic()
            outcome, calls = self._replay(source, program.wall)
            took = time.monotonic() - begun
        grown = _peak() - before > HOST_MB
        seen = _seen(outcome)
        effects = [*self._place.changed(), *self._harmed(), *self._survivors()]
        effects += ["reached the port"] * bool(self._port.take())
        effects += [ENDED] * (self._zygote() != zygote)
        return seen._replace(
            calls=calls,
            late=took > program.wall + 0.5,
            memory=watch.over or grown,
            effects=tuple(effects),
            good=self._good() == GOOD_ANSWER,
        )

    def _replay(self, source: str, wall: float) -> tuple[Outcome | Exception, Calls]:
        """Run a program to its end, answering its calls; also give all calls that were taken."""
        answers: list[dict[str, Any]] = []
        calls: Calls = ()
        spent = self._sandbox.limits.wall_seconds - wall
        try:
            while True:
                outcome = self._sandbox.run(source, INPUTS, answers, spent=spent)
                calls = max(calls, _calls(outcome), key=len)
                if not isinstance(outcome, NextCall) or len(answers) > 80:
                    return outcome, calls
                spent += outcome.history.seconds
                answers.append({"ok": ANSWERS[API[outcome.call.function].returns]})
        except Exception as error:  # noqa: BLE001 - a host that raises is what programs must not bring about
            return error, calls

    def _good(self) -> object:
        answers = [{"ok": ANSWERS["clip"]}, {"ok": ANSWERS["int"]}]
        outcome = self._sandbox.run(GOOD, INPUTS.model_copy(update={"query": self._before}), answers)
        return outcome.answer if isinstance(outcome, Returned) else outcome

    def _zygote(self) -> int:
        return self._sandbox._all[0].pid or 0

    def _harmed(self) -> list[str]:
        """Tell what was done to the victim, and put another in its place if anything was."""
        found = self._victim.changed()
        if found:
            self._mine.discard(self._victim.process.pid)
            self._victim.close()
            self._victim = Victim(self._uid)
            self._mine.add(self._victim.process.pid)
        return found

    def _children(self) -> set[int]:
        found: set[int] = set()
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):
                found |= set(map(int, (task / "children").read_text().split()))
        return found

    def _survivors(self) -> list[str]:
        """End what a program left behind, and say so."""
        end = time.monotonic() + 0.3  # what was ended a moment ago may take one to go
        while (left := self._left()) and time.monotonic() < end:
            time.sleep(0.01)
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return ["left a process behind"] * bool(left)

    def _left(self) -> set[int]:
        """Find living children of this process and of the zygote that should not be there."""
        under = Path(f"/proc/{self._zygote()}/task/{self._zygote()}/children")
        held = set(map(int, under.read_text().split())) if self._zygote() else set()
        for pid in self._children() - self._mine - {self._zygote()}:
            with suppress(OSError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    held.add(pid)
        return held


class _Watch:
    """Looks, while a program runs, at how much memory its processes take."""

    def __init__(self, zygote: int, most_mb: int) -> None:
        self._zygote, self._most = zygote, most_mb * 1024
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.over = False

    def _look(self) -> None:
        children = Path(f"/proc/{self._zygote}/task/{self._zygote}/children")
        while not self._done.wait(0.02):
            with suppress(OSError, IndexError):
                for pid in children.read_text().split():
                    status = Path(f"/proc/{pid}/status").read_text()
                    self.over |= int(status.partition("VmHWM:")[2].split()[0]) > self._most

    def __enter__(self) -> Self:
        _forget_peak()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()


def _resident() -> int:
    """Megabytes that this process holds."""
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024


def _peak() -> int:
    """Megabytes that this process held at most since they were forgotten."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _calls(outcome: Outcome) -> Calls:
    """Give the calls of a run that the host took."""
    history = None if isinstance(outcome, Refused) else outcome.history
    made = [*(history.calls if history else ()), *([outcome.call] if isinstance(outcome, NextCall) else [])]
    return tuple((call.function, call.args) for call in made)


def _seen(outcome: Outcome | Exception) -> Seen:
    """Tell an outcome as what is seen of it."""
    if isinstance(outcome, Exception):
        return Seen(broken=f"the host raised {type(outcome).__name__}: {outcome}")
    if isinstance(outcome, Refused):
        return Seen(shown=tuple(text for r in outcome.reasons for text in (r.kind, r.message, r.hint)))
    history = outcome.history or History()
    shown = [text for state in history.variables.values() for pair in state.items() for text in pair]
    if isinstance(outcome, Killed):
        shown.append(outcome.message)
    return Seen(
        answer=outcome.answer if isinstance(outcome, Returned) else None,
        error=(outcome.type, outcome.message) if isinstance(outcome, Raised) else None,
        printed=history.output,
        shown=(*shown, *history.isolation),
    )
