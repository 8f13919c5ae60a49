"""Servers with labels, and the documents that apply to them."""

from application.configuration.get_effective_configuration import GetEffectiveConfiguration
from application.registration.register_server import Registration
from domain.events import EventKind
from domain.labels import Selector, parse_selector
from tests.support.fleet import Fleet

NYC = parse_selector("region=nyc")
GOLD_IN_NYC = parse_selector("region=nyc,tier=gold")
LACKS_A_TIER = parse_selector("!tier")


def register(fleet: Fleet, name: str, **labels: str) -> int:
    return fleet.register(Registration(name, labels=labels)).server.server_id


def effective(fleet: Fleet, server_id: int) -> list[tuple[str, Selector | None]]:
    summaries = GetEffectiveConfiguration(fleet.store)(server_id)
    return [(summary.name, summary.selector) for summary in summaries]


def configured(fleet: Fleet, server_id: int) -> list[str]:
    """The causes of the changes to its configuration, oldest first."""
    with fleet.store.begin() as transaction:
        return [
            entry.cause
            for entry in transaction.history.of(server_id)
            if entry.kind is EventKind.CONFIGURED
        ]
