"""Secrets at rest: sealed with AES-256-GCM before they reach a table, opened only where they are used.

A sealed value names its key, so keys can be rotated: the newest seals, all of them open. What a
value belongs to (table, column, row) is authenticated with it, so a sealed value that was copied to
another row does not open there.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ghostcrm_provisioning.errors import InvalidSetting, SealingKeyMissing

_FORMAT = b"\x01"
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.1: 96 bits
_KEY_BYTES = 32
_TAG_BYTES = 16
_KEY_ID = re.compile(r"[0-9a-z]{1,32}")
_KEY_FILE = re.compile(r"(?P<number>[0-9]{1,9})-(?P<key_id>[0-9a-z]{1,32})\.key")


class Sealer:
    """Seals with the first key, opens with any of them."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise SealingKeyMissing("There is no sealing key.")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.current_key_id = next(iter(keys))

    def __repr__(self) -> str:
        return f"Sealer(keys={list(self._ciphers)})"

    def seal(self, secret: str, *, belongs_to: str) -> bytes:
        """``secret`` sealed for ``belongs_to``, for example ``client_databases.credentials/<id>``."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        key_id = self.current_key_id.encode()
        header = _FORMAT + bytes([len(key_id)]) + key_id
        cipher = self._ciphers[self.current_key_id]
        return header + nonce + cipher.encrypt(nonce, secret.encode(), header + belongs_to.encode())

    def open(self, sealed: bytes, *, belongs_to: str) -> str:
        """The secret again.

        Raises:
            SealingKeyMissing: the key it names is not here, or the value was altered or moved.
        """
        end_of_header = 2 + (sealed[1] if len(sealed) > 1 else 0)
        header, rest = sealed[:end_of_header], sealed[end_of_header:]
        key_id = header[2:].decode("ascii", errors="replace")
        if len(rest) < _NONCE_BYTES + _TAG_BYTES or _KEY_ID.fullmatch(key_id) is None:
            raise SealingKeyMissing("A sealed value was cut or altered: it does not name its key.")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealingKeyMissing(f"The sealing key {key_id} is not here.", keyId=key_id)
        nonce, ciphertext = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, ciphertext, header + belongs_to.encode()).decode()
        except InvalidTag:
            raise SealingKeyMissing(
                f"A sealed value does not open with the key {key_id}: the key or the value is not "
                "the original one.",
                keyId=key_id,
            ) from None


def sealer_from_setting(value: str) -> Sealer:
    """A sealer from ``id:base64`` words, newest first (setting ``GHOSTCRM_SEALING_KEYS``)."""
    keys: dict[str, bytes] = {}
    for word in value.split():
        key_id, _, encoded = word.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not _KEY_ID.fullmatch(key_id) or len(key) != _KEY_BYTES:
            raise InvalidSetting(
                "GHOSTCRM_SEALING_KEYS cannot be used: each word must be `id:base64` with an id of "
                f"lower-case letters and digits and a key of {_KEY_BYTES} bytes."
            )
        if key_id in keys:
            raise InvalidSetting(
                f"GHOSTCRM_SEALING_KEYS cannot be used: it names two keys {key_id}."
            )
        keys[key_id] = key
    if not keys:
        raise InvalidSetting("GHOSTCRM_SEALING_KEYS cannot be used: it names no key.")
    return Sealer(keys)


def sealer_from_folder(folder: Path, *, may_make_first: bool) -> Sealer:
    """A sealer from the key files in ``folder``. Where there is none, and ``may_make_first`` allows
    it, the first process that comes makes the first key.

    Files are named ``<number>-<id>.key`` and hold one key in base64; the highest number is newest.
    """
    if not any(folder.glob("*.key")):
        if not may_make_first:
            raise SealingKeyMissing(
                f"The control database belongs to an installation whose sealing keys are not in {folder}.",
                next_step="Set GHOSTCRM_HOME to that installation's folder, or GHOSTCRM_SEALING_KEYS "
                "to its keys.",
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_first_key(folder)
    keys: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.key"), key=_number_of, reverse=True):
        name = _KEY_FILE.fullmatch(path.name)
        try:
            key = base64.b64decode(path.read_text(encoding="ascii").strip(), validate=True)
        except OSError as problem:
            raise SealingKeyMissing(f"The key file {path} cannot be read: {problem}.") from None
        except ValueError:
            key = b""
        if name is None or len(key) != _KEY_BYTES:
            raise SealingKeyMissing(f"The key file {path} does not hold a sealing key.")
        if name["key_id"] in keys:
            raise SealingKeyMissing(f"The key file {path} has the id of a newer one.")
        keys[name["key_id"]] = key
    return Sealer(keys)


def _number_of(path: Path) -> int:
    """10 is newer than 9."""
    name = _KEY_FILE.fullmatch(path.name)
    return -1 if name is None else int(name["number"])


def _make_first_key(folder: Path) -> None:
    """Several processes may start at once: whoever links the name first wins, the others use that
    key. Its id is drawn from the key itself, so that all give it the same name."""
    draft = folder / f".{secrets.token_hex(4)}.draft"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    first = folder / ".first"
    with suppress(FileExistsError):
        os.link(draft, first)
    draft.unlink()
    key_id = hashlib.sha256(first.read_bytes()).hexdigest()[:8]
    with suppress(FileExistsError):
        os.link(first, folder / f"1-{key_id}.key")
