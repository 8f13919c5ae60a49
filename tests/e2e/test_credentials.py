"""A host whose join key is for one registration, and which then uses its own credential."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.support.machines import FakeMachine
from tests.support.processes import Api, Process, eventually, outcome_of, printed_by, servers

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

ENFORCED = {"REGISTRATION_KEY_REQUIRED": "true", "ENFORCEMENT": "credential=enforce"}


def stored_credential(machine: FakeMachine) -> str:
    return str(json.loads((machine.state_dir / "state.json").read_bytes())["credential"])


def test_a_host_continues_with_its_credential_without_its_key_and_over_api_restarts(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'manman.sqlite3'}"
    api = start_api(url, **ENFORCED)
    key = printed_by(api, "keys", "create", "--uses", "1").strip()
    machine = FakeMachine.fresh(tmp_path / "machine")
    settings = {"SERVER_NAME": "box", "LOG_LEVEL": "debug", **machine.settings_with_state}
    host = start_host(api.address, REGISTRATION_KEY=key, **settings)
    host.wait_until_logged("Registered as server 1 ")
    issued = stored_credential(machine)
    revoked = outcome_of(api, "keys", "revoke", key.partition(".")[0], "--yes")
    host.kill()
    api.kill()
    api = start_api(url, address=api.address, **ENFORCED)
    again = start_host(api.address, **settings)
    again.wait_until_logged("Registered as server 1 ")
    seen = servers(api.address)["box"].last_seen
    eventually(lambda: servers(api.address)["box"].last_seen > seen + 1, "heartbeats", again)
    stranger = start_host(
        api.address, SERVER_NAME="other", **FakeMachine.fresh(tmp_path / "other").settings
    )
    refused = stranger.wait()
    output = outcome_of(api, "servers", "show", "1", "-o", "json")
    code = again.terminate()
    mode = (machine.state_dir / "state.json").stat().st_mode & 0o777

    assert revoked[0] == 0
    assert stored_credential(machine) not in ("", issued)
    assert mode == 0o600
    assert (refused, code) == (os.EX_NOPERM, 0)
    assert again.logged("Stopped; the API shows server 1 as offline.")
    assert again.count("requires a credential") == 0
    for process in (api, host, again):
        assert not process.logged(issued)
        assert not process.logged(stored_credential(machine))
    assert stored_credential(machine) not in output[1]
