"""What can go wrong, in the words of the domain: errors that carry data and read as sentences."""


class ManManError(Exception):
    """Base of every error that a caller may be told about."""


class InvalidField(ManManError):
    """A field of a request is against the rules.

    `field` is its path in the wire contract, as `capabilities.cpu_cores`.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class InvalidRegistrationKey(ManManError):
    """The registration key is missing or another one than the configured."""

    def __init__(self) -> None:
        super().__init__("invalid registration key")


class ServerNotFound(ManManError):
    """No server has this id."""

    def __init__(self, server_id: int) -> None:
        super().__init__(f"server {server_id} does not exist")
        self.server_id = server_id


class ServerNameTaken(ManManError):
    """Another server has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"a server named {name!r} exists already")
        self.name = name


class ConfigurationNotFound(ManManError):
    """The server has no document of this name."""

    def __init__(self, server_id: int, name: str) -> None:
        super().__init__(f"server {server_id} has no configuration named {name!r}")
        self.server_id = server_id
        self.name = name
