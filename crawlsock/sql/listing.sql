-- What lists, counts, trees and charts read. {source} and other parts in braces are built by crawlsock.store.postgres.listing.

-- name: jobs
-- One page: candidates come in order from one index, or from a few that are merged, at most %(budget)s of them, and are
-- looked at one by one until the page is full. `stop` is the last candidate, if the page is not full and there may be more.
-- OFFSET 0 keeps the way that is written here: a candidate, its other half, and no further than needed. The settings, which
-- end with the statement's own transaction, keep it when statistics are old: always by index, and never compiled first.
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off;
WITH page AS MATERIALIZED (
    SELECT j.job_id, j.type, q.state, j.account, q.priority, q.attempt, q.failures, j.max_attempts, q.releases, q.losses, j.root_id,
           j.created_at, q.run_at, j.host, j.entity_id, j.namespace_path, j.name, j.parent_id, j.job_key, q.labels, q.assigned_at,
           q.started_at, q.finished_at, q.reason, q.session_id, q.cancel_requested, q.pause_requested, j.estimated_size
    FROM {source}
    WHERE {conditions}
    ORDER BY {order}
    LIMIT %(limit)s),
stop AS (
    SELECT {place} AS place FROM (
        SELECT * FROM ({candidates}) AS candidate WHERE (SELECT count(*) FROM page) < %(limit)s
        OFFSET %(budget)s - 1 LIMIT 1) AS x)
SELECT stop.place, j.job_id, j.type, j.state, j.account, j.priority, j.attempt, j.failures, j.max_attempts, j.releases, j.losses,
       j.root_id, j.created_at, j.run_at, j.host, j.entity_id, j.namespace_path, j.name, j.parent_id, j.job_key, j.labels,
       j.assigned_at, j.started_at, j.finished_at, j.reason, c.crawler_id, j.cancel_requested, j.pause_requested, NULL,
       j.estimated_size, NULL, NULL,
       p.attempt, p.stage, p.seq, p.entities, p.percent, p.rate, p.time_left, p.message, p.updated_at
FROM (VALUES (1)) AS always(there)
LEFT JOIN stop ON true
LEFT JOIN page j ON true
LEFT JOIN LATERAL (SELECT s.crawler_id FROM crawlsock.crawler_session s
                   WHERE s.session_id = j.session_id AND j.finished_at IS NULL OFFSET 0) AS c ON true
LEFT JOIN LATERAL (SELECT * FROM crawlsock.job_progress r WHERE r.job_id = j.job_id OFFSET 0) AS p ON true
ORDER BY {page_order};

-- name: census
SET LOCAL statement_timeout = '60s';
SELECT account, type, state, count(*) FROM crawlsock.job_queue GROUP BY account, type, state;

-- name: job_counts
SELECT state, count(*) FROM crawlsock.job_queue GROUP BY state;

-- name: item_sums
SET LOCAL statement_timeout = '60s';
SELECT q.account, sum((kind.counts ->> 'processed')::bigint)::bigint, sum((kind.counts ->> 'failed')::bigint)::bigint
FROM crawlsock.job_progress p JOIN crawlsock.job_queue q ON q.job_id = p.job_id
CROSS JOIN LATERAL jsonb_each(p.entities) AS kind(name, counts)
GROUP BY q.account;

-- name: rates
SET LOCAL statement_timeout = '60s';
SELECT q.session_id, q.account, sum(p.rate)
FROM crawlsock.job_queue q JOIN crawlsock.job_progress p ON p.job_id = q.job_id AND p.attempt = q.attempt
WHERE q.session_id IS NOT NULL AND q.finished_at IS NULL AND p.rate IS NOT NULL
GROUP BY q.session_id, q.account;

-- name: job_tree
-- Children of a job, oldest first, after a place.
SELECT j.job_id, j.type, q.state, j.account, q.priority, q.attempt, q.failures, j.max_attempts, q.releases, q.losses, j.root_id,
       j.created_at, q.run_at, j.host, j.entity_id, j.namespace_path, j.name, j.parent_id, j.job_key, q.labels, q.assigned_at,
       q.started_at, q.finished_at, q.reason, c.crawler_id, q.cancel_requested, q.pause_requested, NULL, j.estimated_size,
       NULL, NULL,
       p.attempt, p.stage, p.seq, p.entities, p.percent, p.rate, p.time_left, p.message, p.updated_at
FROM (SELECT * FROM crawlsock.job child
      WHERE child.parent_id = %(job_id)s AND (child.created_at, child.job_id) > (%(at)s, %(after)s)
      ORDER BY child.created_at, child.job_id LIMIT %(limit)s) AS j
CROSS JOIN LATERAL (SELECT * FROM crawlsock.job_queue x WHERE x.job_id = j.job_id OFFSET 0) AS q
LEFT JOIN LATERAL (SELECT s.crawler_id FROM crawlsock.crawler_session s
                   WHERE s.session_id = q.session_id AND q.finished_at IS NULL OFFSET 0) AS c ON true
LEFT JOIN LATERAL (SELECT * FROM crawlsock.job_progress r WHERE r.job_id = j.job_id OFFSET 0) AS p ON true
ORDER BY j.created_at, j.job_id;

-- name: sums_below
-- What crawlsock.progress.Aggregate holds, for each of some jobs and all below it. At most %(most)s jobs are looked at;
-- whether that was all comes along.
WITH RECURSIVE branch AS (
    SELECT top, top AS job_id FROM unnest(%(tops)s::uuid[]) AS top
    UNION ALL
    SELECT branch.top, child.job_id FROM branch JOIN crawlsock.job child ON child.parent_id = branch.job_id),
