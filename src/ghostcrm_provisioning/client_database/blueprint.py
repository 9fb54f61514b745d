"""A blueprint: the folder that says what goes into a client database.

```
blueprint.toml                   name, title, plans
001_client_schema_template/      a folder: its files, in name order, are one migration
002_add_new_feature.sql          a file: one migration
seeds/010_settings.sql           default rows; each may run any number of times
access/                          who may do what to whose rows, as data (optional)
```

Reading a blueprint finds every mistake that can be found without a database.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from time import time_ns

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ghostcrm_provisioning.client_database.access_matrix import AccessMatrix, read_access_matrix
from ghostcrm_provisioning.errors import InvalidBlueprint, UnknownPlan

_MIGRATION = re.compile(r"(?P<version>[0-9]{3,14})_(?P<name>[a-z0-9_]+)")
_SCRIPT_SUFFIXES = (".sql", ".pgsql")
_OTHER_FOLDERS = frozenset({"seeds", "access"})
# Systems date a change by a clock that ticks every 1 to 10 ms. What was changed less than that ago may be
# changed once more with the same date, so that nothing tells: it is not remembered yet.
_TELLS_CHANGES_APART_NS = 20_000_000


class Plan(BaseModel):
    """What a client of this plan may use; None means unlimited."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    priority: int = Field(default=0, description="Higher ones are provisioned first.")
    max_users: int | None = Field(default=None, gt=0)
    max_contacts: int | None = Field(default=None, gt=0)
    max_storage_bytes: int | None = Field(default=None, gt=0)
    connection_limit: int = Field(default=20, gt=0, description="Connections of the app login.")
    features: tuple[str, ...] = Field(default=(), description="Keys of what is switched on.")


class _Declaration(BaseModel):
    """``blueprint.toml`` as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")
    title: str
    description: str = ""
    minimum_postgres: int = 15
    features: dict[str, str] = Field(default_factory=dict, description="Key to title.")
    plans: dict[str, Plan] = Field(min_length=1)

    @model_validator(mode="after")
    def features_are_declared(self) -> _Declaration:
        for name, plan in self.plans.items():
            if unknown := sorted(set(plan.features) - self.features.keys()):
                raise ValueError(
                    f"plan {name} has the feature {unknown[0]!r}, which is not declared"
                )
        return self


@dataclass(frozen=True)
class Script:
    """One SQL file; ``path`` is relative to the blueprint's folder."""

    path: str
    text: str


@dataclass(frozen=True)
class Migration:
    """One step of the schema's history, applied in one transaction."""

    version: str
    name: str
    scripts: tuple[Script, ...]


