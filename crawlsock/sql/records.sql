-- What is shown of failures, incidents, the audit, areas and notifications. Each list begins at an index that has its order;
-- {conditions} and {order} are built by the store.

-- name: error_groups
-- One page of groups, in the order of the fields of crawlsock.store.records_values.ErrorGroup; then its number.
SELECT g.fingerprint, g.account, g.error_type, g.category, g.severity, g.title, g.count, g.first_seen, g.last_seen,
       g.last_job_id, g.last_message,
       (SELECT count(*) FROM crawlsock.job_queue q WHERE q.account = g.account AND q.failed_with = g.fingerprint), g.group_id
FROM (SELECT * FROM crawlsock.error_group g WHERE {conditions} ORDER BY {order} LIMIT %(limit)s) AS g
ORDER BY {order};

-- name: error_occurrences
-- Failures of one group with their jobs, newest first; at and error_id, for the cursor, come last.
SELECT e.job_id, j.type, q.state, e.attempt, e.message, e.recoverable, e.at, j.name, j.namespace_path, e.error_id
FROM crawlsock.job_error e
JOIN crawlsock.job j ON j.job_id = e.job_id
JOIN crawlsock.job_queue q ON q.job_id = e.job_id
WHERE e.account = %(account)s AND e.fingerprint = %(fingerprint)s AND {conditions}
ORDER BY e.at DESC, e.error_id DESC LIMIT %(limit)s;

-- name: incidents
SELECT i.incident_id, i.kind, i.severity, i.title, i.count, i.opened_at, i.last_at, i.detail, i.account, i.fingerprint,
       i.closed_at, i.next_step
FROM crawlsock.incident i WHERE {conditions} ORDER BY i.opened_at DESC, i.incident_id DESC LIMIT %(limit)s;

-- name: audits
SELECT a.at, a.actor, a.action, a.target, a.detail, a.audit_id
FROM crawlsock.audit a WHERE {conditions} ORDER BY a.audit_id DESC LIMIT %(limit)s;

-- name: areas
-- One page of areas out of the next so many; how many were looked at, and the last of them, come with each row. A row
-- without an account says that nothing was found.
WITH next AS MATERIALIZED (
    SELECT a.* FROM crawlsock.area a WHERE {conditions} ORDER BY a.area_id DESC LIMIT %(most)s),
page AS (
    SELECT * FROM next a WHERE {matches} ORDER BY a.area_id DESC LIMIT %(limit)s)
SELECT looked.at, looked.last, page.area_id, page.account, page.host, page.kind, page.entity_id, page.path, page.first_seen,
       page.last_seen, page.name, page.parent_path, page.visibility, page.seen_by
FROM (SELECT count(*) AS at, min(area_id) AS last FROM next) AS looked LEFT JOIN page ON true
ORDER BY page.area_id DESC;

-- name: notifications
SELECT n.notification_id, n.channel, n.event, coalesce(n.content ->> 'title', n.event), n.state, n.attempts, n.created_at,
       n.account, n.incident_id, CASE WHEN n.state = 'waiting' THEN n.due_at END, n.ended_at, n.last_error
FROM crawlsock.notification n WHERE {conditions} ORDER BY n.created_at DESC, n.notification_id DESC LIMIT %(limit)s;

-- name: watch
SELECT crawlsock.watch(%(window)s, %(threshold)s, %(stalled_after)s);

-- name: take_notifications
-- In the order of the fields of crawlsock.store.records_values.Outgoing.
SELECT notification_id, channel, event, created_at, attempts, content
FROM crawlsock.take_notifications(%(me)s, %(channels)s::text[], %(hold)s, %(limit)s) ORDER BY created_at, notification_id;
