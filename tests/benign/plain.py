"""Runs programs in plain Python, with plain builtins, on scripted answers: the reference for the sandbox.

Reads a JSON job from standard input and writes what each run did as JSON. Knows the functions' contract and
nothing of the sandbox: clips, `trim`, the answers and the form of arguments are written down here again.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import random
import sys
from collections.abc import Callable
from typing import Any

OBJECTS = [
    *("cup", "book", "phone", "dish", "towel", "bag", "laptop"),
    *("door", "sofa", "blanket", "table", "shoe", "box", "pillow"),
]
ACTIONS = [
    *("open the door", "take the cup", "put down the cup", "sit on the sofa", "hold the book"),
    *("close the laptop", "throw the towel", "tidy up the table", "wash the dish", "watch the phone"),
]
SAID = [
    *("yes", "no", "a red cup on the table", "2 people", "The man takes the book, then leaves.", "kitchen"),
    *("3", "left", "Yes, it is blue.", "the woman is smiling because the baby laughs", "white", "unknown"),
]


class EmptyClip(Exception):
    """A clip without frames was asked for something that needs one."""


class ToolError(Exception):
    """A function could not be answered."""


class Clip:
    """A clip as programs see it."""

    def __init__(self, world: World, number: int, frames: list[int]) -> None:
        self._world, self._number, self._frames = world, number, frames

    def _read(self, name: str, value: int | None) -> int:
        self._world.reads.append([f"clip{self._number}", name, value])
        if value is None:
            raise EmptyClip(f"an empty clip has no {name}; test num_frames first")
        return value

    start = property(lambda self: self._read("start", self._frames[0] if self._frames else None))
    end = property(lambda self: self._read("end", self._frames[-1] + 1 if self._frames else None))
    num_frames = property(lambda self: self._read("num_frames", len(self._frames)))

    def __repr__(self) -> str:
        first_last = (self._frames[0], self._frames[-1]) if self._frames else None
        return "<clip frames {}..{}>".format(*first_last) if first_last else "<empty clip>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clip) and self._number == other._number

    def __hash__(self) -> int:
        return self._number


class World:
    """One run's calls and answers."""

    def __init__(self, scenario: str, api: list[dict[str, Any]]) -> None:
        self.scenario = scenario
        self.calls: list[list[Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.reads: list[list[Any]] = []
        self.functions = {f["name"]: self.function(f) for f in api}

    def function(self, declared: dict[str, Any]) -> Callable[..., Any]:
        """Make a function of the API."""
        parameters = declared["parameters"]

        def call(*args: Any, **named: Any) -> Any:
            bound = dict(zip([p["name"] for p in parameters], args, strict=False)) | named
            encoded = {
                p["name"]: _encode(bound[p["name"]])
                for p in parameters
                if p["name"] in bound and (p["required"] or bound[p["name"]] is not None)
            }
            self.calls.append([declared["name"], encoded, _line()])
            number = len(self.calls)
            if declared["local"]:
                low, high = bound.get("start"), bound.get("end")
                kept = [f for f in bound["clip"]._frames if (low is None or low <= f)]
                return Clip(self, number, [f for f in kept if high is None or f < high])
            answer = self.answer(declared, bound, encoded)
            self.answers.append(answer)
            if "error" in answer:
                kind, message = answer["error"]["kind"], answer["error"]["message"]
                raise (EmptyClip if kind == "EmptyClip" else ToolError)(message)
            value = answer["ok"]
            if isinstance(value, dict):
                return Clip(self, number, value["$clip"]["frames"])
            return list(value) if isinstance(value, list) else value  # a program may change it

        return call

    def answer(
        self, declared: dict[str, Any], bound: dict[str, Any], encoded: dict[str, Any]
    ) -> dict[str, Any]:
        """Make up an answer that depends on scenario, function, arguments and frames only."""
        name, gives = declared["name"], declared["returns"]
        frames = bound["clip"]._frames if "clip" in bound else None
        chance = random.Random(json.dumps([self.scenario, name, encoded, frames], sort_keys=True))
        nothing = self.scenario == "nothing"
        if frames == [] and name.startswith(("Query_", "Video_")):
            return {"error": {"kind": "EmptyClip", "message": f"{name} was given an empty clip"}}
        if self.scenario == "trouble" and chance.random() < 0.1:
            return {"error": {"kind": "bad-request", "message": "the model did not answer"}}
        if gives == "clip":
            first = chance.choice(frames) if frames and not nothing else 99
            kept = [f for f in frames or () if first <= f < first + chance.randint(1, 20)]
            return {"ok": {"$clip": {"frames": kept}}}
        if gives == "bool":
            return {"ok": not nothing and bool(frames or frames is None) and chance.random() < 0.6}
        if gives == "int":
            return {"ok": chance.randint(0, 4) if frames and not nothing else 0}
        options = bound.get("possible_answers")
        if gives == "list[str]":
            words = options or (OBJECTS if name == "Query_Objs" else ACTIONS)
            size = 0 if nothing else min(chance.randint(0, 4), len(words))
            if name == "Video_caption":
                return {"ok": [f"{chance.choice(SAID)}, {chance.choice(ACTIONS)}" for _ in frames or ()]}
            return {"ok": chance.sample(list(words), size)}
        if nothing and name == "select_answer":
            return {"ok": ""}
        return {"ok": chance.choice(list(options) if options else SAID)}


def _line() -> int:
    frame = sys._getframe(2)
    while frame.f_code.co_filename != "<program>" and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_lineno


def _encode(value: Any) -> Any:
    if isinstance(value, Clip):
        return {"$clip": f"clip{value._number}"}
    if isinstance(value, dict):
        return {"$dict": [[key, _encode(item)] for key, item in value.items()]}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return [_encode(item) for item in value] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> dict[str, Any]:
    """Tell an answer of a plain kind from others."""
    if isinstance(value, (list, tuple)):
        value = list(value)
    if isinstance(value, (set, frozenset)) and all(isinstance(item, str) for item in value):
        value = sorted(value)
    fits = value is None or isinstance(value, (str, bool, int, float))
    if fits or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return {"answer": value}
    return {"strange": type(value).__name__}


def run(source: str, options: list[str] | None, scenario: str, api: list[dict[str, Any]]) -> dict[str, Any]:
    """Run a program as far as its last function, and then its entry function."""
    world = World(scenario, api)
    tree = ast.parse(source, "<program>")
    last = max(n for n, s in enumerate(tree.body) if isinstance(s, ast.FunctionDef))
    code = compile(ast.Module(tree.body[: last + 1], []), "<program>", "exec", dont_inherit=True)
    scope: dict[str, Any] = {"EmptyClip": EmptyClip, "ToolError": ToolError, **world.functions}
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, scope)  # noqa: S102 - programs of our own
            query = "What did the person do?"
            answer = scope["execute_command"](Clip(world, 0, list(range(32))), query, options)
        outcome = _plain(answer)
    except Exception as error:  # noqa: BLE001 - what a program raises is compared
        outcome = {"type": type(error).__name__, "message": str(error.args[0]) if error.args else ""}
    return outcome | {
        "calls": world.calls,
        "answers": world.answers,
        "reads": world.reads,
        "output": printed.getvalue(),
    }


if __name__ == "__main__":
    job = json.load(sys.stdin)
    json.dump([run(*each, job["api"]) for each in job["runs"]], sys.stdout)
