"""The name of the request that is being worked on, from the client to the store."""

import random
import re
from collections.abc import Sequence
from contextvars import ContextVar

# Set by who takes or makes a call; read by who writes a log line or asks the database.
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")

_USABLE = re.compile(r"[A-Za-z0-9._+-]{1,64}")


def new_request_id() -> str:
    # It is no secret. The system's own random bytes let other threads go first, in each call.
    return f"{random.getrandbits(128):032x}"  # nosec


def request_id_or_new(given: str) -> str:
    """What a client calls its request, unless that could do harm where it is written."""
    return given if given and _USABLE.fullmatch(given) else new_request_id()


def request_id_of_batch(request_ids: Sequence[str]) -> str:
    """For work that is done for many at once: the first, and how many more there are."""
    more = len(request_ids) - 1
    return f"{request_ids[0]}+{more}" if more > 0 else "".join(request_ids)
