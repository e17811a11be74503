"""How much must hold around a program: strict, best-effort and none, as root and as nobody in particular."""

from __future__ import annotations

import bisect
import collections
import contextlib
import copy
import difflib
import functools
import heapq
import importlib
import itertools
import json
import math
import operator
import os
import re
import shutil
import statistics
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest

from aotd.agent.config import RunConfig
from aotd.agent.sandbox.host import Inputs, Limits, Sandbox, SandboxUnavailable
from aotd.agent.sandbox.jail import names, seccomp
from aotd.agent.sandbox.jail.confine import LAYERS
from aotd.agent.sandbox.outcome import Returned

if sys.platform != "linux" or os.uname().machine not in seccomp.TABLES:
    pytest.skip("the walls that are tested here are those of Linux", allow_module_level=True)

INPUTS = Inputs(frames=tuple(range(32)), query="What happened?", possible_answers=("The cup.", "The book."))
HEAD = "def execute_command(video_clip, query, possible_answers):\n"


def returned(sandbox: Sandbox, body: str) -> Returned:
    """Run lines that return."""
    lines = "\n".join("    " + line for line in body.split("\n"))
    outcome = sandbox.run(f"{HEAD}{lines}\n", INPUTS, [])
    assert isinstance(outcome, Returned), outcome
    return outcome


def without(*left_out: str) -> list[str]:
    """All layers but these."""
    return [name for name in LAYERS if name not in left_out]


def test_strict_is_the_default_and_names_what_holds(sandbox: Sandbox) -> None:
    """Each trace names the process, each layer that is active, and the language."""
    assert Limits().isolation == "strict"
    isolation = returned(sandbox, "return 1").history.isolation
    active = [layer.name for layer in sandbox.layers() if not layer.why_not]
    assert isolation == ("process", *active, "language") == sandbox.active
    assert {"seccomp", "limit-memory", "limit-cpu", "limit-open-files", "no-new-privileges"} <= set(active)
    assert [layer.name for layer in sandbox.layers()] == list(LAYERS)


@pytest.mark.parametrize(
    ("left_out", "deed"),
    [
        ("seccomp", "have memory that it can write and execute"),
        ("limit-memory", "take twice its memory"),
    ],
)
def test_strict_refuses_when_a_wall_that_bears_is_missing(left_out: str, deed: str) -> None:
    """The refusal is one line that names what a child could do and the setting that would accept it."""
    layers = without(left_out)
    if left_out == "seccomp" and os.geteuid() == 0:
        deed = "start a process"  # the kernel holds no root to a number of processes
    with (
        Sandbox(workers=1, layers=layers) as sandbox,
        pytest.raises(SandboxUnavailable, match=f"tried to {deed}, and it was let through") as refusal,
    ):
        sandbox.run("anything", INPUTS, [])
    assert str(refusal.value).endswith(
        "sandbox.isolation=best-effort runs programs with the layers that there are"
    )
    assert "\n" not in str(refusal.value)
    assert sandbox.active == ()


def test_strict_holds_without_landlock_and_says_so() -> None:
    """A kernel without Landlock is enough; the trace does not claim it."""
    with Sandbox(workers=1, layers=without("landlock")) as sandbox:
        isolation = returned(sandbox, "return 1").history.isolation
    assert "landlock" not in isolation
    assert "seccomp" in isolation


def test_best_effort_runs_with_what_there_is() -> None:
    """Where strict would refuse, best-effort runs and the trace lacks the missing layer's name."""
    limits = Limits(isolation="best-effort")
    with Sandbox(limits, workers=1, layers=without("seccomp", "landlock")) as sandbox:
        isolation = returned(sandbox, "return 1").history.isolation
    assert "seccomp" not in isolation
    assert "limit-open-files" in isolation


