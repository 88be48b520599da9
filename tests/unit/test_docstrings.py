"""Docstrings begin as a sentence does that says what something is for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("function", "models", "benchmarks", "docs", "integrations", "tests")
NO_VERBS = frozenset(
    [
        "a",
        "all",
        "an",
        "as",
        "at",
        "each",
        "every",
        "everybody",
        "everything",
        "for",
        "from",
        "how",
        "in",
        "its",
        "of",
        "one",
        "only",
        "that",
        "the",
        "these",
        "this",
        "those",
        "two",
        "what",
        "when",
        "where",
        "whether",
        "which",
        "who",
        "whom",
        "whose",
        "why",
    ]
)
"""Words that no order begins with: articles, question words, prepositions."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        paths = sorted((ROOT / folder).rglob("*.py"))
        assert paths
        for path in paths:
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def public_functions(tree: ast.Module) -> Iterator[Function]:
    """Functions without an underscore. A route's docstring is a text of the HTTP API's document."""
    for node in ast.walk(tree):
        if isinstance(node, Function) and not node.name.startswith("_"):
            decorators = map(ast.unparse, node.decorator_list)
            if not any(decorator.startswith("resolver.") for decorator in decorators):
                yield node


def test_no_docstring_begins_with_of() -> None:
    """Those of modules, classes, functions and constants."""
    assert [
        f"{path}:{node.lineno}: {text.splitlines()[0]}"
        for path, tree in sources(*FOLDERS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(text := node.value.value, str) and text.split()[:1] == ["Of"]
    ] == []


def test_what_a_function_does_begins_with_a_verb() -> None:
    assert [
        f"{path}:{function.lineno}: {text.splitlines()[0]}"
        for path, tree in sources("function")
        for function in public_functions(tree)
        if (text := ast.get_docstring(function)) and text.split()[0].lower() in NO_VERBS
    ] == []
