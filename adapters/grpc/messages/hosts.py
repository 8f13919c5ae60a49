"""Converts what hosts exchange with the API to messages of the wire contract, and back."""

from dataclasses import asdict

from adapters.grpc.messages.times import from_unix_seconds, to_unix_seconds
from domain.capabilities import Capabilities, PortRange
from domain.configuration import Configuration, ConfigurationSummary
from domain.labels import parse_selector
from domain.machine_evidence import Evidence
from protos.manman.v1 import manman_pb2 as pb


def capabilities_from_message(message: pb.ServerCapabilities) -> Capabilities:
    return Capabilities(
        total_memory_mb=message.total_memory_mb,
        available_memory_mb=message.available_memory_mb,
        cpu_cores=message.cpu_cores,
        available_cpu_millicores=message.available_cpu_millicores,
        available_ports=tuple(
            PortRange(ports.start, ports.end, ports.protocol) for ports in message.available_ports
        ),
        docker_version=message.docker_version,
    )


def capabilities_to_message(capabilities: Capabilities) -> pb.ServerCapabilities:
    return pb.ServerCapabilities(
        total_memory_mb=capabilities.total_memory_mb,
        available_memory_mb=capabilities.available_memory_mb,
        cpu_cores=capabilities.cpu_cores,
        available_cpu_millicores=capabilities.available_cpu_millicores,
        available_ports=[
            pb.PortRange(start=ports.start, end=ports.end, protocol=ports.protocol)
            for ports in capabilities.available_ports
        ],
        docker_version=capabilities.docker_version,
    )


def evidence_from_message(message: pb.Evidence) -> Evidence:
    return Evidence(
        machine_id=message.machine_id,
        hardware_id=message.hardware_id,
        engine_id=message.engine_id,
        boot_id=message.boot_id,
        instance_id=message.instance_id,
    )


def evidence_to_message(evidence: Evidence) -> pb.Evidence:
    return pb.Evidence(**asdict(evidence))


def configuration_to_message(configuration: Configuration) -> pb.Configuration:
    return pb.Configuration(
        name=configuration.name,
        document=configuration.document,
        revision=configuration.revision,
        updated_at=to_unix_seconds(configuration.updated_at),
        selector=str(configuration.selector or ""),
    )


def summary_to_message(summary: ConfigurationSummary) -> pb.Configuration:
    return pb.Configuration(
        name=summary.name,
        revision=summary.revision,
        updated_at=to_unix_seconds(summary.updated_at),
        selector=str(summary.selector or ""),
    )


def configuration_from_message(message: pb.Configuration) -> Configuration:
    return Configuration(
        name=message.name,
        document=message.document,
        revision=message.revision,
        updated_at=from_unix_seconds(message.updated_at),
        selector=parse_selector(message.selector) if message.selector else None,
    )


def summary_from_message(message: pb.Configuration) -> ConfigurationSummary:
    return ConfigurationSummary(
        name=message.name,
        revision=message.revision,
        updated_at=from_unix_seconds(message.updated_at),
        selector=parse_selector(message.selector) if message.selector else None,
    )
