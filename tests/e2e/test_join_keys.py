"""Hosts that register with join keys."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.support.canary_secrets import canary
from tests.support.machines import FakeMachine
from tests.support.processes import (
    Api,
    Process,
    json_from,
    outcome_of,
    printed_by,
    run_to_end,
    servers,
)

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

KEY = canary("registration key")


def test_a_key_admits_a_number_of_hosts_which_restart_until_it_is_revoked(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    api = start_api("memory://", REGISTRATION_KEY=KEY)
    terms = ["--environment", "prod", "--name", "game-*", "--uses", "1", "--expires", "24h"]
    terms += ["--label", "tier=gold", "--ephemeral", "--pre-approved"]
    key = printed_by(api, "keys", "create", *terms).strip()
    key_id = key.partition(".")[0]
    one, other = FakeMachine.fresh(tmp_path / "one"), FakeMachine.fresh(tmp_path / "other")

    def start(machine: FakeMachine, name: str) -> Process:
        return start_host(
            api.address, SERVER_NAME=name, REGISTRATION_KEY=key, **machine.settings_with_state
        )

    host = start(one, "game-1")
    host.wait_until_logged("Registered as server 1")
    joined = servers(api.address)["game-1"]
    late = start(other, "game-2")
    late_ended = late.wait()
    host.terminate()
    one.reboot()
    again = start(one, "game-1")
    again.wait_until_logged("Registered as server 1")
    used = printed_by(api, "keys", "usage", key_id).splitlines()
    revoked = outcome_of(api, "keys", "revoke", key_id, stdin="y\n")
    again.terminate()
    # Without STATE_DIR, so without the stored credential.
    last = start_host(api.address, SERVER_NAME="game-1", REGISTRATION_KEY=key, **one.settings)
    last_ended = last.wait()

    assert (joined.environment, joined.ephemeral) == ("prod", True)
    assert dict(joined.operator_labels) == {"tier": "gold"}
    assert late_ended == os.EX_NOPERM
    assert late.logged(
        "The API does not admit this host: The join key"
        f" {key_id} has already admitted 1 server, its maximum."
    )
    assert used[1].split()[:5] == [key_id, "1", "game-1", "127.0.0.1", "2"]
    assert revoked[0] == 0
    assert revoked[1].splitlines()[1].split()[:5] == used[1].split()[:5]
    assert (
        "Their hosts keep running with credentials of their own; `manmanv2 servers ban`"
        in revoked[1]
    )
    assert f"Revoke this key? [y/N]: revoked the join key {key_id}" in revoked[1]
    assert last_ended == os.EX_NOPERM
    assert last.logged(f"The API does not admit this host: The join key {key_id} was revoked.")
    secret = key.partition(".")[2]
    for process in (api, host, late, again, last):
        assert not process.logged(secret)


def test_keys_are_created_listed_and_revoked_with_json_output(api: Api) -> None:
    ended = run_to_end("manmanv2", "keys", "create", "--uses", "5", API_ADDRESS=api.address)
    key_id, secret = ended.stdout.strip().split(".")

    assert ended.returncode == 0
    assert secret not in ended.stderr
    assert "Every host may still register without a key: set REGISTRATION_KEY" in ended.stderr
    [listed] = json_from(api, "keys", "list")
    assert (listed["key_id"], listed["uses"], listed["used"]) == (key_id, 5, 0)
    assert json_from(api, "keys", "usage", key_id) == []
    wrong, message = outcome_of(api, "keys", "revoke", f"{key_id}.{secret}")
    assert wrong == os.EX_DATAERR
    assert message == (
        "manmanv2: key_id must be jk- followed by 10 letters and digits, without the secret\n"
    )
    [revoked] = json_from(api, "keys", "revoke", key_id, "--yes")
    assert revoked["revoked_at"]
    assert printed_by(api, "keys", "list").splitlines()[1].split()[:3] == [key_id, "revoked", "0/5"]
    code, message = outcome_of(api, "keys", "create", "--label", "tier")
    assert code == 2
    assert "'tier' is not KEY=VALUE." in message


def test_an_api_can_require_a_join_key_from_every_host(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine
) -> None:
    api = start_api("memory://", REGISTRATION_KEY_REQUIRED="true")
    refused = start_host(api.address, SERVER_NAME="web", **machine.settings)
    ended = refused.wait()
    made = run_to_end("manmanv2", "keys", "create", API_ADDRESS=api.address)
    host = start_host(
        api.address, SERVER_NAME="web", REGISTRATION_KEY=made.stdout.strip(), **machine.settings
    )

    assert ended == os.EX_NOPERM
    assert refused.logged("refuses this host because of an invalid registration key")
    assert api.logged("REGISTRATION_KEY is not set: hosts can register only with join keys")
    assert "Everybody may join" not in made.stderr
    host.wait_until_logged("Registered as server 1")
