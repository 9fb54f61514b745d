"""The pages, a module for each place of the menu.

Paths of routers are below ``/admin``, where the application of the pages is mounted: ``/clients``, say.
Links in templates are whole: ``{{ prefix }}/clients``.
"""

from ghostcrm_provisioning.dashboard.pages import (
    access,
    admins,
    audit,
    notifications,
    overview,
    sign_in,
)

# Every router of the dashboard.
PAGES = (
    sign_in.router,
    overview.router,
    audit.router,
    notifications.router,
    access.router,
    admins.router,
)
