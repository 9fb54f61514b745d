"""``ghostcrm admin``: the accounts of those who operate this installation, and their sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ghostcrm_provisioning.access.accounts import Account, Accounts
from ghostcrm_provisioning.access.scope import scopes_from
from ghostcrm_provisioning.cli import admin_tokens
from ghostcrm_provisioning.cli.admin_tokens import Scopes
from ghostcrm_provisioning.cli.output import Json, out, print_json, program, say
from ghostcrm_provisioning.cli.session import read_password, run_with_installation
from ghostcrm_provisioning.clients.documents import instant
from ghostcrm_provisioning.errors import InvalidInput, NotFound
from ghostcrm_provisioning.registration_form import check_identifier
from ghostcrm_provisioning.wiring import Installation

if TYPE_CHECKING:
    from ghostcrm_provisioning.web.site import Site

_BY = "cli"

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Who operates this installation: tokens for programs, accounts for people.",
)
scopes_app = typer.Typer(no_args_is_help=True, help="What an admin may do.")
sessions_app = typer.Typer(
    no_args_is_help=True, help="Where an admin is signed in to the dashboard."
)
app.add_typer(admin_tokens.app, name="token")
app.add_typer(scopes_app, name="scopes")
app.add_typer(sessions_app, name="sessions")

Email = Annotated[
    str, typer.Argument(metavar="EMAIL", help="The account's email address, or its id.")
]
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read the password (at least 12 characters) from stdin. Without it, a temporary one is "
        "made, shown once, and has to be changed at the first sign-in.",
    ),
]


@app.command("create")
def create(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="With which the admin signs in.")],
    scope: Scopes,
    password_stdin: PasswordStdin = False,
    main_project_user: Annotated[
        str | None,
        typer.Option(
            metavar="UUID", help="The user of the main project whose JWTs are this account's."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an account with which somebody signs in to the dashboard.

    \b
    Examples:
      ghostcrm admin create olga@example.com --scope admin
      ghostcrm admin create ivo@example.com --scope clients:read --scope queue:read
    """

    async def work(installation: Installation) -> None:
        scopes = scopes_from(scope)
        user_id = None if main_project_user is None else check_identifier(main_project_user)
        new = await Accounts(installation.control).create(
            email=email,
            scopes=scopes,
            by=_BY,
            password=read_password() if password_stdin else None,
            main_project_user_id=user_id,
        )
        temporary = new.temporary_password
        if as_json:
            document: dict[str, Any] = {
                "id": str(new.id),
                "email": new.email,
                "scopes": sorted(scopes),
                "mainProjectUserId": None if user_id is None else str(user_id),
            }
            if temporary is not None:
                document["temporaryPassword"] = temporary.get_secret_value()
            print_json(document)
            return
        _show_password(new.email, None if temporary is None else temporary.get_secret_value())

    run_with_installation(work, as_json=as_json)


@app.command("list")
def list_accounts(as_json: Json = False) -> None:
    """List the accounts, by email."""

    async def work(installation: Installation) -> None:
        accounts = await Accounts(installation.control).list()
        if as_json:
            print_json({"data": [_document(account) for account in accounts]})
            return
        if not accounts:
            out.print("No admin accounts. `ghostcrm up` makes the first one, or:")
            out.print("  ghostcrm admin create olga@example.com --scope admin", markup=False)
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("Email", "Scopes", "Last signed in", "State"):
            table.add_column(title)
        for account in accounts:
            signed_in = account.last_signed_in_at
            table.add_row(
                escape(account.email),
                ", ".join(sorted(account.scopes)) or "none",
                f"{signed_in:%Y-%m-%d %H:%M} UTC" if signed_in else "never",
                _state(account),
            )
        out.print(table)

    run_with_installation(work, as_json=as_json, may_begin=False)


