"""Who a platform is: its id, its access token and its sealing keys, made once in each GHOSTCRM_HOME.

The token has the form that Supabase's tools ask for: ``sbp_`` and 40 hexadecimal digits. It lies in a
file that only its owner may read, so that it can be shown again when the platform is started.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from pydantic import SecretStr

from ghostcrm_provisioning.errors import ConfigurationError
from ghostcrm_provisioning.sealing import Sealer, sealer_from_folder

_TOKEN_BYTES = 20  # 40 hexadecimal digits


@dataclass(frozen=True)
class Identity:
    """What makes this platform this one."""

    id: UUID
    access_token: SecretStr
    sealer: Sealer
    folder: Path

    @property
    def database(self) -> str:
        """The database that it keeps its own records in."""
        return f"ghostcrm_platform_{self.id.hex[:12]}"

    def knows(self, token: str) -> bool:
        """Whether that is our token."""
        ours = self.access_token.get_secret_value()
        return hmac.compare_digest(token.encode(), ours.encode())


def open_identity(home: Path) -> Identity:
    """The platform of that GHOSTCRM_HOME; made when there is none.

    Raises:
        ConfigurationError: its files cannot be used.
    """
    folder = home / "platform"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        identifier = UUID(_made_once(folder / "id", lambda: str(uuid4())))
    except ValueError:
        raise ConfigurationError(
            f"The file {folder / 'id'} does not hold the platform's id.",
            next_step="Bring it back from a backup, or remove the folder to begin a new platform.",
        ) from None
    token = _made_once(folder / "access-token", lambda: f"sbp_{secrets.token_hex(_TOKEN_BYTES)}")
    sealer = sealer_from_folder(folder / "keys", may_make_first=True)
    return Identity(identifier, SecretStr(token), sealer, folder)


def _made_once(path: Path, make: Callable[[], str]) -> str:
    """The content of a file that only its owner may read; whoever comes first makes it."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make() + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text(encoding="ascii").strip()
