"""Runs the suite on every Python that pyproject.toml names and this machine has.

PYTHON limits to some ("3.11", "3.11 3.13"), ARGS goes to pytest as it is. The last line is
pytest's own, or, when several Pythons ran, the total. Exits 0 if every run did.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from tests.support.repository import ROOT

PREFIX = "Programming Language :: Python :: "


def main() -> int:
    wanted = os.environ.get("PYTHON", "").split()
    supported = _supported()
    unknown = set(wanted) - set(supported)
    if unknown:
        sys.exit(f"PYTHON: {', '.join(sorted(unknown))} is none of {', '.join(supported)}")

    pythons = {version: _interpreter(version) for version in wanted or supported}
    missing = [version for version in wanted if not pythons[version]]
    if missing:
        sys.exit(f"PYTHON: {', '.join(missing)} is not installed")

    installed = {version: path for version, path in pythons.items() if path}
    failed = False
    total: Counter[str] = Counter()
    lines = []
    for version, interpreter in installed.items():
        print(f"\nPython {version}", flush=True)
        environment = _environment(version, interpreter)
        code, counts = _run(environment)
        failed |= code != 0
        total += counts
        lines.append(f"Python {version}: {_told(counts)}, {counts['skipped']} skipped")
    if len(installed) > 1:
        print("", *lines, _told(total), sep="\n", flush=True)
    return int(failed)


def _told(counts: Counter[str]) -> str:
    return f"{counts['passed']} passed, {counts['failed']} failed"


def _supported() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [name.removeprefix(PREFIX) for name in project["classifiers"] if PREFIX in name]


def _interpreter(version: str) -> str | None:
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


def _environment(version: str, interpreter: str) -> Path:
    """This Python's virtual environment; .venv where that is of the same version."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.prefix)
    name = f".venv-{version}"
    subprocess.run(
        ["make", "--silent", f"{name}/ready", f"INTERPRETER={interpreter}"], cwd=ROOT, check=True
    )
    return ROOT / name


def _run(environment: Path) -> tuple[int, Counter[str]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        # By file: what a module's tests share, a cluster say, is then made only once. Six at once
        # also on two cores, because most of what takes long waits for something: measured there,
        # four leave a quarter of them idle.
        pytest = [f"{environment}/bin/python", "-m", "pytest"]
        in_parallel = ["-n", "6", "--dist", "loadfile", "--no-loadscope-reorder"]
        arguments = shlex.split(os.environ.get("ARGS", ""))
        # Else each of the many processes of a run compiles what the others did.
        variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        # Else each of the six, which begin at once, rewrites the assertions of all tests.
        subprocess.run(
            [*pytest, *arguments, "--collect-only", "--quiet"],
            cwd=ROOT,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,  # What is wrong is told by the run itself.
        )
        command = [*pytest, *in_parallel, f"--junitxml={report}", *arguments]
        code = subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode
        return code, _counts(report)


def _counts(report: Path) -> Counter[str]:
    if not report.exists():
        return Counter(failed=1)
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    told: Counter[str] = Counter()
    for suite in suites:
        for key in ("tests", "failures", "errors", "skipped"):
            told[key] += int(suite.get(key, 0))
    failed = told["failures"] + told["errors"]
    passed = told["tests"] - failed - told["skipped"]
    return Counter(passed=passed, failed=failed, skipped=told["skipped"])


if __name__ == "__main__":
    sys.exit(main())
