from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self, TypeVar

from application.ports.registration_keys import RegistrationKeys
from domain.errors import InvalidRegistrationKey, JoinKeyRefused

Answer = TypeVar("Answer")


@dataclass
class KeyRing:
    """The registration keys of a host, and the credential of its server that goes with each.

    While one key replaces another, the control plane accepts one of them, and which one can change.
    """

    keys: RegistrationKeys
    # Empty until the control plane has issued one.
    credential: str = field(default="", repr=False)
    # The keys of the last successful call, and the key that was accepted: the next call tries that
    # key first, so that it is not refused each time.
    _accepted: tuple[tuple[str, ...], str] | None = field(init=False, default=None, repr=False)

    @classmethod
    def single(cls, key: str, credential: str = "") -> Self:
        return cls(lambda: (key,), credential)

    def try_each(self, call: Callable[[str], Answer]) -> Answer:
        """The answer to the first key that is accepted.

        If all are refused, including those that were added meanwhile, raises the first
        JoinKeyRefused, which says more, or InvalidRegistrationKey.
        """
        refusal: InvalidRegistrationKey | JoinKeyRefused = InvalidRegistrationKey()
        for key, keys in self._untried_keys():
            try:
                answer = call(key)
            except (InvalidRegistrationKey, JoinKeyRefused) as error:
                if not isinstance(refusal, JoinKeyRefused):
                    refusal = error
            else:
                self._accepted = (keys, key)
                return answer
        raise refusal

    def _untried_keys(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each key once, with all keys at that moment."""
        tried: set[str] = set()
        while True:
            keys = tuple(self.keys()) or ("",)
            untried = [key for key in self._in_order(keys) if key not in tried]
            if not untried:
                return
            tried.add(untried[0])
            yield untried[0], keys

    def _in_order(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        if self._accepted is None or self._accepted[0] != keys:
            return keys
        return (self._accepted[1], *keys)