seen AS MATERIALIZED (SELECT * FROM branch LIMIT %(most)s),
snapshot AS MATERIALIZED (
    SELECT seen.top, q.state, q.finished_at IS NULL AS live, q.created_at, p.job_id IS NULL AS silent,
           p.stage, coalesce(p.entities, '{}') AS entities, p.percent, p.rate, p.updated_at
    FROM seen
    CROSS JOIN LATERAL (SELECT * FROM crawlsock.job_queue x WHERE x.job_id = seen.job_id OFFSET 0) AS q
    LEFT JOIN LATERAL (SELECT * FROM crawlsock.job_progress x WHERE x.job_id = seen.job_id OFFSET 0) AS p ON true),
state AS (
    SELECT top, jsonb_object_agg(state, n) AS jobs FROM (SELECT top, state, count(*) AS n FROM snapshot GROUP BY top, state) AS s
    GROUP BY top),
entity AS (
    SELECT top, jsonb_object_agg(kind, sums) AS entities FROM (
        SELECT top, kind, jsonb_build_array(
                   sum(coalesce((counts ->> 'discovered')::bigint, 0)), sum(coalesce((counts ->> 'processed')::bigint, 0)),
                   sum(coalesce((counts ->> 'failed')::bigint, 0)), sum(coalesce((counts ->> 'total')::bigint, 0)),
                   count(*) FILTER (WHERE NOT counts ? 'total')) AS sums
        FROM snapshot CROSS JOIN LATERAL jsonb_each(snapshot.entities) AS e(kind, counts) GROUP BY top, kind) AS by_kind
    GROUP BY top),
sums AS (
    SELECT top, coalesce(sum(percent) FILTER (WHERE live) / 100, 0)::float8 AS share,
           count(*) FILTER (WHERE live AND stage = 'discovering') AS discovering,
           count(*) FILTER (WHERE live AND (silent OR entities = '{}' OR EXISTS (
               SELECT FROM jsonb_each(entities) AS e(kind, counts) WHERE NOT counts ? 'total'))) AS vague,
           sum(rate) FILTER (WHERE state IN ('assigned', 'running')) AS rate, max(updated_at) AS updated_at,
           extract(epoch FROM now() - min(created_at))::float8 AS elapsed
    FROM snapshot GROUP BY top)
SELECT sums.top, (SELECT count(*) FROM seen) < %(most)s, state.jobs, entity.entities, share, discovering, vague, rate, updated_at, elapsed
FROM sums JOIN state ON state.top = sums.top LEFT JOIN entity ON entity.top = sums.top;

-- name: account
-- With the present.
SELECT now(), a.account, a.state, a.generation, 0, a.host, a.kind, a.expires_at, a.reason
FROM crawlsock.account a WHERE a.account = %(account)s;

-- name: jobs_ahead
-- Due jobs that an idle crawler would get before this one; no further than %(most)s.
SELECT count(*) FROM (
    SELECT FROM crawlsock.job_queue q
    WHERE q.session_id IS NULL AND q.finished_at IS NULL AND NOT q.held_up AND q.priority >= %(priority)s AND q.run_at <= now()
      AND (q.priority > %(priority)s OR (q.run_at, q.job_id) < (%(run_at)s, %(job_id)s))
      AND NOT EXISTS (SELECT FROM crawlsock.queue p WHERE p.paused AND p.job_type = q.type)
    ORDER BY q.priority DESC, q.run_at, q.job_id LIMIT %(most)s) AS ahead;

-- name: who_paused
-- Who asked last for a pause of the job, or of a tree that it is in.
WITH RECURSIVE above AS (
    SELECT job_id, parent_id, 1 AS depth FROM crawlsock.job WHERE job_id = %(job_id)s
    UNION ALL
    SELECT j.job_id, j.parent_id, depth + 1 FROM above JOIN crawlsock.job j ON j.job_id = above.parent_id WHERE depth < 100)
SELECT a.actor, a.at FROM above JOIN crawlsock.audit a ON a.target = above.job_id::text
WHERE a.action = 'job_pause' AND (above.depth = 1 OR (a.detail ->> 'tree')::boolean)
ORDER BY a.audit_id DESC LIMIT 1;

-- name: oldest_queued
-- The first of each priority, by skipping from one to the next.
WITH RECURSIVE first AS (
    (SELECT q.priority, q.run_at, q.job_id FROM crawlsock.job_queue q
     WHERE q.session_id IS NULL AND q.finished_at IS NULL AND NOT q.held_up
     ORDER BY q.priority DESC, q.run_at, q.job_id LIMIT 1)
    UNION ALL
    SELECT next.* FROM first CROSS JOIN LATERAL (
        SELECT q.priority, q.run_at, q.job_id FROM crawlsock.job_queue q
        WHERE q.session_id IS NULL AND q.finished_at IS NULL AND NOT q.held_up AND q.priority < first.priority
        ORDER BY q.priority DESC, q.run_at, q.job_id LIMIT 1) AS next)
SELECT job_id FROM first WHERE run_at <= now() ORDER BY run_at, job_id LIMIT 1;

-- name: oldest_queued_of_accounts
-- Of the thousands that were made first: further behind, nobody has waited for long.
SELECT job_id FROM (
    SELECT * FROM crawlsock.job_queue x WHERE x.standing = 'q' ORDER BY x.created_at, x.job_id LIMIT 5000) AS q
WHERE q.account = ANY (%(accounts)s) AND q.run_at <= now() ORDER BY q.run_at, q.job_id LIMIT 1;

-- name: activity
SELECT minute, sum(completed)::bigint, sum(failed)::bigint, sum(items)::bigint FROM crawlsock.activity
WHERE minute >= %(since)s AND (%(accounts)s::text[] IS NULL OR account = ANY (%(accounts)s::text[]))
GROUP BY minute ORDER BY minute;
