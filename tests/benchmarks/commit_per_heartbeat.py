"""The API without group commit: each heartbeat has its own transaction.

Everything outside this file is the API's own code, so the comparison shows only what group commit
gains.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dependency_injector import providers

from adapters.grpc.server.worker_pool import WorkerPool
from adapters.sql.engine import make_engine
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from domain.errors import ManManError
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import ApiSettings
from entrypoints.api.worker import serve
from entrypoints.logs import configure_logs
from tests.benchmarks.update_per_heartbeat import THREADS


@dataclass(frozen=True)
class SingleCommit:
    """Replaces GroupCommit: writes each heartbeat in its own transaction."""

    write: Callable[[Sequence[Heartbeat]], Sequence[Acknowledged | ManManError]]
    threads: WorkerPool

    async def submit(self, heartbeat: Heartbeat) -> Acknowledged:
        [answer] = await self.threads.run(self.write, [heartbeat])
        if isinstance(answer, Acknowledged):
            return answer
        raise answer


def main() -> None:
    settings = ApiSettings.load()
    configure_logs(settings.log_level, settings.log_format)
    url = settings.database_url.reveal()
    ApiContainer.engine.override(providers.ThreadSafeSingleton(make_engine, url, THREADS + 8))
    ApiContainer.heartbeats.override(
        providers.ThreadSafeSingleton(
            SingleCommit,
            ApiContainer.record_heartbeat,
            providers.ThreadSafeSingleton(WorkerPool, "heartbeats", THREADS),
        )
    )
    serve(settings)


if __name__ == "__main__":
    main()
