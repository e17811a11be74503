"""The Python that programs may be written in: a RestrictedPython transformer with our own rules.

It refuses what a program has no need of, each with its line and a hint, and rewrites what language models
like to write and RestrictedPython would refuse for no gain. It is a language filter: good messages and less
noise. The wall is the child process, not this file.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from typing import Any, Final

from RestrictedPython.transformer import RestrictingNodeTransformer, copy_locations

from .source import Reason, reason

__all__ = ["ANNOTATING", "Policy", "is_plain"]

ANNOTATING: Final = frozenset({"typing", "typing_extensions", "collections.abc"})
"""Modules that serve annotations, which are dropped: any name imported from them is a stand-in."""

_REFUSED: Final[dict[str, tuple[str, str]]] = {
    "ClassDef": ("classes are not allowed", "use functions, lists and dicts"),
    "AsyncFunctionDef": ("async is not allowed", "write a plain function"),
    "Await": ("async is not allowed", "call the function directly"),
    "AsyncFor": ("async is not allowed", "write a plain loop"),
    "AsyncWith": ("async is not allowed", "leave it out"),
    "Match": ("match is not allowed", "use if and elif"),
    "With": ("with is not allowed", "programs have no files or locks"),
    "Yield": ("yield is not allowed", "collect a list and return it"),
    "YieldFrom": ("yield is not allowed", "collect a list and return it"),
    "TryStar": ("except* is not allowed", "use except"),
    "TemplateStr": ("template strings are not allowed", "use an f-string"),
    "TypeAlias": ("type statements are not allowed", "leave it out"),
}

_INSTEAD: Final[dict[str, str]] = {
    "numpy": "use sum(), max() and sorted(), or the modules math and statistics",
    "random": "programs have no chance: an answer follows from what was found",
    "time": "programs have no clock; frames carry their ids",
    "datetime": "programs have no clock; frames carry their ids",
    "dataclasses": "use dicts and tuples",
    "enum": "use strings",
    "abc": "use functions",
    "logging": "use print()",
    "contextlib": "use try and except",
}
"""What to do without a module that language models like to import."""


def is_plain(name: str) -> bool:
    """Tell a name that a program may use from those of Python (`__name`) and of the guards (`_name_`)."""
    private = name.startswith("_") and bool(name.strip("_"))
    return not private or not (name.startswith("__") or name.endswith("_"))


class Policy(RestrictingNodeTransformer):
    """Rewrites a tree in place and collects the reasons to refuse it.

    Parameters
    ----------
    functions
        Names of the API, which a program must not bind.
    modules
        Names that each importable module offers.
    """

    def __init__(self, functions: Collection[str], modules: Mapping[str, Collection[str]]) -> None:
        super().__init__()
        self.reasons: list[Reason] = []
        self._functions = frozenset(functions)
        self._modules = modules

    def refuse(self, node: ast.AST, message: str, hint: str = "") -> None:
        """Note a reason at the node's line."""
        self.reasons.append(reason(getattr(node, "lineno", None), "policy", message, hint))

    def error(self, node: ast.AST, info: str) -> None:
        """Note what RestrictedPython itself refuses."""
        self.refuse(node, info, "leave it out")

    def not_allowed(self, node: ast.AST) -> None:
        """Refuse a kind of syntax."""
        name = type(node).__name__
        self.refuse(node, *_REFUSED.get(name, (f"{name} is not allowed", "use simpler code")))

    visit_ClassDef = visit_AsyncFunctionDef = visit_With = visit_Yield = visit_YieldFrom = not_allowed
    visit_Match = visit_TryStar = visit_TemplateStr = visit_TypeAlias = not_allowed

    # Names

    def check_name(self, node: Any, name: str | None, allow_magic_methods: bool = False) -> None:  # noqa: FBT001, FBT002
        """Check a name that the program binds."""
        if name is None:
            return
        self._check_underscore(node, name)
        if name in self._functions:
            self.refuse(node, f"{name} is a function of the API and cannot be redefined", "use another name")

    def _check_underscore(self, node: ast.AST, name: str) -> None:
        if not is_plain(name):
            message = f"the name {name} begins with an underscore, as those of Python itself do"
            self.refuse(node, message, "use a plain name")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Allow plain names."""
        if isinstance(node.ctx, ast.Load):
            self._check_underscore(node, node.id)
        else:
            self.check_name(node, node.id)
        return node

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> ast.AST:
        """Allow variables of the module, or of the function around, that have plain names."""
        for name in node.names:
            self.check_name(node, name)
        return node

    visit_Nonlocal = visit_Global

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        """Allow keywords of plain names."""
        self._check_underscore(node.value, node.arg or "")
        return self.node_contents_visit(node)

    # Functions: annotations go, they name classes that do not exist here

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Allow functions without decorators and type parameters."""
        for decorator in node.decorator_list:
            self.refuse(decorator, "decorators are not allowed", "call the function directly")
        if getattr(node, "type_params", None):
            self.refuse(node, "type parameters are not allowed", "leave them out")
        node.decorator_list, node.returns = [], None
        self.check_name(node, node.name)
        self.check_function_argument_names(node)
        return self.node_contents_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Drop the annotation."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Rewrite `x: T = v` as `x = v`."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        plain = ast.Assign(targets=[node.target], value=node.value)
        copy_locations(plain, node)
        return self.visit(plain)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        """Visit the statements; printing is a plain function here."""
        return self.node_contents_visit(node)

    # Loops, unpacking and star calls need no guard: whatever a program can hold iterates harmlessly.

    def guard_iter(self, node: Any) -> Any:
        """Leave loops alone."""
        return self.node_contents_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        """Leave unpacking alone: RestrictedPython would evaluate the value once per target."""
        return self.node_contents_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Leave calls alone."""
        return self.node_contents_visit(node)

    # Attributes and items

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """Route reads through `_getattr_` and refuse writes."""
        if node.attr.startswith("_"):
            hint = "write lambda i: x[i]" if node.attr == "__getitem__" else "use plain attributes"
            self.refuse(node, f"the attribute {node.attr} begins with an underscore", hint)
            return node
        if not isinstance(node.ctx, ast.Load):
            self.refuse(node, "attributes cannot be set or deleted", "keep the value in a variable")
            return node
        return super().visit_Attribute(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """Leave `x += v` and `d[k] += v` alone, but for the guard on `d`: each part is evaluated as ever."""
        return self.node_contents_visit(node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        """Route the value of an f-string's field through `_format_`."""
        spec = self.visit(node.format_spec) if node.format_spec else ast.Constant("")
        conversion = ast.Constant("" if node.conversion == -1 else chr(node.conversion))
        value = _call("_format_", self.visit(node.value), conversion, spec)
        field = ast.FormattedValue(value=value, conversion=-1, format_spec=None)
        copy_locations(field, node)
        return field

    # Exceptions

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """Make a bare `except` mean Exception, and let no handler outlive exhausted memory."""
        self.check_name(node, node.name)
        self.node_contents_visit(node)
        if node.type is None:
            node.type = ast.Name("_exception_", ast.Load())
        node.body.insert(0, ast.Expr(_call("_caught_")))
        for made in (node.type, node.body[0]):
            ast.copy_location(made, node)
            ast.fix_missing_locations(made)
        return node

    # Imports become assignments from named facades: a live module would be a way out.

    def visit_Import(self, node: ast.Import) -> Any:
        """Rewrite `import math as m` as `m = _import_("math", None)`."""
        bound = []
        for alias in node.names:
            if alias.name in ANNOTATING:
                continue
            if alias.name not in self._modules:
                self._refuse_module(node, alias.name)
                continue
            self.check_name(node, alias.asname or alias.name)
            bound.append(_bind(node, alias.asname or alias.name, alias.name, None))
        return bound or ast.copy_location(ast.Pass(), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        """Rewrite `from math import sqrt` as `sqrt = _import_("math", "sqrt")`."""
        module = node.module or "."
        if module == "__future__":
            return ast.copy_location(ast.Pass(), node)
        if node.level or module not in {*self._modules, *ANNOTATING}:
            self._refuse_module(node, module)
            return node
        bound = []
        for alias in node.names:
            if alias.name == "*" or (module in self._modules and alias.name not in self._modules[module]):
                offer = ", ".join(sorted(self._modules.get(module, ["its names, one by one"])))
                self.refuse(node, f"{alias.name} cannot be imported from {module}", f"it offers {offer}")
                continue
            self.check_name(node, alias.asname or alias.name)
            bound.append(_bind(node, alias.asname or alias.name, module, alias.name))
        return bound or node

    def _refuse_module(self, node: ast.AST, module: str) -> None:
        offer = f"only these can, in part: {', '.join(sorted(self._modules))}"
        instead = _INSTEAD.get(module.partition(".")[0])
        self.refuse(node, f"{module} cannot be imported", f"{instead}; {offer}" if instead else offer)


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(name, ast.Load()), args=list(args), keywords=[])


def _bind(node: ast.stmt, target: str, module: str, name: str | None) -> ast.Assign:
    value = _call("_import_", ast.Constant(module), ast.Constant(name))
    assign = ast.Assign(targets=[ast.Name(target, ast.Store())], value=value)
    copy_locations(assign, node)
    return assign
