"""Training's environment is the product's with training/requirements.txt on top: nothing else is
imported."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = {path.parent.name for path in ROOT.glob("*/__init__.py")}
MODULES = {"sklearn": "scikit-learn"}  # that are not named like their package


def _locked(name: str) -> set[str]:
    return set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / name).read_text(), re.MULTILINE))


def _imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}


def test_what_training_imports_is_installed_for_it() -> None:
    used = set[str]().union(*map(_imported, (ROOT / "training").rglob("*.py")))
    packages = importlib.metadata.packages_distributions()
    locked, added = _locked("requirements.lock"), _locked("training/requirements.txt")
    assert "torch" in added
    for module in sorted(used - OURS - set(sys.stdlib_module_names)):
        names = {MODULES.get(module, module).replace("_", "-"), *packages.get(module, ())}
        assert {name.lower() for name in names} & (locked | added), f"{module} is in neither list"
