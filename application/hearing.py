from dataclasses import dataclass


@dataclass
class Hearing:
    """Whether this API could write every heartbeat that it heard since it last looked.

    One that could not be written is one that was not heard: its host must not be called silent.
    """

    impaired: bool = False
