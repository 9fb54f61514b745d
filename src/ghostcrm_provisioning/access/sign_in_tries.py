"""How often somebody may try a password: counted before it is looked at, forgiven when it was right.

What a try costs does not depend on whether there is such an account; why three things are counted,
and what that means for one who wants to lock an admin out, is decision 0020.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import dataclass

from ghostcrm_provisioning.control_database.database import ControlDatabase
from ghostcrm_provisioning.errors import AccountLocked
from ghostcrm_provisioning.named_sql import NamedSql

TRIES = NamedSql(__package__, "sign_in_tries.sql")


@dataclass(frozen=True)
class Allowance:
    """So many tries are free; then waits of 1, 2, 4 … seconds follow, none longer than ``longest``."""

    free: int
    longest: float


ACCOUNT_FROM_ADDRESS = Allowance(free=5, longest=15 * 60)
# All addresses from which nobody has signed in to this account for 30 days, together. Its waits are
# short: they slow down one who has many addresses, and leave the owner of the account a turn.
ACCOUNT_FROM_ANYWHERE_NEW = Allowance(free=25, longest=60)
ADDRESS = Allowance(free=20, longest=15 * 60)


@dataclass(frozen=True)
class Try:
    """One try to sign in, which was counted."""

    of_account_from_address: bytes
    of_account: bytes | None  # None: from a familiar address
    of_address: bytes


class SignInTries:
    """The counters of the control database."""

    def __init__(self, control: ControlDatabase) -> None:
        self._control = control

    async def take(self, email: str, address: str) -> Try:
        """Count a try.

        Raises:
            AccountLocked: too many have failed; this one is not counted, and must not be made.
        """
        network = network_of(address)
        email_digest = _digest("email", email)
        pair = _digest("email and address", email, network)
        everywhere = _digest("email anywhere", email)
        from_here = _digest("address", network)
        refused: bytes | None = None
        is_familiar = False
        try:
            # Always in this order, so that no two tries wait for one another.
            async with self._control.transaction() as connection:
                for key, allowance in (
                    (pair, ACCOUNT_FROM_ADDRESS),
                    (everywhere, ACCOUNT_FROM_ANYWHERE_NEW),
                    (from_here, ADDRESS),
                ):
                    if key == everywhere and is_familiar:
                        continue
                    cursor = await connection.execute(
                        TRIES["take_try"],
                        {
                            "key": key,
                            "email_digest": None if key == from_here else email_digest,
                            "free": allowance.free,
                            "longest": allowance.longest,
                        },
                    )
                    row = await cursor.fetchone()
                    if row is None:
                        refused = key
                        raise AccountLocked  # takes back what was counted so far
                    if key == pair:
                        is_familiar = row["is_familiar"]
        except AccountLocked:
            wait = await self._control.fetch_one(TRIES["find_wait"], key=refused)
            seconds = wait["seconds"] if wait is not None else None
            whole = max(1, math.ceil(seconds or 1))
            raise AccountLocked(
                f"Too many sign-ins have failed. Try again in {whole} s.", wait_seconds=whole
            ) from None
        await self._control.execute(TRIES["delete_old_counters"])
        return Try(pair, None if is_familiar else everywhere, from_here)

    async def succeeded(self, made: Try) -> None:
        """Its password was right."""
        async with self._control.transaction() as connection:
            await connection.execute(
                TRIES["forget_failures"], {"key": made.of_account_from_address}
            )
            for key, allowance in (
                (made.of_account, ACCOUNT_FROM_ANYWHERE_NEW),
                (made.of_address, ADDRESS),
            ):
                if key is not None:
                    await connection.execute(
                        TRIES["give_back_try"], {"key": key, "free": allowance.free}
                    )

    async def unlock(self, email: str) -> None:
        """Forget every failure of this account, from wherever."""
        rows = await self._control.fetch_all(
            TRIES["counters_of_email"], email_digest=_digest("email", email)
        )
        for row in rows:  # one by one: none is held while another is waited for
            await self._control.execute(TRIES["unlock"], key=row["key"])


def network_of(address: str) -> str:
    """Whose address it is: of IPv6, one customer has a whole /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode(errors="backslashreplace")).digest()
