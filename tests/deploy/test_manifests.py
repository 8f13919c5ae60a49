"""Checks that no validator of manifests does: how they fit each other, and the software."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.grpc.server.server_certificate import read_certified_key
from adapters.grpc.tls.trust import Tls
from domain.naming import choose_name
from entrypoints.api import worker
from entrypoints.api.settings import ApiSettings
from entrypoints.api.tls import read_certificates
from entrypoints.api_address import ApiAddress
from entrypoints.host.settings import HostSettings
from entrypoints.settings import VERSION
from tests.support.certificates import CertificateFiles
from tests.support.certified import Site
from tests.support.deploy.manifests import (
    DEPLOY,
    OVERLAYS,
    Manifest,
    Manifests,
    container_variables,
    rendered,
    secret_files,
)

GRPC, MTLS, METRICS = 50051, 50052, 9090
MOUNTED_AT = "/run/secrets/manmanv2"
REGISTRATION = "manmanv2-registration"
SECRETS = {
    "database-url": "postgresql://manmanv2:secret@postgres.example.com/manmanv2",
    "rabbitmq-url": "amqp://manmanv2:secret@rabbitmq.example.com/manmanv2",
    "registration-key": "0f" * 32,
    "operator-key": "f0" * 32,
}
EXAMPLES_OF_NODES = ["nyc7", "ip-10-0-0-1.eu-west-1.compute.internal", "n" * 63]


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def manifests(overlay: str) -> Manifests:
    return rendered(overlay)


def only_container(pod: Manifest) -> Manifest:
    [container] = pod["spec"]["containers"]
    only: Manifest = container
    return only


def api_policy(manifests: Manifests) -> Manifest:
    policy: Manifest = manifests.one("NetworkPolicy", "manmanv2-api")["spec"]
    return policy


def namespace_of(manifests: Manifests) -> str:
    [namespace] = (
        each["metadata"]["name"] for each in manifests.all if each["kind"] == "Namespace"
    )
    return str(namespace)


def mounted_secrets(manifests: Manifests, pod: Manifest) -> set[str]:
    """The names of the files in a pod's directory of secrets."""
    [volume] = (each for each in pod["spec"]["volumes"] if each["name"] == "secrets")
    if "secret" in volume:
        return {item["path"] for item in volume["secret"]["items"]}
    return {
        key
        for source in volume["projected"]["sources"]
        for key in manifests.one("Secret", source["secret"]["name"])["data"]
    }


def variables_of(manifests: Manifests, app: str, node: str = "nyc7") -> dict[str, str]:
    return container_variables(only_container(manifests.pod(app)), node, namespace_of(manifests))


def selects(selector: Mapping[str, Any], pod: Manifest) -> bool:
    labels = pod["metadata"]["labels"]
    return all(labels.get(key) == value for key, value in selector["matchLabels"].items())


def test_everything_is_in_one_namespace(manifests: Manifests) -> None:
    inside = [each for each in manifests.all if each["kind"] != "Namespace"]

    assert {each["metadata"]["namespace"] for each in inside} == {namespace_of(manifests)}


@pytest.mark.parametrize("app", ["manmanv2-api", "manmanv2-host", "manmanv2-db-upgrade"])
def test_the_variables_of_a_pod_are_valid_settings(
    manifests: Manifests, app: str, tmp_path: Path
) -> None:
    variables = variables_of(manifests, app)
    in_files = {Path(path).name for path in variables.values() if path.startswith(MOUNTED_AT)}
    for name in in_files:
        (tmp_path / name).write_text(f"{SECRETS[name]}\n")
    here = {name: value.replace(MOUNTED_AT, str(tmp_path)) for name, value in variables.items()}
    loaded = (HostSettings if app == "manmanv2-host" else ApiSettings).load(here)

    assert in_files <= mounted_secrets(manifests, manifests.pod(app))
    for setting in fields(loaded):
        file = variables.get(f"{setting.name.upper()}_FILE")
        if file:
            assert getattr(loaded, setting.name).reveal() == SECRETS[Path(file).name]


def test_services_probes_and_hosts_use_the_same_ports_and_names(manifests: Manifests) -> None:
    api = only_container(manifests.pod("manmanv2-api"))
    service = manifests.one("Service", "manmanv2-api")
    [served] = service["spec"]["ports"]
    variables = variables_of(manifests, "manmanv2-api")
    named = {port["name"]: port["containerPort"] for port in api["ports"]}
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    annotations = manifests.pod("manmanv2-api")["metadata"]["annotations"]
    address_of_hosts = variables_of(manifests, "manmanv2-host")["API_ADDRESS"]

    assert variables["LISTEN_ADDRESS"] == f"0.0.0.0:{GRPC}"
    assert variables["METRICS_ADDRESS"] == f"0.0.0.0:{METRICS}"
    assert named == {"grpc": GRPC, "metrics": METRICS}
    assert (served["port"], served["targetPort"]) == (GRPC, "grpc")
    assert {api[probe]["grpc"]["port"] for probe in probes} == {GRPC}
    assert annotations["prometheus.io/port"] == str(METRICS)
    assert address_of_hosts == f"manmanv2-api.{namespace_of(manifests)}.svc.cluster.local:{GRPC}"


