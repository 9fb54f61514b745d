"""Every error this system raises on purpose, and what the person who reads it does next.

```
GhostcrmError
├── InvalidInput               the caller's input; nothing was created           exit 2, HTTP 422
│   ├── InvalidCompanyName
│   ├── InvalidEmail
│   ├── InvalidPassword
│   ├── InvalidIdentifier
│   ├── UnknownPlan
│   ├── InvalidDatabaseUrl
│   ├── DatabaseUrlMissing
│   ├── NotConfirmed
│   ├── IdempotencyKeyMismatch
│   ├── MalformedRequest         of a request over HTTP                           HTTP 400
│   └── InvalidQuery             of a request over HTTP                           HTTP 400
│       ├── UnknownParameter
│       ├── InvalidCursor
│       └── CursorMismatch
├── NotFound                   no such client, run, server …                     exit 3, HTTP 404
├── Conflict                   it contradicts what is already there              exit 5, HTTP 409
│   ├── ClientIdInUse
│   ├── AlreadyRegistered
│   ├── IdempotencyKeyReused
│   ├── RequestStillRunning
│   ├── ClientNotReady
│   ├── PlanDoesNotFit
│   ├── DatabaseClosed
│   ├── ClientQuarantined
│   ├── ClientSuspended
│   ├── ClientDeleted
│   └── LastAdmin
├── NotAuthenticated           we do not know who is asking                      exit 4, HTTP 401
│   └── AccountLocked          … nor look at what is sent, for a while           exit 4, HTTP 429
├── NotPermitted               whoever asks may not do this                      exit 4, HTTP 403
│   └── ForgedForm
├── TooManyStreams             as many as one may have are open                  HTTP 429
├── TooManyRequests            more than are taken in that time                  HTTP 429
├── MethodNotAllowed           the address does not take that method             HTTP 405
├── SentTooSlowly              the request did not arrive in time                HTTP 408
├── RequestTooLarge            its body is larger than is taken                  HTTP 413
├── WrongMediaType             its body is not JSON                              HTTP 415
├── TookTooLong                it could not be answered in time                  HTTP 504
├── StillRunning               not finished in the time given; it goes on        exit 7, HTTP 202
├── ConfigurationError         the installation must be changed first            exit 1, HTTP 503
│   ├── InvalidSetting
│   ├── CannotListen
│   ├── NoInstallationHere
│   ├── SealingKeyMissing
│   ├── ServerNotPrepared
│   ├── NoServerAvailable
│   ├── InvalidBlueprint
│   └── EmbeddedPostgresError
│       ├── EmbeddedPostgresPortInUse
│       ├── EmbeddedPostgresDiskFull
│       ├── EmbeddedPostgresPermissionDenied
│       └── EmbeddedPostgresVersionMismatch
├── PermanentFailure           trying again changes nothing; a run fails at once
│   ├── MigrationFailed
│   ├── ExportNotPossible
│   ├── StampMismatch
│   ├── AdminEmailTaken
│   ├── IsolationNotProven
│   ├── DatabaseRejected
│   ├── DatabaseNotUsable
│   ├── OtherTablesFound
│   ├── NotOffered
│   ├── WrongPassword
│   ├── WorkerDiedRepeatedly
│   ├── SupabaseAccessDenied
│   ├── SupabaseRejected
│   ├── ProjectGone
│   ├── ProjectUnusable
│   └── ProjectStuck
├── TransientFailure           trying again may help; counts as an attempt
│   ├── ServerUnreachable
│   ├── MainProjectUnreachable
│   ├── SupabaseUnavailable
│   ├── DatabaseBusy
│   ├── ExportFailed
│   ├── PostconditionNotMet
│   └── UnexpectedFailure
├── ToldToWait                 come back later; does not count as an attempt
└── Superseded                 another worker has taken this run over; stop silently
```

A class says whether a retry may help (``retryable``), which HTTP status and exit code it becomes,
and what to do next; an instance adds the facts. ``details`` must never hold a secret: it is stored
with the run and shown to operators.
"""

