"""The id of the current request, from the client to the store."""

import random
import re
from collections.abc import Sequence
from contextvars import ContextVar

# Set by code that receives or makes a call; read by the log and by the database engine.
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")

_USABLE = re.compile(r"[A-Za-z0-9._+-]{1,64}")


def new_request_id() -> str:
    # The id is not secret. os.urandom would release the GIL to other threads in every call.
    return f"{random.getrandbits(128):032x}"  # nosec


def request_id_or_new(requested: str) -> str:
    """The client's own id for its request, or a new one if that id is not safe to write to logs."""
    return requested if _USABLE.fullmatch(requested) else new_request_id()


def request_id_of_batch(request_ids: Sequence[str]) -> str:
    """The id for work on a batch: the first id, and how many more there are."""
    more = len(request_ids) - 1
    return f"{request_ids[0]}+{more}" if more > 0 else "".join(request_ids)
