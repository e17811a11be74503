"""One job in one fresh child: check or run a program, write one JSON outcome, exit.

The job is JSON that the host made; the outcome is JSON that the host distrusts. Nothing returns from here:
whatever ends the run writes the outcome and leaves the process, so no code of the program can follow.
"""

from __future__ import annotations

import ast
import json
import mmap
import os
import sys
from types import CodeType
from typing import Any, Final, NoReturn

from . import guards, lint, names, source, standins
from .answers import returned
from .arguments import Function
from .calls import Calls, Source, replay
from .clips import Clip
from .confine import Bounds, Step, confine, silence
from .policy import Policy
from .protocol import OUTCOME
from .recorder import ENTRY, PROGRAM, Recorder
from .text import MESSAGE, clean, show

__all__ = ["main"]

_FAULTS: Final = (NameError, TypeError, AttributeError)


def main(job: mmap.mmap, channel: int, steps: dict[str, Step], bounds: Bounds) -> NoReturn:
    """Put up the layers, do a job and exit."""
    silence()
    spare = confine(steps, bounds)
    _Job(json.loads(job[:]), channel, spare).work()


class _Job:
    """The job's parts and the way out."""

    def __init__(self, job: dict[str, Any], channel: int, spare: mmap.mmap) -> None:
        self.program: str = job["program"]
        self.inputs: dict[str, Any] = job["inputs"]
        self.answers: list[dict[str, Any]] | None = job["answers"]
        self.functions: dict[str, Function] = {f["name"]: f for f in job["api"]}
        self.entry: list[str] = job["entry"]
        self.calls: int = job["calls"]
        self.output: int = job["output_bytes"]
        self.channel = channel
        self.spare = spare
        self.recorder = self._fresh()

    def work(self) -> NoReturn:
        """Check the program, or run it with the answers."""
        tree = source.read(self.program)
        if not isinstance(tree, ast.Module):
            self.refuse([tree])
        policy = Policy(self.functions, names.MODULES)
        if self.answers is None:
            reasons = lint.lint(tree, self.entry, self.functions, {*names.BUILTINS, "print"})
        else:
            reasons = lint.entry(tree, self.entry)
        policy.visit(tree)
        reasons += policy.reasons
        if reasons:
            self.refuse(reasons)
        try:
            code = compile(tree, PROGRAM, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            self.refuse(
                [source.reason(getattr(error, "lineno", None), "syntax", getattr(error, "msg", str(error)))]
            )
        if self.answers is None:
            self.dry_run(code)
        self.finish(self.run(code, replay(self.answers)))

    def dry_run(self, code: CodeType) -> NoReturn:
        """Run on stand-ins of three characters, which take different branches.

        A fault counts if no character got past its line: then it comes about whenever that line is reached.
        """
        faults: list[dict[str, Any]] = []
        past: set[int] = set()
        for stand_in in (standins.rich(), standins.lean(), standins.blind()):
            self.recorder = self._fresh()
            outcome = self.run(code, stand_in)
            fault = outcome.pop("fault", False)
            past |= set(self.recorder.lines) - ({outcome["line"]} if fault else set())
            if fault:
                faults.append(outcome)
        hint = "it comes about whenever this line is reached"
        certain = [fault for fault in faults if fault["line"] not in past]
        told = {f["line"]: f"{f['type']}: {f['message']}" for f in reversed(certain)}
        self.refuse([source.reason(line, "dry-run", message, hint) for line, message in told.items()])

    def run(self, code: CodeType, answers: Source) -> dict[str, Any]:
        """Run from the top to the end; pauses and limits leave from inside."""
        scope = self._scope(Calls(self.recorder, answers, self.calls, self.finish))
        clip = Clip(0, tuple(self.inputs["frames"]))
        options = self.inputs["possible_answers"]
        sys.settrace(self.recorder.trace)
        try:
            exec(code, scope)  # noqa: S102 - this is what the process is for
            answer = scope[ENTRY](clip, self.inputs["query"], None if options is None else list(options))
        except MemoryError:
            self.out_of_memory()
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a program raises is data
            sys.settrace(None)
            return _raised(error)
        sys.settrace(None)
        return returned(answer)

    def out_of_memory(self) -> NoReturn:
        """Report that memory ran out."""
        sys.settrace(None)
        self.spare.close()
        self.finish({"outcome": "killed", "reason": "memory", "message": "the program ran out of memory"})

    def finish(self, outcome: dict[str, Any]) -> NoReturn:
        """Write an outcome of a run and leave the process."""
        sys.settrace(None)
        if self.answers is None:  # a dry run that paused or met a limit says nothing against the program
            self.refuse([])
        outcome.pop("fault", None)
        data = _encode(outcome | {"history": self.recorder.history()})
        if len(data) > OUTCOME:
            text = "the record of the run is too long"
            data = _encode({"outcome": "killed", "reason": "output", "message": text})
        self._leave(data)

    def refuse(self, reasons: list[source.Reason]) -> NoReturn:
        """Write the reasons, in order of lines, and leave the process."""
        ordered = sorted(reasons, key=lambda r: r["line"] or 0)[:100]
        told = [
            r | {"message": clean(r["message"], MESSAGE), "hint": clean(r["hint"], MESSAGE)} for r in ordered
        ]
        self._leave(_encode({"outcome": "refused", "reasons": told}))

    def _leave(self, data: bytes) -> NoReturn:
        while data:
            data = data[os.write(self.channel, data) :]
        os._exit(0)

    def _fresh(self) -> Recorder:
        text = f"the program printed more than {self.output // 1024} KB"
        return Recorder(
            self.output, lambda: self.finish({"outcome": "killed", "reason": "output", "message": text})
        )

    def _caught(self) -> None:
        """Stand at the head of every handler: exhausted memory is not the program's to handle."""
        if isinstance(sys.exc_info()[1], MemoryError):
            self.out_of_memory()

    def _scope(self, calls: Calls) -> dict[str, Any]:
        """Give the program's module names: the API, the builtins and the guards."""
        known = frozenset(self.functions)
        read = self.recorder.read
        return {
            "__builtins__": names.BUILTINS | {"print": self.recorder.print},
            "__name__": "program",
            **{name: ProgramFunction(function, calls) for name, function in self.functions.items()},
            "_getattr_": lambda value, name: guards.get_attribute(value, name, read, known),
            "_getitem_": guards.get_item,
            "_write_": guards.writable,
            "_format_": guards.format_value,
            "_import_": names.load,
            "_caught_": self._caught,
            "_exception_": Exception,
        }


class ProgramFunction:
    """A function of the API as the program holds it."""

    __slots__ = ("_calls", "_function")

    def __init__(self, function: Function, calls: Calls) -> None:
        self._function = function
        self._calls = calls

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._calls.call(self._function, args, named)

    def __repr__(self) -> str:
        return f"<function {self._function['name']}>"


def _encode(outcome: dict[str, Any]) -> bytes:
    text = json.dumps(outcome, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _raised(error: Exception) -> dict[str, Any]:
    """Describe an exception by its type and first argument; `fault` marks those a dry run refuses."""
    first = error.args[0] if error.args else ""
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == PROGRAM:
            line = step.tb_lineno
        step = step.tb_next
    message = clean(first if type(first) is str else show(first) if type(first) is int else "", MESSAGE)
    fault = isinstance(error, _FAULTS)
    return {
        "outcome": "raised",
        "type": type(error).__name__,
        "message": message,
        "line": line,
        "fault": fault,
    }
