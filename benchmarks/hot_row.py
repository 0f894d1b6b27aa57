"""Measure whether a job's hot state should be a narrow table of its own beside the wide row.

One JSON object on stdout: microseconds of server time for one life cycle (insert, assigned, running, completed) in
batches of 500, with the state in a narrow table and with the state inside the wide row, same columns, same indexes.
Run it with ``DATABASE_URL`` of any scratch database, or without it on an embedded one.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import psycopg2

BATCH = 500
BATCHES = 40
ROUNDS = 5

_WIDE_COLUMNS = """
    job_id uuid PRIMARY KEY, root_id uuid NOT NULL, parent_id uuid, account text NOT NULL, type text NOT NULL,
    host text, entity_id text, namespace_path text, name text, job_key text, payload jsonb,
    created_at timestamptz NOT NULL DEFAULT now()"""
_HOT_COLUMNS = """
    state text NOT NULL, priority smallint NOT NULL DEFAULT 0, attempt int NOT NULL DEFAULT 0,
    run_at timestamptz NOT NULL DEFAULT now(), started_at timestamptz, finished_at timestamptz,
    session_id uuid, lease uuid"""

_SETUP = {
    "narrow": f"""
        CREATE TABLE wide ({_WIDE_COLUMNS});
        CREATE TABLE hot (job_id uuid PRIMARY KEY REFERENCES wide, {_HOT_COLUMNS}) WITH (fillfactor = 70);""",
    "one_row": f"CREATE TABLE hot ({_WIDE_COLUMNS}, {_HOT_COLUMNS}) WITH (fillfactor = 70);",
}
_INDEXES = """
    CREATE UNIQUE INDEX ON {wide} (root_id, (type || coalesce(host, '') || entity_id));
    CREATE INDEX ON {wide} (parent_id) WHERE parent_id IS NOT NULL;
    CREATE INDEX ON {wide} (account, created_at);
    CREATE INDEX ON hot (priority DESC, run_at, job_id) WHERE state = 'queued';
    CREATE INDEX ON hot (session_id) WHERE session_id IS NOT NULL AND finished_at IS NULL;"""
_FILL = """gen_random_uuid(), 'account', 'crawl_project', 'gitlab.example.com', n::text,
    'some/group/with/a/path/' || n, 'a project name', jsonb_build_object('note', repeat('x', 300))"""
_INSERT = {
    "narrow": f"""
        WITH w AS (INSERT INTO wide (job_id, root_id, account, type, host, entity_id, namespace_path, name, payload)
                   SELECT gen_random_uuid(), {_FILL} FROM generate_series(1, {BATCH}) AS n RETURNING job_id)
        INSERT INTO hot (job_id, state) SELECT job_id, 'queued' FROM w""",
    "one_row": f"""
        INSERT INTO hot (job_id, root_id, account, type, host, entity_id, namespace_path, name, payload, state)
        SELECT gen_random_uuid(), {_FILL}, 'queued' FROM generate_series(1, {BATCH}) AS n""",
}
_LIFE = (
    f"""WITH next AS (SELECT job_id FROM hot WHERE state = 'queued' ORDER BY priority DESC, run_at, job_id LIMIT {BATCH}
            FOR UPDATE SKIP LOCKED)
        UPDATE hot SET state = 'assigned', attempt = attempt + 1, lease = gen_random_uuid(),
            session_id = '00000000-0000-4000-8000-000000000000' FROM next WHERE hot.job_id = next.job_id""",
    "UPDATE hot SET state = 'running', started_at = now() WHERE session_id IS NOT NULL AND finished_at IS NULL",
    "UPDATE hot SET state = 'completed', finished_at = now() WHERE session_id IS NOT NULL AND finished_at IS NULL",
)


def life_cycle(cursor: psycopg2.extensions.cursor, shape: str) -> tuple[float, float, float]:
    """Return microseconds, bytes of write-ahead log and bytes on disk for each job, in a fresh schema."""
    cursor.execute("DROP SCHEMA IF EXISTS hot_row CASCADE; CREATE SCHEMA hot_row; SET search_path = hot_row")
    cursor.execute(_SETUP[shape] + _INDEXES.format(wide="wide" if shape == "narrow" else "hot"))
    cursor.execute("CHECKPOINT; SELECT pg_current_wal_lsn()")
    start = cursor.fetchone()
    began = time.perf_counter()
    for _ in range(BATCHES):
        cursor.execute(_INSERT[shape])
        for statement in _LIFE:
            cursor.execute(statement)
    seconds = time.perf_counter() - began
    cursor.execute(
        "SELECT pg_current_wal_lsn() - %s, (SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relnamespace = 'hot_row'::regnamespace AND relkind = 'r')",
        start,
    )
    log, disk = cursor.fetchone() or (0, 0)
    jobs = BATCH * BATCHES
    return seconds * 1e6 / jobs, float(log) / jobs, float(disk) / jobs


def measure(dsn: str) -> dict[str, object]:
    """Run both shapes in turn and return the medians."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        runs: dict[str, list[tuple[float, float, float]]] = {"narrow": [], "one_row": []}
        for _ in range(ROUNDS):
            for shape, values in runs.items():
                values.append(life_cycle(cursor, shape))
        cursor.execute("DROP SCHEMA hot_row CASCADE")
    connection.close()
    names = ("microseconds", "wal_bytes", "disk_bytes")
    figures = {
        shape: {name: round(statistics.median(run[n] for run in values)) for n, name in enumerate(names)}
        for shape, values in runs.items()
    }
    return {"benchmark": "hot_row", "unit": f"one job's life cycle, batches of {BATCH}, one connection", **figures}


def main() -> None:
    """Measure on the given database, or on an embedded one that is thrown away."""
    dsn = os.environ.get("DATABASE_URL")
    if dsn:
        print(json.dumps(measure(dsn)))
        return
    from crawlsock.postgres import EmbeddedPostgres

    with tempfile.TemporaryDirectory(prefix="crawlsock-bench-") as directory:
        Path(directory).chmod(0o711)
        embedded = EmbeddedPostgres(Path(directory) / "data")
        try:
            print(json.dumps(measure(embedded.start().dsn())))
        finally:
            embedded.destroy()


if __name__ == "__main__":
    main()
