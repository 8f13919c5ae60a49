import logging
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from application.host.transient_failure_log import TransientFailureLog
from domain.shared_keys import stripped_key

_log = logging.getLogger(__name__)

MAX_KEYS = 100
MAX_KEY_LENGTH = 4096
_MAX_BYTES = 1 << 20


def read_keys(path: Path) -> Sequence[str]:
    """The keys in the file, one a line; at least one.

    Blank lines are left out, so are those that begin with #, and what is wrapped around a key.
    Raises OSError, UnicodeDecodeError, and ValueError whose message completes "the file …".
    """
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"is larger than {_MAX_BYTES >> 20} MB: is it the right one?")
    # Once each: whoever tries one after the other need not try any twice.
    keys = tuple(dict.fromkeys(_keys_of(content.decode())))
    if not keys:
        raise ValueError("holds no key: write one into it")
    if len(keys) > MAX_KEYS:
        raise ValueError(f"holds more than {MAX_KEYS} keys: take out those that are not used")
    return keys


def _keys_of(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip().startswith("#"):
            continue
        key = stripped_key(line)
        if not key.isprintable():
            raise ValueError(f"holds a character that cannot be printed in line {number}: mend it")
        if len(key) > MAX_KEY_LENGTH:
            raise ValueError(
                f"holds more than {MAX_KEY_LENGTH} characters in line {number}: mend it"
            )
        if key:
            yield key


@dataclass
class KeyFile:
    """The keys in a file that somebody may change at any time.

    It is looked at while it is in use, each `seconds` at most. Once there were keys there are
    keys: as long as the file cannot be used, those of before stay, since without any everybody
    could join. `name` is the setting's; `keys` are what it held at the start.
    """

    name: str
    path: Path
    keys: Sequence[str] = field(repr=False)
    seconds: float = 1.0
    monotonic: Callable[[], float] = time.monotonic
    _next_look: float = field(init=False)
    _looking: threading.Lock = field(init=False, default_factory=threading.Lock)
    _trouble: TransientFailureLog = field(init=False)

    def __post_init__(self) -> None:
        self._next_look = self.monotonic()
        self._trouble = TransientFailureLog(_log, f"{self.name} can be used again.")

    def __call__(self) -> Sequence[str]:
        # Nobody waits for the look of another, which lasts where the disk is slow.
        if self.monotonic() >= self._next_look and self._looking.acquire(blocking=False):
            try:
                self._look()
                self._next_look = self.monotonic() + self.seconds
            finally:
                self._looking.release()
        return self.keys

    def _look(self) -> None:
        # Read each time and compared by what it holds: a file system may show the same time and
        # size for two writes, and so does `cp --preserve`.
        try:
            if not stat.S_ISFIFO(self.path.stat().st_mode):
                self._take(read_keys(self.path))
        except OSError as error:
            self._keep(f"cannot be read ({error.strerror}): mend it or its permissions")
        except UnicodeDecodeError:
            self._keep("is no text: write the keys into it anew")
        except ValueError as error:
            self._keep(str(error))

    def _take(self, keys: Sequence[str]) -> None:
        self._trouble.ends()
        if keys != self.keys:
            self.keys = keys
            in_force = "1 key is" if len(keys) == 1 else f"{len(keys)} keys are"
            _log.info("%s has changed: %s in force.", self.name, in_force)

    def _keep(self, why: str) -> None:
        self._trouble.failed(f"{self.name} {why}. Until then the keys that it held are in force.")