from __future__ import annotations

from typing import ClassVar

Details = dict[str, str | int | float | bool | None]


class GhostcrmError(Exception):
    """Something went wrong in GhostCRM provisioning."""

    code: ClassVar[str] = "ghostcrm_error"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    default_next_step: ClassVar[str] = "Run `ghostcrm doctor` and read the log for this client."

    def __init__(
        self,
        message: str | None = None,
        *,
        next_step: str | None = None,
        **details: str | int | float | bool | None,
    ) -> None:
        self.message = message or (type(self).__doc__ or self.code).splitlines()[0]
        self.next_step = next_step or self.default_next_step
        self.details: Details = details
        super().__init__(self.message)

    def as_record(self) -> dict[str, object]:
        """The error as it is stored with a run, logged and printed with ``--json``."""
        return {
            "code": self.code,
            "message": self.message,
            "nextStep": self.next_step,
            "retryable": self.retryable,
            "details": self.details,
        }


# --- what the caller sent -------------------------------------------------------------------------


class InvalidInput(GhostcrmError):
    """The input cannot be accepted; nothing was created."""

    code = "invalid_input"
    http_status = 422
    exit_code = 2
    default_next_step = "Correct the value and try again."


class InvalidCompanyName(InvalidInput):
    """The company name cannot be used."""

    code = "invalid_company_name"


class InvalidEmail(InvalidInput):
    """The admin's email address cannot be used."""

    code = "invalid_email"


class InvalidPassword(InvalidInput):
    """The admin's password cannot be used."""

    code = "invalid_password"


class InvalidIdentifier(InvalidInput):
    """An identifier must be a UUID."""

    code = "invalid_identifier"


class NotConfirmed(InvalidInput):
    """What cannot be undone was not confirmed; nothing was changed."""

    code = "not_confirmed"
    default_next_step = "Confirm it with the client's name, exactly as it is registered."


class UnknownPlan(InvalidInput):
    """There is no plan of that name in the blueprint."""

    code = "unknown_plan"


class InvalidDatabaseUrl(InvalidInput):
    """The database URL cannot be used."""

    code = "invalid_database_url"


class DatabaseUrlMissing(InvalidInput):
    """Tables cannot be made through what was given: the database URL is missing."""

    code = "database_url_missing"
    default_next_step = "Give the PostgreSQL URL of the project's database."


class IdempotencyKeyMismatch(InvalidInput):
    """That Idempotency-Key was sent before, with another request."""

    code = "idempotency_key_mismatch"
    default_next_step = "Send a new key with a new request, and the same key only to repeat one."


class MalformedRequest(InvalidInput):
    """The request cannot be read."""

    code = "malformed_request"
    http_status = 400


class InvalidQuery(InvalidInput):
    """The request's query cannot be understood."""

    code = "invalid_query"
    http_status = 400


class UnknownParameter(InvalidQuery):
    """There is no query parameter of that name here."""

    code = "unknown_parameter"
    default_next_step = "Leave it out, or write it as the documentation at /docs does."


class InvalidCursor(InvalidQuery):
    """The cursor is not one that this list has given out."""

    code = "invalid_cursor"
    default_next_step = "Begin at the first page, and take `nextCursor` as it is."


class CursorMismatch(InvalidQuery):
    """The cursor belongs to the same list with other filters."""

    code = "cursor_mismatch"
    default_next_step = (
        "Send the filters with which the cursor was given out, or begin at the first page."
    )


class NotFound(GhostcrmError):
    """There is no such thing here."""

    code = "not_found"
    http_status = 404
    exit_code = 3
    default_next_step = "List what exists with `ghostcrm clients list`."


class Conflict(GhostcrmError):
    """The request contradicts what is already there; nothing was changed."""

    code = "conflict"
    http_status = 409
    exit_code = 5
    default_next_step = "See what is there with `ghostcrm clients list`."


