"""The pages, a module for each place of the menu."""

from ghostcrm_provisioning.dashboard.pages import sign_in

# Every router of the dashboard.
PAGES = (sign_in.router,)