def test_prometheus_finds_the_apis_of_production() -> None:
    manifests = rendered("prod")
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
    [job] = (each for each in scraped["scrape_configs"] if each["job_name"] == "manmanv2-api")
    [discovery] = job["dns_sd_configs"]
    service = manifests.one("Service", "manmanv2-api-metrics")
    name = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"

    assert discovery["names"] == [name]
    assert service["spec"]["clusterIP"] == "None"
    assert discovery["port"] == service["spec"]["ports"][0]["port"] == METRICS


def test_every_selector_matches_its_pods(manifests: Manifests) -> None:
    api = manifests.pod("manmanv2-api")
    for kind, name in (("Deployment", "manmanv2-api"), ("PodDisruptionBudget", "manmanv2-api")):
        assert selects(manifests.one(kind, name)["spec"]["selector"], api), kind
    for name in ("manmanv2-api", "manmanv2-api-metrics"):
        selector = {"matchLabels": manifests.one("Service", name)["spec"]["selector"]}
        assert [pod for pod in manifests.pods() if selects(selector, pod)] == [api], name
    for constraint in api["spec"]["topologySpreadConstraints"]:
        assert selects(constraint["labelSelector"], api)
    host = manifests.pod("manmanv2-host")

    assert selects(api_policy(manifests)["podSelector"], api)
    assert selects(manifests.one("DaemonSet", "manmanv2-host")["spec"]["selector"], host)


def test_the_network_is_closed_except_for_hosts_operators_and_prometheus(
    manifests: Manifests,
) -> None:
    closed = manifests.one("NetworkPolicy", "nothing-else")["spec"]
    permitted = sorted(
        (port["port"], next(iter(peer)))
        for rule in api_policy(manifests)["ingress"]
        for port in rule["ports"]
        for peer in rule["from"]
    )

    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert permitted == [
        (METRICS, "namespaceSelector"),
        *((port, peer) for port in (GRPC, MTLS) for peer in ("ipBlock", "podSelector")),
    ]


@pytest.mark.parametrize("node", EXAMPLES_OF_NODES)
def test_a_pod_names_its_server_like_a_host_manager_without_kubernetes(
    manifests: Manifests, node: str
) -> None:
    variables = variables_of(manifests, "manmanv2-host", node)
    settings = HostSettings.load({name: variables[name] for name in ("SERVER_NAME", "ENVIRONMENT")})
    chosen = choose_name("", node, settings.environment, "never used")

    assert not chosen.ephemeral
    assert settings.server_name == chosen.name


def test_host_managers_of_two_environments_can_share_a_machine() -> None:
    pairs = [
        (variables["SERVER_NAME"], variables["METRICS_ADDRESS"], variables["API_ADDRESS"])
        for variables in (variables_of(rendered(name), "manmanv2-host") for name in OVERLAYS)
    ]

    assert all(len(set(each)) == len(OVERLAYS) for each in zip(*pairs, strict=True))


def test_pods_run_with_minimal_privileges(manifests: Manifests) -> None:
    for pod in manifests.pods():
        whole, container = pod["spec"]["securityContext"], only_container(pod)["securityContext"]

        assert whole["runAsNonRoot"] is True
        assert whole["runAsUser"] == 10001, "the user that the images have"
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["readOnlyRootFilesystem"] is True
        assert container["allowPrivilegeEscalation"] is False
        assert container["capabilities"] == {"drop": ["ALL"]}
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_an_api_is_not_killed_while_it_drains(manifests: Manifests) -> None:
    longest = worker._DRAIN_TIMEOUT_SECONDS + worker._FORCE_EXIT_TIMEOUT_SECONDS
    grace = manifests.pod("manmanv2-api")["spec"]["terminationGracePeriodSeconds"]

    assert grace > 2 * longest