@dataclass(frozen=True)
class Blueprint:
    """A blueprint as it was on disk when it was read."""

    reference: str
    name: str
    title: str
    minimum_postgres: int
    features: dict[str, str]
    plans: dict[str, Plan]
    migrations: tuple[Migration, ...]
    seeds: tuple[Script, ...]
    access: AccessMatrix | None = field(default=None, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that ends up in a client database; plans are applied per client."""
        digest = hashlib.sha256()
        for script in (*(s for m in self.migrations for s in m.scripts), *self.seeds):
            for part in (script.path, script.text):
                encoded = part.encode()
                digest.update(len(encoded).to_bytes(8) + encoded)
        return digest.hexdigest()

    def plan(self, name: str) -> Plan:
        """Raises UnknownPlan, naming those there are."""
        if name not in self.plans:
            raise UnknownPlan(
                f"There is no plan {name!r} in the blueprint {self.name}; "
                f"there are: {', '.join(self.plans)}."
            )
        return self.plans[name]


def find_blueprint(reference: str) -> Path:
    """The folder of a blueprint: a shipped one by its name, any other by its path.

    Raises:
        InvalidBlueprint: there is none.
    """
    shipped = Path(str(files("ghostcrm_provisioning").joinpath("blueprints")))
    looks_like_a_path = "/" in reference or "\\" in reference or reference.startswith(".")
    try:
        folder = Path(reference).expanduser() if looks_like_a_path else shipped / reference
        is_there = (folder / "blueprint.toml").is_file()
    except (OSError, RuntimeError):  # a name that is too long, a closed folder, an unknown ~user
        is_there = False
    if not is_there:
        names = ", ".join(sorted(entry.name for entry in shipped.iterdir() if entry.is_dir()))
        raise InvalidBlueprint(
            f"There is no blueprint {reference!r}.",
            next_step=f"Name a shipped one ({names}), or the path of a folder with a blueprint.toml.",
        )
    return folder.absolute()


def read_blueprint(reference: str) -> Blueprint:
    """Read and check a blueprint.

    Raises:
        InvalidBlueprint: naming the file and what is wrong with it.
    """
    folder = find_blueprint(reference)
    seen = _files_of(folder)
    newest = max((changed_at for _, _, changed_at, _ in seen), default=0)
    if newest > time_ns() - _TELLS_CHANGES_APART_NS:
        return _read.__wrapped__(reference, folder, seen)
    return _read(reference, folder, seen)


def _files_of(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What tells that a blueprint has changed on disk."""
    seen = []
    for directory, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118 - five times as fast
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError:  # a link that leads nowhere; if it is needed, reading it says so
                continue
            # The time of the last change, unlike that of the last write, cannot be set back.
            seen.append((path, status.st_ino, status.st_ctime_ns, status.st_size))
    return tuple(sorted(seen))


@lru_cache(maxsize=16)
def _read(reference: str, folder: Path, _files: tuple[tuple[str, int, int, int], ...]) -> Blueprint:
    declaration = _read_declaration(folder)
    seeds = folder / "seeds"
    return Blueprint(
        reference=reference if reference == declaration.name else str(folder),
        name=declaration.name,
        title=declaration.title,
        minimum_postgres=declaration.minimum_postgres,
        features=declaration.features,
        plans=declaration.plans,
        migrations=_read_migrations(folder),
        seeds=tuple(_read_scripts(seeds, folder)) if seeds.is_dir() else (),
        access=read_access_matrix(folder / "access"),
    )


def _read_declaration(folder: Path) -> _Declaration:
    path = folder / "blueprint.toml"
    try:
        return _Declaration.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as problem:
        raise InvalidBlueprint(
            f"{path} cannot be read: {problem}.", file="blueprint.toml", line=_line_named(problem)
        ) from None
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidBlueprint(
            f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}.", file="blueprint.toml"
        ) from None


def _line_named(problem: Exception) -> int | None:
    """Python's TOML reader says where in its text only."""
    found = re.search(r"at line (\d+)", str(problem))
    return int(found[1]) if found else None


def _read_migrations(folder: Path) -> tuple[Migration, ...]:
    migrations: dict[int, Migration] = {}
    for entry in sorted(folder.iterdir()):
        is_script = entry.is_file() and entry.suffix in _SCRIPT_SUFFIXES
        if not (is_script or entry.is_dir()) or entry.name in _OTHER_FOLDERS:
            continue
        match = _MIGRATION.fullmatch(entry.stem if is_script else entry.name)
        if match is None:
            raise InvalidBlueprint(
                f"{entry} is not named like a migration.",
                next_step="Name it NNN_what_it_does.sql, or NNN_what_it_does/ for a folder.",
                file=entry.name,
            )
        version = match["version"]
        if (other := migrations.get(int(version))) is not None:
            raise InvalidBlueprint(
                f"{entry} has the same number as {other.version}_{other.name}.", file=entry.name
            )
        scripts = (
            (_read_script(entry, folder),) if is_script else tuple(_read_scripts(entry, folder))
        )
        if not scripts:
            raise InvalidBlueprint(f"{entry} holds no .sql or .pgsql file.", file=entry.name)
        migrations[int(version)] = Migration(version, match["name"], scripts)
    if not migrations:
        raise InvalidBlueprint(f"{folder} has no migration.")
    # Versions are compared as numbers: 010 comes after 9, whatever their widths.
    return tuple(sorted(migrations.values(), key=lambda migration: int(migration.version)))


def _read_scripts(folder: Path, root: Path) -> list[Script]:
    return [
        _read_script(path, root)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix in _SCRIPT_SUFFIXES
    ]


def _read_script(path: Path, root: Path) -> Script:
    name = path.relative_to(root).as_posix()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidBlueprint(f"{path} cannot be read: {problem}.", file=name) from None
    if "\0" in text:
        # libpq would send what stands before it and nothing else.
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InvalidBlueprint(
            f"{path}, line {line}: there is a NUL character.", file=name, line=line
        )
    return Script(name, text)
