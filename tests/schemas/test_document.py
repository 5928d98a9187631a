"""The generated pages are committed as generated, and no metric is declared in vain."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from schemas.config import PACKAGE_ROOT
from schemas.document import DOCS, declared_metrics, pages
from schemas.metrics import PROCESS, REGISTRY

USERS = ("ingest", "processors", "sql", "stack")


@pytest.mark.parametrize("name", pages())
def test_committed_page_is_the_generated_one(name: str) -> None:
    committed = (DOCS / name).read_text(encoding="utf-8")
    assert committed == pages()[name], "run: python -m schemas.document"


def test_pages_name_no_path_of_this_machine() -> None:
    assert not [name for name, text in pages().items() if str(PACKAGE_ROOT) in text]


def test_every_metric_of_the_registry_is_declared() -> None:
    declared = {family.name for item in declared_metrics().values() for family in item.describe()}
    of_the_client = {family.name for family in PROCESS.collect()}
    assert declared | of_the_client == {family.name for family in REGISTRY.collect()}


def test_the_page_names_what_a_process_tells_of_itself() -> None:
    served = generate_latest(REGISTRY).decode()
    named = re.findall(r"`(process_\w+)`", pages()["metrics.md"])
    assert "process_start_time_seconds" in named
    assert [name for name in named if f"\n{name} " not in served] == []


def _metrics_of(path: Path) -> Iterator[str]:
    """Names taken from ``schemas.metrics``: by import, or as attributes of the module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "schemas.metrics":
            yield from (alias.name for alias in node.names)
        match node:
            case ast.Attribute(value=ast.Name(id="metrics"), attr=name):
                yield name


def test_every_metric_is_used() -> None:
    files = [path for folder in USERS for path in (PACKAGE_ROOT / folder).rglob("*.py")]
    used = {name for path in files for name in _metrics_of(path)}
    assert set(declared_metrics()) - used == set()