class ClientIdInUse(Conflict):
    """That client id already belongs to a client registered with other data."""

    code = "client_id_in_use"
    default_next_step = "Use another id, or send the same data to receive the same client."


class AlreadyRegistered(Conflict):
    """This company is registered already with this admin, by somebody else or on other terms."""

    code = "already_registered"
    default_next_step = "Nothing was changed. Ask whoever operates GhostCRM about it."


class IdempotencyKeyReused(Conflict):
    """That idempotency key was already used with other data."""

    code = "idempotency_key_reused"
    default_next_step = "Use a new key for a new registration."


class RequestStillRunning(Conflict):
    """The first request with that Idempotency-Key is still being worked on."""

    code = "request_still_running"
    retryable = True
    default_next_step = "Send it again in a moment: the answer will be that of the first one."


class ClientNotReady(Conflict):
    """The client is not ready, so this cannot be done yet."""

    code = "client_not_ready"
    default_next_step = "Ask why with `ghostcrm clients explain ID`."


class PlanDoesNotFit(Conflict):
    """More is used than the wished plan allows; the plan was not changed."""

    code = "plan_does_not_fit"
    default_next_step = (
        "Have the client remove what is over; or accept it with `--allow-over-limit`: nothing is "
        "deleted, and nothing new is taken until it is below the limit."
    )


class ClientQuarantined(Conflict):
    """The client is in quarantine: its isolation is not proven, so nobody is let in."""

    code = "client_quarantined"
    default_next_step = "See what was found with `ghostcrm clients explain ID`, and mend it."


class ClientSuspended(Conflict):
    """The client is suspended, so nobody is let in."""

    code = "client_suspended"
    default_next_step = "Have it back with `ghostcrm clients resume ID`."


class ClientDeleted(Conflict):
    """The client is deleted, or being deleted: nothing can be done with it any more."""

    code = "client_deleted"
    default_next_step = (
        "See what became of it, and its exports, with `ghostcrm clients explain ID`; what is deleted does not "
        "come back."
    )


class DatabaseClosed(Conflict):
    """The database is closed: nobody may enter it."""

    code = "database_closed"
    default_next_step = "See whose it is, and why it was closed, with `ghostcrm clients list`."


class LastAdmin(Conflict):
    """Nobody would be left who may do everything."""

    code = "last_admin"
    default_next_step = "Make another admin first: `ghostcrm admin create EMAIL --scope admin`."


class NotAuthenticated(GhostcrmError):
    """Nobody whom we know is asking: the token or password is missing, wrong, expired or revoked."""

    code = "not_authenticated"
    http_status = 401
    exit_code = 4
    default_next_step = (
        "Send `Authorization: Bearer TOKEN` with a valid token (`ghostcrm admin token create`)."
    )


class AccountLocked(NotAuthenticated):
    """Too many sign-ins have failed; the next one has to wait."""

    code = "account_locked"
    http_status = 429
    default_next_step = "Wait for the time that is named. An operator can end the wait: `ghostcrm admin unlock EMAIL`."

    def __init__(self, message: str | None = None, *, wait_seconds: int = 1) -> None:
        super().__init__(message, waitSeconds=wait_seconds)
        self.wait_seconds = wait_seconds


class NotPermitted(GhostcrmError):
    """Whoever is asking may not do this."""

    code = "not_permitted"
    http_status = 403
    exit_code = 4
    default_next_step = "Ask an admin for a token or account with the scope that is named."


class TooManyStreams(GhostcrmError):
    """As many streams of events as one may have are open already."""

    code = "too_many_streams"
    retryable = True
    http_status = 429
    default_next_step = "Close one of them; a page that is hidden needs none."


class ForgedForm(NotPermitted):
    """This form was not sent from a page of this session, so nothing was changed."""

    code = "forged_form"
    default_next_step = "Go back, reload the page, and send the form again."


