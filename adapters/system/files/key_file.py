import logging
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from application.host.transient_failure_log import TransientFailureLog
from application.ports.diagnosis import InvalidValue
from domain.shared_keys import stripped_key

_log = logging.getLogger(__name__)

MAX_KEYS = 100
MAX_KEY_LENGTH = 4096
_MAX_BYTES = 1 << 20


def read_keys(path: Path) -> Sequence[str]:
    """The keys in the file, one on each line; at least one.

    Skips blank lines and lines that begin with #, and strips blanks and quotes around a key.
    Raises OSError, UnicodeDecodeError, and ValueError with a message that completes "the file …".
    """
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise InvalidValue(
            f"is larger than {_MAX_BYTES >> 20} MB", "check that it is the right file"
        )
    # Without duplicates, so that a host that tries one key after another tries each once.
    keys = tuple(dict.fromkeys(_keys_of(content.decode())))
    if not keys:
        raise InvalidValue("contains no key", "write one into it")
    if len(keys) > MAX_KEYS:
        raise InvalidValue(f"contains more than {MAX_KEYS} keys", "remove those that are not used")
    return keys


def _keys_of(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip().startswith("#"):
            continue
        key = stripped_key(line)
        if not key.isprintable():
            raise InvalidValue(f"contains an unprintable character in line {number}", "remove it")
        if len(key) > MAX_KEY_LENGTH:
            raise InvalidValue(
                f"contains more than {MAX_KEY_LENGTH} characters in line {number}",
                "write a shorter key",
            )
        if key:
            yield key


@dataclass
class KeyFile:
    """The keys in a file that may change at any time.

    A call reads the file again, at most once in `seconds`. While the file cannot be used, the
    previous keys stay: without any key, every host could join. `name` is the name of the setting,
    and `keys` are those that the file held at the start.
    """

    name: str
    path: Path
    keys: Sequence[str] = field(repr=False)
    seconds: float = 1.0
    monotonic: Callable[[], float] = time.monotonic
    _next_read: float = field(init=False)
    _reading: threading.Lock = field(init=False, default_factory=threading.Lock)
    _failures: TransientFailureLog = field(init=False)

    def __post_init__(self) -> None:
        self._next_read = self.monotonic()
        self._failures = TransientFailureLog(_log, f"{self.name} can be used again.")

    def __call__(self) -> Sequence[str]:
        # No caller waits for the read of another, which takes long on a slow disk.
        if self.monotonic() >= self._next_read and self._reading.acquire(blocking=False):
            try:
                self._read()
                self._next_read = self.monotonic() + self.seconds
            finally:
                self._reading.release()
        return self.keys

    def _read(self) -> None:
        # Read each time and compared by content: a file system may show the same time and size
        # for two writes, and `cp --preserve` copies both.
        try:
            # A pipe delivered its keys at the start; reading it again would wait for a writer.
            if not stat.S_ISFIFO(self.path.stat().st_mode):
                self._update(read_keys(self.path))
        except OSError as error:
            self._log_failure(
                f"cannot be read ({error.strerror}): check the file and its permissions"
            )
        except UnicodeDecodeError:
            self._log_failure("is not text in UTF-8: write the keys into it again")
        except ValueError as error:
            self._log_failure(str(error))

    def _update(self, keys: Sequence[str]) -> None:
        self._failures.recovered()
        if keys != self.keys:
            self.keys = keys
            count = "1 key is" if len(keys) == 1 else f"{len(keys)} keys are"
            _log.info("%s has changed: %s now in use.", self.name, count)

    def _log_failure(self, problem: str) -> None:
        self._failures.failed(f"{self.name} {problem}. The previous keys stay in use until then.")
