"""The host manager as a process: how it ends and what it logs."""

import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import psutil
import pytest

from tests.support.canary_secrets import canary
from tests.support.processes import Api, Process, eventually, run_to_end

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

UNREACHED = "127.0.0.1:1"


def test_a_host_can_be_stopped_while_it_waits_for_the_api(start_host: StartHost) -> None:
    host = start_host(UNREACHED, SERVER_NAME="box")
    host.wait_until_logged("Trying again")

    assert host.interrupt() == 0


def test_a_host_can_be_stopped_while_it_waits_for_docker(start_host: StartHost, api: Api) -> None:
    host = start_host(api.address, DOCKER_OPTIONAL="false")
    host.wait_until_logged("start Docker")

    assert host.terminate() == 0
    assert not host.logged("Registered")


@pytest.mark.cold_start
def test_a_host_that_is_stopped_while_it_starts_logs_no_error(
    start_host: StartHost,
) -> None:
    host = start_host(UNREACHED)
    # Python runs, and loads the libraries.
    eventually(lambda: psutil.Process(host.pid).memory_info().rss > 20_000_000, "the start", host)
    exit_code = host.interrupt()

    assert exit_code == 0
    assert {event["level"] for event in host.events} <= {"info", "warning"}


def test_a_second_signal_ends_a_host_that_waits_for_an_answer(start_host: StartHost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = start_host(f"127.0.0.1:{silent.getsockname()[1]}", SERVER_NAME="box")
        connection, _ = silent.accept()
        with connection:
            process = psutil.Process(host.pid)

            def has_ended() -> bool:
                # Again and again: signals within a tenth of a second count as one request.
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
                return not host.running

            eventually(has_ended, "the end of the host", host)

    assert host.wait() == 143


def test_two_signals_at_once_count_as_one_request(api: Api, start_host: StartHost) -> None:
    for number in range(3):
        host = start_host(api.address, SERVER_NAME=f"box-{number}")
        host.wait_until_logged("Registered as server")
        # timeout(1) signals its child and then the whole group. The process is suspended meanwhile,
        # so that it gets both signals at once, however busy the machine is.
        process = psutil.Process(host.pid)
        process.suspend()
        process.terminate()
        process.send_signal(signal.SIGINT)
        process.resume()

        assert host.wait() == 0
        assert host.logged("Stopped; the API shows")


def test_a_name_that_is_too_long_is_a_configuration_error(api: Api, start_host: StartHost) -> None:
    host = start_host(api.address, SERVER_NAME="", ENVIRONMENT="e" * 101)
    exit_code = host.wait()

    assert exit_code == 78
    assert [event["event"] for event in host.events] == [
        ("manmanv2-host: ENVIRONMENT: has 101 characters; the maximum is 100: choose another one.")
    ]


def test_a_server_that_is_not_a_manman_api_is_a_configuration_error(
    start_host: StartHost,
) -> None:
    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    host = start_host(f"127.0.0.1:{port}", SERVER_NAME="box")
    exit_code = host.wait()
    other.stop(grace=None).wait()

    assert exit_code == 78
    assert "does not know this call: check that API_ADDRESS" in host.events[-1]["event"]


def test_a_key_with_blanks_around_it_causes_a_warning(
    start_api: StartApi, start_host: StartHost
) -> None:
    key = canary("registration key")
    api = start_api("memory://", REGISTRATION_KEY=key)
    host = start_host(api.address, REGISTRATION_KEY=f"{key} ", SERVER_NAME="box")
    exit_code = host.wait()

    assert exit_code == 77
    assert host.logged("REGISTRATION_KEY begins or ends with blanks")


@pytest.mark.parametrize("address", [UNREACHED, "no.such.host.invalid:50051"])
def test_a_host_logs_no_texts_of_grpc(address: str, start_host: StartHost) -> None:
    host = start_host(address, SERVER_NAME="box")
    host.wait_until_logged("Trying again")
    time.sleep(1)
    host.terminate()

    assert {event["level"] for event in host.events} == {"info", "warning"}
    assert not any("ipv4:" in event["event"] for event in host.events)
    assert host.count("Trying again") == 1


def test_a_wrong_setting_ends_with_one_sentence_that_names_it() -> None:
    ended = run_to_end("manmanv2-host", API_ADDRESS="http://localhost")

    assert ended.returncode == 78
    assert ended.stderr == (
        "manmanv2-host: API_ADDRESS: must be HOST:PORT, for example localhost:50051, or https://HOST"
        " or https://HOST:PORT for TLS.\n"
    )
