"""The roles that client databases need, on plain PostgreSQL.

Roles are cluster-wide there. The ones that Supabase has in every project (``anon``,
``authenticated``, ``service_role`` …) and ``ghostcrm_client_owner`` are shared by all client
databases of a server; none of them can log in to any. Each client database has login roles of its
own, members of the shared ones, and only they may connect to it. A shared role owns objects inside
databases, never a database itself, so it can do nothing to one that its member cannot enter.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from ghostcrm_provisioning.errors import ServerNotPrepared
from ghostcrm_provisioning.named_sql import NamedSql

ROLES = NamedSql(__package__, "roles.sql")

# Owns the schema of every client database, as `postgres` does on Supabase.
OWNER_ROLE = "ghostcrm_client_owner"
# Owns the tables of Supabase Auth.
AUTH_ROLE = "supabase_auth_admin"
# Any fixed number does.
_PREPARATION_LOCK = 0x67686F7377


@dataclass(frozen=True)
class SharedRole:
    """A role that all client databases of a server share."""

    name: str
    attributes: str
    settings: tuple[tuple[str, str], ...] = ()
    member_of: tuple[str, ...] = ()

    @property
    def bypasses_rls(self) -> bool:
        return " bypassrls" in f" {self.attributes}"


# Attributes and time-outs as Supabase sets them.
SHARED_ROLES = (
    SharedRole("postgres", "nologin"),
    SharedRole("anon", "nologin noinherit", (("statement_timeout", "3s"),)),
    SharedRole("authenticated", "nologin noinherit", (("statement_timeout", "8s"),)),
    SharedRole("service_role", "nologin noinherit bypassrls"),
    # On Supabase these two log in; here only the logins of a client database do.
    SharedRole(
        "authenticator",
        "nologin noinherit",
        (("statement_timeout", "8s"),),
        ("anon", "authenticated", "service_role"),
    ),
    SharedRole("supabase_admin", "nologin"),
    SharedRole(
        "supabase_auth_admin",
        "nologin noinherit",
        (("search_path", "auth"), ("idle_in_transaction_session_timeout", "60s")),
    ),
    SharedRole(OWNER_ROLE, "nologin"),
)


# Where Supabase's own logins look for names.
_SEARCH_PATH = ("$user", "public", "extensions")


@dataclass(frozen=True)
class LoginRole:
    """A login role of one client database; the fields mean what they mean in a provider's Login.

    What a session begins with (``search_path``, ``settings``) stands at the login: PostgreSQL takes
    it from there alone, never from the role that the login becomes.
    """

    key: str
    member_of: tuple[str, ...]
    purpose: str
    # Of all clients' logins together, a server has only so many; the plan says how many `app` gets.
    connection_limit: int
    acts_as: str | None = None
    inherits: bool = True
    creates: bool = False
    # The caller's temporary schema is searched first, for types and tables, by every function whose
    # search_path does not name it; so who is bound by policies has none.
    temporary: bool = False
    search_path: tuple[str, ...] = _SEARCH_PATH
    settings: tuple[tuple[str, str], ...] = ()


# The login that a client's application uses.
APPLICATION = "app"
# The login that PostgREST uses: an `authenticator` of the client's own. It has no rights but to become
# whom a token names. PostgREST looks for its roles among those that it is a direct member of.
API = "api"
AUTH = "auth"

# The login that owns the schema: what it may not do, nobody can have done in its name.
OWNER = "owner"

# Our own login for a database that was handed over. Its owner may have put triggers and functions into
# it, and what these do, they must not do with our administrator's rights: ``set role`` does not keep
# them from ``reset role``. The caretaker can become whoever works in this database, and nobody else.
CARETAKER = "caretaker"

LOGIN_ROLES = (
    LoginRole(APPLICATION, ("authenticated", "anon"), "the application; bound by RLS", 20),
    LoginRole(
        "service", ("service_role",), "trusted jobs; bypasses RLS", 10, acts_as="service_role"
    ),
    LoginRole(
        AUTH,
        (AUTH_ROLE,),
        "Supabase Auth (GoTrue)",
        10,
        acts_as=AUTH_ROLE,
        search_path=("auth",),
        settings=(("idle_in_transaction_session_timeout", "60s"),),
    ),
    LoginRole(
        OWNER,
        (OWNER_ROLE,),
        "owns the schema; migrations, the Supabase CLI",
        5,
        acts_as=OWNER_ROLE,
        creates=True,
        temporary=True,
    ),
    LoginRole(
        API,
        ("anon", "authenticated", "service_role"),
        "PostgREST; becomes whom a token names",
        20,
        inherits=False,
        settings=(("statement_timeout", "8s"),),
    ),
    LoginRole(
        CARETAKER,
        ("anon", "authenticated", OWNER_ROLE, AUTH_ROLE),
        "our own work in a database that was handed over",
        5,
        inherits=False,
        temporary=True,
        search_path=("pg_catalog",),
        settings=(("statement_timeout", "60s"), ("lock_timeout", "30s")),
    ),
)
# Those that are given out.
CLIENT_LOGIN_ROLES = tuple(role for role in LOGIN_ROLES if role.key != CARETAKER)


def login_role(key: str) -> LoginRole:
    """The role of that key; there is one."""
    return next(role for role in LOGIN_ROLES if role.key == key)


async def list_missing(connection: AsyncConnection[DictRow]) -> list[str]:
    """What the server lacks before client databases can be made there; empty when it is prepared.

    ``postgres`` only has to exist: where it is the superuser, nobody may grant it.
    """
    granted = [role for role in SHARED_ROLES if role.name != "postgres"]
    rows = await (
        await connection.execute(
            ROLES["missing_on_server"],
            {
                "names": [role.name for role in granted],
                "bypass": [role.bypasses_rls for role in granted],
            },
        )
    ).fetchall()
    return [row["lacks"] for row in rows]


async def prepare_server(connection: AsyncConnection[DictRow], *, admin: str) -> None:
    """Create what is missing of the shared roles, and let ``admin`` grant them. For a superuser."""
    async with connection.transaction():
        # Several processes may come at once; the second one finds everything there.
        await connection.execute("select pg_advisory_xact_lock(%s)", (_PREPARATION_LOCK,))
        for statement in await _preparation_here(connection, admin):
            await connection.execute(statement)


async def check_server(connection: AsyncConnection[DictRow]) -> None:
    """Prepare the server when this login can, otherwise say what a superuser must run.

    Raises:
        ServerNotPrepared: with the SQL in its next step.
    """
    missing = await list_missing(connection)
    if not missing:
        return
    row = await (await connection.execute(ROLES["this_login"])).fetchone()
    if row is None:
        raise ServerNotPrepared("The server does not say who is connected.")
    if row["is_superuser"]:
        await prepare_server(connection, admin=row["login"])
        return
    statements = await _preparation_here(connection, row["login"])
    if not (row["creates_databases"] and row["creates_roles"]):
        statements.insert(
            0,
            sql.SQL("alter role {} createdb createrole").format(sql.Identifier(row["login"])),
        )
    script = ";\n".join(statement.as_string(connection) for statement in statements)
    raise ServerNotPrepared(
        f"The server is not prepared: {missing[0]}"
        + (f" (and {len(missing) - 1} more)." if len(missing) > 1 else "."),
        next_step=f"Have a superuser run this once:\n{script};",
    )


async def prepare_given_server(connection: AsyncConnection[DictRow]) -> None:
    """See to it that a server on which we were given one database has the roles that client databases share,
    and that the login which was given can work with them. Nothing that is there is changed: where only some of
    the roles are, they may be somebody's, and a superuser decides.

    Raises:
        ServerNotPrepared: with the SQL in its next step.
    """
    names = [role.name for role in SHARED_ROLES]
    row = await (await connection.execute(ROLES["this_login"])).fetchone()
    if row is None:
        raise ServerNotPrepared("The server does not say who is connected.")
    missing = await (
        await connection.execute(
            ROLES["missing_on_given_server"],
            {
                "names": names,
                "bypass": [role.bypasses_rls for role in SHARED_ROLES],
                "grants": row["creates_roles"] or row["is_superuser"],
            },
        )
    ).fetchall()
    if not missing:
        return
    there = await (
        await connection.execute(
            ROLES["existing_roles"], {"names": [n for n in names if n != "postgres"]}
        )
    ).fetchall()
    if row["is_superuser"] and not there:
        await prepare_server(connection, admin=row["login"])
        return
    script = ";\n".join(
        statement.as_string(connection)
        for statement in await _preparation_here(connection, row["login"])
    )
    raise ServerNotPrepared(
        f"The server is not prepared for client databases: {missing[0]['lacks']}"
        + (f" (and {len(missing) - 1} more)." if len(missing) > 1 else "."),
        next_step=f"Have a superuser run this once:\n{script};\n"
        + (
            ""
            if row["creates_roles"]
            else "With `createrole` as well, the login could give the client logins of its own."
        ),
    )


async def _preparation_here(connection: AsyncConnection[DictRow], admin: str) -> list[sql.Composed]:
    """What a superuser has to run on this server, as it is now."""
    rows = await (
        await connection.execute(
            ROLES["existing_roles"], {"names": [role.name for role in SHARED_ROLES]}
        )
    ).fetchall()
    existing = {row["rolname"] for row in rows}
    return _preparation(admin, existing, connection.info.server_version // 10000)


def _preparation(admin: str, existing: set[str], major_version: int) -> list[sql.Composed]:
    statements: list[sql.Composed] = []
    for role in SHARED_ROLES:
        name = sql.Identifier(role.name)
        if role.name not in existing:
            statements.append(sql.SQL("create role {} {}").format(name, sql.SQL(role.attributes)))
        elif role.bypasses_rls:
            statements.append(sql.SQL("alter role {} bypassrls").format(name))
        if role.name == "postgres":
            continue
        for setting, value in role.settings:
            statements.append(
                sql.SQL("alter role {} set {} = {}").format(
                    name, sql.Identifier(setting), sql.Literal(value)
                )
            )
    # From 16 on, being allowed to grant a role is apart from being allowed to become it.
    options = (
        "with admin true, inherit true, set true" if major_version >= 16 else "with admin option"
    )
    # In the order of names, as providers do: a role that is granted stays locked until the end of the
    # transaction, and two that take them in different orders would wait for each other.
    for granted in sorted(role.name for role in SHARED_ROLES if role.name != "postgres"):
        group = sql.Identifier(granted)
        for role in SHARED_ROLES:
            if granted in role.member_of:
                statements.append(
                    sql.SQL("grant {} to {}").format(group, sql.Identifier(role.name))
                )
        statements.append(
            sql.SQL("grant {} to {} {}").format(group, sql.Identifier(admin), sql.SQL(options))
        )
    return statements
