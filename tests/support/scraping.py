"""Reads the management port like scrapers and probes do."""

from __future__ import annotations

import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.support.canary_secrets import leak_detector
from tests.support.processes import Process

METRICS_LINE = "Metrics and health at "


class ManagementServer:
    """The management port of a process started with METRICS_ADDRESS=127.0.0.1:0."""

    def __init__(self, process: Process) -> None:
        self._page = process.wait_until_logged(METRICS_LINE).removeprefix(METRICS_LINE)
        self.address = self._page.removeprefix("http://").removesuffix("/metrics")

    def get(self, path: str) -> tuple[int, str]:
        """GET a path; returns the status and the body."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=120) as answer:
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read().decode()
        leak_detector.check("on the management port", body)
        return status, body

    def samples(self) -> dict[str, float]:
        """The value of each sample by name{label="value",…}, with labels sorted by name."""
        return {
            _named(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
        }

    def value(self, sample: str) -> float | None:
        return self.samples().get(sample)


def _named(name: str, labels: dict[str, str]) -> str:
    text = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{text}}}" if text else name
