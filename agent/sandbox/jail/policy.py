"""The Python that programs may be written in: a RestrictedPython transformer with our own rules.

It refuses what a program has no need of, each with its line and a hint, and rewrites what language models
like to write and RestrictedPython would refuse for no gain. It is a language filter: good messages and less
noise. The wall is the child process, not this file.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from typing import Any, Final

from RestrictedPython.transformer import IOPERATOR_TO_STR, RestrictingNodeTransformer, copy_locations

from .source import Reason, reason

__all__ = ["IGNORED_MODULES", "Policy"]

IGNORED_MODULES: Final = frozenset({"typing", "__future__", "collections.abc"})
"""Modules that serve annotations only: importing from them is dropped together with the annotations."""

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
    "Nonlocal": ("nonlocal is not allowed", "return the value, or keep it in a list or dict"),
    "TryStar": ("except* is not allowed", "use except"),
    "TemplateStr": ("template strings are not allowed", "use an f-string"),
    "TypeAlias": ("type statements are not allowed", "leave it out"),
}


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
        self.refuse(node, info)

    def not_allowed(self, node: ast.AST) -> None:
        """Refuse a kind of syntax."""
        name = type(node).__name__
        self.refuse(node, *_REFUSED.get(name, (f"{name} is not allowed", "use simpler code")))

    visit_ClassDef = visit_AsyncFunctionDef = visit_With = visit_Yield = visit_YieldFrom = not_allowed
    visit_Match = visit_Nonlocal = visit_TryStar = visit_TemplateStr = visit_TypeAlias = not_allowed

    # Names

    def check_name(self, node: Any, name: str | None, allow_magic_methods: bool = False) -> None:  # noqa: FBT001, FBT002
        """Check a name that the program binds."""
        if name is None:
            return
        self._check_underscore(node, name)
        if name in self._functions:
            self.refuse(node, f"{name} is a function of the API and cannot be redefined", "use another name")

    def _check_underscore(self, node: ast.AST, name: str) -> None:
        if name.startswith("_") and name != "_":
            self.refuse(node, f"the name {name} begins with an underscore", "use a plain name")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Allow plain names."""
        if isinstance(node.ctx, ast.Load):
            self._check_underscore(node, node.id)
        else:
            self.check_name(node, node.id)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        """Allow module variables of plain names."""
        for name in node.names:
            self.check_name(node, name)
        return node

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
            self.refuse(node, f"the attribute {node.attr} begins with an underscore", "use plain attributes")
            return node
        if not isinstance(node.ctx, ast.Load):
            self.refuse(node, "attributes cannot be set or deleted", "keep the value in a variable")
            return node
        return super().visit_Attribute(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """Rewrite `d[k] += v` as one helper call, so that `d` and `k` are evaluated once."""
        if not isinstance(node.target, ast.Subscript):
            return super().visit_AugAssign(node)
        parts: list[ast.expr] = [self.visit(p) for p in (node.target.value, node.target.slice, node.value)]
        operator = ast.Constant(IOPERATOR_TO_STR[type(node.op)])
        statement = ast.Expr(_call("_inplaceitem_", operator, *parts))
        copy_locations(statement, node)
        return statement

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
            if alias.name in IGNORED_MODULES:
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
        if module in IGNORED_MODULES:
            return ast.copy_location(ast.Pass(), node)
        if node.level or module not in self._modules:
            self._refuse_module(node, module)
            return node
        bound = []
        for alias in node.names:
            if alias.name not in self._modules[module]:
                offer = ", ".join(sorted(self._modules[module]))
                self.refuse(node, f"{alias.name} cannot be imported from {module}", f"it offers {offer}")
                continue
            self.check_name(node, alias.asname or alias.name)
            bound.append(_bind(node, alias.asname or alias.name, module, alias.name))
        return bound or node

    def _refuse_module(self, node: ast.AST, module: str) -> None:
        offer = ", ".join(sorted(self._modules))
        self.refuse(node, f"{module} cannot be imported", f"only these can, in part: {offer}")


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(name, ast.Load()), args=list(args), keywords=[])


def _bind(node: ast.stmt, target: str, module: str, name: str | None) -> ast.Assign:
    value = _call("_import_", ast.Constant(module), ast.Constant(name))
    assign = ast.Assign(targets=[ast.Name(target, ast.Store())], value=value)
    copy_locations(assign, node)
    return assign
