"""An API that manages projects and their keys, for either door: it is keystile's management API, and nothing else."""

import sqlite3
from contextlib import closing

from keystile import Gate, Project, asgi, wsgi
from keystile.config.file import load

SERVICE = "service.db"

with closing(sqlite3.connect(SERVICE, timeout=30)) as database, database:
    database.execute("CREATE TABLE IF NOT EXISTS events (project_id TEXT, text TEXT)")
    database.execute("CREATE TABLE IF NOT EXISTS incidents (project_id TEXT, text TEXT)")


def forget(project: Project) -> None:
    """Remove what the service keeps for a project that was deleted."""
    with closing(sqlite3.connect(SERVICE, timeout=30)) as database, database:
        database.execute("DELETE FROM events WHERE project_id = ?", (project.id,))
        database.execute("DELETE FROM incidents WHERE project_id = ?", (project.id,))


gate = Gate(**load().gate, on_project_deleted=forget)
asgi_app = asgi.GateMiddleware(asgi.management_app(gate, field_case="camel"), gate)
wsgi_app = wsgi.GateMiddleware(wsgi.management_app(gate, field_case="camel"), gate)