class TooManyRequests(GhostcrmError):
    """More requests came in a minute than are taken."""

    code = "too_many_requests"
    retryable = True
    http_status = 429
    default_next_step = "Wait as long as Retry-After says; RateLimit says how many are left."

    wait_seconds: float = 60.0


class MethodNotAllowed(GhostcrmError):
    """There is something at this address, but it does not take that method."""

    code = "method_not_allowed"
    http_status = 405
    default_next_step = "Use one of the methods that Allow names; /docs lists them all."


class SentTooSlowly(GhostcrmError):
    """The request's body did not arrive in time."""

    code = "sent_too_slowly"
    retryable = True
    http_status = 408
    default_next_step = "Send it again, at once."


class RequestTooLarge(GhostcrmError):
    """The request's body is larger than is taken."""

    code = "request_too_large"
    http_status = 413
    default_next_step = "Send less; GHOSTCRM_LARGEST_REQUEST_BYTES is the limit."


class WrongMediaType(GhostcrmError):
    """The request's body is not JSON."""

    code = "wrong_media_type"
    http_status = 415
    default_next_step = "Send JSON, with `Content-Type: application/json`."


class TookTooLong(GhostcrmError):
    """The request could not be answered in the time that it may take."""

    code = "took_too_long"
    retryable = True
    http_status = 504
    default_next_step = (
        "Look whether it was done; if not, send it again with the same Idempotency-Key."
    )


class StillRunning(GhostcrmError):
    """It did not finish in the time given; it goes on in the background."""

    code = "still_running"
    http_status = 202
    exit_code = 7
    default_next_step = "Follow it with `ghostcrm clients explain ID`."


# --- the installation -----------------------------------------------------------------------------


class ConfigurationError(GhostcrmError):
    """The installation has to be changed before this can work."""

    code = "configuration_error"
    http_status = 503
    default_next_step = "Run `ghostcrm doctor`; it looks at everything that is needed."


class InvalidSetting(ConfigurationError):
    """A setting has a value that cannot be used."""

    code = "invalid_setting"
    exit_code = 2
    default_next_step = "Correct the environment variable that is named, and start again."


class CannotListen(ConfigurationError):
    """The API cannot listen on the address and port that it was told to."""

    code = "cannot_listen"
    default_next_step = (
        "Stop the program that uses the port, or choose another one with --port or GHOSTCRM_PORT."
    )


class NoInstallationHere(ConfigurationError):
    """There is no installation in this GHOSTCRM_HOME, and this command begins none."""

    code = "no_installation_here"
    default_next_step = (
        "Set GHOSTCRM_HOME to the installation's folder, or run the command where that folder is. "
        "Begin a new one with `ghostcrm provision` or `ghostcrm up`."
    )


class SealingKeyMissing(ConfigurationError):
    """A sealed secret cannot be opened: its key is not here."""

    code = "sealing_key_missing"
    default_next_step = (
        "Bring back the key file that is named, from a backup of GHOSTCRM_HOME/keys."
    )


class ServerNotPrepared(ConfigurationError):
    """The PostgreSQL server lacks something that only a superuser can add."""

    code = "server_not_prepared"
    default_next_step = "Have a superuser run the SQL that is shown, once per server."


class NoServerAvailable(ConfigurationError):
    """No server can take another client database."""

    code = "no_server_available"
    default_next_step = "Look at the servers with `ghostcrm doctor`; add one or raise its capacity."


class InvalidBlueprint(ConfigurationError):
    """The blueprint cannot be read."""

    code = "invalid_blueprint"
    default_next_step = "Correct the file that is named."


class EmbeddedPostgresError(ConfigurationError):
    """The embedded PostgreSQL could not be started."""

    code = "embedded_postgres_failed"
    default_next_step = (
        "Read the server's log that is named, or set GHOSTCRM_DATABASE_URL to use your own server."
    )


