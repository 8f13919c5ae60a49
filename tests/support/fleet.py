"""The API's use cases on one store and one clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from adapters.memory.clock import MemoryClock
from adapters.system.new_key import new_serial
from application.access.authenticate_host import AdmitHost
from application.access.host_credentials import HostCredentials
from application.admission.approve_server import ApproveServer
from application.admission.ban_server import BanServer
from application.admission.reject_server import RejectServer
from application.admission.resolve_conflict import ResolveConflict
from application.liveness.expire_servers import ExpireServers
from application.liveness.heartbeat_intake import Hearing
from application.liveness.heartbeat_interval import HeartbeatPace
from application.liveness.record_heartbeat import RecordHeartbeat
from application.operations.clean_up_fleet import TidyFleet
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
from domain.liveness import Cadence
from domain.registration_rules import USUAL_RULES, JoiningRules
from tests.support.builders import INTERVAL, NOW

# Who may join: whoever likes to.
EVERYBODY = AdmitHost(lambda: ())


def who_shows(*keys: str) -> AdmitHost:
    return AdmitHost(lambda: keys)


@dataclass
class TroubledStore:
    """A store that is away while somebody says so."""

    store: Store
    is_away: bool = False

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        if self.is_away:
            raise StoreUnavailable
        with self.store.begin() as transaction:
            yield transaction


class Fleet:
    """What one process of the API has; `restart` makes it another on the same store and clock."""

    def __init__(
        self,
        store: Store,
        interval: timedelta = INTERVAL,
        max_heartbeats_per_second: int = 2000,
        rules: JoiningRules = USUAL_RULES,
    ) -> None:
        self.store = TroubledStore(store)
        self.clock = MemoryClock(NOW)
        self.rules = rules
        self.cadence = Cadence(interval, max_heartbeats_per_second)
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
        self.deregister = DeregisterServer(self.store, self.clock, admit_host=EVERYBODY)
        self.merge = MergeServers(self.store, self.clock)
        self.explain = ExplainServer(self.store, self.clock)
        self.restart()

    def restart(self) -> None:
        self.pace = HeartbeatPace(self.cadence)
        self.hearing = Hearing()
        self.expire = ExpireServers(self.store, self.clock, self.pace, self.hearing)
        self.tidy = TidyFleet(self.store, self.clock, self.prune, self.expire.may_judge)
        self.credentials = HostCredentials(self.store, self.clock, new_serial)
        self.heartbeat = RecordHeartbeat(
            self.store,
            self.clock,
            self.pace,
            self.hearing,
            rules=self.rules,
            credentials=self.credentials,
        )
        self.register = RegisterServer(
            self.store, self.clock, self.pace, admit_host=EVERYBODY, rules=self.rules
        )
        self.update = UpdateServer(self.store, self.clock, self.pace)

    def pass_time(self, duration: timedelta) -> list[int]:
        """Time passes while the API looks for silent servers as often as it does; their ids."""
        step = self.cadence.interval / 5
        expired = list(self.expire())
        while duration > timedelta(0):
            self.clock.advance(min(step, duration))
            duration -= step
            expired += self.expire()
        return expired
