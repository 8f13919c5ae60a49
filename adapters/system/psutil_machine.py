import socket
from dataclasses import dataclass, field

import psutil

from application.ports.host.machine import MachineReport
from domain.capabilities import Capabilities

_MEBIBYTE = 2**20
_FIRST_MEASURE_SECONDS = 0.1


@dataclass
class PsutilMachine:
    """Memory and CPU of this machine, measured without a container engine.

    The idle CPU is the mean since the last report; in the first report it is the mean of a tenth
    of a second.
    """

    _measured: bool = field(init=False, default=False)

    def report(self) -> MachineReport:
        memory = psutil.virtual_memory()
        cores = psutil.cpu_count() or 1
        busy_percent = psutil.cpu_percent(None if self._measured else _FIRST_MEASURE_SECONDS)
        self._measured = True
        return MachineReport(
            hostname=socket.gethostname(),
            capabilities=Capabilities(
                total_memory_mb=memory.total // _MEBIBYTE,
                available_memory_mb=min(memory.available, memory.total) // _MEBIBYTE,
                cpu_cores=cores,
                available_cpu_millicores=max(0, round(10 * cores * (100 - busy_percent))),
            ),
        )
