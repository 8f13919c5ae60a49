"""Two machines that claim the same name."""

import pytest

from application.registration.register_server import Registration
from domain.errors import NameInUse
from tests.support.builders import evidence
from tests.support.fleet import Fleet

HOLDER = evidence("disk", "board", "boot", "process")
CHALLENGER = evidence("other disk", "other board", "other boot", "other process")


def contested(fleet: Fleet, name: str) -> None:
    """One machine registers the name, and another one is refused."""
    fleet.register(Registration(name, evidence=HOLDER))
    with pytest.raises(NameInUse):
        fleet.register(Registration(name, evidence=CHALLENGER))
