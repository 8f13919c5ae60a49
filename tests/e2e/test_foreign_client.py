"""A third-party client in another language, which knows only the specification's fields."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2

from tests.support.processes import Api

SPECIFICATION = """
syntax = "proto3";
package manman.v1;

service ManManAPI {
  rpc RegisterServer(RegisterServerRequest) returns (RegisterServerResponse);
  rpc Heartbeat(HeartbeatRequest) returns (HeartbeatResponse);
}
message ServerCapabilities {
  int32 total_memory_mb = 1;
  int32 available_memory_mb = 2;
  int32 cpu_cores = 3;
  int32 available_cpu_millicores = 4;
  repeated PortRange available_ports = 5;
  string docker_version = 6;
}
message PortRange {
  int32 start = 1;
  int32 end = 2;
  string protocol = 3;
}
message Server {
  int64 server_id = 1;
  string name = 2;
  string status = 3;
  int64 last_seen = 4;
  string environment = 5;
  bool is_default = 6;
}
message RegisterServerRequest {
  string name = 1;
  ServerCapabilities capabilities = 2;
  string registration_key = 3;
  string environment = 4;
}
message RegisterServerResponse {
  int64 server_id = 1;
  Server server = 2;
}
message HeartbeatRequest {
  int64 server_id = 1;
  ServerCapabilities capabilities = 2;
}
message HeartbeatResponse {
  bool acknowledged = 1;
  int64 next_heartbeat_seconds = 2;
}
"""


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    (tmp_path / "manman.proto").write_text(SPECIFICATION)
    return tmp_path


def curl(api: Api, schema: Path, method: str, message: dict[str, Any]) -> dict[str, Any]:
    """The output of `buf curl`: the response, or the error with its code and message."""
    ended = subprocess.run(
        [
            str(Path(sys.executable).parent / "buf"),
            "curl",
            "--protocol=grpc",
            "--http2-prior-knowledge",
            f"--schema={schema}",
            f"--data={json.dumps(message)}",
            f"http://{api.address}/manman.v1.ManManAPI/{method}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    answer: dict[str, Any] = json.loads(ended.stdout or ended.stderr)
    return answer


def field_violations(value: str) -> list[tuple[str, str]]:
    unpadded = value + "=" * (-len(value) % 4)
    bad_request = error_details_pb2.BadRequest.FromString(base64.b64decode(unpadded))
    return [(violation.field, violation.description) for violation in bad_request.field_violations]


def test_a_client_of_the_specification_registers_and_sends_heartbeats(
    api: Api, schema: Path
) -> None:
    capabilities = {"totalMemoryMb": 64000, "cpuCores": 16, "dockerVersion": "27.5.1"}
    bare = curl(api, schema, "RegisterServer", {"name": "bare"})
    again = curl(
        api,
        schema,
        "RegisterServer",
        {"name": "bare", "environment": "dev", "capabilities": capabilities},
    )
    heartbeat = curl(api, schema, "Heartbeat", {"serverId": bare["serverId"]})

    assert again["serverId"] == bare["serverId"]
    assert again["server"]["status"] == "online"
    assert again["server"]["environment"] == "dev"
    assert heartbeat == {"acknowledged": True, "nextHeartbeatSeconds": "1"}


def test_another_client_reads_the_error_and_the_field(api: Api, schema: Path) -> None:
    error = curl(api, schema, "RegisterServer", {"name": ""})

    assert error["code"] == "invalid_argument"
    assert error["message"] == "name is required"
    assert error["details"][0]["type"] == "google.rpc.BadRequest"
    assert field_violations(error["details"][0]["value"]) == [("name", "is required")]
    assert curl(api, schema, "Heartbeat", {"serverId": 42})["code"] == "not_found"
