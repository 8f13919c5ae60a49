"""Keys as an API generates them, with secrets that must never leak."""

from dataclasses import dataclass, field

from domain.keys import ID_ALPHABET, ID_LENGTH, PlaintextKey
from tests.support.canary_secrets import canary


@dataclass
class CanaryKeys:
    """Each id repeats one letter: ok-aaaaaaaaaa, ok-bbbbbbbbbb, …"""

    made: list[PlaintextKey] = field(default_factory=list)

    def __call__(self, kind: str) -> PlaintextKey:
        letter = ID_ALPHABET[len(self.made)]
        self.made.append(PlaintextKey(f"{kind}-{letter * ID_LENGTH}", canary(f"secret {letter}")))
        return self.made[-1]
