"""Processes for tests that begin with everything loaded: to load it takes longer than most of what is done."""

from __future__ import annotations

import multiprocessing

FORKED = multiprocessing.get_context("forkserver")
# One server of them for all tests of a process, so all that any of them needs.
FORKED.set_forkserver_preload(
    [
        "ghostcrm_provisioning.providers.supabase.examination",
        "ghostcrm_provisioning.providers.supabase.provider",
        "ghostcrm_provisioning.queue.worker",
        "tests.supabase_projects.workers",
        "tests.supabase_runs.clients",
    ]
)
