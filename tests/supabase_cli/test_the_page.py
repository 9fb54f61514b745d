"""The commands that docs/how-to/use-supabase-tools.md shows are run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.docs.pages import ROOT, blocks
from tests.provisioned import ProvisionedClient, read_by_docker
from tests.supabase_cli.conftest import SupabaseCli

pytestmark = pytest.mark.long

PAGE = ROOT / "docs" / "how-to" / "use-supabase-tools.md"


def test_the_commands_of_the_page_work(
    supabase: SupabaseCli,
    new_client: Callable[[str], ProvisionedClient],
    server: Server,
    tmp_path: Path,
) -> None:
    client = new_client("As the page says")
    # Blocks of `bash` need Docker.
    shown = "\n".join(block.text for block in blocks(PAGE, "sh"))
    script = re.sub(r"(?<=clients connect )[0-9a-f]{8}", client.id, shown)
    path = [supabase.program.parent, Path(sys.executable).parent, os.environ["PATH"]]
    finished = subprocess.run(
        ["/bin/sh", "-eux", "-c", script],
        cwd=tmp_path,
        env=client.environment
        | supabase.environment
        | {"PATH": os.pathsep.join(str(place) for place in path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert '"contacts": {' in (tmp_path / "database.types.ts").read_text()
    assert shown.count("supabase ") >= 7
    for name in ("owner.env", "auth.env", "api.env"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
        assert read_by_docker((tmp_path / name).read_text())
    with server.superuser(client.database) as inside:
        rows = inside.execute(
            "select version from supabase_migrations.schema_migrations"
        ).fetchall()
    assert "20260101000000" not in {row["version"] for row in rows}, "pushed, and taken back"
