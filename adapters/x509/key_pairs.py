import os
import re
import subprocess
import sys
from base64 import b64decode
from dataclasses import dataclass

from application.ports.host.key_pairs import KeyPairUnavailable, NewKeyPair

# The variables that Python and its libraries need, without the keys of the host.
_PASSED_VARIABLES = ("PYTHON", "LD_", "LANG", "LC_", "PATH", "SYSTEMROOT")
_OUTPUT = re.compile(
    r"(?P<key>-----BEGIN PRIVATE KEY-----\n.+?-----END PRIVATE KEY-----\n)"
    r"-----BEGIN CERTIFICATE REQUEST-----(?P<request>.+?)-----END CERTIFICATE REQUEST-----\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class SubprocessKeyGenerator:
    """Creates each key pair in a process of its own, which is killed after `seconds`."""

    seconds: float = 10.0
    module: str = "adapters.x509.signing_request"

    def __call__(self) -> NewKeyPair:
        environment = {
            name: value for name, value in os.environ.items() if name.startswith(_PASSED_VARIABLES)
        }
        try:
            process = subprocess.run(
                # -P: without the working directory in the module path.
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
                f"the process that creates it did not end within {self.seconds:.0f} s"
            ) from None
        except OSError as error:
            raise KeyPairUnavailable(
                f"the process that creates it cannot be started ({error.strerror})"
            ) from None
        if process.returncode < 0:
            raise KeyPairUnavailable(
                f"the process that creates it was killed (signal {-process.returncode}); check"
                " whether this machine is short of memory"
            )
        output = _OUTPUT.fullmatch(process.stdout.decode("ascii", "replace"))
        if process.returncode or not output:
            raise KeyPairUnavailable("the process that creates it failed")
        return NewKeyPair(output["key"], b64decode(output["request"]))
