"""What a registration may hold: every value is checked before anything is created.

Names and emails are normalised first, so that two spellings of the same thing are the same thing.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from uuid import UUID

from ghostcrm_provisioning.errors import (
    DatabaseUrlMissing,
    InvalidCompanyName,
    InvalidEmail,
    InvalidIdentifier,
    InvalidInput,
    InvalidPassword,
)
from ghostcrm_provisioning.given_database import GivenDatabase, read_given_database

LONGEST_NAME = 200  # characters; a Supabase project's name (256) has to hold it and our stamp
LONGEST_EMAIL = 254  # characters; RFC 5321, 4.5.3.1.3, less the angle brackets
SHORTEST_PASSWORD = 8  # bytes
LONGEST_PASSWORD = 72  # bytes; bcrypt ignores what comes after
LONGEST_IDEMPOTENCY_KEY = 255

# Characters that reorder the text around them: a name could disguise itself in a log or a page.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Letters and symbols by category, yet nothing to see: Hangul fillers and the empty Braille pattern.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_UUID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class RegistrationForm:
    """A checked registration. The password is in clear here, and only here.

    Attributes:
        given: a database that is to become the client's; None has one made.
        region: where its database is to be, for a provider that lets one choose; None leaves it to the
            settings.
    """

    company_name: str
    admin_email: str
    plan: str
    blueprint: str
    admin_password: str | None = field(default=None, repr=False)
    client_id: UUID | None = None
    idempotency_key: str | None = None
    given: GivenDatabase | None = None
    region: str | None = None

    @property
    def digest(self) -> bytes:
        """What must be equal for two registrations to be the same one; knows nothing of passwords, and of
        a given database only which one it is."""
        parts = [_folded(self.company_name), self.admin_email, self.plan, self.blueprint]
        if self.given is not None:
            parts.append(self.given.identity.hex())
        if self.region is not None:
            parts.append(f"region {self.region}")
        return hashlib.sha256("\0".join(parts).encode()).digest()

    @property
    def uniqueness_key(self) -> str | None:
        """By what a repetition is recognised: the caller's key, or else the same company with the
        same admin. None when the caller chose the client's id, which is then the key."""
        if self.idempotency_key is not None:
            return f"key:{self.idempotency_key}"
        if self.client_id is not None:
            return None
        parts = "\0".join((_folded(self.company_name), self.admin_email))
        return f"registration:{hashlib.sha256(parts.encode()).hexdigest()}"


def _folded(name: str) -> str:
    """The same for all spellings of a name that differ in case or spacing only (canonical caseless
    matching: The Unicode Standard, 3.13, D145)."""
    decomposed = unicodedata.normalize("NFD", name).casefold()
    return " ".join(unicodedata.normalize("NFD", decomposed).split())


def _is_noncharacter(character: str) -> bool:
    return ord(character) & 0xFFFE == 0xFFFE or "\ufdd0" <= character <= "\ufdef"


def _can_be_seen(character: str) -> bool:
    # Cn: not known to this Python's tables, as emoji newer than it are.
    category = unicodedata.category(character)
    return (category[0] in "LNSP" or category in {"Cn", "Co"}) and character not in _BLANK


def check_company_name(name: str) -> str:
    """The name, trimmed and in Unicode's composed form (NFC).

    Raises:
        InvalidCompanyName: empty, longer than 200 characters, or with control characters,
            noncharacters or reordering ones. Quotes, emoji, right-to-left scripts and SQL are all welcome.
    """
    for character in name:
        # Cc control, Cs half of a surrogate pair, Zl/Zp line and paragraph breaks
        unshowable = unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        if unshowable or _is_noncharacter(character):
            raise InvalidCompanyName(
                f"The company name holds the character U+{ord(character):04X}, which cannot be shown."
            )
        if character in _REORDERING:
            raise InvalidCompanyName(
                f"The company name holds U+{ord(character):04X}, which reorders the text around it."
            )
    normal = unicodedata.normalize("NFC", name).strip()
    if not any(_can_be_seen(character) for character in normal):
        raise InvalidCompanyName("The company name is empty.")
    if len(normal) > LONGEST_NAME:
        raise InvalidCompanyName(
            f"The company name has {len(normal)} characters; at most {LONGEST_NAME} are possible."
        )
    return normal


