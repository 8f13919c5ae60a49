"""The CPU time that processes have used."""

import psutil
import psycopg2


def seconds(pid: int) -> float:
    """User and system CPU seconds of a process and of all its descendants so far."""
    parent = psutil.Process(pid)
    used = 0.0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # children_* is the time of children that have ended and are no longer listed.
        used += times.user + times.system + times.children_user + times.children_system
    return used


def postgres_pid(url: str) -> int:
    """The server's first process on this machine, whose descendants are the backends."""
    connection = psycopg2.connect(url)
    try:
        backend = connection.info.backend_pid
        parent = psutil.Process(backend).ppid()
    finally:
        connection.close()
    return parent
