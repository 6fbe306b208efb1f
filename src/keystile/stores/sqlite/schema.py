"""The tables of the SQLite store, and how a file of an older version gets them.

What is looked up or changed on its own has a column; lists, metadata and hashes are JSON. Moments are whole
microseconds since the epoch, so that they compare as numbers in every SQLite tool.

Each row of a key, a project or an organization has a revision, a random number that triggers draw anew on every change
on which a verdict depends, even if somebody edits the table by hand.
"""

from __future__ import annotations

from ..rows import KEY_COLUMNS, ORGANIZATION_COLUMNS, PROJECT_COLUMNS, USES


def _draws(table: str, columns: tuple[str, ...]) -> tuple[str, str]:
    """The triggers that draw a row's revision. It does not protect itself: whoever puts back a saved row puts back its
    revision too, and some process may remember another record under that number."""
    draw = f"BEGIN UPDATE {table} SET revision = random() WHERE id = new.id; END"  # noqa: S608 - only constants
    same = " AND ".join(f"new.{name} IS old.{name}" for name in columns)
    return (
        f"CREATE TRIGGER {table}_revised AFTER UPDATE ON {table} WHEN NOT ({same}) {draw}",
        f"CREATE TRIGGER {table}_inserted AFTER INSERT ON {table} {draw}",
    )


# A use does not count: otherwise a key that is used less than once a minute would be read and decoded anew for every
# request.
_KEYS_DRAW = _draws("keystile_keys", tuple(name for name in KEY_COLUMNS if name not in USES))
_REVISION = "revision INTEGER NOT NULL DEFAULT (random())"
_OWNERS = (
    f"""CREATE TABLE keystile_organizations (
        id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, plan TEXT, created_at INTEGER NOT NULL, suspended_at INTEGER,
        deleted_at INTEGER, {_REVISION}
    ) WITHOUT ROWID""",
    "CREATE INDEX keystile_organizations_by_age ON keystile_organizations (created_at, id)",
    *_draws("keystile_organizations", (*ORGANIZATION_COLUMNS, "deleted_at")),
    f"""CREATE TABLE keystile_projects (
        id TEXT PRIMARY KEY NOT NULL, organization_id TEXT NOT NULL, name TEXT NOT NULL, environment TEXT NOT NULL,
        created_at INTEGER NOT NULL, suspended_at INTEGER, deleted_at INTEGER, {_REVISION}
    ) WITHOUT ROWID""",
    "CREATE INDEX keystile_projects_by_age ON keystile_projects (created_at, id)",
    "CREATE INDEX keystile_projects_by_organization ON keystile_projects (organization_id, created_at, id)",
    *_draws("keystile_projects", (*PROJECT_COLUMNS, "deleted_at")),
    """CREATE TABLE keystile_audit (
        id TEXT PRIMARY KEY NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL, organization_id TEXT,
        targets TEXT NOT NULL, before TEXT, after TEXT, correlation_id TEXT NOT NULL,
        actor_type TEXT NOT NULL, actor_id TEXT, actor_name TEXT, via TEXT NOT NULL, client TEXT, request_id TEXT
    ) WITHOUT ROWID""",
    "CREATE INDEX keystile_audit_by_age ON keystile_audit (at, id)",
    "CREATE INDEX keystile_audit_by_organization ON keystile_audit (organization_id, at, id)",
    "CREATE INDEX keystile_keys_by_project ON keystile_keys (project_id, created_at, id)",
    "CREATE INDEX keystile_keys_by_owner ON keystile_keys (owner_id, created_at, id)",
    *_KEYS_DRAW,
)
# What is counted: for each key, hour since 1970 in UTC, and outcome.
_USAGE = (
    """CREATE TABLE keystile_usage (
        key_id TEXT NOT NULL, hour INTEGER NOT NULL, outcome TEXT NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (key_id, hour, outcome)
    ) WITHOUT ROWID""",
    "CREATE INDEX keystile_usage_by_hour ON keystile_usage (hour)",
)
# A list of JSON has no index, so whom an entry is about stands in a table too. Triggers keep it: processes of an older
# version may write entries meanwhile.
_NAMED = """INSERT OR IGNORE INTO keystile_audit_targets SELECT json_extract(each.value, '$[1]'), {0}.id
    FROM {1} json_each(iif(json_valid({0}.targets), {0}.targets, '[]')) each
    WHERE each.type = 'array' AND json_type(each.value, '$[1]') = 'text'"""
_TARGETS = (
    """CREATE TABLE keystile_audit_targets (
        target_id TEXT NOT NULL, entry_id TEXT NOT NULL, PRIMARY KEY (target_id, entry_id)
    ) WITHOUT ROWID""",
    f"CREATE TRIGGER keystile_audit_told AFTER INSERT ON keystile_audit BEGIN {_NAMED.format('new', '')}; END",
    """CREATE TRIGGER keystile_audit_purged AFTER DELETE ON keystile_audit BEGIN
        DELETE FROM keystile_audit_targets WHERE entry_id = old.id AND target_id IN
            (SELECT json_extract(each.value, '$[1]')
            FROM json_each(iif(json_valid(old.targets), old.targets, '[]')) each WHERE each.type = 'array');
    END""",
)
# What finds the records that ended before a moment; most have not.
_ENDS = (
    "CREATE INDEX keystile_keys_by_revocation ON keystile_keys (revoked_at) WHERE revoked_at IS NOT NULL",
    "CREATE INDEX keystile_keys_by_expiry ON keystile_keys (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE INDEX keystile_projects_by_end ON keystile_projects (deleted_at) WHERE deleted_at IS NOT NULL",
)
SCHEMA = (
    "keys",
    6,
    (
        f"""CREATE TABLE keystile_keys (
            id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, organization_id TEXT, project_id TEXT, owner_id TEXT,
            environment TEXT NOT NULL, plan TEXT, limits TEXT, scopes TEXT NOT NULL, may TEXT, ip_allowlist TEXT,
            created_at INTEGER NOT NULL, expires_at INTEGER, suspended_at INTEGER, revoked_at INTEGER,
            last_used_at INTEGER, metadata TEXT NOT NULL, hashes TEXT NOT NULL, grace_used_at INTEGER, {_REVISION}
        ) WITHOUT ROWID""",
        "CREATE INDEX keystile_keys_by_age ON keystile_keys (created_at, id)",
        "CREATE INDEX keystile_keys_by_organization ON keystile_keys (organization_id, created_at, id)",
        *_OWNERS,
        *_USAGE,
        *_TARGETS,
        *_ENDS,
    ),
)
STEPS = {
    # Versions 1 to 3 differ in their triggers alone, which step 3 replaces.
    1: (),
    2: (),
    3: (
        "DROP TRIGGER IF EXISTS keystile_keys_revised",
        "DROP TRIGGER IF EXISTS keystile_keys_inserted",
        "ALTER TABLE keystile_keys ADD COLUMN may TEXT",
        "ALTER TABLE keystile_keys ADD COLUMN suspended_at INTEGER",
        "ALTER TABLE keystile_keys ADD COLUMN grace_used_at INTEGER",
        *_OWNERS,
        *_USAGE,
    ),
    4: (*_TARGETS, _NAMED.format("entry", "keystile_audit entry,"), *_ENDS),
    # Until then the first use counted as a change of the key.
    5: ("DROP TRIGGER IF EXISTS keystile_keys_revised", _KEYS_DRAW[0]),
}
"""By version, the statements that lead to the next one."""
