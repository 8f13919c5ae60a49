"""Why a command ends with another exit code than 0 (the codes are those of sysexits.h)."""

import os


class CommandFailed(Exception):
    """The command cannot go on. The message is one sentence that says what to do."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class ConfigurationError(CommandFailed):
    """A setting is wrong. The message names the variable and says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, os.EX_CONFIG)
