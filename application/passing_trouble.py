import logging
from dataclasses import dataclass, field


@dataclass
class PassingTrouble:
    """A failure that passes by itself, told to the log once per change and not once per try.

    Each sentence is said once until the trouble is over; then `over` is said, once.
    """

    log: logging.Logger
    over: str
    _said: set[str] = field(init=False, default_factory=set)

    def strikes(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self.log.warning(sentence)

    def ends(self) -> None:
        if self._said:
            self._said.clear()
            self.log.info(self.over)
