-- What the store reads. One query under each name; placeholders are the driver's, by name.

-- name: job
-- One job with its progress, result and holder.
SELECT j.job_id, j.type, q.state, j.account, q.priority, q.attempt, q.failures, j.max_attempts, q.releases, q.losses, j.root_id,
       j.created_at, q.run_at, j.host, j.entity_id, j.namespace_path, j.name, j.parent_id, j.job_key, q.labels, q.assigned_at,
       q.started_at, q.finished_at, q.reason, c.crawler_id, q.cancel_requested, q.pause_requested, j.payload, j.estimated_size,
       r.files, r.summary,
       p.attempt, p.stage, p.seq, p.entities, p.percent, p.rate, p.time_left, p.message, p.updated_at
FROM crawlsock.job j
JOIN crawlsock.job_queue q ON q.job_id = j.job_id
LEFT JOIN crawlsock.crawler_session c ON c.session_id = q.session_id AND q.finished_at IS NULL
LEFT JOIN crawlsock.job_result r ON r.job_id = j.job_id
LEFT JOIN crawlsock.job_progress p ON p.job_id = j.job_id
WHERE j.job_id = %(job_id)s;

-- name: live_jobs
-- How many jobs are not finished, from the partial indexes alone.
SELECT (SELECT count(*) FROM crawlsock.job_queue WHERE session_id IS NULL AND finished_at IS NULL AND NOT held_up)
     + (SELECT count(*) FROM crawlsock.job_queue WHERE session_id IS NOT NULL AND finished_at IS NULL)
     + (SELECT count(*) FROM crawlsock.job_queue WHERE held_up);

-- name: job_errors
SELECT error_type, message, recoverable, attempt, at, request, stack, context, fingerprint, category, severity
FROM crawlsock.job_error WHERE job_id = %(job_id)s ORDER BY attempt;

-- name: job_assignments
SELECT a.attempt, a.session_id, c.crawler_id, a.assigned_at,
       coalesce(a.started_at, CASE WHEN q.attempt = a.attempt THEN q.started_at END), a.ended_at, a.outcome, a.detail
FROM crawlsock.job_assignment a
JOIN crawlsock.job_queue q ON q.job_id = a.job_id
LEFT JOIN crawlsock.crawler_session c ON c.session_id = a.session_id
WHERE a.job_id = %(job_id)s ORDER BY a.attempt;

-- name: job_milestones
SELECT percent, at FROM crawlsock.job_milestone WHERE job_id = %(job_id)s ORDER BY percent;

-- name: job_children
SELECT q.state, count(*) FROM crawlsock.job j JOIN crawlsock.job_queue q ON q.job_id = j.job_id
WHERE j.parent_id = %(job_id)s GROUP BY q.state;

-- name: progress_of_jobs
-- What crawlsock.progress.Aggregate holds, summed here. {scope} is built by the store.
WITH RECURSIVE branch AS (
    SELECT %(job_id)s::uuid AS job_id
    UNION ALL SELECT child.job_id FROM branch JOIN crawlsock.job child ON child.parent_id = branch.job_id),
snapshot AS (
    SELECT q.state, q.finished_at IS NULL AS live, j.created_at, p.job_id IS NULL AS silent,
           p.stage, coalesce(p.entities, '{{}}') AS entities, p.percent, p.rate, p.updated_at
    FROM crawlsock.job j JOIN crawlsock.job_queue q ON q.job_id = j.job_id
    LEFT JOIN crawlsock.job_progress p ON p.job_id = j.job_id
    WHERE {scope}),
entity AS (
    SELECT kind, sum(coalesce((counts ->> 'discovered')::bigint, 0)) AS discovered,
           sum(coalesce((counts ->> 'processed')::bigint, 0)) AS processed, sum(coalesce((counts ->> 'failed')::bigint, 0)) AS failed,
           sum(coalesce((counts ->> 'total')::bigint, 0)) AS total, count(*) FILTER (WHERE NOT counts ? 'total') AS open
    FROM snapshot CROSS JOIN LATERAL jsonb_each(snapshot.entities) AS e(kind, counts) GROUP BY kind)
