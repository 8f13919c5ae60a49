"""Domain values to the JSON of messages and back. The keys are those of the wire contract."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Any

from domain.capabilities import Capabilities, PortRange
from domain.configuration import Configuration, ConfigurationChanges
from domain.machine_evidence import Evidence

# The control plane rejects larger requests. Its answers may hold much more configuration.
MAX_REQUEST_BYTES = 512 * 1024
MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_ID = 2**63 - 1
_MAX_INT32 = 2**31 - 1


class Malformed(Exception):
    """A message is not valid for its routing key. The text says why, for operators."""


def as_json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def fields_of(body: bytes, maximum: int = MAX_REQUEST_BYTES) -> Mapping[str, Any]:
    """Raises Malformed unless the body is a JSON object of at most `maximum` bytes."""
    if len(body) > maximum:
        raise Malformed(f"the body has {len(body)} bytes, at most {maximum} are allowed")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise Malformed("the body is not a JSON object")
    return fields


def string_of(fields: Mapping[str, Any], key: str) -> str:
    """Empty if it is missing."""
    text: str = _typed(fields, key, str, "a string", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Malformed(f"{key} cannot be encoded as UTF-8") from None
    return text


def integer_of(fields: Mapping[str, Any], key: str, maximum: int = _MAX_ID) -> int:
    """Zero if it is missing."""
    number: int = _typed(fields, key, int, "an integer", 0)
    # In Python, true is an int, too.
    if isinstance(number, bool) or abs(number) > maximum:
        raise Malformed(f"{key} must be an integer of at most {maximum}")
    return number


def capabilities_of(fields: Mapping[str, Any]) -> Capabilities | None:
    """None if they are missing."""
    capabilities = _typed(fields, "capabilities", dict, "an object", None)
    if capabilities is None:
        return None
    ranges = _typed(capabilities, "available_ports", list, "a list", [])
    return Capabilities(
        total_memory_mb=integer_of(capabilities, "total_memory_mb", _MAX_INT32),
        available_memory_mb=integer_of(capabilities, "available_memory_mb", _MAX_INT32),
        cpu_cores=integer_of(capabilities, "cpu_cores", _MAX_INT32),
        available_cpu_millicores=integer_of(capabilities, "available_cpu_millicores", _MAX_INT32),
        available_ports=tuple(map(_port_range, ranges)),
        docker_version=string_of(capabilities, "docker_version"),
    )


def capabilities_to_fields(capabilities: Capabilities) -> dict[str, object]:
    return {
        "total_memory_mb": capabilities.total_memory_mb,
        "available_memory_mb": capabilities.available_memory_mb,
        "cpu_cores": capabilities.cpu_cores,
        "available_cpu_millicores": capabilities.available_cpu_millicores,
        "available_ports": [
            {"start": ports.start, "end": ports.end, "protocol": ports.protocol}
            for ports in capabilities.available_ports
        ],
        "docker_version": capabilities.docker_version,
    }


def evidence_of(fields: Mapping[str, Any]) -> Evidence:
    evidence = _typed(fields, "evidence", dict, "an object", {})
    return Evidence(
        **{field.name: string_of(evidence, field.name) for field in dataclass_fields(Evidence)}
    )


def evidence_to_fields(evidence: Evidence) -> dict[str, object]:
    return dict(asdict(evidence))


def labels_of(fields: Mapping[str, Any]) -> Mapping[str, str] | None:
    """None if they are missing."""
    labels = _typed(fields, "labels", dict, "an object", None)
    return None if labels is None else {key: string_of(labels, key) for key in labels}


def boolean_of(fields: Mapping[str, Any], key: str) -> bool:
    """False if it is missing."""
    value: bool = _typed(fields, key, bool, "true or false", False)
    return value


def changes_to_fields(changes: ConfigurationChanges) -> dict[str, object]:
    return {
        "changed": [
            {
                "name": configuration.name,
                "document": configuration.document,
                "revision": configuration.revision,
                "updated_at": int(configuration.updated_at.timestamp()),
            }
            for configuration in changes.changed
        ],
        "names": list(changes.names),
        "revision": changes.revision,
        "more": changes.more,
    }


def changes_of(fields: Mapping[str, Any]) -> ConfigurationChanges:
    names = _typed(fields, "names", list, "a list", [])
    if not all(isinstance(name, str) for name in names):
        raise Malformed("names must be strings")
    return ConfigurationChanges(
        changed=[_configuration(item) for item in _typed(fields, "changed", list, "a list", [])],
        names=names,
        revision=integer_of(fields, "revision"),
        more=boolean_of(fields, "more"),
    )


def _configuration(fields: Any) -> Configuration:
    if not isinstance(fields, dict):
        raise Malformed("changed must hold objects")
    return Configuration(
        name=string_of(fields, "name"),
        document=string_of(fields, "document"),
        revision=integer_of(fields, "revision"),
        updated_at=datetime.fromtimestamp(integer_of(fields, "updated_at", _MAX_INT32), UTC),
    )


def _port_range(fields: Any) -> PortRange:
    if not isinstance(fields, dict):
        raise Malformed("available_ports must hold objects")
    return PortRange(
        start=integer_of(fields, "start", _MAX_INT32),
        end=integer_of(fields, "end", _MAX_INT32),
        protocol=string_of(fields, "protocol"),
    )


def _typed(fields: Mapping[str, Any], key: str, kind: type, kind_name: str, default: Any) -> Any:
    value = fields.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise Malformed(f"{key} must be {kind_name}")
    return value
