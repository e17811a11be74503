"""The notebook in docs/ runs from top to bottom, and what it shows is shown as HTML."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parsed_page import Parsed

NOTEBOOK = Path(__file__).parents[1] / "docs/notebook.ipynb"


def run_cell(source: str, names: dict[str, Any]) -> object:
    """Run a cell as a notebook does and give the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102 - our own document
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307


def test_notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every cell runs; the run, the question and its trace come out as HTML, and a page is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    names: dict[str, Any] = {}
    values = [run_cell("".join(cell["source"]), names) for cell in cells]
    shown = [value._repr_html_() for value in values if hasattr(value, "_repr_html_")]
    assert [type(value).__name__ for value in values if value is not None][:3] == ["Run", "Example", "Trace"]
    calls = len(names["example"].trace.calls)
    assert [len(Parsed(html).named("card")) for html in shown] == [0, calls, calls]
    assert names["example"].question.id in shown[0]
    assert Parsed((tmp_path / "demo/question.html").read_text()).named("card")
