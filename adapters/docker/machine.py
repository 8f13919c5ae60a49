import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import index
from pathlib import Path
from typing import Any

from adapters.docker.sdk import APIClient, APIError, DockerException, requests
from application.ports.host.machine import EngineUnavailable, Machine, MachineReport
from domain.capabilities import Capabilities, check_capabilities
from domain.errors import InvalidField
from domain.naming import check_name

_MEBIBYTE = 2**20
# A UUID; older engines have an id of 59 characters.
_MAX_ENGINE_ID_LENGTH = 100


@dataclass(frozen=True)
class DockerMachine:
    """Reports the totals and the version that Docker knows, and the free memory and CPU that
    `local_machine` measures.

    Each report opens a new connection, so that a restarted engine is found again.
    """

    socket_path: Path
    local_machine: Machine
    # The hostname of this process is then the container's; Docker knows that of the machine.
    in_container: bool
    timeout_seconds: float = 3.0

    def report(self) -> MachineReport:
        self._check_path()
        with self._translate_errors():
            engine = _parse(self._info())
        measured = self.local_machine.report()
        totals, free = engine.capabilities, measured.capabilities
        return MachineReport(
            hostname=engine.hostname if self.in_container else measured.hostname,
            capabilities=replace(
                totals,
                available_memory_mb=min(free.available_memory_mb, totals.total_memory_mb),
                available_cpu_millicores=min(
                    free.available_cpu_millicores, 1000 * totals.cpu_cores
                ),
            ),
            engine_id=engine.engine_id,
        )

    def _check_path(self) -> None:
        """Examine the path first, which yields a clearer message than a failed connection."""
        try:
            mode = self.socket_path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise self._unavailable(
                "does not exist", "start Docker, or set DOCKER_SOCKET to where its socket is"
            ) from None
        except PermissionError:
            raise self._not_permitted() from None
        except OSError:
            raise self._unusable() from None
        if not stat.S_ISSOCK(mode):
            problem = "is a directory" if stat.S_ISDIR(mode) else "is not a socket"
            raise self._unavailable(
                problem,
                "start Docker before the program that created it, or set"
                " DOCKER_SOCKET to where its socket is",
            )
        if not os.access(self.socket_path, os.R_OK | os.W_OK, effective_ids=True):
            raise self._not_permitted()

    def _info(self) -> Any:
        client = APIClient(f"unix://{self.socket_path}", timeout=self.timeout_seconds)  # type: ignore[arg-type]  # a float works
        try:
            return client.info()
        finally:
            client.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """The one place that turns errors of the SDK and its HTTP library into ours."""
        try:
            yield
        except (DockerException, requests.RequestException) as error:
            # The SDK wraps the original error several times.
            raise self._diagnosed(list(_causes(error))) from None
        except (AttributeError, InvalidField, LookupError, RecursionError, TypeError, ValueError):
            raise self._not_docker() from None

    def _diagnosed(self, causes: Sequence[BaseException]) -> EngineUnavailable:
        for cause in causes:
            match cause:
                case APIError():
                    return self._unavailable(
                        f"answers with HTTP {cause.status_code}",
                        "see Docker's log, or set DOCKER_SOCKET to Docker's socket",
                    )
                case ConnectionRefusedError() | FileNotFoundError():
                    return self._unavailable("exists but nothing listens on it", "start Docker")
                case PermissionError():
                    return self._not_permitted()
                # EAGAIN: the queue of connections is full, because the engine accepts none.
                case TimeoutError() | BlockingIOError():
                    return self._unavailable(
                        f"does not answer within {self.timeout_seconds:g} seconds",
                        "Docker hangs, restart it",
                    )
                case OSError() if type(cause) is OSError:
                    return self._unusable()
        return self._not_docker()

    def _not_docker(self) -> EngineUnavailable:
        return self._unavailable(
            "answers, but is not Docker", "set DOCKER_SOCKET to Docker's socket"
        )

    def _not_permitted(self) -> EngineUnavailable:
        return self._unavailable(
            f"cannot be used by this user (uid {os.geteuid()})",
            "add it to the group that owns the socket, usually docker, and start again",
        )

    def _unusable(self) -> EngineUnavailable:
        return self._unavailable("cannot be used", "set DOCKER_SOCKET to where Docker's socket is")

    def _unavailable(self, problem: str, fix: str) -> EngineUnavailable:
        return EngineUnavailable(f"DOCKER_SOCKET {self.socket_path} {problem}", fix)


def _parse(info: Any) -> MachineReport:
    capabilities = Capabilities(
        total_memory_mb=index(info["MemTotal"]) // _MEBIBYTE,
        cpu_cores=index(info["NCPU"]),
        docker_version=info["ServerVersion"],
    )
    check_capabilities(capabilities)
    check_name(info["Name"])
    return MachineReport(info["Name"], capabilities, _engine_id(info))


def _engine_id(info: Any) -> str:
    # Podman, which has the same API, generates another id for each answer.
    if "BuildahVersion" in info:
        return ""
    engine_id = info.get("ID")
    is_valid = isinstance(engine_id, str) and len(engine_id) <= _MAX_ENGINE_ID_LENGTH
    return engine_id if is_valid else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