@app.command("set-password")
def set_password(
    email: Email, password_stdin: PasswordStdin = False, as_json: Json = False
) -> None:
    """Give an admin another password; whoever is signed in with the old one no longer is."""

    async def change(accounts: Accounts, account: Account) -> dict[str, Any]:
        password = read_password() if password_stdin else None
        temporary = await accounts.set_password(account.id, by=_BY, password=password)
        return {} if temporary is None else {"temporaryPassword": temporary.get_secret_value()}

    _change(
        email,
        change,
        as_json=as_json,
        then=lambda account, more: _show_password(account.email, more.get("temporaryPassword")),
    )


@app.command("disable")
def disable(email: Email, as_json: Json = False) -> None:
    """End an admin's sessions, and let nobody sign in to the account any more.

    The last account that may do everything cannot be disabled (exit code 5).
    """

    async def change(accounts: Accounts, account: Account) -> dict[str, Any]:
        await accounts.disable(account.id, by=_BY)
        return {}

    _change(email, change, as_json=as_json, says="The account {email} is disabled.")


@app.command("enable")
def enable(email: Email, as_json: Json = False) -> None:
    """Take back that an account is disabled; its password is the one that it had."""

    async def change(accounts: Accounts, account: Account) -> dict[str, Any]:
        await accounts.enable(account.id, by=_BY)
        return {}

    _change(email, change, as_json=as_json, says="The account {email} is enabled.")


@app.command("unlock")
def unlock(email: Email, as_json: Json = False) -> None:
    """Forget the sign-ins that have failed, so that the next one need not wait."""

    async def change(accounts: Accounts, account: Account) -> dict[str, Any]:
        await accounts.unlock(account.id, by=_BY)
        return {}

    _change(email, change, as_json=as_json, says="{email} need not wait to sign in.")


@app.command("link")
def link(
    email: Email,
    user_id: Annotated[
        str | None, typer.Argument(metavar="[UUID]", help="The user's id in the main project.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the link away.")] = False,
    as_json: Json = False,
) -> None:
    """Say which user of the main project (SUPABASE_URL) an account belongs to.

    The admin API then accepts the JWTs of that user, with the rights of this account.

    \b
    Example:
      ghostcrm admin link olga@example.com 3f0c8a52-7c0e-4b7e-9d36-5b1f2a6c9e10
    """

    async def change(accounts: Accounts, account: Account) -> dict[str, Any]:
        if (user_id is None) is not remove:
            raise InvalidInput("Give the id of a user of the main project, or --remove.")
        linked = None if user_id is None else check_identifier(user_id)
        await accounts.link(account.id, linked, by=_BY)
        return {}

    said = "taken away" if remove else "made"
    _change(email, change, as_json=as_json, says=f"The link of {{email}} is {said}.")


@scopes_app.command("set")
def set_scopes(
    email: Email,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="What it may do; several times for more."),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="It may sign in, and see nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Give an admin these scopes, instead of those that the account has. Its sessions end.

    \b
    Example:
      ghostcrm admin scopes set ivo@example.com --scope clients:read --scope clients:write
    """

    async def change(accounts: Accounts, account: Account) -> dict[str, Any]:
        if none and scope:
            raise InvalidInput("Give either scopes or --none.")
        wanted = frozenset() if none else scopes_from(scope or [])
        await accounts.set_scopes(account.id, wanted, by=_BY)
        return {}

    _change(email, change, as_json=as_json, says="{email} may: {scopes}.")


@sessions_app.command("list")
def list_sessions(email: Email, as_json: Json = False) -> None:
    """List where an admin is signed in, the last used session first."""

    async def work(installation: Installation) -> None:
        site = _open_site(installation)
        account = await find_account(site.accounts, email)
        records = await site.sessions.list_of(account.id)
        if as_json:
            print_json(
                {
                    "data": [
                        {
                            "id": str(record.id),
                            "address": record.address,
                            "userAgent": record.user_agent,
                            "signedInAt": instant(record.signed_in_at),
                            "lastSeenAt": instant(record.last_seen_at),
                            "endsAt": instant(record.ends_at),
                        }
                        for record in records
                    ]
                }
            )
            return
        if not records:
            out.print(f"{escape(account.email)} is signed in nowhere.")
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("Session", "Address", "Browser", "Signed in", "Last seen"):
            table.add_column(title, no_wrap=title == "Session")
        for record in records:
            table.add_row(
                str(record.id),
                escape(record.address),
                escape(record.user_agent[:60]),
                f"{record.signed_in_at:%Y-%m-%d %H:%M} UTC",
                f"{record.last_seen_at:%Y-%m-%d %H:%M} UTC",
            )
        out.print(table)

    run_with_installation(work, as_json=as_json, may_begin=False)


@sessions_app.command("end")
def end_sessions(
    email: Email,
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only this one, of `ghostcrm admin sessions list EMAIL`."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Sign an admin out everywhere. The password stays good: see `set-password` and `disable`."""

    async def work(installation: Installation) -> None:
        site = _open_site(installation)
        account = await find_account(site.accounts, email)
        if session is None:
            ended = await site.sessions.end_all_of(account.id)
        else:
            await site.sessions.end_one_of(account.id, check_identifier(session))
            ended = 1
        if as_json:
            print_json({"id": str(account.id), "email": account.email, "ended": ended})
            return
        out.print(
            f"{ended} {'session' if ended == 1 else 'sessions'} of {escape(account.email)} ended."
        )

    run_with_installation(work, as_json=as_json, may_begin=False)


