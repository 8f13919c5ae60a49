"""The store, and the metrics and traces of this process."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from dependency_injector import containers, providers
from prometheus_client import CollectorRegistry

from adapters.memory.store import MemoryStore
from adapters.opentelemetry.null_tracing import NullTracing
from adapters.prometheus.api_metrics import ApiMetrics
from adapters.system.clock import SystemClock
from application.liveness.expire_servers import ExpireServers
from application.liveness.heartbeat_intake import HeartbeatIntake
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.liveness import HeartbeatSchedule
from entrypoints.api.settings import ApiSettings
from entrypoints.tracing import make_tracing

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from adapters.opentelemetry.api_traces import ApiTraces

# Threads that serve hosts with a credential, hosts with a key or with nothing, and operators.
HOST_THREADS = 3
JOINING_THREADS = 3
OPERATOR_THREADS = 2
# Ten more, one each: the heartbeats' writer, the sweep, the clean-up, the propagation of selector
# documents, the relay of events, the two queues of hosts' messages, /metrics, /readyz, and the
# refresh of the key cache.
_CONNECTIONS = HOST_THREADS + JOINING_THREADS + OPERATOR_THREADS + 10


def _make_traces(settings: ApiSettings) -> "ApiTraces | NullTracing":
    tracing = make_tracing(settings, "manmanv2-api")
    if not tracing:
        return NullTracing()
    # Imported late: an API that does not trace saves 16 MB.
    from adapters.opentelemetry.api_traces import ApiTraces

    return ApiTraces(tracing)


def _make_memory_store() -> Store:
    return MemoryStore()


# SQLAlchemy is imported late: an API in memory mode starts in half the time without it.


def _make_engine(url: str) -> "Engine":
    from adapters.sql.engine import make_engine

    return make_engine(url, _CONNECTIONS)


def _make_sql_store(engine: "Engine") -> Store:
    from adapters.sql.store import SqlStore

    return SqlStore(engine)


class Storage(containers.DeclarativeContainer):
    settings: providers.Dependency[ApiSettings] = providers.Dependency(instance_of=ApiSettings)

    clock: providers.Provider[Clock] = providers.ThreadSafeSingleton(SystemClock)
    registry: providers.Provider[CollectorRegistry] = providers.ThreadSafeSingleton(
        CollectorRegistry
    )
    metrics: providers.Provider[ApiMetrics] = providers.ThreadSafeSingleton(
        ApiMetrics, registry=registry
    )
    traces: providers.Provider["ApiTraces | NullTracing"] = providers.ThreadSafeSingleton(
        _make_traces, settings=settings
    )

    database_url: providers.Provider[str] = settings.provided.database_url.reveal.call()
    engine: providers.Provider["Engine"] = providers.ThreadSafeSingleton(
        traces.provided.engine.call(engine=providers.Factory(_make_engine, url=database_url))
    )
    unmeasured_store: providers.Provider[Store] = providers.Selector(
        settings.provided.store_kind,
        memory=providers.ThreadSafeSingleton(_make_memory_store),
        sql=providers.ThreadSafeSingleton(_make_sql_store, engine=engine),
    )
    store: providers.Provider[Store] = providers.ThreadSafeSingleton(
        metrics.provided.store.call(store=unmeasured_store)
    )

    heartbeat_schedule: providers.Provider[HeartbeatSchedule] = providers.ThreadSafeSingleton(
        HeartbeatSchedule,
        interval=settings.provided.heartbeat_interval,
        max_heartbeats_per_second=settings.provided.max_heartbeats_per_second,
    )
    heartbeat_interval: providers.Provider[HeartbeatInterval] = providers.ThreadSafeSingleton(
        HeartbeatInterval, schedule=heartbeat_schedule
    )
    heartbeat_intake: providers.Provider[HeartbeatIntake] = providers.ThreadSafeSingleton(
        HeartbeatIntake
    )
    expire_servers: providers.Provider[ExpireServers] = providers.ThreadSafeSingleton(
        ExpireServers,
        store=store,
        clock=clock,
        heartbeat_interval=heartbeat_interval,
        heartbeat_intake=heartbeat_intake,
    )
    sweep: providers.Provider[Callable[[], Collection[int]]] = providers.ThreadSafeSingleton(
        metrics.provided.sweep.call(expire=traces.provided.sweep.call(expire=expire_servers))
    )
