import os
import re
import subprocess
import sys
from base64 import b64decode
from dataclasses import dataclass

from application.ports.host.key_pairs import KeyPairUnavailable, NewKeyPair

# What Python itself and its libraries go by; the keys of the host are not among them.
_HANDED_ON = ("PYTHON", "LD_", "LANG", "LC_", "PATH", "SYSTEMROOT")
_PRINTED = re.compile(
    r"(?P<key>-----BEGIN PRIVATE KEY-----\n.+?-----END PRIVATE KEY-----\n)"
    r"-----BEGIN CERTIFICATE REQUEST-----(?P<request>.+?)-----END CERTIFICATE REQUEST-----\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class SubprocessKeyGenerator:
    """Has each made by a process of its own, which ends then or is ended."""

    seconds: float = 10.0
    module: str = "adapters.x509.signing_request"

    def __call__(self) -> NewKeyPair:
        environment = {
            name: value for name, value in os.environ.items() if name.startswith(_HANDED_ON)
        }
        try:
            made = subprocess.run(
                # Without the folder that this process was started in.
                [sys.executable, "-P", "-m", self.module],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise KeyPairUnavailable(
                f"the process that makes it did not end within {self.seconds:.0f} s"
            ) from None
        except OSError as error:
            raise KeyPairUnavailable(
                f"no process can be started for it ({error.strerror})"
            ) from None
        if made.returncode < 0:
            raise KeyPairUnavailable(
                f"the process that makes it was killed (signal {-made.returncode}); see whether the"
                " machine is short of memory"
            )
        printed = _PRINTED.fullmatch(made.stdout.decode("ascii", "replace"))
        if made.returncode or not printed:
            raise KeyPairUnavailable("the process that makes it failed")
        return NewKeyPair(printed["key"], b64decode(printed["request"]))
