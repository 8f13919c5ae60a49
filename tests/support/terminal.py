"""One of our commands on a terminal, and the screen that it draws."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

from tests.support.canary_secrets import leak_detector
from tests.support.processes import TIMEOUT_SECONDS, eventually

_ESCAPE = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")
# Each drawing begins at the upper left corner.
_HOME = "\x1b[H"


class Terminal:
    def __init__(self, command: str, *arguments: str, width: int, height: int, **variables: str):
        ours, theirs = pty.openpty()
        self._ours = ours
        self.resize(width, height)
        self._output = b""
        self._popen = subprocess.Popen(
            [str(Path(sys.executable).parent / command), *arguments],
            env={"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "C.UTF-8", **variables},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def resize(self, width: int, height: int) -> None:
        self._height = height
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    @property
    def text(self) -> str:
        """Everything that was written, including control characters."""
        return self._output.decode(errors="replace")

    @property
    def styled_lines(self) -> list[str]:
        """The last complete drawing, with its styles and without blanks at the ends."""
        for drawing in reversed(self.text.split(_HOME)[1:]):
            lines = drawing.split("\r\n")
            if len(lines) == self._height:
                return "\n".join(line.rstrip() for line in lines).rstrip().split("\n")
        return []

    @property
    def lines(self) -> list[str]:
        return [_ESCAPE.sub("", line).rstrip() for line in self.styled_lines]

    def wait_for(self, part: str) -> list[str]:
        """The lines, as soon as one of them contains the part."""
        eventually(
            lambda: any(part in line for line in self.lines), f"{part!r}\n{self.text[-3000:]}"
        )
        return self.lines

    def stop(self, stop_signal: signal.Signals = signal.SIGINT) -> int:
        """Send Ctrl-C or another signal, and return the exit code."""
        self._popen.send_signal(stop_signal)
        exit_code = self._popen.wait(TIMEOUT_SECONDS)
        self._reader.join()
        return exit_code

    def close(self) -> None:
        self._popen.kill()
        self._popen.wait()
        self._reader.join()
        os.close(self._ours)
        leak_detector.check("on the terminal", self.text)

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._ours, 65536)
            except OSError:  # no process has the terminal open
                return
            self._output += part
