-- What every server asks every few seconds: bounded, whatever the tables hold.

-- name: pulse
SELECT 1;

-- name: vitals
-- The fields of crawlsock.store.vitals.Vitals, in order. The first in line are looked at, not the whole queue.
SELECT current_setting('server_version'),
       (SELECT coalesce(max(version), 0) FROM crawlsock.schema_migration),
       coalesce((SELECT extract(epoch FROM now() - e.at)::float8 FROM crawlsock.event e
                 WHERE e.xid >= pg_snapshot_xmin(pg_current_snapshot()) ORDER BY e.xid, e.id LIMIT 1), 0),
       CASE WHEN EXISTS (SELECT FROM crawlsock.queue p WHERE p.paused AND p.job_type = '*') THEN NULL ELSE (
           SELECT extract(epoch FROM now() - first.run_at)::float8 FROM (
               SELECT q.type, q.run_at FROM crawlsock.job_queue q
               WHERE q.session_id IS NULL AND q.finished_at IS NULL AND NOT q.held_up
               ORDER BY q.priority DESC, q.run_at, q.job_id LIMIT %(first)s) AS first
           WHERE first.run_at <= now()
             AND NOT EXISTS (SELECT FROM crawlsock.queue p WHERE p.paused AND p.job_type = first.type) LIMIT 1) END,
       coalesce((SELECT coalesce(p.paused_by, 'somebody') FROM crawlsock.queue p WHERE p.paused AND p.job_type = '*'), ''),
       (SELECT count(*) FROM (SELECT FROM crawlsock.account a WHERE a.state = 'refused' LIMIT 1000) AS refused),
       (SELECT count(*) FROM pg_stat_activity s WHERE s.backend_type = 'client backend'),
       current_setting('max_connections')::int;
