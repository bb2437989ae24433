"""Everything that can be set, read once from the environment, frozen, and passed down."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from schemas.errors import Invalid
from topics.catalogue import Topic

Role = Literal["owner", "api", "chat", "documents", "views"]


class Limits(BaseModel):
    """The numbers, decided once; each can be set, e.g. TURNLOG_LIMITS__QUESTION_CHARACTERS=1000."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inline_bytes: int = 256 * 1024
    record_bytes: int = 2 * 1024 * 1024
    question_characters: int = 32_000
    body_bytes: int = 8 * 1024 * 1024
    body_depth: int = 32
    upload_bytes: int = 1024 * 1024 * 1024
    turn_deadline_seconds: float = 3600
    wait_for_server_seconds: float = 15 * 60
    between_pieces_seconds: float = 60
    tries: int = 10
    held_events: int = 1024
    running_answers: int = 32
    running_answers_remote: int = 256
    turns_in_flight: int = 8
    turns_in_flight_service: int = 1000
    requests_per_minute: int = 600
    requests_per_minute_service: int = 60_000
    ended_answers_seconds: float = 60
    ended_answers_bytes: int = 64 * 1024 * 1024
    coalesce_seconds: float = 0.025
    views_wait_seconds: float = 0.15
    consumer_session_seconds: float = 10
    stalled_seconds: float = 60
    history_tokens: int = 2000
    passages_tokens: int = 1500
    passages: int = 8
    passages_fetched: int = 3
    readable_collections: int = 4096
    refresh_interval: str = "200ms"
    drain_seconds: float = 10
    dead_letters_in_a_row: int = 20
    request_unknown_seconds: float = 10
    request_pending_seconds: float = 5
    request_kept_hours: float = 24
    read_your_writes_seconds: float = 2
    reader_gone_seconds: float = 5
    embed_requests_ingest: int = 2
    running_documents: int = 24
    parse_seconds: float = 60
    parse_memory_bytes: int = 1024 * 1024 * 1024
    parsed_cache_bytes: int = 256 * 1024 * 1024
    document_characters: int = 20_000_000
    wait_searchable_seconds: float = 30
    search_passages: int = 100
    search_depth: int = 300
    sweep_seconds: float = 10
    leftover_grace_seconds: float = 30
    reconcile_seconds: float = 3600
    object_grace_seconds: float = 3600


class Oidc(BaseModel):
    """An OpenID Connect issuer whose tokens are let in, e.g. TURNLOG_OIDC__ISSUER=https://id.example.org."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(default="", description="`iss` of its tokens, exactly; empty: API keys only")
    audience: str = Field(default="", description="what `aud` of a token must name: this installation, to the issuer")
    algorithm: Literal[
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
    ] = "RS256"  # fmt: skip
    user_claim: str = Field(default="sub", description="the claim that becomes the user id, such as preferred_username")
    groups_claim: str = Field(default="groups", description="the claim with a list of group names")
    scopes: str = Field(default="chat,search,publish", description="what a token may do: chat, search, publish")
    admin_group: str = Field(default="", description="whose members may administer, too; empty: no token may")
    leeway_seconds: float = Field(default=30, ge=0, le=300, description="how far clocks may be apart")
    timeout_seconds: float = 5
    keys_fresh_seconds: float = Field(default=300, description="after this the issuer's keys are asked for again")
    keys_forgotten_seconds: float = Field(default=86400, description="how long they do while the issuer is away")
    keys_again_seconds: float = Field(default=5, description="the least time between two such requests")


class Settings(BaseSettings):
    """Where the servers are, with which secrets, and the limits. Names in the environment: TURNLOG_ and the field."""

    model_config = SettingsConfigDict(env_prefix="TURNLOG_", env_nested_delimiter="__", frozen=True, extra="ignore")

    namespace: str = Field(
        default="", pattern=r"^([a-z0-9][a-z0-9-]*-)?$", description="prefix of topics, groups, indexes; ends in '-'"
    )
    data: Path = Field(default=Path(".turnlog"), description="folder for objects and what is kept on disk")
    kafka_bootstrap: str = "127.0.0.1:19092"
    opensearch_url: str = "http://127.0.0.1:19200"
    registry_url: str = "http://127.0.0.1:19081/apis/ccompat/v7"
    triton_grpc: str = "127.0.0.1:19001"
    triton_http: str = "http://127.0.0.1:19000"
    objects_url: str = Field(
        default="", description="file:///folder or s3://bucket; empty: the folder objects below `data`"
    )
    postgres_host: str = "127.0.0.1"
    postgres_port: int = 19432
    postgres_database: str = "turnlog"
    postgres_superuser: str = "postgres"
    postgres_superuser_password: SecretStr = SecretStr("")
    postgres_password_owner: SecretStr = SecretStr("")
    postgres_password_api: SecretStr = SecretStr("")
    postgres_password_chat: SecretStr = SecretStr("")
    postgres_password_documents: SecretStr = SecretStr("")
    postgres_password_views: SecretStr = SecretStr("")
    models_file: Path = Path("models.yaml")
    embedder_tokenizer: Path = Field(
        default=Path(".turnlog/tokenizer.json"), description="tokenizer.json of the embedder"
    )
    inboxes_file: Path = Path("inboxes.yaml")
    api_host: str = "127.0.0.1"
    api_port: int = 8080
    api_hosts: str = Field(default="", description="names that the API answers to, comma-separated; empty: any")
    api_cors_origins: str = Field(
        default="", description="sites whose pages may call the API (https://chat.example.org), comma-separated"
    )
    api_tls_certificate: Path | None = Field(default=None, description="PEM chain; with api_tls_key the API speaks TLS")
    api_tls_key: Path | None = None
    oidc: Oidc = Oidc()
    health_host: str = "127.0.0.1"
    health_port: int = Field(default=0, description="/live, /ready and /metrics of a worker; 0: none")
    instance: str = Field(
        default="", description="static member id of a worker that is restarted in place; empty: dynamic"
    )
    limits: Limits = Limits()

    def kafka_name(self, topic: Topic | str) -> str:
        """The topic's name on the broker."""
        return self.namespace + (topic if isinstance(topic, str) else topic.name)

    def plain_name(self, name: str) -> str:
        """A broker's topic name without the installation's prefix."""
        return name.removeprefix(self.namespace)

    def postgres_password(self, role: Role) -> SecretStr:
        """The password of a role."""
        found: SecretStr = getattr(self, f"postgres_password_{role}")
        return found

    def folder(self, name: str) -> Path:
        """A folder of ours below `data`, made when missing."""
        path = self.data / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def read_settings() -> Settings:
    """From the environment; raises Invalid that names the variables that cannot be meant, and no value: one is secret.

    A whole group as JSON (TURNLOG_LIMITS={...}) is named by its field.
    """
    try:
        return Settings()
    except ValidationError as exc:
        wrong = [("__".join(map(str, error["loc"])).upper(), error["msg"]) for error in exc.errors()]
        raise Invalid("; ".join(f"TURNLOG_{name}: {why}" for name, why in wrong)) from None
    except SettingsError as exc:
        raise Invalid(f"{exc}") from None
