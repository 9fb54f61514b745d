"""The pages, a module for each place of the menu.

Paths of routers are below ``/admin``, where the application of the pages is mounted: ``/clients``, say.
Links in templates are whole: ``{{ prefix }}/clients``.
"""

from ghostcrm_provisioning.dashboard.pages import (
    access,
    admins,
    audit,
    client,
    clients,
    connection,
    lifecycle,
    notifications,
    overview,
    plan,
    provision,
    queue,
    rotation,
    servers,
    sign_in,
)

# Every router of the dashboard. The form of a new client comes before what takes its address for an id.
PAGES = (
    sign_in.router,
    overview.router,
    clients.router,
    provision.router,
    client.router,
    connection.router,
    rotation.router,
    plan.router,
    lifecycle.router,
    queue.router,
    servers.router,
    audit.router,
    notifications.router,
    access.router,
    admins.router,
)
