"""The language that programs are written in: what works, what is refused, what is out of reach."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aotd.agent.sandbox.host import Inputs, Sandbox
from aotd.agent.sandbox.jail.names import MODULES
from aotd.agent.sandbox.outcome import Outcome, Raised, Refused, Returned

INPUTS = Inputs(frames=tuple(range(32)), query="What happened?", possible_answers=("The cup.", "The book."))


def run(sandbox: Sandbox, body: str) -> Outcome:
    """Run lines as the body of an entry function; the first is line 2."""
    lines = "\n".join("    " + line for line in body.split("\n"))
    return sandbox.run(f"def execute_command(video_clip, query, possible_answers):\n{lines}\n", INPUTS, [])


def returned(sandbox: Sandbox, body: str) -> Any:
    """Run a body that returns and give its answer."""
    outcome = run(sandbox, body)
    assert isinstance(outcome, Returned), outcome
    return outcome.answer


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("d = {}\nd['a'] = 1\nd['a'] += 2\nreturn d['a']", 3),
        ("n: int = 4\nn -= 1\nreturn n", 3),
        ("a = b, c = (1, 2)\nreturn [str(v) for v in a] + [str(b + c)]", ["1", "2", "3"]),
        ("return '{} {n:>3}|'.format(1, n=2)", "1   2|"),
        ("v = 1.256\nreturn f'{v:.2f} {query!r:>20}'", "1.26     'What happened?'"),
        ("import math\nreturn math.floor(2.5)", 2),
        ("from collections import Counter\nreturn Counter('abca').most_common(1)[0][0]", "a"),
        ("from collections import defaultdict\nd = defaultdict(int)\nd['x'] += 1\nreturn d['x']", 1),
        ("import re\nm = re.search('b(.)', 'abc')\nreturn m.group(1)", "c"),
        ("import json\nreturn json.loads('[1]')[0]", 1),
        ("import json\ntry:\n    json.loads('{')\nexcept json.JSONDecodeError:\n    return 'bad'", "bad"),
        (
            "d = {}\ntry:\n    d['a'] += trim(video_clip, 1) and 1\nexcept KeyError as e:\n    return str(e)",
            "'a'",
        ),
        ("d = [1]\nd[0] += d.pop() and 0 or d.append(5) or 2\nreturn d[0]", 3),
        ("xs = ys = [1]\nxs += [2]\nreturn len(ys)", 2),
        ("n = 1\ndef f():\n    nonlocal n\n    n += 1\nf()\nreturn n", 2),
        ("_x, __ = 1, 2\ndef _f(_y=3, *, _z):\n    return _x + __ + _y + _z\nreturn _f(_z=4)", 10),
        ("return '{:{w}.{}f}|{{}}'.format(1.256, 1, w=5)", "  1.3|{}"),
        (
            "try:\n    '{} {}'.format(1)\nexcept IndexError as e:\n    return str(e)[:19]",
            "Replacement index 1",
        ),
        (
            "from typing import Dict, Optional as O\nT = Dict[str, O[int]] | None\nreturn str(T is None)",
            "False",
        ),
        ("import typing\nfrom collections.abc import Callable\nC = Callable[[int], int]\nreturn 1", 1),
        ("from typing import cast\nreturn cast(str, query)", "What happened?"),
        ("Pair = tuple[int, int]\nreturn sum(Pair([1, 2]))", 3),
        ("from itertools import chain\nreturn sorted(chain.from_iterable(['ba', 'c']))", ["a", "b", "c"]),
        ("from statistics import mean\nreturn mean([1, 3])", 2),
        ("from typing import List\nx: List[int] = [1]\nreturn x[0]", 1),
        ("return sorted(['B', 'a'], key=str.lower)", ["a", "B"]),
        ("return list(dict.fromkeys(['b', 'a', 'b']))", ["b", "a"]),
        ("return {'b', 'a'}", ["a", "b"]),
        ("return ('b', 'a')", ["b", "a"]),
        ("xs = [3, 1]\nxs.sort()\ndel xs[0]\nreturn xs.pop()", 3),
        ("return next(iter([1]), None) or max(1, 2)", 1),
        ("return (lambda *v, k=1: sum(v) + k)(*[1, 2], **{'k': 3})", 6),
        ("return sum(1 for _ in zip('ab', 'cd'))", 2),
        ("try:\n    return [][0]\nexcept:\n    return 'caught'", "caught"),
        ("assert query\nreturn None", None),
        ("return trim(trim(video_clip, 5), end=5).num_frames", 0),
        (
            "return str(trim(video_clip, 9, 9)) + str(trim(video_clip, 3, 7))",
            "<empty clip><clip frames 3..6>",
        ),
    ],
)
def test_ordinary_python_works(sandbox: Sandbox, body: str, answer: object) -> None:
    """What language models write, and the language allows, means what it means in Python."""
    assert returned(sandbox, body) == answer


ESCAPES = [
    "return ().__class__",
    "return getattr((), 'count')",
    "return '{0.__class__}'.format(1)",
    "return '{0[0]}'.format([1])",
    "return str.format('{0.__class__}', 1)",
    "return 'a'.format_map({})",
    "return f'{query.__class__}'",
    "import os\nreturn 1",
    "from re import sys\nreturn 1",
    "import re\nreturn re.enum",
    "import collections\nreturn collections.namedtuple",
    "return __import__('os')",
    "return open('/etc/passwd').read()",
    "return eval('1')",
    "return exec('1')",
    "return (x for x in [1]).gi_frame",
    "return execute_command.__globals__",
    "return Find._calls",
    "return Find.call",
    "try:\n    1 / 0\nexcept Exception as error:\n    return error.__traceback__",
    "try:\n    1 / 0\nexcept Exception as error:\n    return error.with_traceback",
    "def f(_getattr_, /):\n    return 1\nreturn f(1)",
    "global _getattr_\nreturn 1",
    "return [_caught_ for _caught_ in [1]]",
    "video_clip.frames = (1,)\nreturn 1",
    "return video_clip.frames",
    "return video_clip.read('frames')",
    "@len\ndef f():\n    return 1\nreturn f",
    "class A:\n    pass\nreturn A",
    "return vars()",
    "return type(query)",
    "return lambda: (yield)",
    "return ().\uff3f_class__",
    "return object()",
    "return str.mro()",
    "return dict.__subclasses__()",
    "import json\nreturn json.loads.func_globals",
    "return f'{1:>100000000}'",
]


@pytest.mark.parametrize("body", ESCAPES)
def test_escapes_are_refused_or_raise(sandbox: Sandbox, body: str) -> None:
    """The known ways out of restricted Python end as a refusal or an ordinary exception."""
    outcome = run(sandbox, body)
    assert isinstance(outcome, (Refused, Raised)), outcome
    if isinstance(outcome, Raised):
        assert outcome.type in {"AttributeError", "NameError", "ValueError", "TypeError"}


def each(names: str, use: str) -> dict[str, str]:
    """Write one use for each name."""
    return {name: re.sub(r"\bF\b", name, use) for name in names.split()}


FACADES = {
    "bisect": each("bisect bisect_left bisect_right insort", "F([1, 3], 2)"),
    "collections": {
        "Counter": "Counter('aab').most_common(1)",
        "OrderedDict": "OrderedDict(a=1).move_to_end('a')",
        "defaultdict": "defaultdict(list)['a'].append(1)",
        "deque": "deque([1, 2]).popleft()",
    },
    "copy": each("copy deepcopy", "F({'a': ([1], {2}, video_clip, Find)})['a'][0].append(3)"),
    "difflib": {
        "SequenceMatcher": "SequenceMatcher(None, 'cup', 'cups').ratio()",
        "get_close_matches": "get_close_matches('cup', ['cups', 'book'])",
    },
    "functools": {
        "cmp_to_key": "sorted([2, 1], key=cmp_to_key(lambda a, b: a - b))",
        "partial": "partial(max, 1)(2)",
        "reduce": "reduce(lambda a, b: a + b, [1, 2])",
    },
    "heapq": each("heapify heappop", "F([1, 2])")
    | each("nlargest nsmallest", "F(1, [1, 2])")
    | {"heappush": "heappush([], 1)"},
    "itertools": each("accumulate pairwise", "list(F([1, 2]))")
    | each("chain compress product zip_longest", "list(F([1], [2]))")
    | each("count", "next(F())")
    | each("cycle groupby permutations", "next(F([1]))")
    | each("combinations islice", "list(F('abc', 2))")
    | each("dropwhile filterfalse takewhile", "list(F(lambda v: v < 2, [1, 2]))")
    | {"repeat": "list(repeat(1, 2))", "starmap": "list(starmap(max, [(1, 2)]))"},
    "json": {
        "JSONDecodeError": "isinstance(1, JSONDecodeError)",
        "dumps": "dumps({'a': [1]}, indent=2, sort_keys=True, ensure_ascii=False, default=str)",
        "loads": "loads('{}')",
    },
    "math": each("ceil cos degrees exp fabs factorial floor isfinite isinf isnan isqrt log log10", "F(2)")
    | each("log1p log2 radians sin sqrt tan trunc", "F(2)")
    | each("comb copysign fmod gcd hypot isclose lcm perm pow", "F(4, 2)")
    | each("fsum prod", "F([1, 2])")
    | each("dist", "F([1], [2])")
    | each("e inf nan pi tau", "F + 1"),
    "operator": each("add and_ eq floordiv ge gt le lt mod mul ne or_ sub truediv", "F(2, 1)")
    | each("neg not_ itemgetter", "F(1)")
    | each("contains", "F([1], 1)"),
    "re": each("findall finditer fullmatch match search split", "F('a', 'a')")
    | each("A ASCII I IGNORECASE M MULTILINE S DOTALL X VERBOSE", "F | 1")
    | each("subn", "F('a', 'b', 'abc')")
    | {
        "compile": "compile('a(b)?').sub('c', 'ab')",
        "error": "isinstance(1, error)",
        "escape": "escape('a.')",
        "sub": "sub('(a)', lambda m: m.group(1).upper(), 'abc')",
    },
    "statistics": each("fmean geometric_mean harmonic_mean mean median median_high", "F([1, 2, 2])")
    | each("median_low mode multimode pstdev pvariance quantiles stdev variance", "F([1, 2, 2])")
    | each("StatisticsError", "isinstance(1, F)"),
    "string": each("ascii_letters ascii_lowercase ascii_uppercase digits hexdigits", "query.strip(F)")
    | each("punctuation whitespace", "query.strip(F)"),
}


@pytest.mark.parametrize("module", list(MODULES))
def test_every_importable_name_works_when_confined(sandbox: Sandbox, module: str) -> None:
    """No function that programs may import needs a file that the child can no longer open."""
    assert FACADES[module].keys() == MODULES[module].keys()
    for name, use in FACADES[module].items():
        assert returned(sandbox, f"from {module} import {name}\n{use}\nreturn 'fine'") == "fine"


ENTRY = "def execute_command(video_clip, query, possible_answers):\n    return 1\n"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("x = " + "-" * 200 + "1\n", "nested deeper than 80"),
        ("x = [" + "1," * 20_000 + "]\n", "20000 syntax nodes"),
        ("#" * 70_000, "longer than 64 KB"),
        ("x" * 2_000_000, "too long"),
        ("def execute_command(:\n", "invalid syntax"),
        ("a\0b", "null bytes"),
        ("x = '\ud800'", "surrogates"),
        ("x = 1", "defines no execute_command"),
        ("def execute_command(video_clip, query):\n    return 1", "wrong parameters"),
        ("def execute_command(clip, query, possible_answers):\n    return 1", "wrong parameters"),
        (
            "def execute_command(video_clip, query, possible_answers, *rest):\n    return 1",
            "wrong parameters",
        ),
        ("from math import *\n" + ENTRY, "* cannot be imported"),
    ],
)
def test_unusable_programs_are_refused(sandbox: Sandbox, program: str, words: str) -> None:
    """A program beyond the limits, or without the entry function, is refused before it runs."""
    outcome = sandbox.run(program, INPUTS, [])
    assert isinstance(outcome, Refused), outcome
    assert words in outcome.reasons[0].message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("class A:\n    pass", "classes"),
        ("async def f():\n    pass", "async"),
        ("match query:\n    case _:\n        pass", "match"),
        ("with query:\n    pass", "with"),
        ("def f():\n    yield 1", "yield"),
        ("def f():\n    nonlocal Find\n    Find = 1", "cannot be redefined"),
        ("try:\n    pass\nexcept* ValueError:\n    pass", "except*"),
        ("import os", "os cannot be imported"),
        ("import os.path as p", "os.path cannot be imported"),
        ("from . import x", ". cannot be imported"),
        ("from re import sys", "sys cannot be imported from re"),
        ("@len\ndef f():\n    pass", "decorators"),
        ("_x_ = 1", "underscore"),
        ("__x = 1", "underscore"),
        ("return __name__", "underscore"),
        ("import numpy as np", "numpy cannot be imported"),
        ("import random", "random cannot be imported"),
        ("from typing import *", "* cannot be imported from typing"),
        ("return query.gi_frame", "restricted"),
        ("query.x = 1", "cannot be set"),
        ("query.x += 1", "cannot be set"),
        ("Find = 1", "cannot be redefined"),
        ("def trim():\n    pass", "cannot be redefined"),
        ("f = lambda exist: 1", "cannot be redefined"),
        ("for Count in [1]:\n    pass", "cannot be redefined"),
        ("import math as Find", "cannot be redefined"),
        ("try:\n    pass\nexcept Exception as Find:\n    pass", "cannot be redefined"),
        ("[0 for Find in [1]]", "cannot be redefined"),
        ("(Find := 1)", "cannot be redefined"),
        ("dict(_x_=1)", "underscore"),
    ],
)
def test_refusals_name_the_line_and_a_way_out(sandbox: Sandbox, body: str, words: str) -> None:
    """Each refusal names its line, what was found and what to do instead."""
    outcome = run(sandbox, "n = 1\n" + body + "\nreturn 1")
    assert isinstance(outcome, Refused), outcome
    reason = outcome.reasons[0]
    assert words in reason.message
    assert reason.hint
    assert reason.kind == "policy"
    assert 3 <= (reason.line or 0) <= 5


@pytest.mark.parametrize(
    "closing",
    [
        "if __name__ == '__main__':\n    main()\n",
        "print(execute_command(clip, 'What?', ['a', 'b']))\n",
        "clip = load('v.mp4')\nanswer = execute_command(clip, 'q', None)\nprint(answer)\n",
        "for clip in clips:\n    execute_command(clip, 'q', None)\n",
    ],
)
def test_a_closing_demonstration_is_dropped(sandbox: Sandbox, closing: str) -> None:
    """Lines at the end that show how the entry function is called are neither refused nor run."""
    assert sandbox.check(ENTRY + closing, INPUTS) == ()
    outcome = sandbox.run(ENTRY + closing, INPUTS, [])
    assert isinstance(outcome, Returned)
    assert outcome.history.output == ()


def test_constants_after_the_functions_stay(sandbox: Sandbox) -> None:
    """Only a tail with a call of the entry function is a demonstration."""
    source = ENTRY.replace("return 1", "return LAST") + "LAST = 7\n"
    outcome = sandbox.run(source, INPUTS, [])
    assert isinstance(outcome, Returned)
    assert outcome.answer == 7
