"""The pages, a module for each place of the menu.

Paths of routers are below ``/admin``, where the application of the pages is mounted: ``/clients``, say.
Links in templates are whole: ``{{ prefix }}/clients``.
"""

from ghostcrm_provisioning.dashboard.pages import sign_in

# Every router of the dashboard.
PAGES = (sign_in.router,)
