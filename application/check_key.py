"""What a shared key looks like when something went wrong on its way into the settings."""

# Blanks come from a shell or an editor, quotes from files whose reader does not take them off.
_WRAPPING = " \t\r\n\"'"


def unwrapped(key: str) -> str:
    return key.strip(_WRAPPING)