def test_none_marks_every_trace() -> None:
    """Without isolation a run begins its list with `none`; memory and time are limited still."""
    with Sandbox(Limits(isolation="none", memory_mb=128, wall_seconds=0.5), workers=1) as sandbox:
        isolation = returned(sandbox, "return 1").history.isolation
        assert isolation == ("none", "process", "dies-with-parent", "limit-memory", "limit-cpu", "language")
        for body in ("return len('x' * 10 ** 9)", "while True: pass"):
            assert sandbox.run(f"{HEAD}    {body}\n", INPUTS, []).outcome == "killed"


def test_a_layer_that_nobody_knows_is_reported() -> None:
    """An unknown name among the layers is told as not active, and is not put up silently."""
    with Sandbox(workers=1, layers=[*LAYERS, "moat"]) as sandbox:
        told = {layer.name: layer.why_not for layer in sandbox.layers()}
        assert told["moat"] == "there is no such layer"
        assert "moat" not in returned(sandbox, "return 1").history.isolation


def test_isolation_is_a_setting() -> None:
    """It is one of three words under `sandbox`, and decides nothing about a run's results."""
    models = {role: {"kind": "oracle"} for role in ("detector", "grounder", "video_model")}
    strict, none, other = (
        RunConfig.model_validate({**models, "sandbox": given})
        for given in ({"isolation": "strict"}, {"isolation": "none"}, {"calls": 3})
    )
    assert none.sandbox.isolation == "none"
    assert strict.digest == none.digest != other.digest
    with pytest.raises(pydantic.ValidationError, match="isolation"):
        Limits.model_validate({"isolation": "loose"})


AS_NOBODY = """
import json
from aotd.agent.sandbox.host import Inputs, Limits, Sandbox, SandboxUnavailable
inputs = Inputs(frames=(0,), query="q", possible_answers=None)
entry = "def execute_command(video_clip, query, possible_answers):\\n    "
with Sandbox(Limits(wall_seconds=0.5, memory_mb=128), workers=1) as sandbox:
    bodies = "return 1", "while True: pass", "return [0] * 10 ** 9"
    ends = [sandbox.run(entry + body, inputs, []) for body in bodies]
    print(json.dumps([[e.outcome, getattr(e, "reason", "")] for e in ends] + [sandbox.active]))
layers = [name for name in sandbox.active if name not in ("process", "language", "seccomp")]
with Sandbox(Limits(), workers=1, layers=layers) as sandbox:
    try:
        print(sandbox.run(entry + "return 1", inputs, []))
    except SandboxUnavailable as error:
        print(error)
"""


