"""Run the suite.

`make test` runs it once, on the Python that .venv was made with, or on that of PYTHON ("3.12"):
all tests except tests/e2e and tests/deploy. `make test-rest` runs these two, which take most of
the time and do not depend on the Python, and then what `make test` runs on every other Python
that pyproject.toml names and this machine has. `make test-all` does both. ARGS goes to pytest;
with a path in it, only that path runs.

The last line is pytest's own or, if there were several runs, the total. Exits 0 if every run did.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.support.repository import ROOT

CLASSIFIER = "Programming Language :: Python :: "
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
# They test how processes, files and networks behave, which is the same on every Python.
ON_ONE_PYTHON = ("tests/e2e", "tests/deploy")
ON_EVERY_PYTHON = tuple(f"--ignore={folder}" for folder in ON_ONE_PYTHON)
# More than the usual number of processors, because most slow tests wait for something.
WORKERS = 4


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--rest", action="store_true")
    if options.parse_args().rest:
        others = [version for version in _supported() if version != RUNNING]
        return _run_all(
            [
                (RUNNING, ON_ONE_PYTHON),
                *((version, ON_EVERY_PYTHON) for version in others if _interpreter(version)),
            ]
        )
    version = os.environ.get("PYTHON") or RUNNING
    if version not in _supported():
        sys.exit(f"PYTHON: {version} is not one of {', '.join(_supported())}")
    if not _interpreter(version):
        sys.exit(f"PYTHON: {version} is not installed")
    return _run_all([(version, ON_EVERY_PYTHON)])


def _run_all(runs: Sequence[tuple[str, Sequence[str]]]) -> int:
    failed = False
    total: Counter[str] = Counter()
    lines = []
    for version, selection in runs:
        print(f"\nPython {version}", flush=True)
        code, counts = _run(_environment(version), selection)
        failed |= code != 0
        total += counts
        lines.append(f"Python {version}: {_summary(counts)}, {counts['skipped']} skipped")
    if len(lines) > 1:
        print("", *lines, _summary(total), sep="\n", flush=True)
    return int(failed)


def _summary(counts: Counter[str]) -> str:
    return f"{counts['passed']} passed, {counts['failed']} failed"


def _supported() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [name.removeprefix(CLASSIFIER) for name in project["classifiers"] if CLASSIFIER in name]


def _interpreter(version: str) -> str | None:
    if version == RUNNING:
        return sys.executable
    # pyenv keeps its Pythons off PATH, behind shims that are there even for what does not run.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    on_path = [
        folder
        for folder in os.environ.get("PATH", "").split(os.pathsep)
        if not Path(folder).is_relative_to(pyenv)
    ]
    folders = [*map(str, pyenv.glob("versions/*/bin")), *on_path]
    found = subprocess.run(
        [ROOT / ".tools/bin/uv", "python", "find", "--system", "--no-project", version],
        env={**os.environ, "PATH": os.pathsep.join(folders)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return found.stdout.strip() if found.returncode == 0 else None


def _environment(version: str) -> Path:
    """The virtual environment of this Python version; .venv if it has the same version."""
    if version == RUNNING:
        return Path(sys.prefix)
    name = f".venv-{version}"
    subprocess.run(
        ["make", "--silent", f"{name}/ready", f"INTERPRETER={_interpreter(version)}"],
        cwd=ROOT,
        check=True,
    )
    return ROOT / name


def _run(environment: Path, selection: Sequence[str]) -> tuple[int, Counter[str]]:
    pytest = [f"{environment}/bin/python", "-m", "pytest"]
    arguments = shlex.split(os.environ.get("ARGS", ""))
    if not any(argument.startswith("tests") for argument in arguments):
        arguments = [*selection, *arguments]
    # Otherwise each of the many processes of a run compiles the same modules again.
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    if not _is_rewritten(environment):
        # Otherwise each worker rewrites the assertions of all tests, at the same time.
        subprocess.run(
            [*pytest, *arguments, "--collect-only", "--quiet"],
            cwd=ROOT,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,  # The run itself reports what is wrong.
        )
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        # By file, so that a fixture that a module shares, such as a cluster, is built once.
        in_parallel = ["-n", str(WORKERS), "--dist", "loadfile", "--no-loadscope-reorder"]
        command = [*pytest, *in_parallel, f"--junitxml={report}", *arguments]
        code = subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode
        return code, _counts(report)


def _is_rewritten(environment: Path) -> bool:
    """Whether an earlier run on this Python cached the rewritten assertions."""
    [library] = environment.glob("lib/python3.*")
    version = library.name.removeprefix("python").replace(".", "")
    return any((ROOT / "tests/__pycache__").glob(f"conftest.cpython-{version}-pytest-*.pyc"))


def _counts(report: Path) -> Counter[str]:
    if not report.exists():
        return Counter(failed=1)
    counts: Counter[str] = Counter()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        for key in ("tests", "failures", "errors", "skipped"):
            counts[key] += int(suite.get(key, 0))
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    return Counter(passed=passed, failed=failed, skipped=counts["skipped"])


if __name__ == "__main__":
    sys.exit(main())
