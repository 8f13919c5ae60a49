"""A use case is found by its name, and so are its tests.

A use case is a public class that is called: it defines `__call__`. The tests of
`application/ROOM/NAME.py` are in `tests/application/ROOM/test_NAME.py`.
"""

import ast
from pathlib import Path

from tests.support.repository import ROOT

# Use cases without a test file of their own. Remove an entry once its file exists.
MISSING = {
    "application/liveness/heartbeat_refusals.py",
}


def is_called(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any(isinstance(each, ast.FunctionDef) and each.name == "__call__" for each in node.body)
    )


def use_case_files() -> list[Path]:
    return [
        path.relative_to(ROOT)
        for path in sorted((ROOT / "application").glob("*/*.py"))
        if path.parent.name != "ports" and any(map(is_called, ast.parse(path.read_text()).body))
    ]


def test_each_use_case_has_its_test_file() -> None:
    files = use_case_files()
    missing = {
        path.as_posix()
        for path in files
        if not (ROOT / "tests" / path.parent / f"test_{path.name}").exists()
    }

    assert len(files) > 50
    assert missing - MISSING == set()
