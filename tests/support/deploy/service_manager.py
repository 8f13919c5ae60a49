"""Runs a separate systemd, to test our unit under it.

It is the init of its own namespaces, on a copy of this machine's files that is deleted with it. It
knows only the units that are added. The network is this machine's.
"""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.processes import TIMEOUT_SECONDS, eventually
from tests.support.repository import ROOT

_SYSTEMD = Path("/lib/systemd/systemd")
_BOOT = Path(__file__).with_name("boot")
# Paths at which the unit sees these folders; it may see nothing below a home directory.
_PYTHON, _LIBRARIES, _OURS = "/opt/python", "/opt/libraries", "/opt/ours"


def why_not() -> str:
    """Why this machine cannot run a separate systemd; empty if it can."""
    if not _SYSTEMD.exists():
        return "systemd is not installed: apt-get install systemd"
    return "" if os.geteuid() == 0 else "only root can give systemd namespaces of its own"


class ServiceManager:
    """A separate systemd. Add units before `start`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._units = folder / "units"
        self._units.mkdir()
        for name in ("basic", "multi-user", "shutdown", "sysinit"):
            (self._units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        self._popen: subprocess.Popen[bytes] | None = None
        self._init = 0

    @property
    def root(self) -> Path:
        """The root of its file system, while it runs."""
        return Path(f"/proc/{self._init}/root")

    def add_unit(self, unit: Path) -> None:
        shutil.copy(unit, self._units)

    def add_drop_in(self, unit: str, text: str) -> None:
        folder = self._units / f"{unit}.d"
        folder.mkdir()
        (folder / "test.conf").write_text(text)

    def start(self) -> None:
        is_systems = sys.base_prefix in ("/usr", "/usr/local")
        python = sys.base_prefix if is_systems else _PYTHON
        binds = {sysconfig.get_path("purelib"): _LIBRARIES, str(ROOT): _OURS}
        if not is_systems:
            binds[sys.base_prefix] = _PYTHON
        self._boot([f"{source}:{target}" for source, target in binds.items()])
        self._add_host_manager(python)
        if "docker" not in (group.gr_name for group in grp.getgrall()):
            with (self.root / "etc/group").open("a") as groups:
                groups.write("docker:x:997:\n")

    def write(self, path: str, text: str, mode: int = 0o600) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def systemctl(self, *arguments: str) -> str:
        """The output of systemctl, which must exit with 0."""
        done = self.try_systemctl(*arguments)
        assert done.returncode == 0, f"systemctl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def try_systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--target={self._init}", "--mount", "--pid", "--root", "--wd"]
        return subprocess.run(
            [*enter, "systemctl", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * TIMEOUT_SECONDS,
        )

    def show(self, unit: str, what: str) -> str:
        """One of the properties that `systemctl show` knows."""
        return self.systemctl("show", "--value", f"--property={what}", unit).strip()

    def stop(self) -> None:
        if self._popen:
            self._popen.terminate()
            self._popen.wait(TIMEOUT_SECONDS)

    def _boot(self, binds: list[str]) -> None:
        log = self._folder / "boot.log"
        pid_file = self._folder / "init.pid"
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                # Otherwise it would go on running if this process were killed.
                ["setpriv", "--pdeathsig=TERM", _BOOT, self._folder, *binds],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def is_up() -> bool:
            assert self._popen
            assert self._popen.poll() is None, log.read_text()
            pid = pid_file.read_text().strip() if pid_file.exists() else ""
            self._init = int(pid or 0)
            is_active = ("is-active", "multi-user.target")
            return self._init > 0 and self.try_systemctl(*is_active).returncode == 0

        eventually(is_up, "systemd to be up")

    def _add_host_manager(self, python: str) -> None:
        """Install the command at the path that the unit names."""
        path = self.root / "usr/local/bin/manmanv2-host"
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        path.write_text(
            # A Python built with a shared library looks for it where it was built.
            f"#!/usr/bin/env -S LD_LIBRARY_PATH={python}/lib {python}/bin/python{version}\n"
            "import sys\n"
            f"sys.path[:0] = [{_OURS!r}, {_LIBRARIES!r}]\n"
            "from entrypoints.host.main import main\n"
            "main()\n"
        )
        path.chmod(0o755)
