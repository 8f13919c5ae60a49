"""The settings of tracing, and processes without it."""

import os
import subprocess
import sys

import pytest

from adapters.opentelemetry.api_traces import ApiTraces
from adapters.opentelemetry.traced_control_plane import TracedControlPlane
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import ApiSettings
from entrypoints.failures import ConfigurationError
from entrypoints.host.container import HostContainer
from entrypoints.host.settings import HostSettings
from entrypoints.settings import Secret
from entrypoints.tracing import make_tracing
from tests.support.repository import ROOT
from tests.support.traced import Traced


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    ],
    ids=["not configured", "disabled"],
)
def test_a_process_that_does_not_trace_loads_no_library_for_it(variables: dict[str, str]) -> None:
    program = (
        "import sys\n"
        "from entrypoints.api.container import ApiContainer\n"
        "from entrypoints.api.settings import ApiSettings\n"
        "from entrypoints.host.container import HostContainer\n"
        "from entrypoints.host.settings import HostSettings\n"
        "HostContainer(settings=HostSettings.load()).run_host()\n"
        "api = ApiContainer(settings=ApiSettings.load())\n"
        "api.host_service(), api.sweep(), api.relay_events(), api.consumers()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "RABBITMQ_URL": "amqp://nowhere", **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout == "[]\n"


@pytest.mark.parametrize("metrics_address", ["", "127.0.0.1:9091"])
def test_everything_can_be_built_with_tracing(metrics_address: str) -> None:
    endpoint = Secret("http://127.0.0.1:1")
    host = HostContainer(
        settings=HostSettings(otel_exporter_otlp_endpoint=endpoint, metrics_address=metrics_address)
    )
    api = ApiContainer(
        settings=ApiSettings(
            database_url=Secret("postgresql://nobody@nowhere/nothing"),
            rabbitmq_url=Secret("amqp://nowhere"),
            otel_exporter_otlp_endpoint=endpoint,
        )
    )
    tracing = host.tracing()
    assert tracing
    tracing.close()
    traces = api.traces()
    traces.close()

    assert isinstance(traces, ApiTraces)
    assert isinstance(host.traced_transport(), TracedControlPlane)
    assert (host.control_plane() is host.traced_transport()) is not bool(metrics_address)
    assert api.host_service().register_server.store is api.store()
    assert len(api.consumers()) == 2
    assert callable(api.sweep())
    assert api.relay_events().events is api.events()


def test_an_invalid_setting_of_the_sdk_is_a_warning_and_turns_tracing_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    settings = HostSettings(otel_exporter_otlp_endpoint=Secret("http://127.0.0.1:1"))

    assert make_tracing(settings, "manmanv2-host") is None
    assert "OTEL_" in caplog.text


def test_the_standard_variables_set_the_service_name_and_attributes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fleet-api")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=production")
    traced = Traced()
    with traced.tracing.span("a call"):
        pass
    resource = traced.spans[0].resource.attributes

    assert resource["service.name"] == "fleet-api"
    assert resource["deployment.environment.name"] == "production"
    assert resource["service.version"] == "1"


@pytest.mark.parametrize(
    "url", ["collector:4318", "grpc://collector:4317", "http://", "http://h:x"]
)
@pytest.mark.parametrize("settings", [ApiSettings, HostSettings])
def test_the_error_of_an_invalid_endpoint_is_one_sentence(
    settings: type[ApiSettings | HostSettings], url: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.load({"OTEL_EXPORTER_OTLP_ENDPOINT": url})

    assert str(refused.value) == (
        "OTEL_EXPORTER_OTLP_ENDPOINT: must be http://HOST:PORT or https://HOST:PORT."
    )


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/otlp/"}, "http://c:4318/otlp/v1/traces"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/spans",
            },
            "https://t/spans",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "True"}, None),
    ],
)
def test_the_url_of_the_collector_follows_from_the_standard_variables(
    variables: dict[str, str], url: str | None
) -> None:
    collector = HostSettings.load(variables).collector

    assert (collector.url if collector else None) == url
