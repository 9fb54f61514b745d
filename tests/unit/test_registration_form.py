"""Bad input: every value is accepted in one documented form, or refused with a code."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import FrozenInstanceError
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.provisional import domains

from ghostcrm_provisioning.errors import (
    InvalidCompanyName,
    InvalidEmail,
    InvalidIdentifier,
    InvalidInput,
    InvalidPassword,
)
from ghostcrm_provisioning.registration_form import (
    LONGEST_EMAIL,
    LONGEST_NAME,
    RegistrationForm,
    check_company_name,
    check_email,
    check_idempotency_key,
    check_identifier,
    check_password,
    checked_form,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates and all
NASTY = st.sampled_from(
    [
        "\0",
        "\x1b[31m",
        "\r\n",
        "\t",
        "\x7f",
        "\x85",
        "\u00a0",
        "\u200b",
        "\u200d",
        "\u202e",
        "\u2066",
        "\u2028",
        "\ufeff",
        "\ufffe",
        "\ud800",
        "\udfff",
        "\U000e0041",
        "\U0010ffff",
        "é",
        "e\u0301",
        "ß",
        "İ",
        "ΐ",
        "ﬁ",
        "Å",
        "שלום",
        "شركة",
        "👩‍👩‍👧‍👦",
        "'; drop table clients; --",
        "$$",
        '"',
        "\\",
        "%s",
        "{}",
        "@",
        ".",
        " ",
        "xn--",
        "<script>",
        "a",
        "ACME",
    ]
)
NASTY_TEXT = st.lists(NASTY, max_size=12).map("".join)
TEXT = ANY_TEXT | NASTY_TEXT | st.tuples(NASTY_TEXT, ANY_TEXT, NASTY_TEXT).map("".join)
ADDRESS = (
    TEXT
    | st.emails()
    | st.tuples(TEXT, TEXT).map("@".join)
    | st.tuples(st.from_regex(r"[a-zA-Z0-9.+-]{1,70}", fullmatch=True), TEXT).map("@".join)
    | st.tuples(TEXT, domains()).map("@".join)
)


def form(name: str = "ACME Corp", email: str = "admin@acme.com", **more: Any) -> RegistrationForm:
    return checked_form(
        company_name=name,
        admin_email=email,
        plan=more.pop("plan", "starter"),
        blueprint="ghostcrm",
        **more,
    )


def can_be_stored(text: str) -> bool:
    """As PostgreSQL text, and as JSON that others read."""
    return "\0" not in text and json.loads(json.dumps(text).encode("utf-8")) == text.encode(
        "utf-8"
    ).decode("utf-8")


def accepted_or_refused(check: Callable[[str], str], text: str) -> str | None:
    """The normal form, or None when it was refused in the documented way."""
    try:
        return check(text)
    except InvalidInput as refusal:
        refused = refusal
    assert refused.code.startswith("invalid_")
    assert refused.exit_code == 2
    assert refused.http_status == 422
    assert refused.next_step
    assert can_be_stored(refused.message)
    return None


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "ACME Corp",
        "A",
        'O\'Brien & Söhne "GmbH"',
        "Robert'); DROP TABLE clients;--",
        "$$; select pg_sleep(9); $$",
        "100% {format} %s \\n",
        "<script>alert(1)</script>",
        "👩‍👩‍👧‍👦 Family Ltd",
        "🏳️‍🌈",
        "🇩🇪 Flags",
        "🫨 newer than some Unicode tables",
        "\U0001fae9",
        "שלום בע״מ",
        "شركة المثال",
        "株式会社 例",
        "ไทย จำกัด",
        "क्षेत्र लिमिटेड",
        "../../etc/passwd",
        "x" * LONGEST_NAME,
        "👻" * LONGEST_NAME,
    ],
)
def test_any_name_that_can_be_shown_is_welcome(name: str) -> None:
    assert check_company_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u00a0\u2003",
        "\u200b\u200d\ufeff",
        "\u0301",
        "\u3164\uffa0",
        "\u2800",
        "x" * 201,
        "x" * 300,
        "👻" * 300,
        "NUL\0name",
        "a\nb",
        "a\rb",
        "tab\tbed",
        "\x1b[31mred",
        "\x7f",
        "\x85",
        "line\u2028break",
        "paragraph\u2029break",
        "\ud800",
        "half \udfff",
        "\ufffe",
        "\uffff",
        "\ufdd0",
        "\U0010ffff",
        "evil\u202egnp.exe",
        "\u202aA",
        "a\u2066b\u2069",
        "e\u0301" * 201,
    ],
)
def test_a_name_that_is_empty_too_long_or_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InvalidCompanyName) as refused:
        check_company_name(name)
    assert refused.value.code == "invalid_company_name"
    assert refused.value.message.isprintable()


def test_a_name_is_trimmed_and_composed() -> None:
    assert check_company_name("  Cafe\u0301 \u00a0") == "Café"
    # 200 characters once they are composed, 400 before.
    assert len(check_company_name("e\u0301" * 200)) == 200


@given(TEXT)
@example("\u0390" * 70)
@example("\u2126\u212b")
def test_whatever_name_comes_in_it_is_normalised_once_or_refused(text: str) -> None:
    name = accepted_or_refused(check_company_name, text)
    if name is not None:
        assert check_company_name(name) == name
        assert can_be_stored(name)
        assert 1 <= len(name) <= LONGEST_NAME
        assert name == name.strip() == unicodedata.normalize("NFC", name)
        assert not any(unicodedata.category(character) == "Cc" for character in name)


# --- emails ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("admin@acme.com", "admin@acme.com"),
        ("  Admin@ACME.com ", "admin@acme.com"),
        ("o'brien+crm@acme.co.uk", "o'brien+crm@acme.co.uk"),
        ("admin@bücher.example", "admin@xn--bcher-kva.example"),
        ("admin@BÜCHER.example", "admin@xn--bcher-kva.example"),
        ("admin@bu\u0308cher.example", "admin@xn--bcher-kva.example"),
        ("admin@xn--bcher-kva.example", "admin@xn--bcher-kva.example"),
        ("chef@例え.テスト", "chef@xn--r8jz45g.xn--zckzah"),
        ("a@mail.test", "a@mail.test"),
        ("x" * 64 + "@" + "y" * 63 + ".example", "x" * 64 + "@" + "y" * 63 + ".example"),
    ],
)
def test_an_address_is_kept_as_supabase_auth_keeps_it(address: str, normal: str) -> None:
    assert check_email(address) == normal


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "@",
        "admin",
        "admin@",
        "@acme.com",
        "a@b@c.com",
        "admin@localhost",
        "admin@acme..com",
        "admin@-acme.com",
        ".admin@acme.com",
        "admin.@acme.com",
        "ad..min@acme.com",
        "ad min@acme.com",
        "admin@ac me.com",
        "admin@[127.0.0.1]",
        "Admin <admin@acme.com>",
        '"quoted local"@acme.com',
        "admin@acme.com, other@acme.com",
        "müller@acme.com",
        "用户@例え.テスト",
        "👻@acme.com",
        "admin@\ud800.com",
        "\udfff@acme.com",
        "admin\0@acme.com",
        "admin@acme.com\n",
        "admin@acme.com\r\nBcc: all@acme.com",
        "ad\tmin@acme.com",
        "admin\u202e@acme.com",
        "admin\u200b@acme.com",
        "x" * 65 + "@acme.com",
        "admin@" + "y" * 64 + ".com",
        "a" * 308 + "@example.com",
        "a" * 64 + "@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 63 + ".example.com",
        "a@" + "ü" * 60 + "." + "ö" * 60 + "." + "ä" * 60 + ".example",
    ],
)
def test_an_address_that_nobody_could_sign_in_with_is_refused(address: str) -> None:
    with pytest.raises(InvalidEmail) as refused:
        check_email(address)
    assert refused.value.code == "invalid_email"


def test_an_address_of_320_characters_is_refused() -> None:
    address = "a" * 64 + "@" + ".".join(["b" * 50] * 4 + ["c" * 47]) + ".com"
    assert len(address) == 320
    with pytest.raises(InvalidEmail, match="320 characters"):
        check_email(address)


@given(ADDRESS)
@example("a@ß.de")
@example("a@" + "xn--" * 10 + ".de")
@example("A@ΐ.GR")
@example("a@İ.com")
def test_whatever_address_comes_in_it_is_normalised_once_or_refused(text: str) -> None:
    address = accepted_or_refused(check_email, text)
    if address is not None:
        assert check_email(address) == address
        assert can_be_stored(address)
        assert len(address) <= LONGEST_EMAIL
        assert address.isascii()
        assert address == address.lower()
        assert address.isprintable()
        assert address.count("@") == 1


# --- passwords ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        "12345678",
        "x" * 72,
        "ö" * 36,
        "👻" * 2,
        "👻" * 18,
        " spaces stay ",
        "tab\tand\nbreak",
        "'; drop table users; --",
    ],
)
def test_a_password_of_8_to_72_bytes_is_taken_as_it_is(password: str) -> None:
    assert check_password(password) == password


@pytest.mark.parametrize(
    "password",
    [
        "",
        "12345",
        "1234567",
        "ööö",
        "x" * 73,
        "ö" * 36 + "x",
        "👻" * 18 + "x",
        "x" * 100,
        "NUL\0 inside",
        "half \ud800 pair",
        "\udfff" * 8,
    ],
)
def test_a_password_that_bcrypt_would_cut_or_not_take_is_refused(password: str) -> None:
    with pytest.raises(InvalidPassword) as refused:
        check_password(password)
    assert refused.value.code == "invalid_password"
    if password:
        assert password not in json.dumps(refused.value.as_record(), ensure_ascii=False)


@given(TEXT)
def test_whatever_password_comes_in_it_is_taken_unchanged_or_refused(text: str) -> None:
    password = accepted_or_refused(check_password, text)
    if password is not None:
        assert password == text
        assert 8 <= len(password.encode()) <= 72
        assert can_be_stored(password)


# --- ids and keys ---------------------------------------------------------------------------------


def test_an_id_is_a_uuid_in_any_of_its_usual_spellings() -> None:
    known = uuid4()
    for spelling in (known, str(known), str(known).upper(), known.hex):
        assert check_identifier(spelling) == known


@pytest.mark.parametrize(
    "text",
    [
        "",
        "client-1",
        "1",
        "0" * 31,
        "0" * 33,
        "1234_5678-1234-1234-1234-12345678901",  # int() takes underscores
        " 234567812341234123412345678901 ",
        "\u0661" * 32,  # int() takes every script's digits
        "12345678123412341234123456789012\n",
        "00000000-0000-0000-0000-00000000000g",
        "\0" * 32,
        "\ud800",
        "'; drop table clients; --",
        "x" * 100_000,
    ],
)
def test_what_is_not_a_uuid_is_refused_as_an_id(text: str) -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        check_identifier(text)
    assert len(refused.value.message) < 1000
    refused.value.message.encode()


@given(TEXT | st.uuids().map(str))
def test_whatever_id_comes_in_it_is_a_uuid_or_refused(text: str) -> None:
    with suppress(InvalidIdentifier):
        assert check_identifier(text) == UUID(text)


@pytest.mark.parametrize("key", ["a", "order-4711", "with space", "x" * 255, "!~"])
def test_a_printable_key_is_taken(key: str) -> None:
    assert check_idempotency_key(key) == key


@pytest.mark.parametrize("key", ["", "x" * 256, "ö", "a\nb", "\0", "\x7f", "\ud800", "👻"])
def test_a_key_that_is_empty_long_or_not_printable_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_idempotency_key(key)
    assert refused.value.code == "invalid_input"


@given(TEXT)
def test_whatever_key_comes_in_it_is_taken_unchanged_or_refused(text: str) -> None:
    assert accepted_or_refused(check_idempotency_key, text) in {text, None}


# --- the form -------------------------------------------------------------------------------------


def test_the_form_never_shows_the_password() -> None:
    checked = form(admin_password="correct horse")
    assert checked.admin_password == "correct horse"
    assert "correct horse" not in repr(checked)
    with pytest.raises(FrozenInstanceError):
        checked.plan = "enterprise"  # type: ignore[misc]


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"email": "nobody"},
        {"admin_password": "short"},
        {"client_id": "1"},
        {"idempotency_key": ""},
    ],
)
def test_one_bad_value_refuses_the_whole_form(bad: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        form(**bad)


def variants(name: str) -> list[str]:
    spaced = name.replace(" ", "  ")
    return [
        f"  {name} ",
        spaced,
        name.replace(" ", "\u00a0"),
        name.upper(),
        name.casefold(),
        name.swapcase(),
        unicodedata.normalize("NFD", name),
        unicodedata.normalize("NFD", name.upper()),
    ]


@given(ANY_TEXT | NASTY_TEXT | st.text("aAßǅΐΰıİſﬀŉéñ e\u0301", min_size=1))
@example("ΐ")
@example("Ångström Café")
def test_the_same_company_in_another_spelling_is_the_same_registration(text: str) -> None:
    # The dotless i is another letter than the i: upper case alone makes them look the same. The iota
    # below a letter becomes one beside it in upper case, which then takes the accents that follow.
    assume(not {"ı", "\u0345"} & set(unicodedata.normalize("NFD", text)))
    name = accepted_or_refused(check_company_name, text)
    assume(name is not None)
    assert name is not None
    known = form(name=name)
    for variant in variants(name):
        if len(variant.strip()) <= LONGEST_NAME:
            again = form(name=variant)
            assert again.uniqueness_key == known.uniqueness_key
            assert again.digest == known.digest


@pytest.mark.parametrize("name", ["ᾴ", "ᾳ και ᾼ"])
def test_an_iota_below_or_beside_its_letter_is_the_same_registration(name: str) -> None:
    assert form(name=name.upper()).uniqueness_key == form(name=name).uniqueness_key


@pytest.mark.parametrize(
    "address",
    [
        "ADMIN@acme.com",
        " admin@ACME.COM ",
        "Admin@Acme.Com",
    ],
)
def test_the_same_address_in_another_spelling_is_the_same_registration(address: str) -> None:
    assert form(email=address).uniqueness_key == form().uniqueness_key
    assert form(email=address).digest == form().digest


def test_composed_and_decomposed_and_ascii_domains_are_the_same_registration() -> None:
    spellings = ["a@bücher.example", "a@bu\u0308cher.example", "A@xn--bcher-kva.EXAMPLE"]
    assert len({form(email=address).uniqueness_key for address in spellings}) == 1


def test_another_company_or_admin_is_another_registration() -> None:
    keys = [
        form().uniqueness_key,
        form(name="ACME Corp 2").uniqueness_key,
        form(email="other@acme.com").uniqueness_key,
        form(name="ACME Corp a", email="dmin@acme.com").uniqueness_key,
    ]
    assert len(set(keys)) == len(keys)


def test_the_callers_key_wins_and_an_id_needs_none() -> None:
    identifier = str(uuid4())
    assert form(idempotency_key="order-1").uniqueness_key == "key:order-1"
    assert form(idempotency_key="order-1", client_id=identifier).uniqueness_key == "key:order-1"
    assert form(client_id=identifier).uniqueness_key is None
    # A key cannot be made to look like a registration without one.
    assert form(idempotency_key="registration:0").uniqueness_key == "key:registration:0"


def test_the_digest_knows_the_plan_but_not_the_password() -> None:
    assert form(admin_password="one password").digest == form(admin_password="another one").digest
    assert form().digest != form(plan="enterprise").digest
    assert form().digest != form(email="other@acme.com").digest


def test_a_region_is_part_of_what_was_asked_for_and_nonsense_is_refused() -> None:
    assert form(region="eu-central-1").digest != form().digest
    assert form(region="emea").region == "emea"
    for nonsense in ("", "eu central", "EU", "../x", "a" * 41, "eu'"):
        with pytest.raises(InvalidInput):
            form(region=nonsense)
    with pytest.raises(InvalidInput, match="leave out the region"):
        form(region="emea", database_url="postgresql://a:b@127.0.0.1/c")
