"""Access control lists: one user is added, everybody else keeps exactly what they had."""

from __future__ import annotations

from ghostcrm_provisioning.embedded.search_permission import Entry, with_search

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NO_ID = 0xFFFFFFFF


def test_a_private_folder_gains_one_user_and_a_mask() -> None:
    private = [Entry(USER_OBJ, NO_ID, 7), Entry(GROUP_OBJ, NO_ID, 0), Entry(OTHER, NO_ID, 0)]
    assert with_search(private, 999) == [
        Entry(USER_OBJ, NO_ID, 7),
        Entry(USER, 999, 1),
        Entry(GROUP_OBJ, NO_ID, 0),
        Entry(MASK, NO_ID, 1),
        Entry(OTHER, NO_ID, 0),
    ]


def test_what_the_mask_held_back_stays_held_back() -> None:
    existing = [
        Entry(USER_OBJ, NO_ID, 7),
        Entry(USER, 42, 7),
        Entry(USER, 999, 6),
        Entry(GROUP_OBJ, NO_ID, 5),
        Entry(GROUP, 50, 3),
        Entry(MASK, NO_ID, 4),
        Entry(OTHER, NO_ID, 0),
    ]
    assert with_search(existing, 999) == [
        Entry(USER_OBJ, NO_ID, 7),
        Entry(USER, 42, 4),
        Entry(USER, 999, 5),
        Entry(GROUP_OBJ, NO_ID, 4),
        Entry(GROUP, 50, 0),
        Entry(MASK, NO_ID, 5),
        Entry(OTHER, NO_ID, 0),
    ]


def test_doing_it_twice_changes_nothing() -> None:
    plain = [Entry(USER_OBJ, NO_ID, 7), Entry(GROUP_OBJ, NO_ID, 5), Entry(OTHER, NO_ID, 5)]
    once = with_search(plain, 999)
    assert with_search(once, 999) == once
