from dataclasses import dataclass, field

import pytest

from application.servers.refresh_server import RefreshServer
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import ServerNotApproved
from domain.host_command import HostCommand
from tests.support.decisions import pending_server
from tests.support.fleet import Fleet


@dataclass
class FakeHostCommands:
    sent: list[tuple[int, HostCommand]] = field(default_factory=list)

    def send(self, server_id: int, command: HostCommand) -> None:
        self.sent.append((server_id, command))


def test_a_server_gets_commands_only_after_approval(fleet: Fleet) -> None:
    server = pending_server(fleet)
    hosts = FakeHostCommands()
    refresh = RefreshServer(fleet.store, fleet.clock, hosts)

    with pytest.raises(ServerNotApproved, match="is pending: approve it first"):
        refresh(server.server_id)
    assert hosts.sent == []

    fleet.approve(server.server_id)
    refresh(server.server_id)

    assert hosts.sent == [(server.server_id, command) for command in HostCommand]


@pytest.mark.parametrize(("mode", "recorded"), [(Mode.WARN, 1), (Mode.OFF, 0)])
def test_without_enforcement_a_pending_server_gets_commands(
    fleet: Fleet, mode: Mode, recorded: int
) -> None:
    server = pending_server(fleet)
    hosts = FakeHostCommands()
    enforcement = Enforcement({Switch.APPROVAL: mode})
    RefreshServer(fleet.store, fleet.clock, hosts, enforcement)(server.server_id)

    assert len(hosts.sent) == len(HostCommand)
    with fleet.store.begin() as transaction:
        found = transaction.dry_run_refusals.page(0, 10)
    assert [(entry.switch, entry.name) for entry in found] == [(Switch.APPROVAL, "web")] * recorded
