"""``ghostcrm clients rotate``."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from ghostcrm_provisioning.cli.given_database import read_first_line, refuse_two_from_stdin
from ghostcrm_provisioning.cli.lifecycle import NoWait, Reason, Timeout
from ghostcrm_provisioning.cli.output import (
    Json,
    duration,
    out,
    print_error,
    print_json,
    program,
)
from ghostcrm_provisioning.cli.provision import describe, say_who_works, watch
from ghostcrm_provisioning.cli.session import ClientId, find_client_id, run_with_installation
from ghostcrm_provisioning.clients.client import Client
from ghostcrm_provisioning.clients.rotation import Rotation, read_rotation
from ghostcrm_provisioning.clients.run import Run
from ghostcrm_provisioning.errors import InvalidInput, StillRunning
from ghostcrm_provisioning.fleet.given_again import give_again
from ghostcrm_provisioning.fleet.rotating import rotate_credentials
from ghostcrm_provisioning.registrars.rotation import AcceptedRotation
from ghostcrm_provisioning.wiring import Installation


def rotate_command(
    client_id: ClientId,
    keys: Annotated[
        bool,
        typer.Option(
            "--keys", help="The keys: on a server of yours JWT secret, anon and service role key."
        ),
    ] = False,
    passwords: Annotated[
        bool, typer.Option("--passwords", help="The passwords of all of the database's logins.")
    ] = False,
    legacy_keys: Annotated[
        bool,
        typer.Option(
            "--legacy-keys",
            help="With the keys, switch a project's older ones (anon, service_role) off for good.",
        ),
    ] = False,
    end_sessions: Annotated[
        bool,
        typer.Option(
            "--end-sessions",
            help="With the passwords, end the sessions that are open. Otherwise they stay open.",
        ),
    ] = False,
    database_url_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Of a database that was given: its URL as it is now, from the first line of a file, `-` for stdin.",
        ),
    ] = None,
    database_key_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Likewise: the service role key or a secret key of its project, as it is now.",
        ),
    ] = None,
    reason: Reason = None,
    no_wait: NoWait = False,
    timeout: Timeout = 600.0,
    as_json: Json = False,
) -> None:
    """Exchange what opens a client's database: its passwords, its keys, or (by default) both.

    From the moment at which a new password is set, the old one opens nothing: whoever connects anew has to have
    the new one, from `clients connect`. The old keys of a project are deleted once the new ones open it; what is
    not ours is left, and named. Interrupted, it goes on with the same new ones; nobody is locked out.

    Of a database that was given, password and key are its giver's to change: tell the new ones with
    --database-url-file and --database-key-file. They are seen to open the same database, and then kept; nothing is
    changed in it.

    \b
    Examples:
      ghostcrm clients rotate 52d3a2c1 --reason "somebody has left"
      ghostcrm clients rotate 52d3a2c1 --passwords --end-sessions
      ghostcrm clients rotate 52d3a2c1 --database-url-file ./acme-database-url
    """
    is_given = database_url_file is not None or database_key_file is not None

    async def work(installation: Installation) -> int:
        found = await find_client_id(installation, client_id)
        if is_given:
            if keys or passwords or legacy_keys or end_sessions:
                raise InvalidInput("What is given is taken as it is: leave the other options out.")
            refuse_two_from_stdin(
                password_stdin=False, files=(database_url_file, database_key_file)
            )
            where = await give_again(
                installation,
                found,
                database_url=read_first_line(database_url_file, "--database-url-file"),
                database_key=read_first_line(database_key_file, "--database-key-file"),
                requested_by="cli",
                reason=reason,
            )
            client, _, document = await describe(installation, found)
            if as_json:
                print_json(document | {"changed": True})
            else:
                out.print(f"[bold]{escape(client.name)}[/]: what was given opens {escape(where)}.")
            return 0
        accepted = await rotate_credentials(
            installation,
            found,
            requested_by="cli",
            passwords=passwords,
            keys=keys,
            legacy_keys=legacy_keys,
            end_sessions=end_sessions,
            reason=reason,
        )
        return await _see_through(installation, accepted, no_wait, timeout, as_json=as_json)

    run_with_installation(work, as_json=as_json, may_begin=False)


async def _see_through(
    installation: Installation,
    accepted: AcceptedRotation,
    no_wait: bool,
    timeout_seconds: float,
    *,
    as_json: bool,
) -> int:
    if no_wait:
        await say_who_works(installation)
    else:
        try:
            await watch(installation, accepted.run_id, timeout_seconds=timeout_seconds)
        except StillRunning as left:
            await report_rotation(
                installation, accepted.client_id, accepted.run_id, as_json=as_json
            )
            print_error(left, as_json=False)
            return left.exit_code
    code = await report_rotation(installation, accepted.client_id, accepted.run_id, as_json=as_json)
    return 0 if no_wait else code


async def report_rotation(
    installation: Installation, client_id: UUID, run_id: UUID, *, as_json: bool
) -> int:
    """Print what came of an exchange; returns the exit code of one that was waited for. No secret is printed."""
    client, run, document = await describe(installation, client_id)
    async with installation.control.connection() as connection:
        rotation = await read_rotation(connection, run_id)
    done = run.id == run_id and run.status == "succeeded"
    if as_json:
        print_json(document | {"changed": done, "rotation": rotation.as_document()})
    else:
        _print_outcome(client, run, rotation, done=done)
    return 0 if done else 1


def _print_outcome(client: Client, run: Run, rotation: Rotation, *, done: bool) -> None:
    name = f"[bold]{escape(client.name)}[/]"
    what = " and ".join(
        word
        for word, is_meant in (("passwords", rotation.passwords), ("keys", rotation.keys))
        if is_meant
    )
    if done:
        out.print(f"{name} has new {what} ({duration(run.duration_ms)}).")
        if rotation.keys_left:
            left = ", ".join(rotation.keys_left)
            out.print(f"Left, for they are not ours: {escape(left)}.")
        out.print(f"[dim]Next: {program()} clients connect {client.id}[/]")
        return
    if run.status == "failed":
        error = run.error or {}
        out.print(
            f"The {what} of {name} [red]are not all exchanged[/]: {escape(str(error.get('message')))}"
        )
        out.print(f"Next: {escape(str(error.get('nextStep')))}")
    else:
        out.print(f"The {what} of {name} are being exchanged.")
    out.print(f"[dim]Next: {program()} clients explain {client.id}[/]")
