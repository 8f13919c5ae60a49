"""Commands print data from the wire only by views/output.py, which escapes it."""

import ast
from collections.abc import Iterator

from tests.support.repository import ROOT

FOLDER = ROOT / "entrypoints" / "cli"
# They print texts of the code itself, or JSON that is escaped already.
SAFE_ARGUMENTS = ("as_json(", "would_be if", "'[]' if", "script.source()")
# The one place that escapes, and tables, which escape each cell.
EXEMPT = {"views/output.py", "views/tables.py"}


def _raw_prints() -> Iterator[str]:
    for file in sorted(FOLDER.rglob("*.py")):
        name = str(file.relative_to(FOLDER))
        if name in EXEMPT:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = ast.unparse(node.func)
            if function in ("click.echo", "click.secho", "click.confirm", "print"):
                argument = ast.unparse(node.args[0])
                if not argument.startswith(SAFE_ARGUMENTS):
                    yield f"{name}:{node.lineno} {function}({argument})"


def test_data_is_printed_by_the_functions_that_escape_it() -> None:
    assert list(_raw_prints()) == []
