"""How much must hold around a program: three modes, what each demands, and what a zygote found.

Demands and reads. The layers themselves are in `jail/confine.py`, the trying of them in `jail/selftest.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from typing import Final, Literal, NamedTuple

__all__ = ["DEFAULT", "EVERY", "Found", "Isolation", "Layer", "active", "objection", "wanted"]

Isolation = Literal["strict", "best-effort", "none"]

DEFAULT: Final[Isolation] = "strict" if sys.platform == "linux" else "best-effort"

EVERY: Final = ("*",)
"""All layers that the jail knows."""

_LIMITS: Final = ("dies-with-parent", "limit-memory", "limit-cpu")
"""Layers that keep a program within its limits; they are no walls."""


class Layer(NamedTuple):
    """One layer around programs."""

    name: str
    why_not: str
    """Empty if the layer is active."""


class Found(NamedTuple):
    """What a zygote found when it started."""

    layers: tuple[Layer, ...]
    """Those of the operating system that were wanted."""
    through: tuple[tuple[str, str], ...]
    """What a confined child must not do and was not stopped from doing, each with what was seen."""

    @classmethod
    def read(cls, text: bytes) -> Found:
        """Read the JSON of a zygote's greeting."""
        told = json.loads(text)
        layers = tuple(Layer(name, why) for name, why in told["layers"].items())
        return cls(layers, tuple((what, seen) for what, seen in told["deeds"].items() if seen))


def wanted(isolation: Isolation) -> Collection[str]:
    """Give the names of the layers that a mode puts up."""
    return _LIMITS if isolation == "none" else EVERY


def objection(isolation: Isolation, found: Found) -> str:
    """Tell why a mode refuses what was found; empty if it does not."""
    if isolation != "strict" or not found.through:
        return ""
    what, seen = found.through[0]
    missing = ", ".join(f"{layer.name} ({layer.why_not})" for layer in found.layers if layer.why_not)
    absent = f"; not active: {missing}" if missing else ""
    return (
        f"the sandbox does not hold: a confined child tried to {what}, and {seen}{absent}; "
        "sandbox.isolation=best-effort runs programs with the layers that there are"
    )


def active(isolation: Isolation, found: Found) -> tuple[str, ...]:
    """Name what is around programs: `none` first if that is the mode, the process, layers, the language."""
    mark = ("none",) if isolation == "none" else ()
    held = (layer.name for layer in found.layers if not layer.why_not)
    return (*mark, "process", *held, "language")
