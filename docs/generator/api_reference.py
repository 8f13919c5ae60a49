from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path

from adapters.grpc.server.error_codes import UNKNOWN_ERROR, WIRE_ERRORS, WireError
from adapters.grpc.server.permissions import PERMISSIONS
from docs.generator.contract import Contract, Field, Message, Method, read_contract
from docs.generator.markdown import page, table

_FIELD_COLUMNS = ("number", "field", "type", "meaning")


def api_reference_page() -> str:
    contract = read_contract()
    of_hosts = [method for method in contract.methods if PERMISSIONS[method.name].is_for_hosts]
    of_operators = [method for method in contract.methods if method not in of_hosts]
    own = {name for method in contract.methods for name in (method.request, method.response)}
    shared = {name: message for name, message in contract.messages.items() if name not in own}
    return page(
        Path(__file__).with_name("api-reference.md").read_text(),
        "## Calls by hosts",
        *(_method(contract, method) for method in of_hosts),
        "## Calls by operators",
        *(_method(contract, method) for method in of_operators),
        "## Other messages",
        *(
            page(f"### {name}", message.comment, _fields(message))
            for name, message in shared.items()
        ),
        "## Reasons of errors",
        table(("code", "reason", "metadata", "when"), sorted(_errors())),
    )


def _method(contract: Contract, method: Method) -> str:
    request, response = contract.messages[method.request], contract.messages[method.response]
    return page(
        f"### {method.name}",
        method.comment,
        f"Needs the role `{role}`." if (role := PERMISSIONS[method.name].role) else "",
        _with_heading(f"Request `{request.name}`", request),
        _with_heading(f"Response `{response.name}`", response),
    )


def _with_heading(heading: str, message: Message) -> str:
    if not message.fields:
        return f"{heading}: no fields."
    return page(f"{heading}:", message.comment, _fields(message))


def _fields(message: Message) -> str:
    rows = [
        (str(field.number), f"`{field.name}`", _type(field), field.comment)
        for field in message.fields
    ]
    return table(_FIELD_COLUMNS, rows)


def _type(field: Field) -> str:
    # The names of scalar types have no capitals.
    name = field.type if field.type.islower() else f"[{field.type}](#{field.type.lower()})"
    return f"repeated {name}" if field.repeated else name


def _errors() -> Iterator[tuple[str, str, str, str]]:
    for error, wire_error in WIRE_ERRORS.items():
        first_sentence = " ".join((getdoc(error) or "").split()).partition(". ")[0]
        yield _error(wire_error, f"{first_sentence.removesuffix('.')}.")
    yield _error(UNKNOWN_ERROR, "Any other error; the API's log has the cause.")


def _error(wire_error: WireError, when: str) -> tuple[str, str, str, str]:
    metadata = ", ".join(f"`{name}`" for name in wire_error.attributes)
    return f"`{wire_error.code.name}`", f"`{wire_error.reason}`", metadata, when
