"""One run of a program in a Monty session: answer its calls, record them, and say how it ended.

The interpreter stops at every call of the API and at every read of a clip's attribute; both are answered
here, by the same code that binds, checks and answers calls inside the child of the other backend. Starts no
process and keeps none: sessions are `monty.py`'s. Line hits and variables cannot be told and are left empty.
"""

from __future__ import annotations

import binascii
import csv
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from pydantic_monty import (
    ClassInstance,
    FunctionSnapshot,
    MontyComplete,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySession,
    MontySyntaxError,
    NameLookupSnapshot,
)

from aotd.agent.sandbox.backend import Inputs, Limits
from aotd.agent.sandbox.jail.answers import returned
from aotd.agent.sandbox.jail.arguments import Function
from aotd.agent.sandbox.jail.calls import Calls, Source
from aotd.agent.sandbox.jail.clips import ATTRIBUTES, Clip, EmptyClip, ToolError
from aotd.agent.sandbox.jail.recorder import ENTRY, READS
from aotd.agent.sandbox.jail.source import reason
from aotd.agent.sandbox.jail.text import MESSAGE, clean

__all__ = ["TURNS", "Run"]

TURNS: Final = 10_000
"""Calls, reads and look-ups that a program may stop at."""

_PRELUDE: Final = "import binascii, csv\nEmptyClip = binascii.Incomplete\nToolError = csv.Error\n"
"""Classes cannot be derived in Monty: two exceptions that nothing else raises stand in for ours."""

_NAMES: Final[dict[type[BaseException], str]] = {binascii.Incomplete: "EmptyClip", csv.Error: "ToolError"}
_INSIDE: Final = {EmptyClip: binascii.Incomplete, ToolError: csv.Error}
_LINE: Final = 2000


class _Ended(Exception):
    """The run is over, with an outcome."""

    def __init__(self, outcome: dict[str, Any]) -> None:
        super().__init__(outcome["outcome"])
        self.outcome = outcome


