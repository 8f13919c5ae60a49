"""Alerts and the dashboard: a query for a metric that does not exist would be silent."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

import pytest
import yaml
from prometheus_client import CollectorRegistry

from adapters.memory.store import MemoryStore
from adapters.prometheus.api_metrics import ApiMetrics
from adapters.prometheus.exposition import BuildInfo, metrics_page
from adapters.prometheus.fleet_collector import FleetCollector
from adapters.prometheus.host_metrics import HostMetrics
from application.operations.count_fleet import FleetStatistics
from domain.liveness import Status
from domain.machine import Hardware
from tests.support.deploy.manifests import DEPLOY

# The labels that Prometheus adds to every sample, and the one that our scrape configuration adds.
TARGET_LABELS = {"job", "instance", "namespace"}
_WORDS = {"and", "bool", "by", "ignoring", "offset", "on", "or", "unless", "without"}

Query = tuple[str, str]


def exposed_series(*, deprecated: bool = True) -> Mapping[str, set[str]]:
    """The names of all series that an API or a host exposes, and their labels."""
    api, host = CollectorRegistry(), CollectorRegistry()
    metrics = ApiMetrics(api)
    metrics.call_handled("manman.v1.ManManAPI", "Heartbeat", "OK", 0.1)
    metrics.heartbeats("grpc", lambda _: [])
    metrics.broker_connection(lambda _: None)
    metrics.certificate_expires()
    metrics.store(MemoryStore())
    servers = {(Status.ONLINE, "production"): 1}
    fleet = FleetStatistics(
        servers, Hardware(1, 16, 65536), 0, 0, timedelta(seconds=15), 0, timedelta(0)
    )
    metrics_page(api, BuildInfo("api", "", ""), FleetCollector(lambda: fleet))
    HostMetrics(host)
    metrics_page(host, BuildInfo("host", "", ""))
    series: dict[str, set[str]] = defaultdict(set)
    series["up"] = set()
    for registry in (api, host):
        for family in registry.collect():
            if family.documentation.startswith("Deprecated:") and not deprecated:
                continue
            for sample in family.samples:
                series[sample.name] |= sample.labels.keys()
    return series


def alerts() -> Iterator[Query]:
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def panels() -> Iterator[Query]:
    dashboard = json.loads((DEPLOY / "grafana/manmanv2.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"]


def variables() -> Iterator[Query]:
    dashboard = json.loads((DEPLOY / "grafana/manmanv2.json").read_text())
    for variable in dashboard["templating"]["list"]:
        query = re.match(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        if query:
            yield f"variable {variable['name']}", f"sum by ({query[2]}) ({query[1]})"


def names_in(query: str) -> set[str]:
    """The series that a PromQL expression reads."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", re.sub(r'"[^"]*"', '""', query))
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"\b[a-z_:][\w:]*\b(?!\s*\()", bare)) - _WORDS


def labels_in(query: str) -> set[str]:
    """The labels by which a PromQL expression selects and groups."""
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    grouped = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", query)
    return {*matched, *(label.strip() for each in grouped for label in each.split(","))}


@pytest.mark.parametrize("source", [alerts, panels, variables])
def test_every_query_reads_series_and_labels_that_exist(
    source: Callable[[], Iterator[Query]],
) -> None:
    known = exposed_series(deprecated=False)
    for where, query in source():
        names = names_in(query)

        assert names, where
        assert names <= known.keys(), where
        assert labels_in(query) <= set.union(TARGET_LABELS, *(known[name] for name in names)), where


@pytest.mark.parametrize(
    ("query", "names", "labels"),
    [
        ('absent(a_b{c="api"})', {"a_b"}, {"c"}),
        ("time() - a > scalar(3 * max(b) or vector(180))", {"a", "b"}, set()),
        (
            'sum by (x, y) (rate(a_total{z=~"b|c", w!="d"}[5m])) and on (x) e',
            {"a_total", "e"},
            "wxyz",
        ),
    ],
)
def test_names_and_labels_are_found_in_a_query(
    query: str, names: set[str], labels: set[str]
) -> None:
    assert names_in(query) == names
    assert labels_in(query) == set(labels)


def test_every_metric_of_ours_that_is_not_deprecated_is_on_the_dashboard() -> None:
    on_dashboard = {name for _, query in panels() for name in names_in(query)}
    ours = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for name in exposed_series(deprecated=False)
        if name.startswith(("manmanv2_", "grpc_")) and not name.endswith("_created")
    }

    assert ours - {re.sub(r"_(bucket|sum|count)$", "", name) for name in on_dashboard} == set()


def test_only_the_old_name_of_the_dry_run_refusals_is_deprecated() -> None:
    deprecated = exposed_series().keys() - exposed_series(deprecated=False).keys()

    assert {name for name in deprecated if not name.endswith("_created")} == {
        "manmanv2_would_reject_total"
    }


def test_every_alert_is_tested_to_fire_and_to_be_silent() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus/alerts_test.yaml").read_text())["tests"]
    expectations = [each for test in tests for each in test["alert_rule_test"]]
    fires = {each["alertname"] for each in expectations if each.get("exp_alerts")}
    is_silent = {each["alertname"] for each in tests[0]["alert_rule_test"]}

    assert fires == is_silent == {name for name, _ in alerts()}
    assert not any(each.get("exp_alerts") for each in tests[0]["alert_rule_test"])


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        for sentence in rule["annotations"].values():
            assert sentence.endswith("."), sentence
            assert ". " not in sentence, sentence


def test_the_dashboard_uses_the_selected_data_source() -> None:
    dashboard = json.loads((DEPLOY / "grafana/manmanv2.json").read_text())
    sources = {
        queried["datasource"]["uid"]
        for panel in dashboard["panels"]
        for queried in (panel, *panel.get("targets", ()))
        if panel["type"] != "row"
    }
    numbers = [panel["id"] for panel in dashboard["panels"]]

    assert sources == {"${datasource}"}
    assert len(set(numbers)) == len(numbers)
