from collections.abc import Iterator
from wsgiref.types import WSGIApplication

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector


class BuildInfo(Collector):
    def __init__(self, component: str, version: str, commit: str) -> None:
        self._labels = {"component": component, "version": version, "commit": commit}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        build_info = GaugeMetricFamily(
            "manmanv2_build_info", "Component and version, always 1.", labels=list(self._labels)
        )
        build_info.add_metric(list(self._labels.values()), 1)
        yield build_info


def metrics_page(registry: CollectorRegistry, *collectors: Collector) -> WSGIApplication:
    """The metrics of this process and of the collectors, and the resources that it uses."""
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return make_wsgi_app(registry)


def shared_metrics_page(directory: str, *collectors: Collector) -> WSGIApplication:
    """The metrics of all processes whose PROMETHEUS_MULTIPROC_DIR is this directory."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=directory)  # type: ignore[no-untyped-call]
    for collector in collectors:
        registry.register(collector)
    return make_wsgi_app(registry)