class Run:
    """One run.

    Parameters
    ----------
    text
        The program.
    functions
        The API by name.
    source
        Answers all but local calls.
    limits
        Limits of the program.
    deadline
        When it is ended, in seconds of the monotonic clock.
    """

    def __init__(
        self, text: str, functions: dict[str, Function], source: Source, limits: Limits, deadline: float
    ) -> None:
        self._bytes = text.encode()
        self._functions = functions
        self._calls = Calls(self, source, limits.calls, _end)
        self._limits = limits
        self._deadline = deadline
        self._line = 1
        self._raised: tuple[str, str, int] | None = None
        self._printed: list[str] = []
        self._room = limits.output_kb * 1024
        self.calls: list[dict[str, object]] = []
        """What was called, as in `History`."""
        self._reads: list[dict[str, object]] = []

    def state(self, number: int) -> int:
        """Give the line at which call `number` is made."""
        return self._line if number else 0

    def history(self) -> dict[str, object]:
        """Give the record as JSON."""
        output = [clean(line, _LINE) for line in "".join(self._printed).split("\n")]
        return {
            "calls": self.calls,
            "reads": self._reads,
            "output": output[:-1] if output[-1] == "" else output,
        }

    def drive(self, session: MontySession, inputs: Inputs) -> dict[str, Any]:
        """Run the program to its end, its next call or a limit; give an outcome without its history."""
        options = inputs.possible_answers
        given = {
            "_clip_": _Handle(Clip(0, inputs.frames), self),
            "_query_": inputs.query,
            "_options_": None if options is None else list(options),
        }
        code = self._bytes.decode() + f"\n{ENTRY}(_clip_, _query_, _options_)\n"
        turns = 0
        try:
            session.feed_run(_PRELUDE)
            snapshot: Any = session.feed_start(code, inputs=given, print_callback=self._print)
            while not isinstance(snapshot, MontyComplete):
                turns += 1
                self._within(turns)
                snapshot = self._answer(snapshot)
            return returned(snapshot.output)
        except _Ended as ended:
            return ended.outcome
        except MontySyntaxError as error:
            return _refused(error, "syntax", str(error))
        except MontyRuntimeError as error:
            return self._failed(error, turns)
        except MontyCrashedError as error:
            return self._crashed(error)

    def read(self, clip: Clip, attribute: str) -> int:
        """Read a clip's attribute for the program, keeping what was read."""
        value: int | None = None
        try:
            value = clip.read(attribute)
        except EmptyClip as error:
            self._raised = ("EmptyClip", str(error), self._line)
            raise
        finally:
            if len(self._reads) < READS:
                entry = {"line": self._line, "clip": clip.name, "attribute": attribute, "value": value}
                self._reads.append({**entry, "after_call": len(self.calls)})
        return value

    def _within(self, turns: int) -> None:
        if turns > TURNS:
            _end(_killed("budget", f"the program stopped more than {TURNS} times for a call or a read"))
        if time.monotonic() > self._deadline:
            _end(self._late())

    def _answer(self, snapshot: Any) -> Any:
        """Answer what the program stopped at, and let it go on to the next stop."""
        if isinstance(snapshot, (FunctionSnapshot, NameLookupSnapshot)):
            self._line = self._bytes.count(b"\n", 0, snapshot.position.start) + 1
        if isinstance(snapshot, NameLookupSnapshot):
            if snapshot.object_id is not None:
                return snapshot.resume_auto()  # asks `_Handle`
            if snapshot.variable_name in self._functions:
                return snapshot.resume(value=_stub(snapshot.variable_name))
            return snapshot.resume()
        if not isinstance(snapshot, FunctionSnapshot):
            _end(_killed("lost", "the program waits for what does not exist here"))
        if snapshot.is_os_function:
            return snapshot.resume_not_handled()
        return snapshot.resume(self._call(snapshot))

    def _call(self, snapshot: FunctionSnapshot) -> Any:
        name = snapshot.function_name
        if snapshot.object_id is not None:
            hint = (
                f"write {name}(clip, ...)" if name in self._functions else "it has start, end and num_frames"
            )
            return {"exception": AttributeError(f"a clip has no attribute '{name}'; {hint}")}
        if name not in self._functions:
            return {"exception": NameError(f"name '{name}' is not defined")}
        try:
            value = self._calls.call(self._functions[name], snapshot.args, snapshot.kwargs)
        except (EmptyClip, ToolError) as error:
            self._raised = (type(error).__name__, str(error), self._line)
            return {"exception": _INSIDE[type(error)](str(error))}
        except (TypeError, ValueError) as error:
            self._raised = (type(error).__name__, str(error), self._line)
            return {"exception": error}
        return {"return_value": _Handle(value, self) if isinstance(value, Clip) else value}

    def _print(self, _stream: str, text: str) -> None:
        self._room -= len(text.encode("utf-8", "replace"))
        if self._room < 0:
            raise RuntimeError("too much output")
        self._printed.append(text)

    def _failed(self, error: MontyRuntimeError, turns: int) -> dict[str, Any]:
        """Tell an exception of the program from a limit that it met and syntax that Monty does not have."""
        inner, frames = error.exception(), error.traceback()
        if self._room < 0:
            return _killed("output", f"the program printed more than {self._limits.output_kb} KB")
        if isinstance(inner, MemoryError):
            return _killed("memory", "the program ran out of memory")
        if isinstance(inner, TimeoutError) and not frames:
            return self._late()
        if isinstance(inner, NotImplementedError) and not turns and _outside(error):
            return _refused(error, "policy", f"Monty cannot run this: {inner}")
        line = frames[-1].line if frames else None
        first = inner.args[0] if inner.args else ""
        kind, text = _NAMES.get(type(inner), type(inner).__name__), first if isinstance(first, str) else ""
        if self._raised is not None and self._raised[:2] == (kind, text):
            line = self._raised[2]  # Monty tells the end of a `try` for what passed through its handlers
        known = line is not None and line <= self._bytes.count(b"\n") + 1
        message = clean(text, MESSAGE)
        return {"outcome": "raised", "type": kind, "message": message, "line": line if known else None}

    def _crashed(self, error: MontyCrashedError) -> dict[str, Any]:
        if error.timed_out or time.monotonic() > self._deadline:
            return self._late()
        return _killed("lost", clean(f"the interpreter ended: {error}", MESSAGE))

    def _late(self) -> dict[str, Any]:
        seconds = min(self._limits.wall_seconds, self._limits.cpu_seconds)
        return _killed("timeout", f"the program took {seconds:g} seconds")


class _Handle(ClassInstance):
    """A clip as the program holds it: no attribute goes along, and each read comes back here."""

    def __init__(self, clip: Clip, run: Run) -> None:
        super().__init__(clip, lazy_attrs=ATTRIBUTES)
        self._run = run

    def lookup_lazy_attrs(self, name: str) -> int:
        """Read an attribute."""
        if name not in ATTRIBUTES:
            raise AttributeError(name)
        try:
            return self._run.read(self.value, name)
        except EmptyClip as error:
            raise binascii.Incomplete(str(error)) from None


def _stub(name: str) -> Callable[..., NoReturn]:
    """Give something of that name: a function of the API that the program takes as a value."""

    def stub(*_args: object) -> NoReturn:
        raise RuntimeError(f"{name} is answered where the program stops at it")

    stub.__name__ = stub.__qualname__ = name
    return stub


def _end(outcome: dict[str, Any]) -> NoReturn:
    raise _Ended(outcome)


def _killed(why: str, message: str) -> dict[str, Any]:
    return {"outcome": "killed", "reason": why, "message": message}


def _outside(error: MontyRuntimeError) -> bool:
    """Tell whether an error came up before anything ran: its only frame belongs to no code."""
    frames = error.traceback()
    return len(frames) == 1 and frames[0].function_name is None


def _refused(error: MontyError, kind: str, message: str) -> dict[str, Any]:
    frames = error.traceback() if isinstance(error, (MontySyntaxError, MontyRuntimeError)) else []
    hint = "use simpler code; sandbox.backend=process runs more of Python"
    told = reason(frames[-1].line if frames else None, kind, clean(message, MESSAGE), hint)
    return {"outcome": "refused", "reasons": [told]}
