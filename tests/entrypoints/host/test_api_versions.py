"""How the host manager ends, by the version of the API that refuses it."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from adapters.system.sleep import InterruptibleSleep
from entrypoints.host import main
from entrypoints.host.settings import HostSettings
from protos.manman.v1 import manman_pb2 as pb
from tests.support.api_versions import VERSIONS, Refusal

METHODS = ("RegisterServer", "Heartbeat", "FetchConfiguration", "Deregister")
JOINED = pb.RegisterServerResponse(server_id=1, next_heartbeat_seconds=1)
# Ends a host that goes on after a refusal, so that no test waits for it.
END = Refusal(grpc.StatusCode.UNIMPLEMENTED, "the end of the test")


@dataclass
class RefusingApi:
    """Refuses one method once, after which every call ends the host."""

    method: str
    refusal: Refusal
    calls: list[str] = field(default_factory=list)

    @property
    def calls_after_the_refusal(self) -> list[str]:
        return self.calls[self.calls.index(self.method) + 1 :]

    def answer(self, method: str) -> Any:
        was_refused = self.method in self.calls
        self.calls.append(method)
        if was_refused:
            return END
        return self.refusal if method == self.method else JOINED

    def handler(self, method: str) -> Any:
        def handle(_: Any, context: grpc.ServicerContext) -> Any:
            answer = self.answer(method)
            if isinstance(answer, Refusal):
                if answer.reason:
                    context.set_trailing_metadata(answer.metadata)
                context.abort(answer.code, answer.text)
            return answer

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=getattr(pb, f"{method}Request").FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    @contextmanager
    def serving(self) -> Iterator[str]:
        server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        handlers = {method: self.handler(method) for method in METHODS}
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("manman.v1.ManManAPI", handlers)]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(grace=None).wait()


RunHost = Callable[[RefusingApi], int]


@pytest.fixture
def run_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunHost:
    """Runs a host manager to its end; returns the exit code."""
    # The test's own process must not wait for signals, nor for the time until the next try.
    monkeypatch.setattr(main, "_handle_signals", lambda stop: None)
    monkeypatch.setattr(InterruptibleSleep, "wait", lambda self, seconds: False)

    def run(api: RefusingApi) -> int:
        with api.serving() as address:
            settings = HostSettings.load(
                {
                    "API_ADDRESS": address,
                    "SERVER_NAME": "web",
                    "DOCKER_OPTIONAL": "true",
                    "DOCKER_SOCKET": str(tmp_path / "no-docker.sock"),
                }
            )
            return main.run(settings)

    return run


# The method that is refused, the refusal, and the exit code, or the next call of a host that goes
# on.
ENDS: Mapping[tuple[str, str], int | str] = {
    ("RegisterServer", "invalid key"): os.EX_NOPERM,
    ("RegisterServer", "join key refused"): os.EX_NOPERM,
    ("RegisterServer", "not admitted"): os.EX_NOPERM,
    ("RegisterServer", "invalid field"): os.EX_CONFIG,
    ("RegisterServer", "name in use"): "RegisterServer",
    ("RegisterServer", "store failed"): "RegisterServer",
    ("Heartbeat", "not admitted"): os.EX_NOPERM,
    ("Heartbeat", "superseded"): os.EX_TEMPFAIL,
    ("Heartbeat", "invalid field"): os.EX_CONFIG,
    ("Heartbeat", "server not found"): "RegisterServer",
    ("Heartbeat", "credential required"): "RegisterServer",
    ("Heartbeat", "certificate required"): "Heartbeat",
    ("Heartbeat", "store failed"): "Heartbeat",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_each_refusal_ends_the_host_manager_with_its_exit_code_or_lets_it_continue(
    version: str, run_host: RunHost
) -> None:
    wrong = []
    for (method, name), end in ENDS.items():
        if refusal := VERSIONS[version].get(name):
            api = RefusingApi(method, refusal)
            code = run_host(api)
            following = api.calls_after_the_refusal
            if (following[0] if following else code) != end:
                wrong.append((method, name, code, following))

    assert wrong == []
