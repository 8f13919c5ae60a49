import http.client
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from adapters.http.side_port import SidePort
from adapters.prometheus.exposition import metrics_page


def test_a_mistake_behind_it_is_a_line_of_the_log_and_not_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> Sequence[str]:
        raise KeyError("a mistake")

    side_port = SidePort("somebody", metrics_page(CollectorRegistry()), fail)
    connection = http.client.HTTPConnection("127.0.0.1", side_port.start("127.0.0.1", 0))
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    side_port.close()

    assert (answer.status, body) == (503, b"not ready: see the log\n")
    assert answer.getheader("Server") == "somebody"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