def test_production_stays_up_during_drains_and_updates() -> None:
    deployment = rendered("prod").one("Deployment", "manmanv2-api")["spec"]
    budget = rendered("prod").one("PodDisruptionBudget", "manmanv2-api")["spec"]

    assert deployment["replicas"] >= 2
    assert deployment["replicas"] > budget["maxUnavailable"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_production_deploys_this_version() -> None:
    images = {only_container(pod)["image"] for pod in rendered("prod").pods()}

    assert images == {f"ghcr.io/whale-net/manmanv2-{name}:{VERSION}" for name in ("api", "host")}


def test_a_changed_secret_restarts_the_pods_that_use_it(manifests: Manifests) -> None:
    names = {each["metadata"]["name"] for each in manifests.all if each["kind"] == "Secret"}
    stems = {name.rpartition("-")[0] for name in names - {REGISTRATION}}

    assert stems == {"manmanv2-api", "manmanv2-host"}


def test_a_changed_registration_key_reaches_pods_without_a_restart(
    manifests: Manifests,
) -> None:
    secret = manifests.one("Secret", REGISTRATION)
    for pod in (manifests.pod("manmanv2-api"), manifests.pod("manmanv2-host")):
        [mount] = [
            mount
            for mount in only_container(pod)["volumeMounts"]
            if mount["mountPath"] == MOUNTED_AT
        ]

        assert REGISTRATION in str(pod["spec"]["volumes"])
        # A single file of a volume is never swapped.
        assert "subPath" not in mount
    assert "immutable" not in secret


def test_git_ignores_secrets(overlay: str) -> None:
    paths = [f"deploy/kubernetes/overlays/{overlay}/{file}" for file in secret_files(overlay)]
    # Without variables that would point git to another repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ignored = subprocess.run(
        ["git", "check-ignore", *paths],
        cwd=DEPLOY.parent,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )

    assert sorted(ignored.stdout.split()) == sorted(paths)


def test_no_manifest_contains_a_secret() -> None:
    for path in (DEPLOY / "kubernetes").rglob("*.yaml"):
        for manifest in yaml.safe_load_all(path.read_text()):
            assert manifest["kind"] != "Secret", path
            assert "literals" not in str(manifest.get("secretGenerator")), path


def test_with_tls_only_the_api_has_the_key_and_hosts_verify_its_certificate(
    overlay: str, tmp_path: Path
) -> None:
    manifests = rendered(overlay, "tls")
    files = CertificateFiles(tmp_path)
    files.issue(f"manmanv2-api.{namespace_of(manifests)}.svc.cluster.local")
    environment = {}
    for app in ("manmanv2-api", "manmanv2-host"):
        pod = manifests.pod(app)
        [volume] = (each for each in pod["spec"]["volumes"] if each["name"] == "tls")
        [mount] = (each for each in only_container(pod)["volumeMounts"] if each["name"] == "tls")
        variables = variables_of(manifests, app)
        environment[app] = {
            name: value.replace(mount["mountPath"], str(tmp_path))
            for name, value in variables.items()
            if "TLS" in name or name in ("API_ADDRESS", "API_CA_CERT_PATH")
        }
        mounted = {f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
        assert mounted == {each for each in variables.values() if "/manmanv2-tls/" in each}
    api = HostSettings.load(environment["manmanv2-host"]).api
    [name] = read_certified_key(files.certificate, files.key).facts.names

    assert ApiSettings.load(environment["manmanv2-api"]).speaks_tls
    assert api == ApiAddress(f"{name}:{GRPC}", Tls(files.ca_file))
    # The gRPC probes of the kubelet do not support TLS.
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = only_container(manifests.pod("manmanv2-api"))[probe]
        assert asked["exec"]["command"] == ["manmanv2-api", "health"]
        assert "grpc" not in asked


def test_with_an_authority_only_the_api_has_its_key_and_serves_the_port_for_certificates(
    overlay: str, tmp_path: Path
) -> None:
    manifests = rendered(overlay, "authority")
    site, pod = Site(tmp_path), manifests.pod("manmanv2-api")
    mounts = {
        mount["name"]: mount["mountPath"]
        for mount in only_container(pod)["volumeMounts"]
        if mount["name"] in ("tls", "authority")
    }
    variables = variables_of(manifests, "manmanv2-api")
    for mount in mounts.values():
        variables = {name: value.replace(mount, str(tmp_path)) for name, value in variables.items()}
    environment = {name: variables[name] for name in (*site.variables, "MTLS_LISTEN_ADDRESS")}
    loaded = ApiSettings.load(environment)
    served = manifests.one("Service", "manmanv2-api")["spec"]["ports"]
    named = {port["name"]: port["containerPort"] for port in only_container(pod)["ports"]}

    assert mounts.keys() == {"tls", "authority"}
    assert {name: environment[name] for name in site.variables} == site.variables
    assert read_certificates(loaded)
    assert {port["port"]: named[port["targetPort"]] for port in served} == {
        GRPC: GRPC,
        MTLS: loaded.mutual_tls_port,
    }
    assert "manmanv2-authority" not in str(manifests.pod("manmanv2-host"))