def _open_site(installation: Installation) -> Site:
    # With FastAPI, which most commands need not load.
    from ghostcrm_provisioning.web.site import open_site  # noqa: PLC0415

    return open_site(installation)


async def find_account(accounts: Accounts, text: str) -> Account:
    """An account by its email address or its id. Raises NotFound."""
    if "@" in text:
        return await accounts.find_by_email(text)
    try:
        return await accounts.find(check_identifier(text))
    except InvalidInput:
        raise NotFound(
            f"There is no admin account {text[:100]!r}.",
            next_step="List them with `ghostcrm admin list`.",
        ) from None


def _change(
    email: str,
    change: Callable[[Accounts, Account], Awaitable[dict[str, Any]]],
    *,
    as_json: bool,
    says: str = "",
    then: Callable[[Account, dict[str, Any]], None] | None = None,
) -> None:
    """Change one account, and show what it is now."""

    async def work(installation: Installation) -> None:
        accounts = Accounts(installation.control)
        found = await find_account(accounts, email)
        more = await change(accounts, found)
        account = await accounts.find(found.id)
        if as_json:
            print_json(_document(account) | more)
        elif then is not None:
            then(account, more)
        else:
            scopes = ", ".join(sorted(account.scopes)) or "nothing"
            out.print(escape(says.format(email=account.email, scopes=scopes)))

    run_with_installation(work, as_json=as_json, may_begin=False)


def _show_password(email: str, temporary: str | None) -> None:
    if temporary is None:
        out.print(f"Admin {escape(email)}, with the password that was given")
    else:
        out.print(
            f"Admin {escape(email)}, temporary password [bold]{escape(temporary)}[/] "
            "(shown this once; to be changed)"
        )
    say(f"[dim]Sign in at /admin of[/] {escape(program())} up")


def _state(account: Account) -> str:
    if account.disabled_at is not None:
        return f"disabled {account.disabled_at:%Y-%m-%d} by {escape(account.disabled_by or '')}"
    return "has to change the password" if account.must_change_password else "enabled"


def _document(account: Account) -> dict[str, Any]:
    user_id = account.main_project_user_id
    return {
        "id": str(account.id),
        "email": account.email,
        "scopes": sorted(account.scopes),
        "mustChangePassword": account.must_change_password,
        "mainProjectUserId": None if user_id is None else str(user_id),
        "createdBy": account.created_by,
        "createdAt": instant(account.created_at),
        "passwordChangedAt": instant(account.password_changed_at),
        "lastSignedInAt": instant(account.last_signed_in_at),
        "disabledAt": instant(account.disabled_at),
        "disabledBy": account.disabled_by,
    }
