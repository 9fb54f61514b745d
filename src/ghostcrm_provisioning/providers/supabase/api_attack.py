"""The attack on a project's API over HTTP: what do strangers get to see?

Who asks: somebody without a key, somebody with each of the public keys, and a stranger who is really signed
in. What they ask: every table over REST, the description of the API, the list of users, the storage's buckets
and files. Nothing is changed by it but for the stranger, who comes and goes (:mod:`.stranger`).

What counts:

* An answer with something in it that is not theirs is an exposure. So is, for whoever is not signed in, that a
  table lets itself be asked at all: it has been granted to everybody, and an empty one shows nothing yet.
* A refusal (401, 403) is none. A public key was seen to be accepted before, a stranger has signed in: what is
  refused is the question.
* Everything else proves nothing, and is an error that may be tried again: no answer, 429, 5xx, an answer that
  is not understood, a token that PostgREST does not take, a table that the API does not know (yet) even when
  asked with the key that may see all.
* A table without rows shows a signed-in stranger nothing, open or not. It is named in the outcome; such
  tables are for the attack inside the database, which brings rows of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from ghostcrm_provisioning.errors import (
    GhostcrmError,
    PostconditionNotMet,
    SupabaseAccessDenied,
    SupabaseUnavailable,
    ToldToWait,
)
from ghostcrm_provisioning.providers.supabase.auth_admin import AuthAdmin
from ghostcrm_provisioning.providers.supabase.project_api import ProjectApi, code_of
from ghostcrm_provisioning.providers.supabase.stranger import signed_in_stranger
from ghostcrm_provisioning.providers.supabase.wire import Answer, Request, object_in

T = TypeVar("T")

NOBODY = "somebody without a key"
STRANGER = "a signed-in stranger"
_REST = "/rest/v1/"
_USERS = "/auth/v1/admin/users"
_SETTINGS = "/auth/v1/settings"
_BUCKETS = "/storage/v1/bucket"
_FILES = "/storage/v1/object/list/{}"
_AT_ONCE = 8
# Refusals of a token, by PostgREST and Auth, which say nothing about what is asked for.
_TOKEN_REFUSED = frozenset({"PGRST301", "PGRST303", "bad_jwt"})
_UNKNOWN_TABLE = "PGRST205"
_PERMISSION_DENIED = "42501"
_KEY_SWITCHED_OFF = "Legacy API keys are disabled"


@dataclass(frozen=True)
class Targets:
    """What the API has of ours.

    Attributes:
        tables: of the schema that it exposes first, ``public``. Those that it has beside them are attacked, too.
        functions: which signed-in users may execute. Others that a stranger is told of are exposures.
    """

    tables: frozenset[str]
    functions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Exposure:
    """One thing that strangers see and must not.

    Attributes:
        code: ``row_seen``, ``may_ask``, ``described``, ``users_seen``, ``bucket_seen``, ``file_seen``,
            ``bucket_public``.
        sentence: what is wrong, for the person who must act. Holds nothing of what was seen.
        subject: the table, function or bucket.
        caller: who saw it.
    """

    code: str
    sentence: str
    subject: str
    caller: str


@dataclass(frozen=True)
class ApiOutcome:
    """What came of an attack.

    Attributes:
        attempts: how many questions each caller has asked.
        nothing_to_see: tables without any row, so that a stranger who sees none proves nothing.
    """

    exposures: tuple[Exposure, ...]
    attempts: Mapping[str, int] = field(hash=False)
    nothing_to_see: tuple[str, ...]


async def attack_api(
    *,
    project_url: str,
    service_key: str,
    public_keys: Mapping[str, str],
    targets: Targets,
    stamp: str,
    request_seconds: float = 30.0,
    transport: httpx.AsyncBaseTransport | None = None,
) -> ApiOutcome:
    """Attack the API as everybody who must see nothing.

    Args:
        service_key: a secret key, or ``service_role``: to see what there is, and for the stranger.
        public_keys: those that the application hands to everybody, by what they are called: "the anon key",
            "the publishable key". Without any, only nobody and a stranger attack.
        stamp: of the database; the stranger's id is made from it.

    Raises:
        TransientFailure: something could not be tried; nothing is proven.
        ToldToWait: no more requests are taken now.
        SupabaseAccessDenied: a key is not taken, so what is refused with it proves nothing.
        SupabaseRejected: the stranger cannot be made, or not signed in.
    """
    async with AsyncExitStack() as resources:

        async def opened(key: str | None, token: str | None = None) -> ProjectApi:
            return await resources.enter_async_context(
                ProjectApi(
                    project_url=project_url,
                    key=key,
                    token=token,
                    request_seconds=request_seconds,
                    transport=transport,
                )
            )

        owner = await opened(service_key)
        attack = _Attack(await _look_around(owner, targets), targets)
        attack.judge_buckets()
        await attack.by(_Caller(NOBODY, await opened(None)))
        door: tuple[str, ProjectApi] | None = None
        for title, key in public_keys.items():
            api = await opened(key)
            if await _is_taken(api):
                door = door or (key, api)
                await attack.by(_Caller(title, api))
            else:
                attack.attempts[title] += 1
        admin = await resources.enter_async_context(
            AuthAdmin(
                project_url, service_key, request_seconds=request_seconds, transport=transport
            )
        )
        key, api = door or (service_key, owner)
        async with signed_in_stranger(admin, api, stamp) as token:
            await attack.by(
                _Caller(
                    STRANGER,
                    await opened(key, token),
                    is_signed_in=True,
                    # With this key it would be described to whoever has it, not to a stranger.
                    asks_for_description=door is not None,
                )
            )
        return attack.outcome()


# --- what there is --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _There:
    """What whoever may see everything sees. ``tables`` have rows or not, ``buckets`` are public or not."""

    tables: Mapping[str, bool]
    buckets: Mapping[str, bool]


async def _look_around(owner: ProjectApi, targets: Targets) -> _There:
    names = targets.tables
    request = _get(_REST)
    answer = await owner.send(request)
    if answer.is_success:
        described, _ = _described(owner.document(request, answer), owner, request)
        names |= described
    elif answer.status != httpx.codes.NOT_FOUND:  # it is switched off (PGRST126)
        raise _not_tried(owner, request, answer)
    tables = dict(await _each(names, lambda name: _rows_of(owner, name)))
    request = _get(_BUCKETS)
    answer = await owner.send(request)
    buckets = {
        str(each.get("id")): each.get("public") is True
        for each in _listed(owner, request, answer)
        if isinstance(each, dict)
    }
    return _There(tables, buckets)


async def _rows_of(owner: ProjectApi, table: str) -> bool:
    """Whether it has rows, as far as that can be seen: the API's role needs no right to read it."""
    request = _of_table(table)
    answer = await owner.send(request)
    if code_of(answer) == _PERMISSION_DENIED:
        return False
    if code_of(answer) == _UNKNOWN_TABLE:
        raise PostconditionNotMet(
            f"The project's REST API does not know the table {table} (yet).",
            next_step="See in the project's API settings that the schema is exposed; after a change it "
            "takes a moment.",
        )
    return bool(_listed(owner, request, answer))


