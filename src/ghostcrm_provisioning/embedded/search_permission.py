"""Letting one user through private folders, and nobody else.

The project may have been cloned below ``/root`` or a ``mktemp -d``: folders of mode 0700. The
service user needs to pass through them (POSIX calls it search permission, ``x`` on a folder) to
reach the data. Opening the folder to everybody with ``chmod o+x`` would be somebody else's
decision; an access control list gives the permission to that one user.

The format of ``system.posix_acl_access`` is the kernel's ``include/uapi/linux/posix_acl_xattr.h``;
how entries decide is described in acl(5).
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from ghostcrm_provisioning.embedded.service_user import ServiceUser
from ghostcrm_provisioning.errors import EmbeddedPostgresPermissionDenied

READ = 4
SEARCH = 1

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_NOT_SUPPORTED = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@dataclass(frozen=True, order=True)
class Entry:
    """One line of an access control list; sorted, they stand in the order the kernel wants."""

    tag: int
    identifier: int
    permissions: int


def let_through(user: ServiceUser, path: Path) -> None:
    """Give ``user`` search permission on exactly those parents of ``path`` that lack it.

    Raises EmbeddedPostgresPermissionDenied, with the folder and the command that helps, when the
    file system keeps no access control lists or does not let us write one.
    """
    for folder in reversed(path.parents):
        if not may(user, folder, SEARCH):
            _grant_search(user, folder)


def may(user: ServiceUser, path: Path, permission: int) -> bool:
    """Whether ``user``, member of its own group only, has ``permission`` on ``path`` itself."""
    facts = path.stat()
    entries = _read(path)
    mask = next((entry.permissions for entry in entries if entry.tag == _MASK), 7)
    if user.uid == facts.st_uid:
        return _any_grants(entries, _USER_OBJ, _NO_ID, permission)
    for entry in entries:
        if (entry.tag, entry.identifier) == (_USER, user.uid):
            return entry.permissions & mask & permission == permission
    of_groups = [
        entry.permissions & mask
        for entry in entries
        if (entry.tag == _GROUP_OBJ and facts.st_gid == user.gid)
        or (entry.tag, entry.identifier) == (_GROUP, user.gid)
    ]
    if of_groups:
        return any(permissions & permission == permission for permissions in of_groups)
    return _any_grants(entries, _OTHER, _NO_ID, permission)


def _any_grants(entries: list[Entry], tag: int, identifier: int, permission: int) -> bool:
    return any(
        entry.permissions & permission == permission
        for entry in entries
        if (entry.tag, entry.identifier) == (tag, identifier)
    )


def with_search(entries: list[Entry], user_id: int) -> list[Entry]:
    """The list with search permission for ``user_id`` added, and no one else's rights changed."""
    old_mask = next((entry.permissions for entry in entries if entry.tag == _MASK), None)
    own = 0
    kept: list[Entry] = []
    for entry in entries:
        if entry.tag == _MASK:
            continue
        if (entry.tag, entry.identifier) == (_USER, user_id):
            own = entry.permissions
        elif entry.tag in {_USER, _GROUP_OBJ, _GROUP} and old_mask is not None:
            # The mask is about to widen; what it held back so far must stay held back.
            kept.append(replace(entry, permissions=entry.permissions & old_mask))
        else:
            kept.append(entry)
    if old_mask is not None:
        own &= old_mask
    kept.append(Entry(_USER, user_id, own | SEARCH))
    mask = 0
    for entry in kept:
        if entry.tag in {_USER, _GROUP_OBJ, _GROUP}:
            mask |= entry.permissions
    return sorted([*kept, Entry(_MASK, _NO_ID, mask)])


def _read(path: Path) -> list[Entry]:
    """The access control list of ``path``; from its mode, when it has no list of its own."""
    if sys.platform == "linux":
        try:
            return _unpack(os.getxattr(path, _ATTRIBUTE))
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED | {errno.ENODATA}:
                raise
    mode = stat.S_IMODE(path.stat().st_mode)
    return [
        Entry(_USER_OBJ, _NO_ID, mode >> 6 & 7),
        Entry(_GROUP_OBJ, _NO_ID, mode >> 3 & 7),
        Entry(_OTHER, _NO_ID, mode & 7),
    ]


def _grant_search(user: ServiceUser, folder: Path) -> None:
    if sys.platform != "linux":
        raise _denied(user, folder, f"chmod +a 'user:{user.name} allow search' {_quoted(folder)}")
    try:
        os.setxattr(folder, _ATTRIBUTE, _pack(with_search(_read(folder), user.uid)))
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            raise _denied(user, folder, f"chmod o+x {_quoted(folder)}") from None
        command = f"setfacl -m u:{user.name}:x {_quoted(folder)}"
        raise _denied(user, folder, command) from error
    if not may(user, folder, SEARCH):
        raise _denied(user, folder, f"chmod o+x {_quoted(folder)}")


def _denied(user: ServiceUser, folder: Path, command: str) -> EmbeddedPostgresPermissionDenied:
    return EmbeddedPostgresPermissionDenied(
        f"The user {user.name}, as whom the embedded PostgreSQL runs, may not pass through the "
        f"folder {folder}.",
        next_step=f"Run `{command}`, or set GHOSTCRM_HOME to a folder that every user can reach.",
        folder=str(folder),
        user=user.name,
        command=command,
    )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _unpack(value: bytes) -> list[Entry]:
    return [
        Entry(tag, identifier, permissions)
        for tag, permissions, identifier in struct.iter_unpack("<HHI", value[4:])
    ]


def _pack(entries: list[Entry]) -> bytes:
    packed = [
        struct.pack("<HHI", entry.tag, entry.permissions, entry.identifier) for entry in entries
    ]
    return struct.pack("<I", _VERSION) + b"".join(packed)
