"""Each clause of the delivery specification names tests, and these exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "specs" / "delivery.md"
CLAUSE = re.compile(r"^\*\*D(\d+)\.\*\*(.*?)(?=^\*\*D\d|^## )", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
WORDS = re.compile(r"\b(MUST|SHOULD|MAY)\b")


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_clause_names_tests_that_exist() -> None:
    clauses = CLAUSE.findall(SPEC.read_text())
    assert [int(number) for number, _ in clauses] == list(range(1, len(clauses) + 1))
    assert len(clauses) > 20
    for number, text in clauses:
        promise, _, proof = text.partition("Tests:")
        named = TEST.findall(proof)
        assert WORDS.search(promise), f"D{number} promises nothing"
        assert named, f"D{number} names no test"
        for file, name in named:
            assert (ROOT / file).exists(), f"D{number}: {file}"
            assert name in functions(ROOT / file), f"D{number}: {file}::{name}"
