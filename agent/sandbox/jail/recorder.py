"""What a run leaves behind: calls, clip reads, line hits, variables, printed lines.

Everything is bounded. The recorder watches frames of the program's own file only and changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FrameType, FunctionType
from typing import Any, Final

from .clips import Clip
from .guards import Facade
from .text import clean, show

__all__ = ["ENTRY", "PROGRAM", "READS", "VARIABLES", "Recorder"]

PROGRAM: Final = "<program>"
"""File name of a program's code."""

ENTRY: Final = "execute_command"
"""The function that is run."""

READS: Final = 256
"""Clip attribute reads that are kept."""

VARIABLES: Final = 32
"""Variables kept per state."""

_LINE: Final = 2000
_INNER: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"})
_UNTOLD: Final = (FunctionType, BuiltinFunctionType, Facade, type)


class Recorder:
    """The record of one run.

    Parameters
    ----------
    output_bytes
        Bytes that a program may print.
    overflow
        Called when it prints more; does not return.
    """

    def __init__(self, output_bytes: int, overflow: Callable[[], object]) -> None:
        self.calls: list[dict[str, object]] = []
        self.reads: list[dict[str, object]] = []
        self.lines: dict[int, int] = {}
        self.variables: dict[str, dict[str, str]] = {}
        self._printed: list[str] = []
        self._room = output_bytes
        self._overflow = overflow

    def history(self) -> dict[str, object]:
        """Give the record as JSON."""
        text = "".join(self._printed)
        output = [clean(line, _LINE) for line in text.split("\n")]
        return {
            "calls": self.calls,
            "reads": self.reads,
            "lines": self.lines,
            "variables": self.variables,
            "output": output[:-1] if output[-1] == "" else output,
        }

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        """Count lines of the program and keep the entry function's last state; a `sys.settrace` function."""
        if frame.f_code.co_filename != PROGRAM:
            return None
        if event == "line":
            self.lines[frame.f_lineno] = self.lines.get(frame.f_lineno, 0) + 1
        elif event == "return" and frame.f_code.co_name == ENTRY:
            self.variables["end"] = _variables(frame)
        return self.trace

    def state(self, number: int) -> int:
        """Keep the calling program's variables for call `number` and give its line."""
        frame = _program_frame()
        self.variables[str(number)] = _variables(frame)
        return frame.f_lineno

    def read(self, clip: Clip, attribute: str) -> int:
        """Read a clip's attribute for the program, keeping what was read."""
        value: int | None = None
        try:
            value = clip.read(attribute)
        finally:
            if len(self.reads) < READS:
                line = _program_frame().f_lineno
                entry = {"line": line, "clip": clip.name, "attribute": attribute, "value": value}
                self.reads.append({**entry, "after_call": len(self.calls)})
        return value

    def print(
        self, *values: object, sep: str | None = None, end: str | None = None, flush: bool = False
    ) -> None:
        """Keep what the program prints."""
        text = (" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end)
        self._room -= len(text.encode("utf-8", "replace"))
        if self._room < 0:
            self._overflow()
        self._printed.append(text)


def _program_frame() -> FrameType:
    """Give the innermost frame of the program."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != PROGRAM:
        frame = frame.f_back
    if frame is None:
        raise RuntimeError("no frame of the program is running")
    return frame


def _variables(frame: FrameType) -> dict[str, str]:
    """Show a frame's data; a comprehension's or lambda's is completed by the function around it."""
    found: dict[str, str] = {}
    outer: FrameType | None = frame
    while outer is not None:
        if outer.f_code.co_filename == PROGRAM and outer.f_code.co_name != "<module>":
            for name, value in outer.f_locals.items():
                if name not in found and len(found) < VARIABLES and _told(name, value):
                    found[name] = show(value)
            if outer.f_code.co_name not in _INNER:
                break
        outer = outer.f_back
    return found


def _told(name: str, value: object) -> bool:
    return not name.startswith(("_", ".")) and not isinstance(value, _UNTOLD) and len(name) <= 80