SELECT (SELECT jsonb_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM snapshot GROUP BY state) AS s),
       (SELECT jsonb_object_agg(kind, jsonb_build_array(discovered, processed, failed, total, open)) FROM entity),
       coalesce(sum(percent) FILTER (WHERE live) / 100, 0)::float8,
       count(*) FILTER (WHERE live AND stage = 'discovering'),
       count(*) FILTER (WHERE live AND (silent OR entities = '{{}}' OR EXISTS (
           SELECT FROM jsonb_each(entities) AS e(kind, counts) WHERE NOT counts ? 'total'))),
       sum(rate) FILTER (WHERE state IN ('assigned', 'running')),
       max(updated_at),
       extract(epoch FROM now() - min(created_at))::float8
FROM snapshot;

-- name: sessions
SELECT c.session_id, c.crawler_id, c.server_id, c.state, c.slots, c.labels, c.job_types, c.connected_at, c.deadline, c.lease_length,
       extract(epoch FROM now() - c.heartbeat_at)::float8, (SELECT count(*) FROM crawlsock.job_queue q
           WHERE q.session_id = c.session_id AND q.finished_at IS NULL),
       c.hostname, c.pid, c.uid, c.process_start, c.boot_id, c.version, c.transport, c.beat
FROM crawlsock.crawler_session c WHERE c.ended_at IS NULL AND {which} ORDER BY c.crawler_id;

-- name: unstarted
-- What a session was given and has not begun, in the order of the fields of crawlsock.store.values.Assignment.
SELECT q.session_id, q.job_id, q.lease, q.attempt, q.type, q.account, q.priority, q.root_id, j.host, j.entity_id,
       j.namespace_path, j.name, j.parent_id, j.payload, p.resume_state, j.no_progress_limit, nullif(known.generation, 0)
FROM crawlsock.job_queue q
JOIN crawlsock.job j ON j.job_id = q.job_id
JOIN crawlsock.account known ON known.account = q.account
LEFT JOIN crawlsock.job_progress p ON p.job_id = q.job_id
WHERE q.session_id = %(session_id)s AND q.finished_at IS NULL AND q.state = 'assigned'
ORDER BY q.priority DESC, q.run_at, q.job_id;

-- name: pending_orders
SELECT CASE WHEN q.cancel_requested THEN 'cancel' ELSE 'pause' END, q.session_id, q.job_id, q.lease, q.reason
FROM crawlsock.job_queue q JOIN crawlsock.crawler_session c ON c.session_id = q.session_id
WHERE q.state IN ('assigned', 'running') AND (q.cancel_requested OR q.pause_requested) AND c.server_id = %(server_id)s;

-- name: beat_server
-- Say that this server lives, and ask how many do. Twice the longest poll interval; one too many costs notifications only.
WITH mine AS (
    INSERT INTO crawlsock.server (server_id, name, version) VALUES (%(server_id)s, %(name)s, %(version)s)
    ON CONFLICT (server_id) DO UPDATE SET seen_at = now(), name = excluded.name, version = excluded.version)
SELECT count(*) FROM crawlsock.server WHERE server_id <> %(server_id)s AND seen_at > now() - interval '2 minutes';

-- name: queues
SELECT nullif(job_type, '*'), paused, reason, paused_by, paused_at FROM crawlsock.queue WHERE paused ORDER BY job_type;

-- name: credential
SELECT account, host, kind, state, generation, expires_at, reason, sealed
FROM crawlsock.account WHERE account = %(account)s;

-- name: expiring_credentials
SELECT account, host, kind, state, generation, expires_at, reason, sealed
FROM crawlsock.account
WHERE state = 'valid' AND kind = 'oauth' AND expires_at < now() + make_interval(secs => %(within)s) ORDER BY expires_at;

-- name: newer_credentials
SELECT a.account, a.host, a.kind, a.state, a.generation, a.expires_at, a.reason, a.sealed
FROM unnest(%(accounts)s::text[], %(generations)s::bigint[]) AS known(account, generation)
JOIN crawlsock.account a ON a.account = known.account AND a.generation > known.generation AND a.state = 'valid';

