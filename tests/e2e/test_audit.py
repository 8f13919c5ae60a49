"""The audit of operators' calls, as another operator reads it."""

import re
from collections.abc import Callable
from pathlib import Path

from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import DOCUMENT, canary
from tests.support.processes import Api, client, json_from, outcome_of, printed_by

StartApi = Callable[..., Api]

NO_SERVER = "server 4711 does not exist"


def test_the_audit_lists_changes_and_refusals_after_a_crash(
    start_api: StartApi, tmp_path: Path
) -> None:
    api = start_api(f"sqlite:///{tmp_path}/fleet.sqlite3")
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="web"))
    printed_by(api, "servers", "label", "1", "zone=a")
    printed_by(api, "configs", "put", "1", "limits", stdin=f'"{canary(DOCUMENT)}"')
    printed_by(api, "servers", "list")
    refused = outcome_of(api, "servers", "approve", "4711")
    printed_by(api, "configs", "put", "limits", "-l", "zone=a", stdin="{}")
    api.kill()
    api = start_api(f"sqlite:///{tmp_path}/fleet.sqlite3")
    lines = [re.split(" {2,}", line) for line in printed_by(api, "audit", "list").splitlines()]
    objects = json_from(api, "audit", "list")

    assert refused == (66, f"manmanv2: {NO_SERVER}\n")
    assert " ".join(lines[0]) == "TIME WHO CREDENTIAL FROM WHAT SERVER TARGET OUTCOME"
    assert [line[1:] for line in lines[1:]] == [
        ["local", "-", "127.0.0.1", *rest]
        for rest in (
            ["PutConfiguration", "-", "name=limits selector=zone=a", "attempted"],
            ["ApproveServer", "4711", "-", NO_SERVER],
            ["ApproveServer", "4711", "-", "attempted"],
            ["PutConfiguration", "1", "name=limits", "attempted"],
            ["LabelServer", "1", "set=zone", "attempted"],
        )
    ]
    assert [entry["outcome"] for entry in objects] == [None, NO_SERVER, None, None, None]
    assert objects[0] == {
        "entry_id": 5,
        "at": lines[1][0],
        "actor": "local",
        "credential_id": None,
        "address": "127.0.0.1",
        "action": "PutConfiguration",
        "server_id": None,
        "target": "name=limits selector=zone=a",
        "outcome": None,
    }
    assert json_from(api, "audit", "list", "--server", "1") == objects[3:]
    assert json_from(api, "audit", "list", "--actor", "local", "--limit", "2") == objects[:2]
    assert json_from(api, "audit", "list", "--actor", "nobody") == []
