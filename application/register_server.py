from dataclasses import dataclass, field
from datetime import timedelta

from application.heartbeat_pace import HeartbeatPace
from application.ports.clock import Clock
from application.ports.store import Store
from domain.admission import admit
from domain.capabilities import Capabilities, check_capabilities
from domain.events import events_of_registration
from domain.liveness import heard
from domain.naming import check_environment, check_name
from domain.server import Server


@dataclass(frozen=True, slots=True)
class Registration:
    name: str
    environment: str = ""
    capabilities: Capabilities | None = None
    registration_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Registered:
    server: Server
    next_heartbeat: timedelta


@dataclass(frozen=True)
class RegisterServer:
    """A host joins the fleet: the same name always gets the same server.

    Raises InvalidRegistrationKey before anything else, then InvalidField.
    """

    store: Store
    clock: Clock
    pace: HeartbeatPace
    registration_key: str | None = field(repr=False)
    via: str = ""

    def __call__(self, registration: Registration) -> Registered:
        admit(self.registration_key, registration.registration_key)
        check_name(registration.name)
        check_environment(registration.environment)
        if registration.capabilities:
            check_capabilities(registration.capabilities)
        interval = self.pace.interval
        with self.store.begin() as transaction:
            server = transaction.servers.find_or_add(registration.name)
            # The time is read behind the lock: who waited for it long must not be offline at once.
            now = self.clock.now()
            joining = events_of_registration(server, now)
            server = server.registered(
                registration.environment,
                registration.capabilities,
                heard(now, interval, self.via),
            )
            transaction.servers.save(server)
            if registration.capabilities:
                transaction.capability_reports.record(
                    {server.server_id: registration.capabilities}, now
                )
            transaction.outbox.add(joining)
        return Registered(server, interval)
