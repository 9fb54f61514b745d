"""How a client comes into being.

```
acquire database     a database of its own, with logins of its own, which no other login can enter
install blueprint    the complete CRM schema (nothing to do when the template had it)
create admin         the person who registered can sign in, as owner
apply plan settings  what the plan allows, and whose CRM it is, stands in the database
prove isolation      strangers see nothing: tried, not assumed
hand over            the database is the client's; what was only needed to make it is erased
```

When all of it was seen, the client is ready: written in one transaction with the end of the run.

Each step looks whether it is already so, makes it so, and looks again. So each may run twice, after
a crash at any instant, or beside a zombie of itself.
"""

from __future__ import annotations

from ghostcrm_provisioning.audit.record import record
from ghostcrm_provisioning.client_database.admin_user import (
    AdminUser,
    create_admin_user,
    create_profile,
    observe_admin_user,
    observe_profile,
)
from ghostcrm_provisioning.client_database.install import (
    install_blueprint,
    install_platform,
    observe_installation,
    refuse_history_of_others,
    stamp_database,
)
from ghostcrm_provisioning.client_database.isolation.proof import (
    list_functions_for_users,
    list_tables,
    prove_isolation,
    prove_template,
)
from ghostcrm_provisioning.client_database.plan_settings import apply_plan, observe_plan
from ghostcrm_provisioning.clients.client import CLIENTS, Client
from ghostcrm_provisioning.control_database.database import Connection
from ghostcrm_provisioning.errors import IsolationNotProven, PermanentFailure
from ghostcrm_provisioning.observation import Observation
from ghostcrm_provisioning.providers.provider import WantedUser
from ghostcrm_provisioning.provisioning.work import Work, findings_of
from ghostcrm_provisioning.provisioning.workflow import Step, Workflow


async def database_is_acquired(work: Work) -> Observation:
    seen = await work.provider.observe(work.request)
    if seen.holds and work.services is not None and work.request.keys is None:
        return Observation(False, "what opens the project's services is not kept yet")
    return seen


async def acquire_database(work: Work) -> None:
    await work.provider.create(work.request)
    if (services := work.services) is not None and work.request.keys is None:
        await work.keep_service_keys(await services.keys())
    await work.connect_soon()


async def blueprint_is_installed(work: Work) -> Observation:
    installed = await observe_installation(await work.client_database())
    if installed is None:
        return Observation(False, "nothing is installed")
    if installed.database_id != work.client.database_id:
        return Observation(False, "the database does not say whose it is")
    missing = [m.version for m in work.blueprint.migrations if m.version not in installed.versions]
    if missing or installed.fingerprint != work.blueprint.fingerprint:
        return Observation(False, f"{len(missing)} migrations of {work.blueprint.name} are missing")
    async with work.held.holding() as control:
        await control.execute(
            CLIENTS["mark_database_present"],
            {
                "database_id": work.client.database_id,
                "fingerprint": work.blueprint.fingerprint,
            },
        )
    return Observation(
        True, f"{work.blueprint.name} with {len(work.blueprint.migrations)} migrations is installed"
    )


async def install(work: Work) -> None:
    connection, ground = await work.client_database(), await work.ground()
    async with work.provider.installing(work.request, connection):
        installed = await observe_installation(connection)
        if installed is None:
            await refuse_history_of_others(connection, work.blueprint)
        if installed is None or installed.fingerprint != work.blueprint.fingerprint:
            await install_platform(connection, ground=ground)
            await install_blueprint(connection, work.blueprint, ground=ground)
        await stamp_database(connection, work.client.database_id)
    work.look_at_ground_again()


def _admin_of(work: Work) -> AdminUser:
    return AdminUser(
        user_id=work.client.admin_user_id,
        email=work.client.admin_email,
        company_name=work.client.name,
        must_change_password=work.client.admin_must_change_password,
    )


def _user_of(admin: AdminUser) -> WantedUser:
    return WantedUser(
        admin.user_id, admin.email, {"company_name": admin.company_name, "email_verified": True}
    )


async def admin_exists(work: Work) -> Observation:
    admin, connection = _admin_of(work), await work.client_database()
    if (services := work.services) is None:
        return await observe_admin_user(connection, admin)
    # Where Auth comes with the database, it keeps its own tables: asked, never read or written.
    user = await services.observe_user(_user_of(admin))
    return await observe_profile(connection, admin) if user.holds else user


