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
# A UUID; of older engines, 59 characters.
_MAX_ENGINE_ID_LENGTH = 100


@dataclass(frozen=True)
class DockerMachine:
    """Docker tells the totals and its version; what is left of them is measured by `itself`.

    Each report connects anew, so an engine that was restarted is simply found again.
    """

    socket_path: Path
    itself: Machine
    # In a container the own hostname is the container's; Docker knows the machine's.
    in_container: bool
    timeout_seconds: float = 3.0

    def report(self) -> MachineReport:
        self._check_path()
        with self._own_errors():
            engine = _understood(self._info())
        measured = self.itself.report()
        totals, spare = engine.capabilities, measured.capabilities
        return MachineReport(
            hostname=engine.hostname if self.in_container else measured.hostname,
            capabilities=replace(
                totals,
                available_memory_mb=min(spare.available_memory_mb, totals.total_memory_mb),
                available_cpu_millicores=min(
                    spare.available_cpu_millicores, 1000 * totals.cpu_cores
                ),
            ),
            engine_id=engine.engine_id,
        )

    def _check_path(self) -> None:
        """Look at the path first: it tells more than the error of a connection does."""
        try:
            kind = self.socket_path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise self._unavailable(
                "does not exist: start Docker, or set DOCKER_SOCKET to where its socket is"
            ) from None
        except PermissionError:
            raise self._not_permitted() from None
        except OSError:
            raise self._unusable() from None
        if not stat.S_ISSOCK(kind):
            found = "a folder" if stat.S_ISDIR(kind) else "no socket"
            raise self._unavailable(
                f"is {found}: start Docker before whatever made it there,"
                " or set DOCKER_SOCKET to where its socket is"
            )
        if not os.access(self.socket_path, os.R_OK | os.W_OK, effective_ids=True):
            raise self._not_permitted()

    def _info(self) -> Any:
        client = APIClient(f"unix://{self.socket_path}", timeout=self.timeout_seconds)  # type: ignore[arg-type]  # seconds, any number
        try:
            return client.info()
        finally:
            client.close()

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """The one table from what the SDK, and what it stands on, says to our own error."""
        try:
            yield
        except (DockerException, requests.RequestException) as error:
            # The SDK wraps what went wrong several times over.
            raise self._explained(list(_causes(error))) from None
        except (AttributeError, InvalidField, LookupError, RecursionError, TypeError, ValueError):
            raise self._not_docker() from None

    def _explained(self, causes: Sequence[BaseException]) -> EngineUnavailable:
        for cause in causes:
            match cause:
                case APIError():
                    return self._unavailable(
                        f"answers with HTTP {cause.status_code}: look into Docker's log, or set"
                        " DOCKER_SOCKET to Docker's socket"
                    )
                case ConnectionRefusedError() | FileNotFoundError():
                    return self._unavailable("is there but nobody listens on it: start Docker")
                case PermissionError():
                    return self._not_permitted()
                # A full queue of connections that nobody accepts is EAGAIN.
                case TimeoutError() | BlockingIOError():
                    return self._unavailable(
                        f"does not answer within {self.timeout_seconds:g} seconds: Docker hangs,"
                        " restart it"
                    )
                case OSError() if type(cause) is OSError:
                    return self._unusable()
        return self._not_docker()

    def _not_docker(self) -> EngineUnavailable:
        return self._unavailable(
            "answers, but not as Docker does: set DOCKER_SOCKET to Docker's socket"
        )

    def _not_permitted(self) -> EngineUnavailable:
        return self._unavailable(
            f"may not be used by this user (uid {os.geteuid()}): add it to the group that owns"
            " the socket, mostly docker, and start again"
        )

    def _unusable(self) -> EngineUnavailable:
        return self._unavailable("cannot be used: set DOCKER_SOCKET to where Docker's socket is")

    def _unavailable(self, problem: str) -> EngineUnavailable:
        return EngineUnavailable(f"DOCKER_SOCKET {self.socket_path} {problem}.")


def _understood(info: Any) -> MachineReport:
    capabilities = Capabilities(
        total_memory_mb=index(info["MemTotal"]) // _MEBIBYTE,
        cpu_cores=index(info["NCPU"]),
        docker_version=info["ServerVersion"],
    )
    check_capabilities(capabilities)
    check_name(info["Name"])
    return MachineReport(info["Name"], capabilities, _engine_id(info))


def _engine_id(info: Any) -> str:
    # Podman, which answers as Docker does, makes up another one for each answer.
    if "BuildahVersion" in info:
        return ""
    found = info.get("ID")
    return found if isinstance(found, str) and len(found) <= _MAX_ENGINE_ID_LENGTH else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
