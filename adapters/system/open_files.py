import resource


def allow_open_files(wanted: int) -> int:
    """Let this process have so many files and connections open, where it may raise its own limit
    that far; returns how many it may have."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == resource.RLIM_INFINITY or now >= wanted:
        return wanted
    allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    return allowed