-- name: accounts
SELECT a.account, a.state, a.generation,
       (SELECT count(*) FROM crawlsock.job_queue q WHERE q.account = a.account AND q.held_up AND q.state = 'waiting_credential'),
       a.host, a.kind, a.expires_at, a.reason
FROM crawlsock.account a ORDER BY a.account;

-- name: sessions_of_account
SELECT session_id, job_id, lease FROM crawlsock.job_queue
WHERE account = %(account)s AND session_id IS NOT NULL AND finished_at IS NULL ORDER BY job_id;

-- name: create_token
WITH made AS (
    INSERT INTO crawlsock.auth_token (token_id, role, name, hash, accounts, expires_at)
    VALUES (%(token_id)s, %(role)s, %(name)s, %(hash)s, %(accounts)s, %(expires_at)s)
    -- An update that changes nothing gives the row, also one that another server made in this very moment.
    ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash RETURNING token_id, xmax = 0 AS is_new),
noted AS (
    INSERT INTO crawlsock.audit (actor, action, target, detail)
    SELECT %(actor)s, 'token_create', token_id::text, jsonb_build_object('role', %(role)s::text, 'name', %(name)s::text)
    FROM made WHERE is_new)
SELECT token_id FROM made;

-- name: token_by_hash
UPDATE crawlsock.auth_token SET last_used_at = now()
WHERE hash = %(hash)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
RETURNING token_id, role, name, hash, created_at, accounts, expires_at, revoked_at, last_used_at;

-- name: tokens
SELECT token_id, role, name, hash, created_at, accounts, expires_at, revoked_at, last_used_at
FROM crawlsock.auth_token ORDER BY created_at, token_id;

-- name: revoke_token
WITH target AS (SELECT token_id, revoked_at FROM crawlsock.auth_token WHERE token_id = %(token_id)s FOR UPDATE),
gone AS (
    UPDATE crawlsock.auth_token t SET revoked_at = now() FROM target
    WHERE t.token_id = target.token_id AND target.revoked_at IS NULL RETURNING t.token_id),
noted AS (
    INSERT INTO crawlsock.audit (actor, action, target) SELECT %(actor)s, 'token_revoke', token_id::text FROM gone)
SELECT count(*) FROM target;

-- name: audit
INSERT INTO crawlsock.audit (actor, action, target, detail) VALUES (%(actor)s, %(action)s, %(target)s, %(detail)s);

-- name: events_after
-- Rows after a position, in the order of (xid, id), below the oldest transaction that still runs: nothing can appear before them.
-- At least one, and then as many as fit into about so many bytes. With the horizon comes whether something between the position and
-- the first row was pruned, or the position is none that this database gave; with each row, how many there were to choose from.
SELECT h.xid::text, h.id, (h.xid, h.id) <> (%(xid)s::xid8, %(id)s) AND (
           (h.xid, h.id) > (%(xid)s::xid8, %(id)s)
           OR NOT EXISTS (SELECT FROM crawlsock.event WHERE event.xid = %(xid)s::xid8 AND event.id = %(id)s)),
       e.xid::text, e.id, e.at, e.groups, e.in_sight
FROM crawlsock.feed_horizon h LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT near.*, count(*) OVER () AS in_sight,
               sum(pg_column_size(groups)) OVER (ORDER BY xid, id ROWS UNBOUNDED PRECEDING) - pg_column_size(groups) AS before
        FROM (SELECT * FROM crawlsock.event
              WHERE (event.xid, event.id) > (%(xid)s::xid8, %(id)s) AND event.xid < pg_snapshot_xmin(pg_current_snapshot())
              ORDER BY event.xid, event.id LIMIT %(limit)s) AS near) AS measured
    WHERE before < %(bytes)s) e ON true
ORDER BY e.xid, e.id;

-- name: event_head
-- The position after everything that can be read, and after everything that was pruned, which need not be in order of time. The
-- order is that of numbers: by its bare name xid would be the text that is selected, and '999' comes after '1000'.
SELECT xid::text, id FROM (
    SELECT xid, id FROM crawlsock.feed_horizon
    UNION ALL (SELECT xid, id FROM crawlsock.event WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid DESC, id DESC LIMIT 1)
) AS known ORDER BY known.xid DESC, known.id DESC LIMIT 1;
