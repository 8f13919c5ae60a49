import ast
import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from tests.support.repository import ROOT

RINGS = {"domain", "application"}


def test_imports_point_inwards() -> None:
    lint = [f"{sys.prefix}/bin/lint-imports", "--no-cache"]
    found = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("ring", sorted(RINGS))
def test_the_inner_rings_need_only_the_standard_library(ring: str) -> None:
    # The contract in pyproject.toml names the libraries it forbids; this one also sees new ones.
    imported = {
        module.partition(".")[0]
        for path in (ROOT / ring).rglob("*.py")
        for module in _imported_modules(path)
    }

    assert imported <= sys.stdlib_module_names | RINGS


def test_the_folder_docker_does_not_hide_the_docker_sdk() -> None:
    assert docker.__file__

    assert f"{os.sep}site-packages{os.sep}" in docker.__file__


def _imported_modules(path: Path) -> list[str]:
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
    return modules