class EmbeddedPostgresPortInUse(EmbeddedPostgresError):
    """Another program listens on the port that the embedded PostgreSQL was told to use."""

    code = "embedded_postgres_port_in_use"
    default_next_step = (
        "Free the port, or set GHOSTCRM_EMBEDDED_PORT to another (0 = any free one)."
    )


class EmbeddedPostgresDiskFull(EmbeddedPostgresError):
    """There is no space left for the embedded PostgreSQL."""

    code = "embedded_postgres_disk_full"
    default_next_step = "Free some space, or set GHOSTCRM_HOME to a folder on another disk."


class EmbeddedPostgresPermissionDenied(EmbeddedPostgresError):
    """The embedded PostgreSQL may not use the folder it was given."""

    code = "embedded_postgres_permission_denied"
    default_next_step = "Make the folder that is named accessible, or set GHOSTCRM_HOME to another."


class EmbeddedPostgresVersionMismatch(EmbeddedPostgresError):
    """The data was written by another major version of PostgreSQL."""

    code = "embedded_postgres_version_mismatch"
    default_next_step = "Upgrade the data with pg_upgrade, or name the older programs in GHOSTCRM_POSTGRES_BINARIES."


# --- what happens during a run --------------------------------------------------------------------


class PermanentFailure(GhostcrmError):
    """It failed, and trying again without a change would fail again."""

    code = "permanent_failure"


class MigrationFailed(PermanentFailure):
    """A migration of the blueprint was refused by PostgreSQL."""

    code = "migration_failed"
    default_next_step = "Mend the file and line that are named, then retry the client."


class ExportNotPossible(PermanentFailure):
    """The client's data cannot be exported as things are."""

    code = "export_not_possible"
    default_next_step = "Do what is named, or go on without an export (`--no-export`)."


class StampMismatch(PermanentFailure):
    """A database of the expected name exists but is not the one this system made."""

    code = "stamp_mismatch"
    default_next_step = "Find out whose database it is; this system will neither use nor delete it."


class AdminEmailTaken(PermanentFailure):
    """The admin's email already belongs to another user of this client database."""

    code = "admin_email_taken"
    default_next_step = (
        "Look at auth.users in the client database; remove the other user or its email."
    )


class DatabaseRejected(PermanentFailure):
    """PostgreSQL refused a statement in a way that trying again does not change."""

    code = "database_rejected"


class NotOffered(PermanentFailure):
    """What was asked for, databases of this provider have not."""

    code = "not_offered"
    http_status = 409
    default_next_step = "Use what the error names instead."


class DatabaseNotUsable(PermanentFailure):
    """The database that was given cannot become a client database as it is."""

    code = "database_not_usable"
    http_status = 422
    default_next_step = "Do what is said, then retry the client; or give another database."


class OtherTablesFound(PermanentFailure):
    """The database that was given holds tables that are not ours."""

    code = "other_tables_found"
    http_status = 422
    default_next_step = "Give an empty database; or allow them (`--allow-other-tables`): nothing of theirs is touched."


class WrongPassword(PermanentFailure):
    """A login of a client database was not accepted with the password that was given to it."""

    code = "wrong_password"
    default_next_step = "Somebody has changed it: find out who, and set it back."


class IsolationNotProven(PermanentFailure):
    """The client database lets somebody see or do what they must not."""

    code = "isolation_not_proven"
    default_next_step = "Mend the policy or grant that is named, then retry the client."


class WorkerDiedRepeatedly(PermanentFailure):
    """The worker died again and again while it worked on this."""

    code = "worker_died_repeatedly"
    default_next_step = "Look for what ended the workers (memory?), then retry the client."


class SupabaseAccessDenied(PermanentFailure):
    """Supabase does not let us do this with the access token that we have."""

    code = "supabase_access_denied"
    default_next_step = (
        "Check SUPABASE_ACCESS_TOKEN and SUPABASE_ORGANIZATION_SLUG: the token's owner must be an owner or "
        "administrator of the organization. `ghostcrm doctor` looks at both."
    )


