"""What programs can get hold of, which names they can bind, and what their operators can cost."""

from __future__ import annotations

import ast
import collections
import difflib
import functools
import itertools
import re
import types
from collections.abc import Iterator
from typing import Any, Final

import pytest
from RestrictedPython.transformer import INSPECT_ATTRIBUTES

from aotd.agent.sandbox.host import Inputs, Limits, Sandbox
from aotd.agent.sandbox.jail.child import ProgramFunction
from aotd.agent.sandbox.jail.clips import Clip, EmptyClip
from aotd.agent.sandbox.jail.guards import Facade, Hint, get_attribute, get_item
from aotd.agent.sandbox.jail.names import BUILTINS, MODULES, load
from aotd.agent.sandbox.jail.policy import Policy
from aotd.agent.sandbox.outcome import Killed, Outcome, Raised
from aotd.tools.api import API

INPUTS = Inputs(frames=tuple(range(32)), query="What happened?", possible_answers=("The cup.", "The book."))
INNER: Final = (
    *(types.ModuleType, types.FrameType, types.CodeType, types.TracebackType, types.CellType),
    *(types.MappingProxyType, types.GetSetDescriptorType, types.MemberDescriptorType),
)
CALLED: Final = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, ProgramFunction, Exception)


def raised() -> list[Exception]:
    """Make exceptions as programs catch them, with their tracebacks."""
    made: list[Exception] = []
    for wrong in ("1 / 0", "None.x", "missing", "{}['a']", "int('a')", "next(iter([]))"):
        try:
            eval(wrong, {})  # noqa: S307 - literals of this test
        except Exception as error:  # noqa: BLE001 - all of them
            made.append(error)
    return [*made, EmptyClip("nothing")]


def seeds() -> list[Any]:
    """Give everything that a program begins with, and one of each kind of value that it can make."""
    match = re.search("(a)", "cat")
    made = [
        *("a", 1, 1.5, True, None, (1,), [1], {"a": 1}, {1}, frozenset({1}), range(3), slice(1), 1j, b"a"),
        *(collections.Counter("a"), collections.OrderedDict(a=1), collections.deque([1])),
        *(
            collections.defaultdict(list, a=[1]),
            match,
            re.compile("a"),
            difflib.SequenceMatcher(None, "a", "b"),
        ),
        *(zip([1]), map(str, [1]), enumerate([1]), reversed([1]), iter([1]), iter("a"), filter(None, [1])),
        *(itertools.chain([1]), itertools.groupby([1]), itertools.count(), itertools.islice([1], 1)),
        *(functools.partial(max, 1), functools.cmp_to_key(min), lambda: 1, (n for n in [1]), ..., list[int]),
        *({}.keys(), {}.values(), {}.items(), int | str, Clip(1, (1, 2)), Clip(2, ()), Hint),
        *(ProgramFunction(function, None) for function in ({"name": "Find"},)),  # type: ignore[arg-type]
        *(load(module, None) for module in MODULES),
        *(load("typing", name) for name in ("List", "Optional", "cast")),
    ]
    return [*BUILTINS.values(), *(v for names in MODULES.values() for v in names.values()), *raised(), *made]


def reached(value: Any) -> Iterator[Any]:
    """Give what attributes and items lead to, and what methods without arguments give."""
    for name in {*dir(value), *dir(type(value)), *INSPECT_ATTRIBUTES, "format", "names", "frames", "sys"}:
        try:
            found = get_attribute(value, name, Clip.read, frozenset(API))
        except (AttributeError, EmptyClip):
            continue
        yield found
        if isinstance(found, types.BuiltinMethodType) and not isinstance(found.__self__, type):
            try:
                yield found()
            except (TypeError, LookupError, StopIteration):
                continue
    for key in (0, "a"):
        try:
            yield get_item(value, key)
        except (TypeError, LookupError):
            continue


def kind(value: Any) -> Any:
    """Tell values apart as far as attributes can differ: methods by owner and name, data by its type."""
    if isinstance(value, (type, types.FunctionType, Facade)):
        return id(value)
    if isinstance(value, types.BuiltinMethodType):
        return type(value.__self__), value.__name__
    return type(value)


def test_nothing_inside_the_interpreter_can_be_reached() -> None:
    """From all that programs hold no attribute leads to a module, frame, code object, cell or traceback.

    Functions and types are reachable as far as they are offered by name, and functions have no attributes.
    """
    offered = [*BUILTINS.values(), *(v for names in MODULES.values() for v in names.values()), Hint]
    left, seen = seeds(), {}
    begun = {id(value) for value in left}
    while left:
        value = left.pop()
        if kind(value) in seen:
            continue
        seen[kind(value)] = value  # keeps it alive, and so its number its own
        assert not isinstance(value, INNER), value
        found = list(reached(value))
        if isinstance(value, type):
            assert value in offered
        if isinstance(value, CALLED):
            assert found == [], value
        if isinstance(value, types.FunctionType) and id(value) not in begun:
            assert value.__qualname__.startswith("get_attribute.<locals>"), value  # `format` of a text
        left += found
    assert len(seen) > 300


