"""What a machine can do, as its host manager reports it."""

from dataclasses import dataclass

from domain.errors import InvalidField

# Far above any machine of today. A larger value is a client's mistake, such as bytes for MiB.
MAX_MEMORY_MB = 2**30
MAX_CPU_CORES = 2**16
MAX_PORT_RANGES = 1000
MAX_VERSION_LENGTH = 100
MAX_PORT = 65535
PROTOCOLS = ("TCP", "UDP")


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from start to end, both included."""

    start: int
    end: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Memory in MiB, CPU in cores and thousandths of a core. Zero or empty means unknown."""

    total_memory_mb: int = 0
    available_memory_mb: int = 0
    cpu_cores: int = 0
    available_cpu_millicores: int = 0
    available_ports: tuple[PortRange, ...] = ()
    docker_version: str = ""

    @property
    def equipment(self) -> tuple[int, int, tuple[PortRange, ...], str]:
        """The values that change only when the machine itself is changed."""
        return (self.total_memory_mb, self.cpu_cores, self.available_ports, self.docker_version)


def check_capabilities(capabilities: Capabilities) -> None:
    """Raise InvalidField, with the path of the field, for a value that no machine can have."""
    _check_amount("total_memory_mb", capabilities.total_memory_mb, MAX_MEMORY_MB)
    _check_amount("cpu_cores", capabilities.cpu_cores, MAX_CPU_CORES)
    _check_amount(
        "available_memory_mb",
        capabilities.available_memory_mb,
        capabilities.total_memory_mb or MAX_MEMORY_MB,
    )
    _check_amount(
        "available_cpu_millicores",
        capabilities.available_cpu_millicores,
        1000 * (capabilities.cpu_cores or MAX_CPU_CORES),
    )
    _check_version(capabilities.docker_version)
    if len(capabilities.available_ports) > MAX_PORT_RANGES:
        raise InvalidField(
            "capabilities.available_ports",
            f"has {len(capabilities.available_ports)} ranges; the maximum is {MAX_PORT_RANGES}",
        )
    for index, ports in enumerate(capabilities.available_ports):
        _check_ports(f"capabilities.available_ports[{index}]", ports)


def _check_amount(field: str, amount: int, maximum: int) -> None:
    if not 0 <= amount <= maximum:
        raise InvalidField(f"capabilities.{field}", f"is {amount}, but must be from 0 to {maximum}")


def _check_version(version: str) -> None:
    if len(version) > MAX_VERSION_LENGTH or not version.isprintable():
        raise InvalidField(
            "capabilities.docker_version",
            f"must have at most {MAX_VERSION_LENGTH} characters, all printable",
        )


def _check_ports(field: str, ports: PortRange) -> None:
    if not 1 <= ports.start <= ports.end <= MAX_PORT:
        raise InvalidField(
            field,
            f"is {ports.start} to {ports.end}, but must be from 1 to {MAX_PORT}, start first",
        )
    if ports.protocol not in PROTOCOLS:
        raise InvalidField(f"{field}.protocol", f"must be one of {', '.join(PROTOCOLS)}")