async def _is_taken(api: ProjectApi) -> bool:
    """Whether a public key opens anything; the older ones can be switched off.

    Raises:
        SupabaseAccessDenied: it is wrong. What is refused with it would prove nothing.
    """
    request = _get(_SETTINGS)
    answer = await api.send(request)
    if answer.is_success:
        return True
    if str(object_in(answer).get("message", "")).startswith(_KEY_SWITCHED_OFF):
        return False
    raise _not_tried(api, request, answer)


# --- the attack -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Caller:
    title: str
    api: ProjectApi
    is_signed_in: bool = False
    asks_for_description: bool = True

    @property
    def has_key(self) -> bool:
        return self.title != NOBODY

    def __str__(self) -> str:
        return self.title[:1].upper() + self.title[1:]


class _Attack:
    def __init__(self, there: _There, targets: Targets) -> None:
        self._there = there
        self._targets = targets
        self._exposures: list[Exposure] = []
        self.attempts: Counter[str] = Counter()

    async def by(self, caller: _Caller) -> None:
        """Everything, as one caller."""
        await _each(self._there.tables, lambda table: self._ask_table(caller, table))
        if caller.asks_for_description:
            await self._ask_description(caller)
        await self._ask_users(caller)
        await self._ask_buckets(caller)
        await _each(self._there.buckets, lambda bucket: self._ask_files(caller, bucket))

    def judge_buckets(self) -> None:
        """What is in a public one needs no key; it is downloaded by its name."""
        for bucket, public in self._there.buckets.items():
            if public:
                self._expose(
                    "bucket_public",
                    f"The bucket {bucket} is public: who knows a file's name may download it.",
                    bucket,
                    NOBODY,
                )

    def outcome(self) -> ApiOutcome:
        return ApiOutcome(
            exposures=tuple(
                sorted(self._exposures, key=lambda each: (each.caller, each.code, each.subject))
            ),
            attempts=dict(self.attempts),
            nothing_to_see=tuple(
                sorted(name for name, has_rows in self._there.tables.items() if not has_rows)
            ),
        )

    async def _ask_table(self, caller: _Caller, table: str) -> None:
        request = _of_table(table)
        answer = await self._asked(caller, request)
        if answer is None:
            return
        if _listed(caller.api, request, answer):
            self._expose(
                "row_seen",
                f"{caller} sees rows of the table {table} over the REST API.",
                table,
                caller.title,
            )
        elif not caller.is_signed_in:
            self._expose(
                "may_ask",
                f"{caller} may read the table {table} over the REST API, which shows no row now.",
                table,
                caller.title,
            )

    async def _ask_description(self, caller: _Caller) -> None:
        request = _get(_REST)
        answer = await self._asked(caller, request)
        if answer is None:
            return
        tables, functions = _described(caller.api.document(request, answer), caller.api, request)
        if caller.is_signed_in:
            # The application's own users are told of these, too.
            tables -= self._targets.tables
            functions -= self._targets.functions
        for kind, names in (("table", tables), ("function", functions)):
            for name in names:
                self._expose(
                    "described",
                    f"{caller} is told of the {kind} {name} by the REST API: it is granted to them.",
                    name,
                    caller.title,
                )

    async def _ask_users(self, caller: _Caller) -> None:
        request = _get(_USERS, query=[("page", "1"), ("per_page", "1")])
        if await self._asked(caller, request) is not None:
            self._expose(
                "users_seen",
                f"{caller} gets the list of the project's users.",
                "auth.users",
                caller.title,
            )

    async def _ask_buckets(self, caller: _Caller) -> None:
        request = _get(_BUCKETS)
        answer = await self._asked(caller, request)
        for each in [] if answer is None else _listed(caller.api, request, answer):
            bucket = str(each.get("id")) if isinstance(each, dict) else "?"
            self._expose(
                "bucket_seen",
                f"{caller} sees the bucket {bucket} in the list of buckets.",
                bucket,
                caller.title,
            )

    async def _ask_files(self, caller: _Caller, bucket: str) -> None:
        path = _FILES.format(quote(bucket, safe=""))
        request = Request("POST", _FILES, path, body={"prefix": "", "limit": 1})
        answer = await self._asked(caller, request)
        if answer is not None and _listed(caller.api, request, answer):
            self._expose(
                "file_seen",
                f"{caller} sees files in the bucket {bucket}.",
                bucket,
                caller.title,
            )

    async def _asked(self, caller: _Caller, request: Request) -> Answer | None:
        """What is answered; None when it is refused."""
        answer = await caller.api.send(request)
        self.attempts[caller.title] += 1
        if answer.is_success:
            return answer
        if caller.is_signed_in and code_of(answer) in _TOKEN_REFUSED:
            raise _proves_nothing(caller.api, request, answer)
        if _is_refusal(answer, request, caller):
            return None
        raise _not_tried(caller.api, request, answer)

    def _expose(self, code: str, sentence: str, subject: str, caller: str) -> None:
        self._exposures.append(Exposure(code, sentence, subject, caller))


