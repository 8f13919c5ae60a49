"""The domain's values as the JSON of messages, and back. Keys are those of the wire contract."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Any

from domain.capabilities import Capabilities, PortRange
from domain.configuration import Configuration, ConfigurationChanges
from domain.machine_evidence import Evidence

# What the control plane takes; its answers may hold a good deal of configuration.
MAX_REQUEST_BYTES = 512 * 1024
MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_ID = 2**63 - 1
_LARGEST_INT32 = 2**31 - 1


class Malformed(Exception):
    """A message is not what its routing key says. The text says why, for an operator."""


def as_json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def fields_of(body: bytes, largest: int = MAX_REQUEST_BYTES) -> Mapping[str, Any]:
    """Raises Malformed unless it is a JSON object, and no larger."""
    if len(body) > largest:
        raise Malformed(f"the body has {len(body)} bytes, at most {largest} are allowed")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise Malformed("the body is not a JSON object")
    return fields


def text_of(fields: Mapping[str, Any], key: str) -> str:
    """Empty where it is missing."""
    text: str = _typed(fields, key, str, "a text", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Malformed(f"{key} is no text that UTF-8 can carry") from None
    return text


def whole_number_of(fields: Mapping[str, Any], key: str, largest: int = _MAX_ID) -> int:
    """Zero where it is missing."""
    number: int = _typed(fields, key, int, "a whole number", 0)
    # To Python true is a number, too.
    if isinstance(number, bool) or abs(number) > largest:
        raise Malformed(f"{key} must be a whole number of at most {largest}")
    return number


def capabilities_of(fields: Mapping[str, Any]) -> Capabilities | None:
    """None where they are missing."""
    found = _typed(fields, "capabilities", dict, "an object", None)
    if found is None:
        return None
    ranges = _typed(found, "available_ports", list, "a list", [])
    return Capabilities(
        total_memory_mb=whole_number_of(found, "total_memory_mb", _LARGEST_INT32),
        available_memory_mb=whole_number_of(found, "available_memory_mb", _LARGEST_INT32),
        cpu_cores=whole_number_of(found, "cpu_cores", _LARGEST_INT32),
        available_cpu_millicores=whole_number_of(found, "available_cpu_millicores", _LARGEST_INT32),
        available_ports=tuple(map(_port_range, ranges)),
        docker_version=text_of(found, "docker_version"),
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
    found = _typed(fields, "evidence", dict, "an object", {})
    return Evidence(
        **{field.name: text_of(found, field.name) for field in dataclass_fields(Evidence)}
    )


def evidence_to_fields(evidence: Evidence) -> dict[str, object]:
    return dict(asdict(evidence))


def labels_of(fields: Mapping[str, Any]) -> Mapping[str, str] | None:
    """None where they are missing."""
    found = _typed(fields, "labels", dict, "an object", None)
    return None if found is None else {key: text_of(found, key) for key in found}


def truth_of(fields: Mapping[str, Any], key: str) -> bool:
    """False where it is missing."""
    truth: bool = _typed(fields, key, bool, "true or false", False)
    return truth


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
        raise Malformed("names must be texts")
    return ConfigurationChanges(
        changed=[_configuration(one) for one in _typed(fields, "changed", list, "a list", [])],
        names=names,
        revision=whole_number_of(fields, "revision"),
        more=truth_of(fields, "more"),
    )


def _configuration(fields: Any) -> Configuration:
    if not isinstance(fields, dict):
        raise Malformed("changed must hold objects")
    return Configuration(
        name=text_of(fields, "name"),
        document=text_of(fields, "document"),
        revision=whole_number_of(fields, "revision"),
        updated_at=datetime.fromtimestamp(
            whole_number_of(fields, "updated_at", _LARGEST_INT32), UTC
        ),
    )


def _port_range(fields: Any) -> PortRange:
    if not isinstance(fields, dict):
        raise Malformed("available_ports must hold objects")
    return PortRange(
        start=whole_number_of(fields, "start", _LARGEST_INT32),
        end=whole_number_of(fields, "end", _LARGEST_INT32),
        protocol=text_of(fields, "protocol"),
    )


def _typed(fields: Mapping[str, Any], key: str, kind: type, name: str, missing: Any) -> Any:
    value = fields.get(key)
    if value is None:
        return missing
    if not isinstance(value, kind):
        raise Malformed(f"{key} must be {name}")
    return value
