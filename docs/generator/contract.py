"""The wire contract as the .proto file declares it, with its comments."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    SourceCodeInfo,
)

_ROOT = Path(__file__).parents[2]
_FILE = "protos/manman/v1/manman.proto"

# Field numbers in the paths of SourceCodeInfo, see descriptor.proto.
_MESSAGE, _SERVICE = 4, 6
_MEMBER = 2


@dataclass(frozen=True)
class Field:
    number: int
    name: str
    # As in the .proto file, without the package: `int64`, `Server` or `map<string, string>`.
    type: str
    repeated: bool
    comment: str


@dataclass(frozen=True)
class Message:
    name: str
    comment: str
    fields: Sequence[Field]


@dataclass(frozen=True)
class Method:
    name: str
    comment: str
    request: str
    response: str


@dataclass(frozen=True)
class Contract:
    service: str
    methods: Sequence[Method]
    messages: dict[str, Message]


def read_contract() -> Contract:
    file = _compiled()
    comments = {tuple(place.path): _comment(place) for place in file.source_code_info.location}
    [service] = file.service
    methods = [
        Method(
            method.name,
            comments.get((_SERVICE, 0, _MEMBER, index), ""),
            _own_name(method.input_type),
            _own_name(method.output_type),
        )
        for index, method in enumerate(service.method)
    ]
    messages = {
        message.name: Message(
            message.name,
            comments.get((_MESSAGE, index), ""),
            list(_fields(message, index, comments)),
        )
        for index, message in enumerate(file.message_type)
    }
    return Contract(f"{file.package}.{service.name}", methods, messages)


def _compiled() -> FileDescriptorProto:
    with tempfile.NamedTemporaryFile() as described:
        subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={_ROOT}", _FILE),
                *("--include_source_info", f"--descriptor_set_out={described.name}"),
            ],
            check=True,
        )
        [file] = FileDescriptorSet.FromString(described.read()).file
    return file


def _fields(
    message: DescriptorProto, index: int, comments: dict[tuple[int, ...], str]
) -> Iterator[Field]:
    map_types = {
        nested.name: f"map<{', '.join(map(_type, nested.field))}>"
        for nested in message.nested_type
        if nested.options.map_entry
    }
    for place, field in enumerate(message.field):
        map_type = map_types.get(_own_name(field.type_name))
        yield Field(
            field.number,
            field.name,
            map_type or _type(field),
            field.label == FieldDescriptorProto.LABEL_REPEATED and not map_type,
            comments.get((_MESSAGE, index, _MEMBER, place), ""),
        )


def _type(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _own_name(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _own_name(full_name: str) -> str:
    return full_name.rpartition(".")[2]


def _comment(place: SourceCodeInfo.Location) -> str:
    text = place.leading_comments or place.trailing_comments
    return " ".join(text.split())