def _is_refusal(answer: Answer, request: Request, caller: _Caller) -> bool:
    if answer.status in {401, 403}:
        return True
    # Storage answers 400, and what it means in the body. Without a token it finds the request itself at
    # fault; with one, a 400 without such a meaning is no refusal.
    if answer.status == httpx.codes.BAD_REQUEST and request.path.startswith("/storage/"):
        return not caller.has_key or str(object_in(answer).get("statusCode")) in {"401", "403"}
    return False


# --- questions and answers ------------------------------------------------------------------------


def _get(path: str, query: Sequence[tuple[str, str]] = ()) -> Request:
    return Request("GET", path, path, query=query)


def _of_table(table: str) -> Request:
    return Request(
        "GET",
        f"{_REST}{{}}",
        f"{_REST}{quote(table, safe='')}",
        query=[("select", "*"), ("limit", "1")],
    )


def _listed(api: ProjectApi, request: Request, answer: Answer) -> list[Any]:
    """Raises what :func:`_not_tried` says: it is no list."""
    document = api.document(request, answer) if answer.is_success else None
    if not isinstance(document, list):
        raise _not_tried(api, request, answer)
    return document


def _described(
    document: Any, api: ProjectApi, request: Request
) -> tuple[frozenset[str], frozenset[str]]:
    """The tables and views, and the functions, that the root of PostgREST has."""
    paths = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(paths, dict):
        raise SupabaseUnavailable(
            f"{api.host} does not describe its REST API as PostgREST does ({request.endpoint}).",
            may_be_done=False,
        )
    names = {path.removeprefix("/") for path in paths} - {""}
    functions = {name for name in names if name.startswith("rpc/")}
    return (
        frozenset(names - functions),
        frozenset(name.removeprefix("rpc/") for name in functions),
    )


def _not_tried(api: ProjectApi, request: Request, answer: Answer) -> GhostcrmError:
    """Whatever it is, it is no proof."""
    if not answer.is_success:
        error = api.error(request, answer)
        if isinstance(error, ToldToWait | SupabaseAccessDenied | SupabaseUnavailable):
            return error
    return _proves_nothing(api, request, answer)


def _proves_nothing(api: ProjectApi, request: Request, answer: Answer) -> SupabaseUnavailable:
    code = code_of(answer)
    return SupabaseUnavailable(
        f"{api.host} has answered {answer.status}{f' ({code[:40]})' if code else ''} to "
        f"{request.endpoint}, which proves nothing.",
        may_be_done=False,
    )


async def _each(names: Iterable[str], work: Callable[[str], Awaitable[T]]) -> list[tuple[str, T]]:
    """Some at a time; nothing goes on once one has failed."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> tuple[str, T]:
        async with free:
            return name, await work(name)

    tasks = [asyncio.create_task(one(name)) for name in sorted(names)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
