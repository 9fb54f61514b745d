"""What is sealed opens for its owner with its key, and for nobody else."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostcrm_provisioning.errors import InvalidSetting, SealingKeyMissing
from ghostcrm_provisioning.sealing import Sealer, sealer_from_folder, sealer_from_setting

OLD, NEW = bytes(range(32)), bytes(range(100, 132))
ROW = "client_databases.credentials/1"


def word(key_id: str, key: bytes) -> str:
    return f"{key_id}:{base64.b64encode(key).decode()}"


def key_file(folder: Path, name: str, key: bytes) -> None:
    (folder / name).write_text(base64.b64encode(key).decode() + "\n")


@given(
    secret=st.text(), belongs_to=st.text(), key_id=st.from_regex(r"[0-9a-z]{1,32}", fullmatch=True)
)
def test_what_is_sealed_opens_again(secret: str, belongs_to: str, key_id: str) -> None:
    sealer = Sealer({key_id: OLD})
    sealed = sealer.seal(secret, belongs_to=belongs_to)
    assert sealer.open(sealed, belongs_to=belongs_to) == secret
    # A short one may stand in what is random; the key's id is no secret.
    if len(secret) > 7 and secret not in key_id:
        assert secret.encode() not in sealed


def test_the_same_secret_is_never_sealed_alike() -> None:
    sealer = Sealer({"a": OLD})
    assert len({sealer.seal("secret", belongs_to=ROW) for _ in range(100)}) == 100


def test_a_changed_byte_anywhere_is_noticed() -> None:
    sealer = Sealer({"new1": NEW, "n": OLD})
    sealed = sealer.seal("the secret", belongs_to=ROW)
    for at in range(len(sealed)):
        for other in (sealed[at] ^ 1, sealed[at] ^ 0x80, 0, 255):
            if other == sealed[at]:
                continue
            altered = sealed[:at] + bytes([other]) + sealed[at + 1 :]
            with pytest.raises(SealingKeyMissing) as refused:
                sealer.open(altered, belongs_to=ROW)
            # It is stored with the run, where PostgreSQL takes no NUL.
            assert "\\u0000" not in json.dumps(refused.value.as_record())


def test_a_value_that_was_cut_or_prolonged_is_noticed() -> None:
    sealer = Sealer({"first": OLD})
    sealed = sealer.seal("the secret", belongs_to=ROW)
    for length in range(len(sealed)):
        with pytest.raises(SealingKeyMissing):
            sealer.open(sealed[:length], belongs_to=ROW)
    with pytest.raises(SealingKeyMissing):
        sealer.open(sealed + b"\0", belongs_to=ROW)


@given(st.binary(max_size=200))
def test_no_other_bytes_ever_open(noise: bytes) -> None:
    with pytest.raises(SealingKeyMissing):
        Sealer({"first": OLD}).open(noise, belongs_to=ROW)


@pytest.mark.parametrize("other", ["client_databases.credentials/2", "", ROW + " ", "x" + ROW])
def test_a_value_that_was_moved_to_another_row_does_not_open(other: str) -> None:
    sealer = Sealer({"a": OLD})
    with pytest.raises(SealingKeyMissing):
        sealer.open(sealer.seal("secret", belongs_to=ROW), belongs_to=other)


def test_a_value_whose_key_is_not_here_names_the_key() -> None:
    sealed = Sealer({"lost": OLD}).seal("secret", belongs_to=ROW)
    with pytest.raises(SealingKeyMissing, match="lost") as missing:
        Sealer({"here": NEW}).open(sealed, belongs_to=ROW)
    assert missing.value.details == {"keyId": "lost"}


def test_a_key_of_the_same_name_but_other_bytes_does_not_open() -> None:
    sealed = Sealer({"first": OLD}).seal("secret", belongs_to=ROW)
    with pytest.raises(SealingKeyMissing):
        Sealer({"first": NEW}).open(sealed, belongs_to=ROW)


def test_the_newest_key_seals_and_every_key_opens() -> None:
    before = Sealer({"old": OLD}).seal("before", belongs_to=ROW)
    rotated = Sealer({"new": NEW, "old": OLD})
    assert rotated.current_key_id == "new"
    assert rotated.open(before, belongs_to=ROW) == "before"
    after = rotated.seal("after", belongs_to=ROW)
    assert Sealer({"new": NEW}).open(after, belongs_to=ROW) == "after"
    with pytest.raises(SealingKeyMissing):
        Sealer({"old": OLD}).open(after, belongs_to=ROW)


def test_a_sealer_without_a_key_is_refused() -> None:
    with pytest.raises(SealingKeyMissing):
        Sealer({})


def test_a_sealer_shows_the_names_of_its_keys_and_never_a_key() -> None:
    sealer = Sealer({"new": NEW, "old": OLD})
    for shown in (repr(sealer), str(sealer), f"{sealer}"):
        assert shown == "Sealer(keys=['new', 'old'])"


# --- from the setting -----------------------------------------------------------------------------


def test_the_setting_names_keys_newest_first() -> None:
    sealer = sealer_from_setting(f"  {word('new', NEW)}\n{word('old', OLD)} ")
    assert sealer.current_key_id == "new"
    sealed = Sealer({"old": OLD}).seal("secret", belongs_to=ROW)
    assert sealer.open(sealed, belongs_to=ROW) == "secret"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        "nonsense",
        ":",
        "id:",
        ":" + base64.b64encode(OLD).decode(),
        word("Upper", OLD),
        word("with-dash", OLD),
        word("x" * 33, OLD),
        word("id", OLD[:16]),
        word("id", OLD + OLD),
        word("id", OLD)[:-2],
        "id:" + "é" * 43 + "=",
        "id:" + "!" * 44,
        f"{word('good', OLD)} bad",
        f"{word('same', NEW)} {word('same', OLD)}",
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(InvalidSetting, match="GHOSTCRM_SEALING_KEYS") as refused:
        sealer_from_setting(value)
    shown = json.dumps(refused.value.as_record(), ensure_ascii=False)
    assert base64.b64encode(OLD).decode() not in shown
    assert refused.value.exit_code == 2


# --- from the folder ------------------------------------------------------------------------------


def test_the_first_key_is_made_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "keys"
    before = os.umask(0)  # the most generous of environments
    try:
        sealed = sealer_from_folder(folder, may_make_first=True).seal("secret", belongs_to=ROW)
    finally:
        os.umask(before)
    (key,) = folder.glob("*.key")
    assert re.fullmatch(r"1-[0-9a-f]{8}\.key", key.name)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sealer_from_folder(folder, may_make_first=True).open(sealed, belongs_to=ROW) == "secret"


def test_the_key_file_of_the_highest_number_is_the_newest(tmp_path: Path) -> None:
    for number in (1, 2, 9, 10):
        key_file(tmp_path, f"{number}-key{number}.key", bytes([number]) * 32)
    sealer = sealer_from_folder(tmp_path, may_make_first=True)
    assert sealer.current_key_id == "key10"
    assert repr(sealer) == "Sealer(keys=['key10', 'key9', 'key2', 'key1'])"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1-first.key", b""),
        ("1-first.key", b"not base64!"),
        ("1-first.key", b"\xff\xfe\x00"),
        ("1-first.key", base64.b64encode(OLD[:16])),
        ("first.key", base64.b64encode(OLD)),
        ("1-First.key", base64.b64encode(OLD)),
        ("one-first.key", base64.b64encode(OLD)),
        ("1-.key", base64.b64encode(OLD)),
    ],
)
def test_a_key_file_that_holds_no_key_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SealingKeyMissing, match=name) as refused:
        sealer_from_folder(tmp_path, may_make_first=True)
    if content:
        assert content.decode(errors="replace") not in refused.value.message


def test_a_key_file_that_is_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "1-first.key").mkdir()
    with pytest.raises(SealingKeyMissing, match=r"1-first\.key"):
        sealer_from_folder(tmp_path, may_make_first=True)


def test_two_key_files_of_one_id_are_refused(tmp_path: Path) -> None:
    key_file(tmp_path, "1-same.key", OLD)
    key_file(tmp_path, "2-same.key", NEW)
    with pytest.raises(SealingKeyMissing, match=r"1-same\.key"):
        sealer_from_folder(tmp_path, may_make_first=True)


MAKE_A_KEY = """\
import pathlib, sys
from ghostcrm_provisioning.sealing import sealer_from_folder
print("ready", flush=True)
sys.stdin.readline()
sealed = sealer_from_folder(pathlib.Path(sys.argv[1]), may_make_first=True).seal("agreed", belongs_to="row")
print(sealed.hex(), flush=True)
"""


def test_eight_processes_that_come_first_at_once_agree_on_one_key(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE_A_KEY, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all stand at the line: go
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert len(list(folder.glob("*.key"))) == 1
    sealer = sealer_from_folder(folder, may_make_first=True)
    assert {sealer.open(bytes.fromhex(text), belongs_to="row") for text in answers} == {"agreed"}


def test_a_folder_without_keys_is_refused_when_the_installation_is_not_new(tmp_path: Path) -> None:
    with pytest.raises(SealingKeyMissing, match="sealing keys are not in"):
        sealer_from_folder(tmp_path / "keys", may_make_first=False)
    assert not (tmp_path / "keys").exists(), "no key was made, nor a folder for keys"