async def create_admin(work: Work) -> None:
    if work.password_hash is None:
        raise PermanentFailure(
            "The admin's password hash was erased at an earlier hand-over, yet the admin is missing.",
            next_step="Invite the admin anew through Supabase Auth.",
        )
    admin, connection = _admin_of(work), await work.client_database()
    if (services := work.services) is None:
        await create_admin_user(connection, admin, work.password_hash, ground=await work.ground())
    else:
        await services.ensure_user(_user_of(admin), work.password_hash)
        await create_profile(connection, admin, ground=await work.ground())


async def plan_is_applied(work: Work) -> Observation:
    seen = await observe_plan(
        await work.client_database(),
        work.client.wanted_plan,
        work.plan,
        company_name=work.client.name,
    )
    if not seen.holds or (services := work.services) is None:
        return seen
    settings = await services.observe_settings(work.plan.max_storage_bytes)
    return Observation(settings.holds, f"{seen.seen}; {settings.seen}")


async def apply_plan_settings(work: Work) -> None:
    await apply_plan(
        await work.client_database(),
        work.client.wanted_plan,
        work.plan,
        company_name=work.client.name,
        ground=await work.ground(),
    )
    if (services := work.services) is not None:
        await services.ensure_settings(work.plan.max_storage_bytes)


async def isolation_is_proven(work: Work) -> Observation:
    connection, ground = await work.client_database(), await work.ground()
    if not work.provider.copies_templates and not ground.is_supabase:
        # It is no copy of anything that was proven: so the whole proof is made here.
        return await prove_template(connection, work.blueprint.access, ground=ground)
    application = await work.as_application()
    async with work.provider.ask_server(work.request) as server:
        seen = await prove_isolation(
            connection,
            application=application,
            logins=tuple(f"{work.request.name}_{login.key}" for login in work.request.logins),
            access=work.blueprint.access,
            server=server,
            ground=ground,
        )
    if (services := work.services) is None:
        return seen
    knocks = await services.knock(
        await list_tables(connection, ground=ground),
        await list_functions_for_users(connection, ground=ground),
    )
    if findings := findings_of(knocks):
        raise IsolationNotProven(findings[0].sentence, exposures=len(findings))
    return Observation(True, f"{seen.seen}; {knocks.attempts} knocks at its API: nothing was shown")


async def nothing_to_make(_: Work) -> None:
    """A proof is an observation; when it fails, it says why by itself."""


async def is_handed_over(work: Work) -> Observation:
    async with work.held.connection() as control:
        row = await (
            await control.execute(CLIENTS["is_handed_over"], {"client_id": work.client.id})
        ).fetchone()
    if row is None or not row["holds"]:
        return Observation(False, "not handed over yet")
    return Observation(True, "the database is the client's")


async def hand_over(work: Work) -> None:
    async with work.held.holding() as connection:
        parameters = {"client_id": work.client.id, "database_id": work.client.database_id}
        await connection.execute(CLIENTS["mark_handed_over"], parameters)
        await connection.execute(CLIENTS["erase_password_hash"], parameters)


async def client_is_ready(connection: Connection, client: Client) -> None:
    await connection.execute(CLIENTS["mark_ready"], {"client_id": client.id})
    await record(
        connection,
        actor="worker",
        action="client.ready",
        client_id=client.id,
        details={"database": client.database_name, "plan": client.plan},
    )


PROVISION_CLIENT = Workflow(
    kind="provision_client",
    title="Provision client",
    failure="client.failed",
    steps=(
        Step("acquire_database", "Acquire database", database_is_acquired, acquire_database),
        Step("install_blueprint", "Install blueprint", blueprint_is_installed, install),
        Step("create_admin", "Create admin", admin_exists, create_admin),
        Step("apply_plan_settings", "Apply plan settings", plan_is_applied, apply_plan_settings),
        Step(
            "prove_isolation",
            "Prove isolation",
            isolation_is_proven,
            nothing_to_make,
            is_long_afresh=True,  # the whole attack, and far away
        ),
        Step("hand_over", "Hand over", is_handed_over, hand_over),
    ),
    conclude=client_is_ready,
)
