from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self, TypeVar

from application.ports.registration_keys import RegistrationKeys
from domain.errors import InvalidRegistrationKey, JoinKeyRefused

Answer = TypeVar("Answer")


@dataclass
class KeyRing:
    """The keys that a host may show: while one replaces another, the control plane takes one of
    them, and which one it is may change. With each it shows the credential of its server."""

    keys: RegistrationKeys
    # Empty until the control plane has answered with one.
    credential: str = field(default="", repr=False)
    # Those of which one was taken, and that one: there is no need to be refused with each call.
    _taken: tuple[tuple[str, ...], str] | None = field(init=False, default=None, repr=False)

    @classmethod
    def single(cls, key: str, credential: str = "") -> Self:
        return cls(lambda: (key,), credential)

    def try_each(self, call: Callable[[str], Answer]) -> Answer:
        """The answer to the first key that is not refused.

        Raises InvalidRegistrationKey once all were, those included that came in meanwhile, or
        JoinKeyRefused of the first of which more is known than that.
        """
        refusal: InvalidRegistrationKey | JoinKeyRefused = InvalidRegistrationKey()
        for key, keys in self._batches_of_keys():
            try:
                answer = call(key)
            except (InvalidRegistrationKey, JoinKeyRefused) as error:
                if not isinstance(refusal, JoinKeyRefused):
                    refusal = error
            else:
                self._taken = (keys, key)
                return answer
        raise refusal

    def _batches_of_keys(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each key once, with those that there were at that moment."""
        tried: set[str] = set()
        while True:
            keys = tuple(self.keys()) or ("",)
            untried = [key for key in self._in_order(keys) if key not in tried]
            if not untried:
                return
            tried.add(untried[0])
            yield untried[0], keys

    def _in_order(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        if self._taken is None or self._taken[0] != keys:
            return keys
        return (self._taken[1], *keys)
