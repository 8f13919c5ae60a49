from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from entrypoints.testing import RunningApi, running_api
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import almost, canary
from tests.support.grpc_errors import field_of, refusal

INT32_MAX = 2**31 - 1
KEY = canary("registration key")


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    with running_api() as api:
        yield api


def serves(api: RunningApi) -> bool:
    return api.client.RegisterServer(pb.RegisterServerRequest(name="witness")).server_id > 0


@pytest.mark.parametrize("name", ["", " ", "x" * 256, " box", "box ", "bo\nx", "bo\x00x", "\u200b"])
def test_an_invalid_name_is_refused_with_its_field(api: RunningApi, name: str) -> None:
    error = refusal(lambda: api.client.RegisterServer(pb.RegisterServerRequest(name=name)))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("name ")
    assert field_of(error) == "name"
    assert serves(api)


@pytest.mark.parametrize("name", ["x" * 255, "böx-ß", "箱" * 255, "🐳" * 255, "a b"])
def test_any_printable_name_is_accepted(api: RunningApi, name: str) -> None:
    answer = api.client.RegisterServer(pb.RegisterServerRequest(name=name))

    assert answer.server.name == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, -1) for field in ("total_memory_mb", "cpu_cores", "available_memory_mb")),
        *((field, INT32_MAX) for field in ("total_memory_mb", "cpu_cores", "available_memory_mb")),
        ("available_cpu_millicores", -INT32_MAX),
        ("docker_version", "v" * 101),
        ("available_ports", [pb.PortRange(start=0, end=5, protocol="TCP")]),
        ("available_ports", [pb.PortRange(start=9, end=5, protocol="TCP")]),
        ("available_ports", [pb.PortRange(start=1, end=65536, protocol="UDP")]),
        ("available_ports", [pb.PortRange(start=1, end=5, protocol="tcp ")]),
    ],
)
def test_impossible_capabilities_are_refused_with_their_field_in_registrations_and_heartbeats(
    api: RunningApi, field: str, value: Any
) -> None:
    server_id = api.client.RegisterServer(pb.RegisterServerRequest(name="box")).server_id
    capabilities = pb.ServerCapabilities(**{field: value})
    register = pb.RegisterServerRequest(name="other", capabilities=capabilities)
    heartbeat = pb.HeartbeatRequest(server_id=server_id, capabilities=capabilities)

    for error in (
        refusal(lambda: api.client.RegisterServer(register)),
        refusal(lambda: api.client.Heartbeat(heartbeat)),
    ):
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert field_of(error).startswith(f"capabilities.{field}")
    assert serves(api)


def test_capabilities_of_zero_mean_unknown(api: RunningApi) -> None:
    request = pb.RegisterServerRequest(name="zero", capabilities=pb.ServerCapabilities())

    assert api.client.RegisterServer(request).server.capabilities == pb.ServerCapabilities()


@pytest.mark.parametrize("key", [*almost(KEY), "🔑"])
def test_a_wrong_key_is_refused_before_any_other_check(key: str) -> None:
    with running_api(registration_key=KEY) as api:
        request = pb.RegisterServerRequest(name="", registration_key=key)
        register = refusal(lambda: api.client.RegisterServer(request))
        fetch = refusal(
            lambda: api.client.FetchConfiguration(
                pb.FetchConfigurationRequest(server_id=1, registration_key=key)
            )
        )

        for error in (register, fetch):
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert error.details() == "invalid registration key"
        assert not api.client.ListServers(pb.ListServersRequest()).servers
