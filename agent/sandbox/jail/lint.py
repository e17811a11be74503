"""Whether a program keeps the contract with the API, read off its syntax tree before the policy rewrites it.

Finds the entry function, unknown names, wrong arguments and a missing answer. It judges literals only; the
dry run sees the rest. This is courtesy to the planner, not protection.
"""

from __future__ import annotations

import ast
import builtins
import difflib
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from .arguments import Function
from .policy import is_plain
from .recorder import ENTRY
from .source import Reason, reason

__all__ = ["entry", "lint"]

_TOP: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign)
_LITERAL_KINDS: Final[dict[type, str]] = {
    ast.JoinedStr: "str",
    ast.List: "list",
    ast.ListComp: "list",
    ast.Tuple: "list",
    ast.Set: "list",
    ast.SetComp: "list",
    ast.Dict: "dict",
    ast.DictComp: "dict",
}
_INSTEAD: Final = {
    "type": "type and attribute tricks have no use here; isinstance() is there",
    "getattr": "type and attribute tricks have no use here; write value.name",
    "hasattr": "type and attribute tricks have no use here; a clip has start, end and num_frames",
    "BaseException": "use Exception",
    "open": "a program has no files",
    "input": "a program cannot ask; use query and possible_answers",
    "eval": "write out what it would compute",
    "exec": "write out what it would do",
}
"""What to do without a builtin that language models like to use."""

_ACCEPTED: Final = {
    "clip": (),
    "str": ("str",),
    "str?": ("str", "None"),
    "int?": ("int", "None"),
    "list[str]?": ("list", "None"),
    "str|list[str]": ("str", "list"),
    "dict": ("dict",),
}


def entry(tree: ast.Module, parameters: Sequence[str]) -> list[Reason]:
    """Check that the program defines `execute_command` with exactly these parameters."""
    wanted = f"def {ENTRY}({', '.join(parameters)}):"
    found = _entry(tree)
    if found is None:
        return [reason(None, "contract", f"the program defines no {ENTRY}", f"begin with `{wanted}`")]
    names = [a.arg for a in (*found.args.posonlyargs, *found.args.args)]
    extra = (found.args.vararg, found.args.kwarg, *found.args.kwonlyargs)
    if names != list(parameters) or any(extra):
        return [reason(found.lineno, "contract", f"{ENTRY} has the wrong parameters", f"write `{wanted}`")]
    return []


def lint(
    tree: ast.Module, parameters: Sequence[str], functions: dict[str, Function], names: Collection[str]
) -> list[Reason]:
    """Find every breach of the contract.

    Parameters
    ----------
    tree
        The program as parsed.
    parameters
        Parameters of the entry function.
    functions
        The API by name.
    names
        Other names that programs see.
    """
    found = entry(tree, parameters)
    outside = [
        s for s in tree.body if not isinstance(s, (*_TOP, ast.AnnAssign, ast.Pass)) and not _is_text(s)
    ]
    found += [
        reason(
            s.lineno,
            "contract",
            f"code outside {ENTRY}",
            "only functions, imports and constants may stand there",
        )
        for s in outside
    ]
    found += _answers(tree)
    bound = _bound(tree)
    for node in _walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in bound:
            found += _unknown(node, functions, names, bound)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            found += _arguments(node, functions[node.func.id])
    return found


def _entry(tree: ast.Module) -> ast.FunctionDef | None:
    found = [s for s in tree.body if isinstance(s, ast.FunctionDef) and s.name == ENTRY]
    return found[-1] if found else None


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without its annotations, which are dropped."""
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _walk(child)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """Walk a function's body without the functions in it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, (ast.FunctionDef, ast.Lambda)):
            yield child
            yield from _own(child)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _answers(tree: ast.Module) -> list[Reason]:
    """Check that the entry function returns something."""
    function = _entry(tree)
    if function is None:
        return []
    returns = [n.value for n in _own(function) if isinstance(n, ast.Return)]
    if any(
        value is not None and not (isinstance(value, ast.Constant) and value.value is None)
        for value in returns
    ):
        return []
    return [reason(function.lineno, "contract", f"{ENTRY} returns no answer", "end it with `return answer`")]


def _bound(tree: ast.Module) -> set[str]:
    """Collect all names that the program binds anywhere; scopes are left to the dry run."""
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)):
            bound.add(node.name or "")
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
    return bound


def _unknown(
    node: ast.Name, functions: Collection[str], names: Collection[str], bound: set[str]
) -> list[Reason]:
    name = node.id
    if name in functions or name in names or not is_plain(name):
        return []
    by_case = {k.lower(): k for k in (*bound, *functions)}
    close = difflib.get_close_matches(name.lower(), by_case, 1)
    guess = f"did you mean {by_case[close[0]]}?" if close else ""
    if hasattr(builtins, name):
        hint = _INSTEAD.get(name, f"there are {', '.join(sorted(n for n in names if n[0].islower()))}")
        return [reason(node.lineno, "policy", f"{name} is not available to programs", hint)]
    return [
        reason(node.lineno, "contract", f"unknown name {name}", guess or f"functions: {', '.join(functions)}")
    ]


def _arguments(call: ast.Call, function: Function) -> list[Reason]:
    """Check number, keywords and literals of a call of the API."""
    name, parameters = function["name"], function["parameters"]
    known = [p["name"] for p in parameters]
    usage = f"{name}({', '.join(p['name'] if p['required'] else p['name'] + '=None' for p in parameters)})"
    starred = any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
    given = {} if starred else dict(zip(known, call.args, strict=False))
    found: list[str] = []
    if not starred and len(call.args) > len(known):
        found.append(f"{name} takes {len(known)} arguments, {len(call.args)} given")
    for keyword in call.keywords:
        if keyword.arg is None:
            continue
        if keyword.arg not in known:
            found.append(f"{name} has no parameter {keyword.arg}")
        elif keyword.arg in given:
            found.append(f"{name} gets {keyword.arg} twice")
        else:
            given[keyword.arg] = keyword.value
    if not starred:
        found += [f"{name} lacks {p['name']}" for p in parameters if p["required"] and p["name"] not in given]
    reasons = [reason(call.lineno, "contract", message, f"write {usage}") for message in found]
    for parameter in parameters:
        value = given.get(parameter["name"])
        if value is not None and (
            kind := _mismatch(value, parameter["kind"], required=parameter["required"])
        ):
            message = f"{parameter['name']} of {name} is {kind}"
            hint = "it must be " + parameter["kind"].rstrip("?").replace("|", " or ")
            reasons.append(reason(value.lineno, "contract", message, hint))
    return reasons


def _mismatch(value: ast.expr, kind: str, *, required: bool) -> str | None:
    """Name a literal's kind if it is not the declared one."""
    literal = _LITERAL_KINDS.get(type(value))
    if isinstance(value, ast.Constant):
        literal = "None" if value.value is None else type(value.value).__name__
    if isinstance(value, ast.UnaryOp) and isinstance(value.operand, ast.Constant):
        literal = "bool" if isinstance(value.op, ast.Not) else type(value.operand.value).__name__
    if literal is None:
        return None
    if literal not in _ACCEPTED[kind]:
        return literal
    if literal == "list" and isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        strange = [e for e in value.elts if isinstance(e, ast.Constant) and not isinstance(e.value, str)]
        return f"a list holding {type(strange[0].value).__name__}" if strange else None
    return None
