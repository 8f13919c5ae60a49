import logging
import re
from dataclasses import dataclass, field

# One that stands alone: not part of an address, a version or a time of day; or a moment.
_NUMBER = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC|(?<![\w.:-])\d+(?![\w.:-])")


@dataclass
class TransientFailureLog:
    """A failure that passes by itself, told to the log once per change and not once per try.

    Each sentence is said once until the trouble is over; then `over` is said, once. Sentences
    that differ in numbers and moments only, as in how long ago something was, are the same one.
    """

    log: logging.Logger
    recovery_message: str
    _logged: set[str] = field(init=False, default_factory=set)

    def failed(self, sentence: str) -> None:
        said = _NUMBER.sub("#", sentence)
        if said not in self._logged:
            self._logged.add(said)
            self.log.warning(sentence)

    def recovered(self) -> None:
        if self._logged:
            self._logged.clear()
            self.log.info(self.recovery_message)
