"""Write the documents that are made from the code: python -m docs.generator [FOLDER]"""

import sys
from pathlib import Path

from docs.generator.api_reference import api_reference_page
from docs.generator.configuration import configuration_page
from docs.generator.man_pages import man_pages


def write(root: Path) -> None:
    documents = {
        "configuration.md": configuration_page(),
        "api-reference.md": api_reference_page(),
        **{f"man/{name}": text for name, text in man_pages().items()},
    }
    for path, text in documents.items():
        file = root / "docs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