GUARDS = (
    "_getattr_ _getitem_ _write_ _inplacevar_ _format_ _import_ _caught_ _exception_"
    " __builtins__ __import__ __build_class__ __name__ __debug__"
)
BINDINGS = [
    *("def f(N, /):\n    pass", "def f(a, N=1, /, b=2):\n    pass", "def f(N):\n    pass"),
    *("def f(*, N):\n    pass", "def f(*N):\n    pass", "def f(**N):\n    pass", "def N():\n    pass"),
    *("x = lambda N, /: 1", "x = lambda N: 1", "x = lambda *N: 1", "x = lambda *, N: 1"),
    "x = lambda **N: 1",
    *(
        "N = 1",
        "N: int = 1",
        "N += 1",
        "a = N = 1",
        "[N] = [1]",
        "[a, [*N]] = 1, [2]",
        "a, (N, b) = 1, (2, 3)",
    ),
    *(
        "for N in [1]:\n    pass",
        "for a, [N] in []:\n    pass",
        "x = [1 for N in []]",
        "x = {1 for a, N in []}",
    ),
    *("x = {1: 2 for N in []}", "x = list(1 for [N] in [])", "x = (N := 1)", "x = [(N := 1) for a in []]"),
    *("x = f'{(N := 1)}'", "x = f'{1:{(N := 1)}}'", "import math as N", "from math import pi as N"),
    *("from typing import List as N", "import N", "from math import N", "from N import x"),
    *("try:\n    pass\nexcept Exception as N:\n    pass", "global N", "def f():\n    nonlocal N", "del N"),
    *("dict(N=1)", "dict(**{}, N=1)", "x = N", "x = N(1)", "x = a.N", "a.N = 1", "del a.N", "a.N += 1"),
    *(
        "class N:\n    pass",
        "with a as N:\n    pass",
        "match a:\n    case N:\n        pass",
        "async def N(): pass",
    ),
    *("x = lambda a=N: 1", "def f(a=N):\n    pass", "@N\ndef f():\n    pass", "x = '\uff3f' and N.x"),
]


@pytest.mark.parametrize("binding", BINDINGS)
def test_no_syntax_reaches_the_names_of_guards(binding: str) -> None:
    """Parameters, targets, imports, keywords: none can bind or read a name of Python or of a guard."""
    for guard in GUARDS.split():
        try:
            tree = ast.parse(re.sub(r"\bN\b", guard, binding))
        except SyntaxError:  # `__debug__`, which Python itself keeps from being bound
            continue
        policy = Policy(API, MODULES)
        policy.visit(tree)
        assert policy.reasons, guard


@pytest.fixture(scope="module")
def small() -> Iterator[Sandbox]:
    """A sandbox with little room and time."""
    with Sandbox(Limits(wall_seconds=5, cpu_seconds=1, memory_mb=192), workers=1) as made:
        yield made


def run(sandbox: Sandbox, body: str) -> Outcome:
    """Run lines as the body of an entry function."""
    lines = "\n".join("    " + line for line in body.split("\n"))
    return sandbox.run(f"def execute_command(video_clip, query, possible_answers):\n{lines}\n", INPUTS, [])


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        ("return len('%10000000000d' % 1)", "memory"),
        ("return len('%.*f' % (2 * 10 ** 9, 1.5))", "memory"),
        ("return len('x' * 10 ** 12)", "memory"),
        ("x = 'x'\nwhile True:\n    x += x", "memory"),
        ("x = [0]\nwhile True:\n    x *= 2", "memory"),
        ("d = {'a': [0]}\nwhile True:\n    d['a'] += d['a']", "memory"),
        ("return len([0] * 10 ** 11)", "memory"),
        ("return 1 << 10 ** 11", "memory"),
        ("return 'a'.ljust(10 ** 12)", "memory"),
        ("return '\\t'.expandtabs(10 ** 9)", "memory"),
        ("return 'x'.translate({120: 'y' * 10 ** 10})", "memory"),
        ("return 'ab'.replace('', 'x' * 10 ** 6).replace('x', 'y' * 10 ** 6)", "memory"),
        ("import json\nreturn json.dumps([1], indent=10 ** 10)", "memory"),
        ("import itertools\nreturn list(itertools.product('ab', repeat=10 ** 9))", "memory"),
        ("return list(range(10 ** 12))", "memory"),
        ("return 7 ** 10 ** 9 % 2", "timeout"),
        ("return pow(3, 10 ** 9) % 2", "timeout"),
        ("import re\nreturn str(re.match('(a+)+b', 'a' * 64))", "timeout"),
        ("import math\nreturn math.factorial(10 ** 9) % 2", "timeout"),
        ("return str(10 ** 5000)", "ValueError"),
        ("return f'{1:>{10 ** 9}}'", "ValueError"),
        ("return f'{1.5:.{10 ** 9}f}'", "ValueError"),
        ("return f'{query:{query:9}}'", "ValueError"),
        ("return '{:{}}'.format(1, 10 ** 9)", "ValueError"),
        ("return '{:{0.real}}'.format(1)", "ValueError"),
        ("return '{:{:{}}}'.format(1, 2, 3)", "ValueError"),
        ("return format(1, '>1000000000')", "ValueError"),
        ("return (1).to_bytes(10 ** 10, 'big')", "AttributeError"),
    ],
)
def test_costly_operators_meet_a_limit(small: Sandbox, body: str, ends: str) -> None:
    """Repeats, powers, shifts and formats end at a limit or as an exception, and never in a crash."""
    outcome = run(small, body)
    if ends in ("memory", "timeout"):
        assert isinstance(outcome, Killed), outcome
        assert outcome.reason == ends
    else:
        assert isinstance(outcome, Raised), outcome
        assert outcome.type == ends
