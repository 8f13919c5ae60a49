from typing import Protocol


class NewSerial(Protocol):
    def __call__(self) -> str:
        """Ten random letters and digits. They are not secret."""
        ...
