"""Every setting comes from its own variable, is checked, and never shows a secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from ghostcrm_provisioning.errors import InvalidSetting
from ghostcrm_provisioning.mail_server import MailServer
from ghostcrm_provisioning.settings import Settings, environment_variable, read_settings

HONOURED: dict[str, tuple[str, object]] = {
    "home": ("/srv/ghostcrm", Path("/srv/ghostcrm")),
    "provider": ("supabase", "supabase"),
    "database_url": ("postgresql://u:p@h:5433/d", "postgresql://u:p@h:5433/d"),
    "embedded_port": ("5999", 5999),
    "postgres_binaries": ("/usr/lib/postgresql/17/bin", Path("/usr/lib/postgresql/17/bin")),
    "exports": ("/srv/exports", Path("/srv/exports")),
    "export_deadline_seconds": ("60", 60.0),
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("9000", 9000),
    "api_connections": ("20", 20),
    "trusted_proxies": ("10.0.0.0/8 ::1", "10.0.0.0/8 ::1"),
    "existing_database_url": ("postgresql://u:p@h/d", "postgresql://u:p@h/d"),
    "existing_database_key": ("sb_secret_1", "sb_secret_1"),
    "existing_database_hosts": ("*.supabase.co db.example", "*.supabase.co db.example"),
    "allowed_hosts": ("crm.example.com", "crm.example.com"),
    "cors_origins": ("https://app.example.com", "https://app.example.com"),
    "largest_request_bytes": ("4096", 4096),
    "request_seconds": ("5", 5.0),
    "requests_per_minute": ("0", 0),
    "requests_per_minute_and_address": ("0", 0),
    "registrations_per_minute": ("5", 5),
    "refusals_per_minute_and_address": ("0", 0),
    "blueprint": ("./mine", "./mine"),
    "max_attempts": ("5", 5),
    "retry_first_wait_seconds": ("0.5", 0.5),
    "retry_longest_wait_seconds": ("10", 10.0),
    "longest_told_to_wait_seconds": ("60", 60.0),
    "step_deadline_seconds": ("30", 30.0),
    "lease_seconds": ("2", 2.0),
    "max_worker_deaths": ("2", 2),
    "worker_concurrency": ("3", 3),
    "concurrency_per_server": ("1", 1),
    "pause_seconds": ("1", 1.0),
    "verify_sample": ("0", 0),
    "verify_hour": ("23", 23),
    "verify_deadline_seconds": ("60", 60.0),
    "notify_urls": ("json://u:p@h mailto://x", "json://u:p@h mailto://x"),
    "sealing_keys": ("id:a2V5", "id:a2V5"),
    "keep_logs_days": ("7", 7),
    "admin_email": ("olga@example.com", "olga@example.com"),
    "session_idle_minutes": ("10", 10.0),
    "session_longest_hours": ("8", 8.0),
    "supabase_url": ("https://abc.supabase.co/", "https://abc.supabase.co"),
    "supabase_jwt_secret": ("s" * 32, "s" * 32),
    "supabase_access_token": ("sbp_" + "0" * 40, "sbp_" + "0" * 40),
    "supabase_organization_slug": ("acme", "acme"),
    "supabase_api_url": ("http://127.0.0.1:8789/", "http://127.0.0.1:8789"),
    "supabase_region": ("emea", "emea"),
    "supabase_regions": ("enterprise=eu-central-1 x=emea", "enterprise=eu-central-1 x=emea"),
    "supabase_instance_sizes": ("enterprise=large", "enterprise=large"),
    "supabase_ca_file": ("/etc/supabase.crt", Path("/etc/supabase.crt")),
    "supabase_largest_files": ("enterprise=5GB", "enterprise=5GB"),
    "supabase_site_url": ("https://crm.example.com", "https://crm.example.com"),
    "supabase_redirect_urls": (
        "https://*.example.com/** crm://x",
        "https://*.example.com/** crm://x",
    ),
    "supabase_allow_signups": ("true", True),
    "supabase_password_min_length": ("12", 12),
    "supabase_smtp_url": (
        "smtp://u:p%40ss@smtp.example.com?from=crm@example.com",
        "smtp://u:p%40ss@smtp.example.com?from=crm@example.com",
    ),
    "supabase_allowed_networks": ("203.0.113.0/24 ::1", "203.0.113.0/24 ::1"),
    "supabase_request_seconds": ("5", 5.0),
    "debug_provisioning": ("true", True),
}
DEFAULTS: dict[str, object] = {
    "provider": "postgres",
    "database_url": None,
    "embedded_port": 0,
    "postgres_binaries": None,
    "exports": None,
    "export_deadline_seconds": 3600.0,
    "host": "127.0.0.1",
    "port": 8787,
    "api_connections": 10,
    "trusted_proxies": None,
    "existing_database_url": None,
    "existing_database_key": None,
    "existing_database_hosts": None,
    "allowed_hosts": None,
    "cors_origins": None,
    "largest_request_bytes": 1_048_576,
    "request_seconds": 30.0,
    "requests_per_minute": 1200,
    "requests_per_minute_and_address": 3000,
    "registrations_per_minute": 60,
    "refusals_per_minute_and_address": 60,
    "blueprint": "ghostcrm",
    "max_attempts": 3,
    "retry_first_wait_seconds": 2.0,
    "retry_longest_wait_seconds": 60.0,
    "longest_told_to_wait_seconds": 900.0,
    "step_deadline_seconds": 120.0,
    "lease_seconds": 6.0,
    "max_worker_deaths": 5,
    "worker_concurrency": 8,
    "concurrency_per_server": 4,
    "pause_seconds": 0.0,
    "verify_sample": 20,
    "verify_hour": 2,
    "verify_deadline_seconds": 600.0,
    "notify_urls": None,
    "sealing_keys": None,
    "keep_logs_days": 90,
    "admin_email": "admin@ghostcrm.internal",
    "session_idle_minutes": 30.0,
    "session_longest_hours": 12.0,
    "supabase_url": None,
    "supabase_jwt_secret": None,
    "supabase_access_token": None,
    "supabase_organization_slug": None,
    "supabase_api_url": "https://api.supabase.com",
    "supabase_region": None,
    "supabase_regions": None,
    "supabase_instance_sizes": None,
    "supabase_ca_file": None,
    "supabase_largest_files": None,
    "supabase_site_url": None,
    "supabase_redirect_urls": None,
    "supabase_allow_signups": False,
    "supabase_password_min_length": 8,
    "supabase_smtp_url": None,
    "supabase_allowed_networks": None,
    "supabase_request_seconds": 30.0,
    "debug_provisioning": False,
}


def plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def refusal(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> InvalidSetting:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSetting) as refused:
        read_settings()
    assert variable in refused.value.message
    return refused.value


@pytest.mark.parametrize("field", HONOURED)
def test_each_variable_is_honoured(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, expected = HONOURED[field]
    monkeypatch.setenv(environment_variable(field), text)
    assert plain(getattr(read_settings(), field)) == expected


def test_no_setting_is_forgotten_by_these_tests() -> None:
    assert set(HONOURED) >= set(Settings.model_fields) >= set(DEFAULTS) | {"home"}


def test_without_variables_the_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = read_settings()
    assert {field: plain(getattr(settings, field)) for field in DEFAULTS} == DEFAULTS
    assert settings.home == tmp_path / ".ghostcrm"
    assert settings.logs == tmp_path / ".ghostcrm" / "logs" / "provisioning"
    assert settings.keys == tmp_path / ".ghostcrm" / "keys"


@pytest.mark.parametrize("field", HONOURED)
def test_a_variable_that_is_set_to_nothing_is_not_set(
    field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(environment_variable(field), "")
    assert read_settings() == Settings()
    assert read_settings().home == tmp_path / ".ghostcrm"


def test_each_setting_has_its_variable_and_its_sentence() -> None:
    for field, info in Settings.model_fields.items():
        assert info.description
        assert info.description.endswith(".")
        assert environment_variable(field) == environment_variable(field).upper()
    assert environment_variable("debug_provisioning") == "DEBUG_PROVISIONING"
    assert environment_variable("home") == "GHOSTCRM_HOME"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GHOSTCRM_PROVIDER", "hunter2"),
        ("GHOSTCRM_EMBEDDED_PORT", "hunter2"),
        ("GHOSTCRM_EMBEDDED_PORT", "-17"),
        ("GHOSTCRM_EMBEDDED_PORT", "65999"),
        ("GHOSTCRM_EMBEDDED_PORT", "54.32"),
        ("GHOSTCRM_MAX_ATTEMPTS", "-77"),
        ("GHOSTCRM_ADMIN_EMAIL", "hunter2"),
        ("GHOSTCRM_SESSION_IDLE_MINUTES", "-77"),
        ("SUPABASE_URL", "hunter2"),
        ("SUPABASE_URL", "http://hunter2.supabase.co"),
        ("SUPABASE_URL", "https://u:hunter2@abc.supabase.co"),
        ("SUPABASE_URL", "https://abc.supabase.co:hunter2"),
        ("SUPABASE_URL", "https://[hunter2"),
        ("SUPABASE_JWT_SECRET", "hunter2"),
        ("SUPABASE_ACCESS_TOKEN", "hunter2 and more"),
        ("SUPABASE_ORGANIZATION_SLUG", "hunter2/x"),
        ("SUPABASE_API_URL", "http://hunter2.example.com"),
        ("SUPABASE_API_URL", "https://u:hunter2@api.example.com"),
        ("GHOSTCRM_SUPABASE_REGION", "HUNTER2"),
        ("GHOSTCRM_SUPABASE_INSTANCE_SIZES", "hunter2"),
        ("GHOSTCRM_SUPABASE_INSTANCE_SIZES", "hunter2=large hunter2=small"),
        ("GHOSTCRM_SUPABASE_REGIONS", "enterprise=HUNTER2"),
        ("GHOSTCRM_SUPABASE_LARGEST_FILES", "hunter2=much"),
        ("GHOSTCRM_SUPABASE_LARGEST_FILES", "hunter2=0MB"),
        ("GHOSTCRM_SUPABASE_SITE_URL", "hunter2.example.com"),
        ("GHOSTCRM_SUPABASE_SITE_URL", "https://hunter2.example.com,https://b.example.com"),
        ("GHOSTCRM_SUPABASE_SITE_URL", "https://u:hunter2@crm.example.com"),
        ("GHOSTCRM_SUPABASE_REDIRECT_URLS", "https://a.example.com hunter2"),
        ("GHOSTCRM_SUPABASE_REDIRECT_URLS", "https://a.example.com,https://hunter2.example.com"),
        ("GHOSTCRM_SUPABASE_ALLOW_SIGNUPS", "hunter2"),
        ("GHOSTCRM_SUPABASE_PASSWORD_MIN_LENGTH", "-77"),
        ("GHOSTCRM_SUPABASE_ALLOWED_NETWORKS", "hunter2"),
        ("GHOSTCRM_SUPABASE_ALLOWED_NETWORKS", "203.0.113.77/24"),
        ("GHOSTCRM_SUPABASE_ALLOWED_NETWORKS", "203.0.113.0/24,198.51.100.0/24"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "hunter2"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "https://u:hunter2@smtp.example.com?from=a@example.com"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "smtp://u@smtp.example.com?from=hunter2@example.com"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "smtp://u:hunter2@smtp.example.com"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "smtp://u:hunter2@smtp.example.com?from=nobody"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "smtp://u:hunter2@smtp.example.com:465?from=a@example.com"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "smtps://u:hunter2@smtp.example.com:587?from=a@example.com"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "smtp://u:a?hunter2=b@smtp.example.com?from=a@example.com"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "smtp://u:a/hunter2@smtp.example.com?from=a@example.com"),
        (
            "GHOSTCRM_SUPABASE_SMTP_URL",
            "smtp://u:hunter2@smtp.example.com:77777?from=a@example.com",
        ),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "smtp://u:%00hunter2@smtp.example.com?from=a@example.com"),
        ("GHOSTCRM_SUPABASE_SMTP_URL", "smtp://u:p@h.example.com?from=a@example.com&hunter2=1"),
        ("GHOSTCRM_SUPABASE_REQUEST_SECONDS", "-77"),
        ("GHOSTCRM_MAX_ATTEMPTS", "2177"),
        ("GHOSTCRM_RETRY_FIRST_WAIT_SECONDS", "-77"),
        ("GHOSTCRM_RETRY_FIRST_WAIT_SECONDS", "nan"),
        ("GHOSTCRM_RETRY_LONGEST_WAIT_SECONDS", "infinity"),
        ("GHOSTCRM_LONGEST_TOLD_TO_WAIT_SECONDS", "-0.0"),
        ("GHOSTCRM_STEP_DEADLINE_SECONDS", "77 seconds"),
        ("GHOSTCRM_LEASE_SECONDS", "0.77"),
        ("GHOSTCRM_LEASE_SECONDS", "1e999"),
        ("GHOSTCRM_WORKER_CONCURRENCY", "-77"),
        ("GHOSTCRM_WORKER_CONCURRENCY", "77777"),
        ("GHOSTCRM_CONCURRENCY_PER_SERVER", "-77"),
        ("GHOSTCRM_PAUSE_SECONDS", "-77"),
        ("GHOSTCRM_VERIFY_SAMPLE", "-77"),
        ("GHOSTCRM_VERIFY_HOUR", "2477"),
        ("GHOSTCRM_VERIFY_DEADLINE_SECONDS", "-77"),
        ("DEBUG_PROVISIONING", "perhaps77"),
        ("GHOSTCRM_HOME", "~nobody-of-that-name/x"),
        ("GHOSTCRM_POSTGRES_BINARIES", "~nobody-of-that-name/x"),
        ("GHOSTCRM_DATABASE_URL", "hunter2"),
        ("GHOSTCRM_DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("GHOSTCRM_DATABASE_URL", "host=h password=hunter2"),
        ("GHOSTCRM_DATABASE_URL", "postgresql://u:hunter2@[h/d"),
        ("GHOSTCRM_DATABASE_URL", "postgresql://u:hunter2%zz@h/d"),
        ("GHOSTCRM_DATABASE_URL", "postgresql://u:x@hunter2@h/d"),
        ("GHOSTCRM_DATABASE_URL", "postgresql://u:x/hunter2@h/d"),
        ("GHOSTCRM_DATABASE_URL", "postgresql://u:x@h/d?hunter2=1"),
    ],
)
def test_a_value_that_cannot_be_used_names_the_variable_and_never_the_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = refusal(monkeypatch, variable, value)
    shown = json.dumps(refused.as_record(), ensure_ascii=False)
    assert value not in shown
    assert "hunter2" not in shown
    assert refused.code == "invalid_setting"
    assert refused.exit_code == 2
    assert refused.__suppress_context__  # a traceback would show the value


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h",
        "postgres://u:p@h/d",
        "postgresql://u:p%40ss%2Fword@h:5432/d?sslmode=require",
        "postgresql:///d?host=/var/run/postgresql&user=u",
        "postgresql://u:p@[::1]:5432/d",
        "postgresql://u:p@one,two:5433/d?target_session_attrs=read-write",
    ],
)
def test_any_url_that_libpq_takes_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHOSTCRM_DATABASE_URL", url)
    assert plain(read_settings().database_url) == url


@pytest.mark.parametrize(
    ("text", "verbose"),
    [("true", True), ("1", True), ("TRUE", True), ("false", False), ("0", False)],
)
def test_debug_provisioning_is_the_specifications_own_variable(
    text: str, verbose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBUG_PROVISIONING", text)
    assert read_settings().debug_provisioning is verbose


def test_folders_do_not_move_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GHOSTCRM_HOME", "data/home")
    monkeypatch.setenv("GHOSTCRM_POSTGRES_BINARIES", "../bin")
    settings = read_settings()
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / "data" / "home"
    assert settings.postgres_binaries is not None
    assert settings.postgres_binaries.is_absolute()


def test_a_home_under_the_users_own_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GHOSTCRM_HOME", "~/ghostcrm")
    assert read_settings().home == tmp_path / "ghostcrm"


def test_secrets_are_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHOSTCRM_DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("GHOSTCRM_NOTIFY_URLS", "json://u:hunter2@h")
    monkeypatch.setenv("GHOSTCRM_SEALING_KEYS", "hunter2:a2V5")
    monkeypatch.setenv(
        "GHOSTCRM_SUPABASE_SMTP_URL", "smtp://u:hunter2@smtp.example.com?from=a@example.com"
    )
    settings = read_settings()
    assert settings.supabase_mail_server is not None
    assert settings.supabase_mail_server.password == "hunter2"
    assert "hunter2" not in repr(settings.supabase_mail_server)
    shown = [repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()]
    assert not any("hunter2" in text for text in shown)


def test_settings_are_read_when_asked_for_and_frozen_then(monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_settings()
    monkeypatch.setenv("GHOSTCRM_MAX_ATTEMPTS", "9")
    assert before.max_attempts == 3
    assert read_settings().max_attempts == 9
    with pytest.raises(ValidationError, match="frozen"):
        before.max_attempts = 7


def test_variables_that_are_not_ours_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHOSTCRM_UNHEARD_OF", "x")
    monkeypatch.setenv("HOME_SWEET_HOME", "x")
    read_settings()


def test_a_mail_server_is_read_from_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "GHOSTCRM_SUPABASE_SMTP_URL",
        "smtps://apikey%40x:p%3A%2Fw%20d@smtp.example.com?from=crm@example.com&name=Ghost%20CRM",
    )
    assert read_settings().supabase_mail_server == MailServer(
        "smtp.example.com", 465, "apikey@x", "p:/w d", "crm@example.com", "Ghost CRM"
    )
    monkeypatch.delenv("GHOSTCRM_SUPABASE_SMTP_URL")
    assert read_settings().supabase_mail_server is None


def test_what_is_set_by_plan_holds_for_that_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHOSTCRM_SUPABASE_REGION", "emea")
    monkeypatch.setenv("GHOSTCRM_SUPABASE_REGIONS", "enterprise=eu-central-1 starter=apac")
    monkeypatch.setenv("GHOSTCRM_SUPABASE_LARGEST_FILES", "enterprise=5GB professional=1000 x=2KB")
    settings = read_settings()
    regions = [settings.supabase_region_for(plan) for plan in ("enterprise", "starter", "other")]
    assert regions == ["eu-central-1", "apac", "emea"]
    sizes = [
        settings.supabase_largest_file(plan)
        for plan in ("enterprise", "professional", "x", "other")
    ]
    assert sizes == [5 * 1024**3, 1000, 2048, 50 * 1024**2]
    monkeypatch.delenv("GHOSTCRM_SUPABASE_REGION")
    assert read_settings().supabase_region_for("other") is None
