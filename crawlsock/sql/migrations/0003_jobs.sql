-- How jobs come into being and how assignments end.

CREATE FUNCTION crawlsock.ready_state(wanted text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN state = 'refused' THEN 'waiting_credential' ELSE 'queued' END
    FROM crawlsock.account WHERE account = wanted;
$$;
COMMENT ON FUNCTION crawlsock.ready_state IS 'Where a job of this account waits: in the queue, or for a credential.';

CREATE FUNCTION crawlsock.create_jobs(items jsonb, OUT statuses jsonb, OUT events text) LANGUAGE plpgsql AS $$
-- An item is a job: i, j (its id, chosen before it came here), type, account, host, entity_id, namespace_path, name,
-- priority, run_at, max_attempts, backoff_base, backoff_cap, labels, job_key, payload, no_progress_limit, estimated_size;
-- parent and root when it was discovered, and then its job_key is its discovery key.
-- statuses: [[i, 'created' | 'duplicate' | 'unknown_account' | 'id_taken', job_id], ...]; null when all were created now.
DECLARE
    made int;
BEGIN
    WITH item AS (
        SELECT DISTINCT ON (x.j) x.*, coalesce(x.root, x.j) AS top, coalesce(x.host, known.host) AS at_host,
               CASE WHEN known.state = 'refused' THEN 'waiting_credential' ELSE 'queued' END AS ready
        FROM jsonb_to_recordset(items) AS x(
            i int, j uuid, parent uuid, root uuid, type text, account text, host text, entity_id text, namespace_path text,
            name text, priority smallint, run_at timestamptz, max_attempts int, backoff_base float8, backoff_cap float8,
            labels text[], job_key text, payload jsonb, no_progress_limit float8, estimated_size bigint)
        JOIN crawlsock.account known ON known.account = x.account
        WHERE NOT EXISTS (SELECT FROM crawlsock.job WHERE job.job_id = x.j)
          AND NOT EXISTS (SELECT FROM crawlsock.job WHERE job.root_id = x.root AND job.discovery_key = x.job_key)
        ORDER BY x.j, x.i),
    keyed AS (
        INSERT INTO crawlsock.job_key (account, job_key, job_id)
        SELECT account, job_key, j FROM item WHERE job_key IS NOT NULL ORDER BY account, job_key
        ON CONFLICT DO NOTHING
        RETURNING job_id),
    winner AS (
        SELECT * FROM item WHERE job_key IS NULL OR j IN (SELECT job_id FROM keyed)),
    made AS (
        INSERT INTO crawlsock.job (job_id, root_id, parent_id, account, type, host, entity_id, namespace_path, name, job_key,
                                   payload, estimated_size, max_attempts, backoff_base, backoff_cap, no_progress_limit)
        SELECT j, top, parent, account, type, at_host, entity_id, namespace_path, name, job_key, payload, estimated_size,
               coalesce(max_attempts, 5), coalesce(backoff_base, 5), coalesce(backoff_cap, 3600), no_progress_limit
        FROM winner),
    queued AS (
        INSERT INTO crawlsock.job_queue (job_id, state, priority, run_at, root_id, account, type, labels, keyed)
        SELECT j, ready, coalesce(priority, 0), coalesce(run_at, now()), top, account, type,
               nullif(labels, '{}'), job_key IS NOT NULL
        FROM winner
        RETURNING job_id, root_id, account, type, state)
    SELECT count(*), crawlsock.job_events(json_agg(json_build_array('job_created', job_id, root_id, account, type, 0, state)))
    INTO made, events FROM queued;
    IF made = jsonb_array_length(items) THEN
        RETURN;
    END IF;

    SELECT jsonb_agg(CASE
            WHEN job.job_id IS NOT NULL AND job.account = item.account THEN jsonb_build_array(item.i, 'created', item.j)
            WHEN job.job_id IS NOT NULL THEN jsonb_build_array(item.i, 'id_taken', NULL)
            WHEN known.account IS NULL THEN jsonb_build_array(item.i, 'unknown_account', NULL)
            ELSE jsonb_build_array(item.i, 'duplicate', coalesce(
                (SELECT first.job_id FROM crawlsock.job first WHERE first.root_id = item.root AND first.discovery_key = item.job_key),
                (SELECT k.job_id FROM crawlsock.job_key k WHERE k.account = item.account AND k.job_key = item.job_key)))
        END ORDER BY item.i)
    INTO statuses
    FROM jsonb_to_recordset(items) AS item(i int, j uuid, root uuid, account text, job_key text)
    LEFT JOIN crawlsock.job job ON job.job_id = item.j
    LEFT JOIN crawlsock.account known ON known.account = item.account;
END $$;
COMMENT ON FUNCTION crawlsock.create_jobs IS 'Create the jobs that do not exist yet; a job id decides, then the key.';

CREATE FUNCTION crawlsock.apply_discover(items jsonb, OUT answers jsonb, OUT events text) LANGUAGE plpgsql AS $$
-- One item a message: i, j, l, s of the parent, c: its children as create_jobs takes them, less account, parent and root.
-- answers: {"refused": [i], "cancelled": [i], "statuses": {i: [[child index, status, job id], ...]}}; a message without
-- statuses was obeyed whole.
DECLARE
    children jsonb;
BEGIN
    SELECT jsonb_agg(child || jsonb_build_object(
               'i', item.i * 10000 + n - 1, 'account', q.account, 'parent', q.job_id, 'root', q.root_id,
               'host', coalesce(child ->> 'host', job.host),
               'labels', coalesce(child -> 'labels', to_jsonb(q.labels)),
               'max_attempts', coalesce((child ->> 'max_attempts')::int, job.max_attempts),
               'backoff_base', job.backoff_base, 'backoff_cap', job.backoff_cap,
               'no_progress_limit', job.no_progress_limit,
               'priority', coalesce((child ->> 'priority')::int, q.priority),
               'job_key', (child ->> 'type') || ':' || coalesce(child ->> 'host', job.host, '') || ':' || (child ->> 'entity_id')))
    INTO children
    FROM (SELECT x.*, crawlsock.held_states() AS held
          FROM jsonb_to_recordset(items) AS x(i int, j uuid, l text, s uuid, c jsonb) OFFSET 0) AS item
    JOIN crawlsock.job_queue q ON q.job_id = item.j AND q.lease::text = item.l AND q.session_id::text = item.s::text
         AND q.state = ANY (item.held) AND NOT q.cancel_requested
    JOIN crawlsock.job job ON job.job_id = q.job_id
    CROSS JOIN LATERAL jsonb_array_elements(item.c) WITH ORDINALITY AS list(child, n);

    IF children IS NOT NULL THEN
        SELECT * INTO answers, events FROM crawlsock.create_jobs(children);
    END IF;
    answers := jsonb_build_object(
        'refused', crawlsock.refused_leases(items),
        'cancelled', (SELECT coalesce(jsonb_agg(item.i), '[]')
                      FROM jsonb_to_recordset(items) AS item(i int, j uuid, l text, s uuid)
                      JOIN crawlsock.job_queue q ON q.job_id = item.j AND q.lease::text = item.l AND q.cancel_requested),
        'statuses', (SELECT coalesce(jsonb_object_agg(message, statuses), '{}') FROM (
                        SELECT (status ->> 0)::int / 10000 AS message,
                               jsonb_agg(jsonb_build_array((status ->> 0)::int % 10000, status -> 1, status -> 2)) AS statuses
                        FROM jsonb_array_elements(coalesce(answers, '[]')) AS status GROUP BY 1) AS by_message));
END $$;

CREATE FUNCTION crawlsock.apply_complete(items jsonb, OUT refused jsonb, OUT ran json, OUT events text) LANGUAGE plpgsql AS $$
-- e entities, f files, y summary. The good end stands apart from the others: it is the most frequent write of all, and what
-- becomes of the job depends on nothing, so no row needs to be locked before it is written.
-- ran: {type: [seconds, ...]} of those that ended now; null for one that never started.
DECLARE
    hits int;
BEGIN
    WITH hit AS (
        UPDATE crawlsock.job_queue q SET state = 'completed', finished_at = now(), cancel_requested = false, pause_requested = false
        FROM (SELECT x.*, crawlsock.held_states() AS held
              FROM jsonb_to_recordset(items) AS x(i int, j uuid, l text, s uuid, e jsonb, f jsonb, y jsonb) OFFSET 0) AS item
        WHERE q.job_id = item.j AND q.lease::text = item.l AND q.session_id::text = item.s::text AND q.state = ANY (item.held)
        RETURNING q.job_id, q.root_id, q.account, q.type, q.attempt, q.started_at, q.keyed, item.e, item.f, item.y),
    closed AS (
        UPDATE crawlsock.job_assignment a SET started_at = hit.started_at, ended_at = now(), outcome = 'completed'
        FROM hit WHERE a.job_id = hit.job_id AND a.attempt = hit.attempt),
    freed AS (
        DELETE FROM crawlsock.job_key k USING hit WHERE hit.keyed AND k.job_id = hit.job_id),
    result AS (
        INSERT INTO crawlsock.job_result AS kept (job_id, files, summary)
        SELECT job_id, f, y FROM hit WHERE f IS NOT NULL OR y IS NOT NULL
        ON CONFLICT (job_id) DO UPDATE SET files = excluded.files, summary = excluded.summary),
    word AS (
        -- What is written below, and told: put together once, because a join of two results here would be a nested loop.
        SELECT hit.*, known.job_id IS NOT NULL OR hit.e IS NOT NULL AS told,
               CASE WHEN known.attempt = hit.attempt THEN known.seq ELSE 0 END AS last_seq, known.message,
               CASE WHEN known.attempt = hit.attempt OR hit.e IS NULL THEN crawlsock.merge_counts(known.entities, hit.e)
                    ELSE hit.e END AS entities
        FROM hit LEFT JOIN crawlsock.job_progress known ON known.job_id = hit.job_id),
    last AS (
        INSERT INTO crawlsock.job_progress (job_id, attempt, seq, stage, entities, percent)
        SELECT job_id, attempt, last_seq, 'completed', entities, 100 FROM word WHERE told
        ON CONFLICT (job_id) DO UPDATE SET
            attempt = excluded.attempt, seq = excluded.seq, stage = 'completed', entities = excluded.entities, percent = 100,
            rate = NULL, time_left = NULL, updated_at = now(), resume_state = NULL
        RETURNING job_progress.job_id),
    milestone AS (
        INSERT INTO crawlsock.job_milestone (job_id, percent)
        SELECT last.job_id, mark FROM last, unnest('{25,50,75,90,100}'::smallint[]) AS mark ON CONFLICT DO NOTHING)
    SELECT count(*), crawlsock.end_events(json_agg(json_build_array(
               'job_completed', job_id, root_id, account, type, attempt, 'completed', NULL,
               CASE WHEN told THEN last_seq END, 'completed', entities, 100, message))),
           (SELECT json_object_agg(type, seconds) FROM (
               SELECT type, json_agg(extract(epoch FROM now() - started_at)) AS seconds FROM hit GROUP BY type) AS by_type)
    INTO hits, events, ran FROM word;
    IF hits < jsonb_array_length(items) THEN
        refused := crawlsock.refused_leases((
            SELECT jsonb_agg(item || '{"v": "completed"}') FROM jsonb_array_elements(items) AS item));
    END IF;
END $$;

CREATE FUNCTION crawlsock.apply_end(items jsonb, OUT refused jsonb, OUT states jsonb, OUT events text) LANGUAGE plpgsql AS $$
-- v how it ended: failed, cancelled, released by the crawler; lost, stuck, credential by the server.
-- e entities, r resume state, d reason; of a failure et type, m message, rec recoverable,
-- ra retry after (s), rq request, st stack, cx context; fp fingerprint, ct category, sv severity, ti title of its group;
-- p how many losses make a job poison.
-- states: [[i, new state, type, verb, seconds it ran or null], ...] of those that acted now.
DECLARE
    hits int;
BEGIN
    -- In a statement of its own: the next one then sees what was committed while this one waited for a job.
    PERFORM FROM (SELECT x.j FROM jsonb_to_recordset(items) AS x(j uuid) OFFSET 0) AS item
    JOIN crawlsock.job_queue q ON q.job_id = item.j ORDER BY q.job_id FOR UPDATE OF q;
    WITH verdict AS (
        SELECT item.*, q.attempt, q.started_at AS began, q.account AS owner, CASE
                WHEN item.v = 'cancelled' THEN item.v
                WHEN q.cancel_requested THEN 'cancelled'
                WHEN item.v = 'failed' AND (NOT item.rec OR q.failures + 1 >= job.max_attempts) THEN 'failed'
                WHEN item.v IN ('lost', 'stuck') AND q.losses + 1 >= item.p THEN 'failed'
                WHEN q.pause_requested THEN 'paused'
                ELSE crawlsock.ready_state(q.account)
            END AS next_state,
            CASE WHEN item.v = 'failed' THEN coalesce(item.ra,
                random() * least(job.backoff_cap, job.backoff_base * 2 ^ least(q.failures, 60))) ELSE 0 END AS delay
        FROM (SELECT DISTINCT ON (x.j, x.l) x.*, crawlsock.held_states() AS held FROM jsonb_to_recordset(items) AS x(
                i int, j uuid, l text, s uuid, v text, e jsonb, r jsonb, d text, et text, m text, rec boolean,
                ra float8, rq jsonb, st text, cx jsonb, fp text, ct text, sv text, ti text, p int) ORDER BY x.j, x.l, x.i) AS item
        JOIN crawlsock.job_queue q ON q.job_id = item.j
        LEFT JOIN crawlsock.job job ON job.job_id = CASE WHEN item.v = 'failed' THEN item.j END
        WHERE q.lease::text = item.l AND q.session_id::text = item.s::text AND q.state = ANY (item.held)
        FOR UPDATE OF q),
    word AS (
        -- With what is the last to be said about progress: written below, and told.
        SELECT verdict.*, known.job_id IS NOT NULL OR e IS NOT NULL OR r IS NOT NULL AS told, known.percent, known.message,
               CASE WHEN known.attempt = verdict.attempt THEN known.seq ELSE 0 END AS last_seq,
               CASE WHEN next_state = 'failed' THEN 'failed' ELSE coalesce(known.stage, 'fetching') END AS stage,
               CASE WHEN known.attempt = verdict.attempt OR e IS NULL OR e = '{}' THEN crawlsock.merge_counts(known.entities, e)
                    ELSE e END AS entities
        FROM verdict LEFT JOIN crawlsock.job_progress known ON known.job_id = j),
    hit AS (
        UPDATE crawlsock.job_queue q SET
            state = v.next_state,
            failures = q.failures + (v.v = 'failed')::int,
            releases = q.releases + (v.v = 'released')::int,
            losses = q.losses + (v.v IN ('lost', 'stuck'))::int,
            run_at = CASE WHEN v.next_state IN ('failed', 'cancelled') THEN q.run_at
                          WHEN v.v = 'failed' THEN now() + make_interval(secs => v.delay) ELSE q.run_at END,
            finished_at = CASE WHEN v.next_state IN ('failed', 'cancelled') THEN now() END,
            lease = CASE WHEN v.next_state IN ('failed', 'cancelled') AND v.v NOT IN ('lost', 'stuck') THEN q.lease END,
            session_id = CASE WHEN v.next_state IN ('failed', 'cancelled') AND v.v NOT IN ('lost', 'stuck') THEN q.session_id END,
            started_at = CASE WHEN v.next_state IN ('failed', 'cancelled') THEN q.started_at END,
            assigned_at = CASE WHEN v.next_state IN ('failed', 'cancelled') THEN q.assigned_at END,
            cancel_requested = false, pause_requested = false,
            fingerprint = CASE WHEN v.v = 'failed' THEN v.fp WHEN v.next_state <> 'failed' THEN q.fingerprint END,
            reason = CASE WHEN v.next_state = 'failed' AND v.v <> 'failed' THEN 'poison'
                          WHEN v.v = 'failed' THEN v.et ELSE coalesce(v.d, q.reason) END
        FROM word v WHERE q.job_id = v.j
        RETURNING v.i, v.v, v.next_state, v.began, q.job_id, q.root_id, q.account, q.type, q.attempt, q.keyed, q.finished_at, q.reason,
                  v.told, v.last_seq, v.stage, v.entities, v.percent, v.message),
    closed AS (
        UPDATE crawlsock.job_assignment a SET started_at = hit.began, ended_at = now(), outcome = hit.v,
               detail = hit.reason
        FROM hit WHERE a.job_id = hit.job_id AND a.attempt = hit.attempt),
    freed AS (
        DELETE FROM crawlsock.job_key k USING hit WHERE hit.keyed AND hit.finished_at IS NOT NULL AND k.job_id = hit.job_id),
    error AS (
        INSERT INTO crawlsock.job_error (job_id, attempt, error_type, message, recoverable, request, stack, context,
                                         account, fingerprint, category, severity)
        SELECT j, attempt, et, m, rec, rq, st, cx, owner, fp, ct, sv FROM verdict WHERE v = 'failed'
        ON CONFLICT DO NOTHING),
    grouped AS (
        -- After the jobs, and in one order: two servers that report the same failures must not wait for each other in a ring.
        -- Of the verdict and not of what was inserted: a failed verdict is always new, and a join would be a nested loop.
        INSERT INTO crawlsock.error_group AS g (account, fingerprint, error_type, category, severity, title, count, last_job_id, last_message)
        SELECT owner, fp, min(et), min(ct), (array_agg(sv ORDER BY i DESC))[1], min(ti), count(*),
               (array_agg(j ORDER BY i DESC))[1], (array_agg(m ORDER BY i DESC))[1]
        FROM verdict WHERE v = 'failed'
        GROUP BY owner, fp ORDER BY owner, fp
        ON CONFLICT (fingerprint, account) DO UPDATE SET
            count = g.count + excluded.count, severity = excluded.severity, last_seen = greatest(g.last_seen, excluded.last_seen),
            last_job_id = excluded.last_job_id, last_message = excluded.last_message),
    last AS (
        INSERT INTO crawlsock.job_progress AS p (job_id, attempt, seq, stage, entities, percent, resume_state)
        SELECT j, attempt, last_seq, stage, entities, NULL, r FROM word WHERE told
        ON CONFLICT (job_id) DO UPDATE SET
            attempt = excluded.attempt, seq = excluded.seq, stage = excluded.stage, entities = excluded.entities,
            rate = NULL, time_left = NULL, updated_at = now(),
            resume_state = coalesce(excluded.resume_state, p.resume_state))
    SELECT count(*), jsonb_agg(jsonb_build_array(i, next_state, type, v, extract(epoch FROM now() - began))),
        crawlsock.end_events(json_agg(json_build_array(
        CASE WHEN next_state = 'failed' THEN 'job_failed' WHEN next_state = 'cancelled' THEN 'job_cancelled'
             WHEN v = 'failed' THEN 'job_retried' WHEN v = 'released' THEN 'job_released'
             WHEN v = 'credential' THEN 'job_waiting_credential' ELSE 'job_lost' END,
        job_id, root_id, account, type, attempt, next_state, reason, CASE WHEN told THEN last_seq END,
        CASE WHEN told THEN stage END, CASE WHEN told THEN entities END, percent, message)))
    INTO hits, states, events FROM hit;
    states := coalesce(states, '[]');
    IF hits < jsonb_array_length(items) THEN
        refused := crawlsock.refused_leases(items);
    END IF;
END $$;
COMMENT ON FUNCTION crawlsock.apply_end IS 'End assignments: by the crawler that holds them, or by the server when the crawler is gone.';
