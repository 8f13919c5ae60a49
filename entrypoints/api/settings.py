import re
from enum import StrEnum
from typing import Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator

from adapters.sql.engine import sql_url
from entrypoints.settings import Settings


class StoreKind(StrEnum):
    MEMORY = "memory"
    SQL = "sql"


class ApiSettings(Settings):
    database_url: SecretStr = Field(
        SecretStr("sqlite:///manmanv2.sqlite3"),
        validation_alias=AliasChoices("DATABASE_URL", "PG_DATABASE_URL"),
        description="memory://, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE;"
        " also read from PG_DATABASE_URL",
    )
    listen_address: str = Field(
        "127.0.0.1:50051",
        description="HOST:PORT to serve gRPC on; port 0 takes a free one",
    )
    api_workers: int = Field(1, ge=1, le=64, description="processes that share the port")
    registration_key: SecretStr | None = Field(
        None, description="what a host must show to join; without it everybody may join"
    )
    operator_key: SecretStr | None = Field(
        None,
        description="what an operator must send as a bearer token; without it operators' calls"
        " are answered on this machine only",
    )
    heartbeat_interval_seconds: int = Field(
        15, ge=1, le=3600, description="how often hosts beat; offline after three of them"
    )
    max_heartbeats_per_second: int = Field(
        2000, ge=1, description="a fleet that would beat faster is told a longer interval"
    )
    grpc_reflection: bool = Field(False, description="true lets clients list the API's methods")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() != "memory://":
            sql_url(url.get_secret_value())
        return url

    @field_validator("listen_address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s]+):(\d{1,5})", address)
        if not match or int(match[2]) > 65535:
            raise ValueError("must be HOST:PORT, as 127.0.0.1:50051")
        return address

    @model_validator(mode="after")
    def _one_process_in_memory(self) -> Self:
        if self.api_workers > 1 and self.store_kind is StoreKind.MEMORY:
            raise ValueError(
                "API_WORKERS: processes cannot share DATABASE_URL=memory://; set it to 1."
            )
        if self.api_workers > 1 and self.listen_address.endswith(":0"):
            raise ValueError("API_WORKERS: processes cannot share port 0; set LISTEN_ADDRESS.")
        return self

    @property
    def store_kind(self) -> StoreKind:
        in_memory = self.database_url.get_secret_value() == "memory://"
        return StoreKind.MEMORY if in_memory else StoreKind.SQL
