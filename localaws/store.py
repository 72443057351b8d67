"""What the local AWS remembers: JSON documents by kind and name, in one SQLite file."""

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

Document = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, name)
)
"""


class Store:
    """Documents by (kind, name), on disk when a call returns. Safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(SCHEMA)

    def get(self, kind: str, name: str) -> Document | None:
        """The document, or None."""
        rows = self._run("SELECT body FROM documents WHERE kind = ? AND name = ?", kind, name)
        return json.loads(rows[0][0]) if rows else None

    def add(self, kind: str, name: str, document: Document) -> bool:
        """Store a new document; False, changing nothing, when the name is taken."""
        return bool(
            self._run(
                "INSERT INTO documents (kind, name, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING position",
                *(kind, name, json.dumps(document)),
            )
        )

    def update(self, kind: str, name: str, **members: Any) -> Document:
        """Set top-level members of a document in one step and return the whole. KeyError when there is none."""
        with self._lock:
            row = self._db.execute("SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name)).fetchone()
            if row is None:
                raise KeyError(f"{kind} {name}")
            document: Document = {**json.loads(row[0]), **members}
            self._db.execute(
                "UPDATE documents SET body = ? WHERE kind = ? AND name = ?", (json.dumps(document), kind, name)
            )
            return document

    def delete(self, kind: str, name: str) -> bool:
        """Forget a document; False when there was none."""
        return bool(self._run("DELETE FROM documents WHERE kind = ? AND name = ? RETURNING position", kind, name))

    def all(self, kind: str) -> list[Document]:
        """Every document of a kind, oldest first."""
        rows = self._run("SELECT body FROM documents WHERE kind = ? ORDER BY position", kind)
        return [json.loads(body) for (body,) in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _run(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()
