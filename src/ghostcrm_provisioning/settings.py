"""Every setting once: its environment variable, type, default and one sentence.

Settings are read from the environment when :func:`read_settings` is called (never at import) and
are frozen afterwards. ``docs/reference/settings.md`` is checked against this table by a test.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ghostcrm_provisioning.errors import InvalidSetting
from ghostcrm_provisioning.mail_server import MailServer, read_mail_server

_LARGEST_FILE_BYTES = 50 * 1024**2  # what Supabase Storage takes when nobody says more
_UNITS = {"KB": 1024, "MB": 1024**2, "GB": 1024**3}
_SIZE = re.compile(r"(?P<number>[1-9][0-9]{0,11})(?P<unit>KB|MB|GB)?")


class Settings(BaseSettings):
    """What an operator may set. Secrets are masked when printed."""

    model_config = SettingsConfigDict(
        env_prefix="GHOSTCRM_",
        frozen=True,
        extra="ignore",
        # A variable that is set to nothing (as a compose file does) is one that is not set.
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    home: Path = Field(
        default=Path(".ghostcrm"),
        description="Folder of the embedded PostgreSQL, the sealing keys and the logs.",
    )
    provider: Literal["postgres", "supabase"] = Field(
        default="postgres",
        description="Where new client databases are made: on PostgreSQL servers of yours (the embedded one "
        "among them), or as projects at Supabase. Those that are there stay where they are.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="Control database and first server, instead of the embedded PostgreSQL.",
    )
    embedded_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of the embedded PostgreSQL on 127.0.0.1; 0 picks a free one and keeps it.",
    )
    postgres_binaries: Path | None = Field(
        default=None,
        description="Folder with PostgreSQL's programs (initdb and postgres; psql, pg_dump and pg_restore) to use "
        "instead of those that come with us.",
    )
    exports: Path | None = Field(
        default=None,
        description="Folder of the exports of clients' data; not set: `exports` in GHOSTCRM_HOME. They hold "
        "everything that the clients have stored, and their users' password hashes.",
    )
    export_deadline_seconds: float = Field(
        default=3600.0, gt=0, description="How long the export of one client may take."
    )
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address on which API and dashboard listen; 0.0.0.0 or :: for all of this machine.",
    )
    port: int = Field(
        default=8787,
        ge=0,
        le=65535,
        description="Port of API and dashboard; 0 picks a free one.",
    )
    api_connections: int = Field(
        default=10,
        ge=1,
        le=200,
        description="Connections to the control database for requests, beside those of a worker in the "
        "same process.",
    )
    trusted_proxies: str | None = Field(
        default=None,
        description="Addresses or networks of the proxies in front, separated by spaces: only theirs is "
        "an X-Forwarded-For or X-Forwarded-Proto that counts.",
    )
    allowed_hosts: str | None = Field(
        default=None,
        description="Names under which API and dashboard may be called, separated by spaces; not set: "
        "any.",
    )
    existing_database_url: SecretStr | None = Field(
        default=None,
        description="For `ghostcrm provision`: the database that is there already and is to be the client's, so "
        "that its password need not stand on the command line.",
    )
    existing_database_key: SecretStr | None = Field(
        default=None,
        description="For `ghostcrm provision`: the service role key, or a secret key, of the Supabase project "
        "that it belongs to.",
    )
    existing_database_hosts: str | None = Field(
        default=None,
        description="Hosts, separated by spaces, whose databases an API caller with the scope admin may give "
        "for a client; `*.example.com` is every host below. Not set: none. The command line needs no such "
        "setting.",
    )
    cors_origins: str | None = Field(
        default=None,
        description="Origins whose pages may call the API from a browser, separated by spaces; not set: "
        "none.",
    )
    largest_request_bytes: int = Field(
        default=1_048_576, ge=1024, description="No request's body may be larger than this."
    )
    request_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long one request may take; waiting that was asked for, and streams, not counted.",
    )
    requests_per_minute: int = Field(
        default=1200,
        ge=0,
        description="Requests a minute for each token or account, in each process; 0 = no limit.",
    )
    requests_per_minute_and_address: int = Field(
        default=3000,
        ge=0,
        description="Requests a minute from one address, in each process; 0 = no limit.",
    )
    registrations_per_minute: int = Field(
        default=60,
        ge=0,
        description="Registrations a minute for each token at POST /api/registrations, in each process: each "
        "one makes a database, and that token lies in a web application; 0 = no limit.",
    )
    refusals_per_minute_and_address: int = Field(
        default=60,
        ge=0,
        description="Failed authentications a minute from one address, in each process, before the "
        "answer is to wait; 0 = no limit.",
    )
    blueprint: str = Field(
        default="ghostcrm",
        min_length=1,
        description="Blueprint of new clients: the name of a shipped one, or the path of a folder.",
    )
    max_attempts: int = Field(
        default=3, ge=1, le=20, description="How often a step is tried before its run fails."
    )
    retry_first_wait_seconds: float = Field(
        default=2.0, gt=0, description="Wait before the second attempt; doubles for each later one."
    )
    retry_longest_wait_seconds: float = Field(
        default=60.0, gt=0, description="No wait between two attempts is longer than this."
    )
    longest_told_to_wait_seconds: float = Field(
        default=900.0,
        gt=0,
        description="How long a step may be told to come back later before that counts as a failure.",
    )
    step_deadline_seconds: float = Field(
        default=120.0, gt=0, description="How long one attempt of one step may take."
    )
    lease_seconds: float = Field(
        default=6.0,
        ge=1,
        description="A worker that was silent for this long loses its work to another.",
    )
    max_worker_deaths: int = Field(
        default=5,
        ge=1,
        description="A run fails when so many workers have died in a row while they were at the same "
        "step of it.",
    )
    worker_concurrency: int = Field(
        default=8,
        ge=1,
        le=500,
        description="How many runs one worker carries out at the same time.",
    )
    concurrency_per_server: int = Field(
        default=4,
        ge=1,
        le=500,
        description="How many runs all workers together carry out on one server at the same time.",
    )
    pause_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Pause after each run before its place is given to the next one. With "
        "GHOSTCRM_CONCURRENCY_PER_SERVER=1 and 1 here: one at a time, one second apart.",
    )
    verify_sample: int = Field(
        default=20,
        ge=0,
        description="How many ready clients workers attack each night, the longest unverified first, to "
        "prove their isolation anew; 0 = none.",
    )
    verify_hour: int = Field(
        default=2,
        ge=0,
        le=23,
        description="From this hour (UTC) on. A night without a worker is made up for by the first one "
        "that comes on that day.",
    )
    verify_deadline_seconds: float = Field(
        default=600.0,
        gt=0,
        description="How long the full attack on one client may take, waiting for its turn included.",
    )
    notify_urls: SecretStr | None = Field(
        default=None,
        description="Apprise URLs, separated by spaces, that hear of every final failure.",
    )
    sealing_keys: SecretStr | None = Field(
        default=None,
        description="Sealing keys as `id:base64`, separated by spaces, newest first, instead of the "
        "key files in GHOSTCRM_HOME/keys (for several machines).",
    )
    keep_logs_days: int = Field(
        default=90,
        ge=0,
        description="Days after which a file of the log is deleted; 0 keeps all of them.",
    )
    admin_email: str = Field(
        default="admin@ghostcrm.internal",
        pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
        description="Email address of the first admin account, which `ghostcrm up` makes where there is "
        "none.",
    )
    session_idle_minutes: float = Field(
        default=30.0,
        gt=0,
        description="A session in the dashboard ends when it was not used for so long.",
    )
    session_longest_hours: float = Field(
        default=12.0,
        gt=0,
        description="A session in the dashboard ends after so long, used or not.",
    )
    supabase_url: str | None = Field(
        default=None,
        validation_alias="SUPABASE_URL",
        description="The main GhostCRM project: JWTs of those of its users who have an admin account here "
        "are accepted by the admin API.",
    )
    supabase_jwt_secret: SecretStr | None = Field(
        default=None,
        validation_alias="SUPABASE_JWT_SECRET",
        description="The main project's older JWT secret, if it still signs with that (HS256); its "
        "published keys need no setting.",
    )
    supabase_access_token: SecretStr | None = Field(
        default=None,
        validation_alias="SUPABASE_ACCESS_TOKEN",
        description="Access token of Supabase's Management API, for client databases that are projects "
        "there. It can do everything that its owner can.",
    )
    supabase_organization_slug: str | None = Field(
        default=None,
        validation_alias="SUPABASE_ORGANIZATION_SLUG",
        pattern=r"^[\w-]+$",
        description="The organization at Supabase in which projects are made: the last part of its "
        "address in the dashboard there.",
    )
    supabase_api_url: str = Field(
        default="https://api.supabase.com",
        validation_alias="SUPABASE_API_URL",
        description="Where the Management API is; another one for `ghostcrm platform`, for example.",
    )
    supabase_region: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]+$",
        description="Where new projects are placed: a region, such as eu-central-1, or a group of regions "
        "(americas, emea, apac) of which Supabase chooses one.",
    )
    supabase_regions: str | None = Field(
        default=None,
        description="Where new projects are placed, by plan, as `enterprise=eu-central-1 starter=emea`; those "
        "of a plan that is not named go to GHOSTCRM_SUPABASE_REGION.",
    )
    supabase_instance_sizes: str | None = Field(
        default=None,
        description="Instance size of new projects by plan, as `professional=small enterprise=large`; a "
        "plan that is not named gets the smallest size there is.",
    )
    supabase_ca_file: Path | None = Field(
        default=None,
        description="Certificates by which databases at Supabase are known (its dashboard offers the file); "
        "without it, connections are encrypted and it is not proven to whom.",
    )
    supabase_largest_files: str | None = Field(
        default=None,
        description="The largest file that a client may store, by plan, as `professional=500MB "
        "enterprise=5GB`; 50MB for a plan that is not named, and never more than the plan's storage. More than "
        "50MB needs a paid plan at Supabase.",
    )
    supabase_site_url: str | None = Field(
        default=None,
        description="Where the CRM is: what the links in Auth's mails lead to. Not set: projects keep what "
        "Supabase gives them, which leads to this machine's port 3000.",
    )
    supabase_redirect_urls: str | None = Field(
        default=None,
        description="Further addresses, separated by spaces, to which Auth may send somebody who has signed in; "
        "`*` stands for anything but `.` and `/`, `**` for anything. Not set: left as they are.",
    )
    supabase_allow_signups: bool = Field(
        default=False,
        description="Let anybody sign up at a client's project. Off, because a CRM's users are invited.",
    )
    supabase_password_min_length: int = Field(
        default=8,
        ge=6,
        le=72,
        description="The least number of characters of a password that a user of a project chooses.",
    )
    supabase_smtp_url: SecretStr | None = Field(
        default=None,
        description="Through which server projects send Auth's mails, as "
        "`smtp://user:password@smtp.example.com:587?from=crm@example.com&name=GhostCRM`; what is special in "
        "user and password percent-encoded, smtps:// for port 465. Not set: left as it is, which is Supabase's "
        "own server with its few mails an hour.",
    )
    supabase_allowed_networks: str | None = Field(
        default=None,
        description="From where databases at Supabase may be reached, as networks separated by spaces: "
        "`203.0.113.0/24 2001:db8::/32`. The workers' own addresses must be among them. Not set: left as it is; "
        "`0.0.0.0/0 ::/0` opens them again. The HTTP APIs are not restricted by it.",
    )
    supabase_request_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long one request to Supabase may take.",
    )
    debug_provisioning: bool = Field(
        default=False,
        validation_alias="DEBUG_PROVISIONING",
        description="Verbose log: every observation that a step makes.",
    )

    @field_validator("home", "postgres_binaries", "exports", "supabase_ca_file")
    @classmethod
    def absolute(cls, path: Path | None) -> Path | None:
        """A later change of the working directory must not move the data."""
        try:
            return None if path is None else path.expanduser().absolute()
        except RuntimeError:
            raise ValueError("begins with ~ and the name of somebody without a home") from None

    @field_validator("database_url")
    @classmethod
    def looks_like_a_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None or not url.get_secret_value().strip():
            return None
        if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        try:
            parts = conninfo_to_dict(url.get_secret_value())
        except psycopg.ProgrammingError:  # its text quotes the value
            parts = None
        if parts is None or any(
            "@" in str(parts.get(key, "")) for key in ("host", "port", "dbname")
        ):
            raise ValueError(
                "is not a connection URL; what is special in its password must be percent-encoded"
            )
        return url

    @field_validator("trusted_proxies")
    @classmethod
    def are_networks(cls, text: str | None) -> str | None:
        for part in (text or "").split():
            try:
                ip_network(part, strict=False)
            except ValueError:
                raise ValueError("must be addresses or networks, separated by spaces") from None
        return text

    @field_validator("cors_origins")
    @classmethod
    def are_origins(cls, text: str | None) -> str | None:
        for part in (text or "").split():
            if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?", part):
                raise ValueError(
                    "must be origins such as https://app.example.com, separated by spaces"
                )
        return text

    @field_validator("supabase_access_token")
    @classmethod
    def is_one_word(cls, token: SecretStr | None) -> SecretStr | None:
        """It is sent in a header."""
        if token is not None and not re.fullmatch(r"[!-~]+", token.get_secret_value().strip()):
            raise ValueError("must be one word, as Supabase has shown it")
        return None if token is None else SecretStr(token.get_secret_value().strip())

    @field_validator("supabase_instance_sizes", "supabase_regions", "supabase_largest_files")
    @classmethod
    def are_pairs_by_plan(cls, text: str | None, info: ValidationInfo) -> str | None:
        example, value = {
            "supabase_regions": ("enterprise=eu-central-1", r"[a-z0-9-]+"),
            "supabase_largest_files": ("enterprise=5GB", _SIZE.pattern),
        }.get(str(info.field_name), ("enterprise=large", r"[a-z0-9_]+"))
        plans: list[str] = []
        for part in (text or "").split():
            plan, _, given = part.partition("=")
            if not re.fullmatch(r"[a-z0-9_-]+", plan) or not re.fullmatch(value, given):
                raise ValueError(f"must be pairs such as {example}, separated by spaces")
            plans.append(plan)
        if len(set(plans)) < len(plans):
            raise ValueError("names a plan twice")
        return text

    @field_validator("supabase_site_url")
    @classmethod
    def is_a_page(cls, url: str | None) -> str | None:
        """Supabase separates addresses by commas."""
        if url is not None and not re.fullmatch(r"https?://[^\s,/@]+(?:/[^\s,]*)?", url.strip()):
            raise ValueError("must be an address such as https://crm.example.com, without a comma")
        return None if url is None else url.strip()

    @field_validator("supabase_redirect_urls")
    @classmethod
    def are_addresses(cls, text: str | None) -> str | None:
        for part in (text or "").split():
            # Applications on telephones have schemes of their own.
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s,@]+", part):
                raise ValueError(
                    "must be addresses such as https://crm.example.com/**, separated by spaces and without "
                    "commas"
                )
        return text

    @field_validator("supabase_smtp_url")
    @classmethod
    def is_a_mail_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            read_mail_server(url.get_secret_value())
        return url

    @field_validator("supabase_allowed_networks")
    @classmethod
    def are_exact_networks(cls, text: str | None) -> str | None:
        """With a bit too many set, one does not know which network is meant."""
        for part in (text or "").split():
            try:
                ip_network(part)
            except ValueError:
                raise ValueError(
                    "must be networks such as 203.0.113.0/24 or 2001:db8::/32, separated by spaces, with no "
                    "bit set behind the length"
                ) from None
        return text

    @field_validator("supabase_url", "supabase_api_url")
    @classmethod
    def is_a_project(cls, url: str | None) -> str | None:
        """Whoever answers in its place says who is an admin, or hears the access token: so not over an
        open network."""
        if url is None:
            return None
        try:
            parts = urlsplit(url.strip())
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("is not a URL") from None
        if parts.scheme not in {"https", "http"} or not host:
            raise ValueError("must start with https://")
        if parts.scheme == "http" and host not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError("must start with https:// (http:// is for this machine only)")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must be no more than the address")
        return url.strip().rstrip("/")

    @field_validator("supabase_jwt_secret")
    @classmethod
    def is_a_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value().encode()) < 32:
            raise ValueError("must have at least 32 bytes")
        return secret

    @property
    def logs(self) -> Path:
        """Where the log files are written."""
        return self.home / "logs" / "provisioning"

    def supabase_instance_size(self, plan: str) -> str | None:
        """The size of a new project of that plan; None is the smallest."""
        return _by_plan(self.supabase_instance_sizes).get(plan)

    def takes_databases_at(self, host: str) -> bool:
        """Whether an API caller may give a database at that host; never at a socket of this machine."""
        return any(
            host == named or (named.startswith("*.") and host.endswith(named[1:]))
            for named in (self.existing_database_hosts or "").lower().split()
        )

    def supabase_region_for(self, plan: str) -> str | None:
        """The region of a new project of that plan, or the group of regions; None where none is set."""
        return _by_plan(self.supabase_regions).get(plan, self.supabase_region)

    def supabase_largest_file(self, plan: str) -> int:
        """How many bytes a file of a client of that plan may have, whatever the plan's storage is."""
        given = _SIZE.fullmatch(_by_plan(self.supabase_largest_files).get(plan, ""))
        if given is None:
            return _LARGEST_FILE_BYTES
        return int(given["number"]) * _UNITS.get(given["unit"], 1)

    @property
    def supabase_mail_server(self) -> MailServer | None:
        """What the URL of the mail server says."""
        url = self.supabase_smtp_url
        return None if url is None else read_mail_server(url.get_secret_value())

    @property
    def exports_folder(self) -> Path:
        """Where exports of clients' data are written."""
        return self.exports or self.home / "exports"

    @property
    def keys(self) -> Path:
        """Where the sealing keys lie."""
        return self.home / "keys"


def _by_plan(text: str | None) -> dict[str, str]:
    return dict(part.split("=", 1) for part in (text or "").split())


def environment_variable(field: str) -> str:
    """The environment variable that sets ``field``."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"GHOSTCRM_{field.upper()}"


def read_settings() -> Settings:
    """The settings of this process, from its environment.

    Raises:
        InvalidSetting: naming the variable and what is wrong with it (never its value, which may be
            a secret).
    """
    try:
        return Settings()
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        variable = environment_variable(name) if name in Settings.model_fields else name
        raise InvalidSetting(
            f"{variable} cannot be used: {first['msg'].removeprefix('Value error, ')}."
        ) from None