@pytest.fixture(scope="module")
def nobody() -> Iterator[list[str]]:
    """Command of an interpreter that user 65534 may start, on a copy of what the sandbox needs."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "site")
        aotd = Path(str(importlib.import_module("aotd.agent.sandbox.host").__file__)).parents[2]
        for part in ("agent", "tools", "traces"):
            shutil.copytree(aotd / part, site / "aotd" / part)
        needed = "annotated_types pydantic pydantic_core typing_extensions typing_inspection RestrictedPython"
        for name in needed.split():
            origin = Path(str(importlib.import_module(name).__file__))
            if origin.name == "__init__.py":
                shutil.copytree(origin.parent, site / name)
            else:
                shutil.copy(origin, site)
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o755)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        for python in (sys.executable, shutil.which(f"python{version}", path=os.defpath)):
            command = [str(python), "-c", f"import sys; sys.path[:0] = [{str(site)!r}]; exec(sys.argv[1])"]
            test = f"assert sys.version_info[:2] == {sys.version_info[:2]}"
            with contextlib.suppress(OSError):
                if not subprocess.run([*command, test], user=65534, group=65534, extra_groups=[]).returncode:
                    yield command
                    return
    pytest.skip(f"user 65534 can start no Python {version} here")


def test_nobody_is_as_safe_as_root(nobody: list[str]) -> None:
    """As a user without rights strict runs, ends loops and memory bombs, and refuses without its filter."""
    done = subprocess.run(
        [*nobody, AS_NOBODY],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    *ends, active = json.loads(first)
    assert ends == [["returned", ""], ["killed", "timeout"], ["killed", "memory"]]
    assert {"seccomp", "limit-processes", "limit-memory"} <= set(active)
    assert "tried to have memory that it can write and execute, and it was let through" in second


# Everything that programs may use works when the child can load nothing more.

EXPRESSIONS = """
bisect.bisect([1, 3], 2) + bisect.bisect_left([1, 3], 3) + bisect.bisect_right([1, 3], 3)
[x for x in [[1, 3]] if bisect.insort(x, 2) is None]
collections.Counter("abca").most_common(1), collections.Counter("ab").total()
collections.OrderedDict([(1, 2)]), collections.defaultdict(list), collections.deque([1], maxlen=2)
copy.copy([1]), copy.deepcopy({"a": [1]})
difflib.SequenceMatcher(None, "cup", "cups").ratio(), difflib.get_close_matches("cup", ["cups", "door"])
sorted([3, 1], key=functools.cmp_to_key(lambda a, b: a - b)), functools.partial(max, 3)(2)
functools.reduce(lambda a, b: a + b, [1, 2])
heapq.nlargest(1, [1, 2]), heapq.nsmallest(1, [1, 2])
[(heapq.heapify(x), heapq.heappush(x, 1), heapq.heappop(x)) for x in [[3, 2]]]
list(itertools.accumulate([1, 2])), list(itertools.chain([1], [2])), list(itertools.combinations([1, 2], 2))
list(itertools.compress("ab", [1, 0])), next(itertools.count()), next(itertools.cycle([1]))
list(itertools.dropwhile(bool, [1, 0])), list(itertools.filterfalse(bool, [1, 0]))
[(k, list(g)) for k, g in itertools.groupby("aab")], list(itertools.islice([1, 2], 1))
list(itertools.pairwise([1, 2])), list(itertools.permutations([1, 2])), list(itertools.product([1], [2]))
list(itertools.repeat(1, 2)), list(itertools.starmap(pow, [(2, 3)]))
list(itertools.takewhile(bool, [1, 0]))
list(itertools.zip_longest([1], [2, 3]))
json.dumps({"a": [1.5, None, "é"]}, indent=2), json.loads('{"a": [1, "\\\\u00e9"]}')
json.JSONDecodeError is None
math.ceil(1.5), math.comb(5, 2), math.copysign(1, -2), math.cos(0)
math.degrees(1), math.dist([0], [1]), math.e
math.exp(1), math.fabs(-1), math.factorial(5), math.floor(1.5)
math.fmod(5, 3), math.fsum([1]), math.gcd(4, 6)
math.hypot(3, 4), math.inf, math.isclose(1, 1), math.isfinite(1)
math.isinf(1), math.isnan(1), math.isqrt(9)
math.lcm(4, 6), math.log(2), math.log10(2), math.log1p(2), math.log2(2), math.nan, math.perm(5, 2), math.pi
math.pow(2, 3), math.prod([2, 3]), math.radians(1), math.sin(1)
math.sqrt(2), math.tan(1), math.tau, math.trunc(1.5)
operator.add(1, 2), operator.and_(1, 3), operator.contains([1], 1)
operator.eq(1, 1), operator.floordiv(5, 2)
operator.ge(1, 1), operator.gt(1, 1), operator.itemgetter(0)([1]), operator.le(1, 1), operator.lt(1, 1)
operator.mod(5, 3), operator.mul(2, 3), operator.ne(1, 2)
operator.neg(1), operator.not_(1), operator.or_(1, 2)
operator.sub(2, 1), operator.truediv(1, 2)
re.compile("(a)|b").findall("ab"), re.escape("a.b"), re.findall("a", "aa"), re.error is None
[m.span() for m in re.finditer("a", "aa")], re.fullmatch("(?P<n>a+)", "aa").groupdict()
re.match("a", "ab").group()
re.search("b", "ab").start(), re.split(",", "a,b")
re.sub("é", "e", "éÉ", flags=re.I), re.subn("a", "b", "aa")
re.findall(r"\\w+", "a é", re.A), re.ASCII + 0, re.IGNORECASE + 0, re.M + re.MULTILINE, re.S + re.DOTALL
re.X + re.VERBOSE
statistics.StatisticsError is None, statistics.fmean([1, 2]), statistics.geometric_mean([1, 2])
statistics.harmonic_mean([1, 2]), statistics.mean([1, 2])
statistics.median([1, 2]), statistics.median_high([1, 2])
statistics.median_low([1, 2]), statistics.mode("aab"), statistics.multimode("ab"), statistics.pstdev([1, 2])
statistics.pvariance([1, 2]), statistics.quantiles([1, 2, 3])
statistics.stdev([1, 2]), statistics.variance([1, 2])
string.ascii_letters, string.ascii_lowercase, string.ascii_uppercase, string.digits, string.hexdigits
string.punctuation, string.whitespace
abs(-1), all([]), any([]), bool(1), chr(233)
dict(a=1), divmod(5, 2), list(enumerate("a")), list(filter(None, [1]))
float("1e3"), frozenset([1]), int("12"), isinstance(1, int)
next(iter([1])), len("a"), list(map(str, [1])), max(1, 2)
min(1, 2), ord("a"), pow(2, 3), list(range(2)), repr("é")
list(reversed([1, 2])), round(1.5), set([1]), slice(1)
sorted("ba"), str(1.0), sum([1]), tuple([1]), list(zip([1], [2])), format(1234.5, ",.2f"), format(1.5, "n")
"\\N{SNOWMAN}".casefold(), "ß".upper(), "a-b".title()
"{:>5}|{!r}".format("é", "é"), f"{1e9:,.0f} {'é'!a:>8}"
"%s %5.1f %r" % ("é", 1.5, "é"), "é".isidentifier if False else "ǆ".swapcase()
"a\\tb".expandtabs(), 2 ** 200
[repr(kind()) for kind in (ArithmeticError, AssertionError, AttributeError, Exception, IndexError)]
[repr(kind()) for kind in (KeyError, LookupError, NameError, NotImplementedError, OverflowError)]
[repr(kind()) for kind in (RuntimeError, StopIteration, TypeError, UnboundLocalError, ValueError)]
[repr(kind()) for kind in (RecursionError, ZeroDivisionError)]
""".strip().splitlines()
REAL = {"bisect": bisect, "collections": collections, "copy": copy, "difflib": difflib, "heapq": heapq}
REAL |= {"functools": functools, "itertools": itertools, "json": json, "math": math, "operator": operator}
REAL |= {"re": re, "statistics": statistics, "string": string}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_programs_use_works_under_all_layers(sandbox: Sandbox, expression: str) -> None:
    """Each expression gives in a confined child what it gives in plain Python."""
    used = [module for module in names.MODULES if f"{module}." in expression]
    imports = "".join(f"import {module}\n" for module in used)
    answer = returned(sandbox, f"{imports}return repr([{expression}])").answer
    assert answer == repr(eval(f"[{expression}]", dict(REAL)))  # noqa: S307


def test_each_name_that_programs_see_is_used_above() -> None:
    """No function of a module, no builtin but the project's own errors goes untried."""
    text = "\n".join(EXPRESSIONS)
    offered = [f"{module}.{name}" for module, inside in names.MODULES.items() for name in inside]
    missing = [name for name in offered if not re.search(rf"\b{re.escape(name)}\b", text)]
    missing += [name for name in names.BUILTINS if not re.search(rf"\b{name}\b", text)]
    assert set(missing) <= {"EmptyClip", "ToolError", "re.I", "re.M", "re.S", "re.X", "re.A"}
