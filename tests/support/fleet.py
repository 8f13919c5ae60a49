"""The API's use cases on one store and one clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from adapters.memory.clock import MemoryClock
from adapters.system.new_key import new_serial
from application.access.authenticate_host import AuthenticateHost
from application.access.host_credentials import HostCredentials
from application.admission.approve_server import ApproveServer
from application.admission.ban_server import BanServer
from application.admission.reject_server import RejectServer
from application.admission.resolve_conflict import ResolveConflict
from application.liveness.expire_servers import ExpireServers
from application.liveness.heartbeat_intake import HeartbeatIntake
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.liveness.record_heartbeat import RecordHeartbeat
from application.operations.clean_up_fleet import CleanUpFleet
from application.ports.store.store import Store, StoreUnavailable, Transaction
from application.registration.register_server import RegisterServer
from application.removal.delete_server import DeleteServer
from application.removal.deregister_server import DeregisterServer
from application.removal.list_deleted_servers import ListDeletedServers
from application.removal.prune_servers import PruneServers
from application.removal.restore_server import RestoreServer
from application.servers.create_server import CreateServer
from application.servers.explain_server import ExplainServer
from application.servers.get_server import GetServer
from application.servers.list_servers import ListServers
from application.servers.merge_servers import MergeServers
from application.servers.update_server import UpdateServer
from domain.liveness import HeartbeatSchedule
from domain.registration_rules import DEFAULT_RULES, RegistrationRules
from tests.support.builders import INTERVAL, NOW

# Any host may join.
OPEN = AuthenticateHost(lambda: ())


def admitting_keys(*keys: str) -> AuthenticateHost:
    return AuthenticateHost(lambda: keys)


@dataclass
class UnreliableStore:
    """A store that is unavailable while `is_unavailable` is set."""

    store: Store
    is_unavailable: bool = False

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        if self.is_unavailable:
            raise StoreUnavailable
        with self.store.begin() as transaction:
            yield transaction


class Fleet:
    """The use cases of one API process. `restart` replaces it on the same store and clock."""

    def __init__(
        self,
        store: Store,
        interval: timedelta = INTERVAL,
        max_heartbeats_per_second: int = 2000,
        rules: RegistrationRules = DEFAULT_RULES,
    ) -> None:
        self.store = UnreliableStore(store)
        self.clock = MemoryClock(NOW)
        self.rules = rules
        self.schedule = HeartbeatSchedule(interval, max_heartbeats_per_second)
        self.create = CreateServer(self.store, self.clock)
        self.delete = DeleteServer(self.store, self.clock)
        self.get = GetServer(self.store)
        self.approve = ApproveServer(self.store, self.clock)
        self.reject = RejectServer(self.store, self.clock)
        self.ban = BanServer(self.store, self.clock)
        self.resolve = ResolveConflict(self.store, self.clock)
        self.list = ListServers(self.store, self.clock)
        self.restore = RestoreServer(self.store, self.clock)
        self.list_deleted = ListDeletedServers(self.store)
        self.prune = PruneServers(self.store, self.clock)
        self.deregister = DeregisterServer(self.store, self.clock, authenticate_host=OPEN)
        self.merge = MergeServers(self.store, self.clock)
        self.explain = ExplainServer(self.store, self.clock)
        self.restart()

    def restart(self) -> None:
        self.heartbeat_interval = HeartbeatInterval(self.schedule)
        self.heartbeat_intake = HeartbeatIntake()
        self.expire = ExpireServers(
            self.store, self.clock, self.heartbeat_interval, self.heartbeat_intake
        )
        self.clean_up = CleanUpFleet(self.store, self.clock, self.prune, self.expire.can_expire)
        self.credentials = HostCredentials(self.store, self.clock, new_serial)
        self.heartbeat = RecordHeartbeat(
            self.store,
            self.clock,
            self.heartbeat_interval,
            self.heartbeat_intake,
            rules=self.rules,
            credentials=self.credentials,
        )
        self.register = RegisterServer(
            self.store,
            self.clock,
            self.heartbeat_interval,
            authenticate_host=OPEN,
            rules=self.rules,
        )
        self.update = UpdateServer(self.store, self.clock, self.heartbeat_interval)

    def pass_time(self, duration: timedelta) -> list[int]:
        """Advance the clock while the API sweeps for silent servers; returns the ids that expired.

        It sweeps five times an interval, like a real API. Over a long time it sweeps once an
        interval, which is the largest gap that it tolerates.
        """
        interval = self.schedule.interval
        step = interval / 5 if duration < 20 * interval else interval
        expired = list(self.expire())
        while duration > timedelta(0):
            self.clock.advance(min(step, duration))
            duration -= step
            expired += self.expire()
        return expired