def check_email(address: str) -> str:
    """The address in lower case, its domain in ASCII (IDNA), as Supabase Auth stores it.

    Raises:
        InvalidEmail: it is not an address, is longer than 254 characters, or has a local part that
            is not ASCII.
    """
    if not address.strip():
        raise InvalidEmail("The email address is empty.")
    if len(address) > LONGEST_EMAIL:
        raise InvalidEmail(
            f"The email address has {len(address)} characters; at most {LONGEST_EMAIL} are possible."
        )
    if any(unicodedata.category(character)[0] == "C" for character in address):
        raise InvalidEmail("The email address holds a control character.")
    # Slow to load, and only a registration needs it.
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415

    try:
        valid = validate_email(
            address.strip(),
            check_deliverability=False,
            allow_smtputf8=False,
            strict=True,  # at most 64 characters before the @ (RFC 5321, 4.5.3.1.1)
            test_environment=True,
        )
    except EmailNotValidError as problem:
        raise InvalidEmail(f"The email address cannot be used: {problem}") from None
    if "." not in valid.domain:
        raise InvalidEmail("The email address has no domain with a dot in it.")
    ascii_address = valid.ascii_email
    if ascii_address is None or len(ascii_address) > LONGEST_EMAIL:
        raise InvalidEmail("The email address cannot be written in ASCII.")
    return ascii_address.lower()


def check_password(password: str) -> str:
    """The password as it is.

    Raises:
        InvalidPassword: shorter than 8 or longer than 72 bytes in UTF-8, or with a NUL in it. bcrypt
            stops at 72 bytes; a longer one is refused rather than cut.
    """
    try:
        length = len(password.encode())
    except UnicodeEncodeError:
        raise InvalidPassword("The password holds characters that cannot be encoded.") from None
    if "\0" in password:
        raise InvalidPassword("The password holds a NUL character.")
    if length < SHORTEST_PASSWORD:
        raise InvalidPassword(
            f"The password has {length} bytes; at least {SHORTEST_PASSWORD} are needed."
        )
    if length > LONGEST_PASSWORD:
        raise InvalidPassword(
            f"The password has {length} bytes; at most {LONGEST_PASSWORD} are possible."
        )
    return password


def check_identifier(value: str | UUID) -> UUID:
    """Raises InvalidIdentifier when it is not a UUID."""
    if isinstance(value, UUID):
        return value
    # Stricter than UUID(), which takes what int() takes: underscores, blanks, any script's digits.
    if _UUID.fullmatch(value) is None:
        raise InvalidIdentifier(f"{value[:60]!r} is not a UUID.")
    return UUID(value)


def check_idempotency_key(key: str) -> str:
    """Raises InvalidInput when it is empty, too long or not printable ASCII."""
    if not (0 < len(key) <= LONGEST_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        raise InvalidInput(
            f"The idempotency key must be 1 to {LONGEST_IDEMPOTENCY_KEY} printable ASCII characters."
        )
    return key


def checked_form(
    *,
    company_name: str,
    admin_email: str,
    plan: str,
    blueprint: str,
    admin_password: str | None = None,
    client_id: str | UUID | None = None,
    idempotency_key: str | None = None,
    database_url: str | None = None,
    database_key: str | None = None,
    project_url: str | None = None,
    allow_other_tables: bool = False,
    region: str | None = None,
) -> RegistrationForm:
    """A registration whose every value was checked; the plan is checked against the blueprint
    later, and a given database is looked at then. Raises a subclass of InvalidInput."""
    if database_url is None and (database_key or project_url or allow_other_tables):
        raise DatabaseUrlMissing("A key, a project URL or other tables belong to a database URL.")
    if database_url is not None and region is not None:
        raise InvalidInput(
            "A database that is there already stays where it is: leave out the region."
        )
    if region is not None and not re.fullmatch(r"[a-z0-9-]{1,40}", region):
        raise InvalidInput(
            f"{region!r} is no region.",
            next_step="Give one of Supabase's, such as eu-central-1, or a group: americas, apac, emea.",
        )
    return RegistrationForm(
        company_name=check_company_name(company_name),
        admin_email=check_email(admin_email),
        plan=plan,
        blueprint=blueprint,
        admin_password=None if admin_password is None else check_password(admin_password),
        client_id=None if client_id is None else check_identifier(client_id),
        idempotency_key=None if idempotency_key is None else check_idempotency_key(idempotency_key),
        given=None
        if database_url is None
        else read_given_database(
            database_url,
            database_key,
            project_url=project_url,
            allow_other_tables=allow_other_tables,
        ),
        region=region,
    )
