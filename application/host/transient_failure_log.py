import logging
import re
from dataclasses import dataclass, field

# A point in time, or a number that is not part of an address, a version or a time of day.
_NUMBER = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC|(?<![\w.:-])\d+(?![\w.:-])")


@dataclass
class TransientFailureLog:
    """Logs a temporary failure once per change, and not once per attempt.

    Each sentence is logged once until the failure is over. Then `recovery_message` is logged, once.
    Sentences that differ only in numbers and times, for example in how long ago something was,
    count as the same.
    """

    log: logging.Logger
    recovery_message: str
    _logged: set[str] = field(init=False, default_factory=set)

    def failed(self, sentence: str) -> None:
        pattern = _NUMBER.sub("#", sentence)
        if pattern not in self._logged:
            self._logged.add(pattern)
            self.log.warning(sentence)

    def recovered(self) -> None:
        if self._logged:
            self._logged.clear()
            self.log.info(self.recovery_message)
