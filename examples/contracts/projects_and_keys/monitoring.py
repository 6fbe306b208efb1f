"""What the service keeps for its projects."""

import sqlite3
from contextlib import closing

from keystile import Project

FILE = "service.db"

with closing(sqlite3.connect(FILE, timeout=30)) as database, database:
    database.execute("CREATE TABLE IF NOT EXISTS events (project_id TEXT, text TEXT)")
    database.execute("CREATE TABLE IF NOT EXISTS incidents (project_id TEXT, text TEXT)")


def forget(project: Project) -> None:
    """Remove what belongs to a project that was deleted."""
    with closing(sqlite3.connect(FILE, timeout=30)) as database, database:
        database.execute("DELETE FROM events WHERE project_id = ?", (project.id,))
        database.execute("DELETE FROM incidents WHERE project_id = ?", (project.id,))