class SupabaseRejected(PermanentFailure):
    """Supabase has refused a request in a way that trying again does not change."""

    code = "supabase_rejected"
    default_next_step = "Read what Supabase says; limits and payment are settled in the organization's dashboard there."


class ProjectGone(PermanentFailure):
    """The project at Supabase was deleted."""

    code = "supabase_project_gone"
    default_next_step = (
        "Find out who deleted it. Its backups, if the organization has any, are Supabase's to restore. When it is gone "
        "for good, so is its client: `ghostcrm clients delete ID --no-export`."
    )


class ProjectUnusable(PermanentFailure):
    """The project at Supabase is in a state out of which it does not come by itself."""

    code = "supabase_project_unusable"
    default_next_step = (
        "Look at the project in Supabase's dashboard, mend it there, then retry the client."
    )


class ProjectStuck(PermanentFailure):
    """The project at Supabase has been on its way for longer than it may take."""

    code = "supabase_project_stuck"
    default_next_step = (
        "Look at the project in Supabase's dashboard and at status.supabase.com, ask Supabase's support "
        "about it by its reference, then retry the client."
    )


class TransientFailure(GhostcrmError):
    """It failed, and trying again may help."""

    code = "transient_failure"
    retryable = True
    http_status = 503


class ServerUnreachable(TransientFailure):
    """The PostgreSQL server does not answer."""

    code = "server_unreachable"
    default_next_step = "Check that the server runs and that this machine reaches it."


class MainProjectUnreachable(TransientFailure):
    """The main project's keys cannot be read, so its tokens cannot be checked."""

    code = "main_project_unreachable"
    default_next_step = (
        "Check that SUPABASE_URL is right and that this machine reaches it; tokens of "
        "`ghostcrm admin token create` work meanwhile."
    )


class SupabaseUnavailable(TransientFailure):
    """Supabase does not answer, or answers with a failure of its own."""

    code = "supabase_unavailable"
    default_next_step = (
        "Check that this machine reaches SUPABASE_API_URL, and look at status.supabase.com."
    )

    def __init__(self, message: str | None = None, *, may_be_done: bool = True) -> None:
        super().__init__(message)
        self.may_be_done = may_be_done
        """Whether what was asked may have been done, or may still be."""


class DatabaseBusy(TransientFailure):
    """PostgreSQL is too busy, or someone holds a lock that is needed."""

    code = "database_busy"
    default_next_step = (
        "Look at the server's load, locks and connections; retry the client when they have passed."
    )


class ExportFailed(TransientFailure):
    """The export of the client's data did not come to its end."""

    code = "export_failed"
    default_next_step = "Read what pg_dump said; mend it, then retry the client."


class PostconditionNotMet(TransientFailure):
    """A step did its work, yet what it should have brought about cannot be observed."""

    code = "postcondition_not_met"


class UnexpectedFailure(TransientFailure):
    """Something happened that this system did not foresee."""

    code = "unexpected_failure"
    http_status = 500
    default_next_step = "Report this with the client id and the time; the log has the traceback."


class ToldToWait(GhostcrmError):
    """The other side said to come back later; this does not count as an attempt.

    ``patience_seconds``: for how long in all this may go on, where who raises it knows that better than
    the settings do.
    """

    code = "told_to_wait"
    retryable = True
    http_status = 503
    default_next_step = "Nothing; it goes on by itself."

    def __init__(
        self,
        message: str,
        *,
        wait_seconds: float,
        patience_seconds: float | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message, next_step=next_step, waitSeconds=wait_seconds)
        self.wait_seconds = wait_seconds
        self.patience_seconds = patience_seconds


class Superseded(GhostcrmError):
    """Another worker has taken this run over; this one stops without a trace."""

    code = "superseded"
