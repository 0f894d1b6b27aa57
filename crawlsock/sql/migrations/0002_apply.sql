-- The group commit: crawlsock.apply(batch) carries out one batch of what crawlers and web applications said, in the order
-- of a job's life, and answers with what became of each item. Set-based throughout: one statement for each kind of write.
-- Every function here is idempotent, because a batch whose commit was cut off is sent again whole.
-- Short names in the items: i index, j job, l lease, s session; the rest is named at each function.
-- The way to a job is its primary key, once for every item. Three things keep the planner on it, whatever statistics say: lease
-- and session are compared as text, the session's index is partial on finished_at, and the wanted state comes with the item.
-- Without them it finds few held jobs, or so it believes, and compares each of them with every item.

CREATE FUNCTION crawlsock.held_states() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT '{assigned,running}'::text[] $$;

-- Events are text from the start: groups of rows under common columns, joined by commas; null is no event.

-- Functions with a statement in them are plpgsql also where sql would do: PostgreSQL keeps no plan of the latter between calls.

CREATE FUNCTION crawlsock.emit(groups text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF groups IS NOT NULL THEN
        INSERT INTO crawlsock.event (groups) VALUES (('[' || emit.groups || ']')::json);
    END IF;
END $$;
COMMENT ON FUNCTION crawlsock.emit IS 'Put event groups into the feed, in the transaction that made them true.';

CREATE FUNCTION crawlsock.joined(before text, after text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN before IS NULL THEN after WHEN after IS NULL THEN before ELSE before || ',' || after END;
$$;

CREATE FUNCTION crawlsock.event_group(columns text, rows json) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT '{"columns":["' || replace(columns, ' ', '","') || '"],"rows":' || rows::text || '}';
$$;
COMMENT ON FUNCTION crawlsock.event_group IS 'One group of events: names of columns with blanks between them, and the rows. Null without rows.';

CREATE FUNCTION crawlsock.job_events(rows json) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT crawlsock.event_group('kind job_id root_id account type attempt state reason', rows);
$$;

CREATE FUNCTION crawlsock.end_events(rows json) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT crawlsock.event_group('kind job_id root_id account type attempt state reason seq stage entities percent message', rows);
$$;
COMMENT ON FUNCTION crawlsock.end_events IS 'As job_events, with the last word on progress: who follows the feed need not read it.';

CREATE FUNCTION crawlsock.merge_counts(before jsonb, after jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
-- {"type": {"processed": n, ...}}: numbers only grow, everything else takes the later value.
BEGIN
    IF before IS NULL OR before = '{}' THEN
        RETURN coalesce(after, '{}');
    ELSIF after IS NULL OR after = '{}' OR after = before THEN
        RETURN before;
    END IF;
    RETURN before || (
            SELECT jsonb_object_agg(kind, CASE WHEN before -> kind IS NULL THEN counts ELSE (before -> kind) || (
                SELECT coalesce(jsonb_object_agg(field, CASE
                    WHEN jsonb_typeof(value) = 'number' AND jsonb_typeof(before -> kind -> field) = 'number'
                         AND field NOT IN ('total', 'page')
                    THEN greatest(value::numeric, (before -> kind -> field)::numeric)::text::jsonb ELSE value END), '{}')
                FROM jsonb_each(counts) AS c(field, value)) END)
            FROM jsonb_each(after) AS e(kind, counts));
END $$;
COMMENT ON FUNCTION crawlsock.merge_counts IS 'Progress never goes back within an attempt; a total may be corrected both ways.';

CREATE FUNCTION crawlsock.refused_leases(items jsonb, verb text DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
-- Indices of the items whose lease is not (or no longer) the job's, asked after the statement that acted on them.
-- Not refused are repetitions: an item whose verb (v) ended this very assignment before; and, while nobody else
-- has had the job, a start or a recorded report of an assignment that its crawler ended itself.
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(item.i), '[]')
    FROM jsonb_to_recordset(items) AS item(i int, j uuid, l text, s uuid, v text, n bigint)
    WHERE NOT EXISTS (
            SELECT FROM crawlsock.job_queue q
            WHERE item.v IS NULL AND q.job_id = item.j AND q.lease::text = item.l AND q.session_id::text = item.s::text
              AND (q.finished_at IS NULL OR verb = 'start'))
      AND NOT EXISTS (
            SELECT FROM crawlsock.job_assignment a JOIN crawlsock.job_queue q ON q.job_id = a.job_id
            WHERE a.job_id = item.j AND a.lease::text = item.l AND a.session_id = item.s AND CASE
                WHEN item.v IS NOT NULL THEN a.outcome = item.v
                WHEN a.outcome IN ('completed', 'failed', 'cancelled', 'released') AND q.attempt = a.attempt THEN
                    verb = 'start' OR (verb = 'progress' AND EXISTS (
                        SELECT FROM crawlsock.job_progress p
                        WHERE p.job_id = a.job_id AND p.attempt = a.attempt AND p.seq >= item.n))
                ELSE false END));
END $$;

CREATE FUNCTION crawlsock.apply_start(items jsonb, OUT refused jsonb, OUT events text) LANGUAGE plpgsql AS $$
DECLARE
    hits int;
BEGIN
    WITH hit AS (
        UPDATE crawlsock.job_queue q SET state = 'running', started_at = now()
        FROM (SELECT x.*, 'assigned' AS wanted FROM jsonb_to_recordset(items) AS x(i int, j uuid, l text, s uuid) OFFSET 0) AS item
        WHERE q.job_id = item.j AND q.lease::text = item.l AND q.session_id::text = item.s::text AND q.state = item.wanted
        RETURNING q.job_id, q.root_id, q.account, q.type, q.attempt)
    SELECT count(*), crawlsock.job_events(json_agg(json_build_array(
        'job_started', job_id, root_id, account, type, attempt, 'running')))
    INTO hits, events FROM hit;
    IF hits < jsonb_array_length(items) THEN
        refused := crawlsock.refused_leases(items, 'start');
    END IF;
END $$;

CREATE FUNCTION crawlsock.apply_progress(items jsonb, whole boolean, OUT refused jsonb, OUT merged jsonb, OUT events text)
LANGUAGE plpgsql AS $$
-- n seq, g stage, e entities, m message, r resume state, pc percent (0..100), rt rate (1/s), tl time left (s)
-- whole: the server has merged the counts with what it knows to be recorded for this lease. Otherwise, after a restart, they
-- are merged here, and merged says with what result: {i: entities}.
DECLARE
    held int;
BEGIN
    WITH item AS (
        SELECT x.*, q.attempt, q.root_id, q.account, q.type,
               CASE WHEN p.attempt = q.attempt THEN coalesce(p.percent, -1) ELSE -1 END AS before
        FROM (SELECT y.*, crawlsock.held_states() AS held
              FROM jsonb_to_recordset(items) AS y(i int, j uuid, l text, s uuid, n bigint, g text, e jsonb, m text, r jsonb,
                                                  pc float8, rt float8, tl float8) OFFSET 0) AS x
        JOIN crawlsock.job_queue q ON q.job_id = x.j
        LEFT JOIN crawlsock.job_progress p ON p.job_id = x.j
        WHERE q.lease::text = x.l AND q.session_id::text = x.s::text AND q.state = ANY (x.held)
        FOR SHARE OF q),
    hit AS (
        INSERT INTO crawlsock.job_progress AS p
            (job_id, attempt, seq, stage, entities, percent, rate, time_left, message, resume_state)
        SELECT j, attempt, n, g, coalesce(e, '{}'), pc, rt, tl, m, r FROM item
        ON CONFLICT (job_id) DO UPDATE SET
            attempt = excluded.attempt, seq = excluded.seq, stage = excluded.stage, rate = excluded.rate,
            time_left = excluded.time_left, updated_at = now(),
            entities = CASE WHEN whole OR p.attempt <> excluded.attempt THEN excluded.entities
                            ELSE crawlsock.merge_counts(p.entities, excluded.entities) END,
            percent = CASE WHEN p.attempt = excluded.attempt
                           THEN greatest(p.percent, excluded.percent) ELSE excluded.percent END,
            message = coalesce(excluded.message, CASE WHEN p.attempt = excluded.attempt THEN p.message END),
            resume_state = coalesce(excluded.resume_state, p.resume_state)
        WHERE p.attempt < excluded.attempt OR p.seq < excluded.seq
        RETURNING p.job_id, p.stage, p.entities, p.percent, p.rate, p.time_left, p.message, p.seq),
    milestone AS (
        INSERT INTO crawlsock.job_milestone (job_id, percent)
        SELECT hit.job_id, mark FROM hit JOIN item ON item.j = hit.job_id, unnest('{25,50,75,90,100}'::smallint[]) AS mark
        WHERE mark > item.before AND mark <= hit.percent
        ON CONFLICT DO NOTHING
        RETURNING job_id, percent)
    SELECT crawlsock.joined(crawlsock.event_group(
               'kind job_id root_id account type attempt seq stage entities percent rate time_left message',
               json_agg(json_build_array('job_progress', hit.job_id, item.root_id, item.account, item.type, item.attempt, hit.seq,
                                         hit.stage, hit.entities, hit.percent, hit.rate, hit.time_left, hit.message))),
               (SELECT crawlsock.event_group('kind job_id root_id account percent', json_agg(json_build_array(
                           'milestone', milestone.job_id, item.root_id, item.account, milestone.percent) ORDER BY milestone.percent))
                FROM milestone JOIN item ON item.j = milestone.job_id)),
           CASE WHEN whole THEN NULL ELSE jsonb_object_agg(item.i, hit.entities) FILTER (WHERE NOT whole) END,
           (SELECT count(*) FROM item)
    INTO events, merged, held
    FROM hit JOIN item ON item.j = hit.job_id;
    IF held < jsonb_array_length(items) THEN
        refused := crawlsock.refused_leases(items, 'progress');
    END IF;
END $$;

CREATE FUNCTION crawlsock.apply_area(items jsonb, OUT refused jsonb) LANGUAGE plpgsql AS $$
-- a: [{kind, entity_id, path, name, parent_path, visibility, host}]
BEGIN
    INSERT INTO crawlsock.area AS known (account, host, kind, entity_id, path, name, parent_path, visibility, seen_by)
    SELECT DISTINCT ON (q.account, coalesce(area.host, job.host, ''), area.kind, area.entity_id)
           q.account, coalesce(area.host, job.host, ''), area.kind, area.entity_id, area.path, area.name,
           area.parent_path, area.visibility, q.job_id
    FROM (SELECT x.*, crawlsock.held_states() AS held
          FROM jsonb_to_recordset(items) AS x(i int, j uuid, l text, s uuid, a jsonb) OFFSET 0) AS item
    JOIN crawlsock.job_queue q ON q.job_id = item.j AND q.lease::text = item.l AND q.session_id::text = item.s::text
         AND q.state = ANY (item.held)
    JOIN crawlsock.job job ON job.job_id = item.j
    CROSS JOIN LATERAL jsonb_to_recordset(item.a) AS area(kind text, entity_id text, path text, name text,
                                                          parent_path text, visibility text, host text)
    ON CONFLICT (account, host, kind, entity_id) DO UPDATE SET
        path = excluded.path, name = coalesce(excluded.name, known.name), visibility = coalesce(excluded.visibility, known.visibility),
        parent_path = coalesce(excluded.parent_path, known.parent_path), seen_by = excluded.seen_by, last_seen = now();
    refused := crawlsock.refused_leases(items);
END $$;

CREATE FUNCTION crawlsock.apply_heartbeat(items jsonb, OUT refused jsonb) LANGUAGE plpgsql AS $$
-- s session, b the beat's data
BEGIN
    WITH hit AS (
        UPDATE crawlsock.crawler_session c
        SET heartbeat_at = now(), deadline = now() + make_interval(secs => c.lease_length), beat = item.b
        FROM (SELECT DISTINCT ON (x.s) x.s, x.b FROM jsonb_to_recordset(items) AS x(i int, s uuid, b jsonb)
              ORDER BY x.s, x.i DESC) AS item
        WHERE c.session_id = item.s AND c.ended_at IS NULL
        RETURNING c.session_id)
    SELECT coalesce(jsonb_agg(item.i), '[]') INTO refused
    FROM jsonb_to_recordset(items) AS item(i int, s uuid)
    WHERE item.s NOT IN (SELECT session_id FROM hit);
END $$;

CREATE FUNCTION crawlsock.apply_assign(items jsonb, batch_no bigint, repeated boolean,
                                       OUT assigned text, OUT events text) LANGUAGE plpgsql AS $$
-- s session, n slots, b labels, t job types (null: any). Highest priority first, then the longest due.
DECLARE
    demand record;
    rows json;
    given text;
    had int;
    paused text[] := (SELECT array_agg(job_type) FROM crawlsock.queue WHERE queue.paused);
BEGIN
    FOR demand IN
        SELECT x.* FROM jsonb_to_recordset(items) AS x(i int, s uuid, n int, b text[], t text[])
        JOIN crawlsock.crawler_session c ON c.session_id = x.s AND c.ended_at IS NULL ORDER BY x.i
    LOOP
        had := 0;
        IF repeated THEN
            -- The commit before this one may have succeeded: what it gave is given again, not anew.
            SELECT count(*), string_agg(json_build_array(
                   q.session_id, q.job_id, q.lease, q.attempt, q.type, q.account, q.priority, q.root_id, job.host, job.entity_id,
                   job.namespace_path, job.name, job.parent_id, job.payload, p.resume_state, job.no_progress_limit,
                   nullif(known.generation, 0),
                   extract(epoch FROM q.assigned_at - greatest(q.run_at, CASE WHEN q.attempt > 1 THEN (
                       SELECT a.ended_at FROM crawlsock.job_assignment a WHERE a.job_id = q.job_id AND a.attempt = q.attempt - 1) END)))::text, ',')
            INTO had, given
            FROM crawlsock.job_queue q
            JOIN crawlsock.job job ON job.job_id = q.job_id
            JOIN crawlsock.account known ON known.account = q.account
            LEFT JOIN crawlsock.job_progress p ON p.job_id = q.job_id
            WHERE q.session_id = demand.s AND q.finished_at IS NULL AND q.batch = batch_no AND q.state = 'assigned';
            assigned := crawlsock.joined(assigned, given);
        END IF;
        CONTINUE WHEN '*' = ANY (paused) OR had >= demand.n;
        WITH next AS (
            SELECT q.job_id FROM crawlsock.job_queue q
            WHERE q.session_id IS NULL AND q.finished_at IS NULL AND NOT q.held_up AND q.run_at <= now()
              AND (demand.t IS NULL OR q.type = ANY (demand.t))
              AND (q.labels IS NULL OR q.labels <@ demand.b)
              AND (paused IS NULL OR NOT q.type = ANY (paused))
            ORDER BY q.priority DESC, q.run_at, q.job_id
            LIMIT demand.n - had
            FOR UPDATE SKIP LOCKED),
        taken AS (
            UPDATE crawlsock.job_queue q
            SET state = 'assigned', attempt = q.attempt + 1, lease = gen_random_uuid(), session_id = demand.s,
                batch = batch_no, assigned_at = now(), started_at = NULL
            FROM next WHERE q.job_id = next.job_id
            RETURNING q.*),
        noted AS (
            INSERT INTO crawlsock.job_assignment (job_id, attempt, lease, session_id)
            SELECT job_id, attempt, lease, demand.s FROM taken)
        -- The second array has the order of the fields of crawlsock.store.values.Assignment. The last of them: how long the
        -- job has been due, seconds; since the attempt before ended, when it went back to the queue.
        SELECT json_agg(json_build_array('job_assigned', q.job_id, q.root_id, q.account, q.type, q.attempt, 'assigned')),
               string_agg(json_build_array(
                   q.session_id, q.job_id, q.lease, q.attempt, q.type, q.account, q.priority, q.root_id, job.host, job.entity_id,
                   job.namespace_path, job.name, job.parent_id, job.payload, p.resume_state, job.no_progress_limit,
                   nullif(known.generation, 0),
                   extract(epoch FROM q.assigned_at - greatest(q.run_at, CASE WHEN q.attempt > 1 THEN (
                       SELECT a.ended_at FROM crawlsock.job_assignment a WHERE a.job_id = q.job_id AND a.attempt = q.attempt - 1) END)))::text,
                   ',' ORDER BY q.priority DESC, q.run_at, q.job_id)
        INTO rows, given
        FROM taken q
        JOIN crawlsock.job job ON job.job_id = q.job_id
        JOIN crawlsock.account known ON known.account = q.account
        LEFT JOIN crawlsock.job_progress p ON p.job_id = q.job_id;
        events := crawlsock.joined(events, crawlsock.job_events(rows));
        assigned := crawlsock.joined(assigned, given);
    END LOOP;
    assigned := '[' || coalesce(assigned, '') || ']';
END $$;

CREATE FUNCTION crawlsock.apply(batch jsonb) RETURNS text LANGUAGE plpgsql
-- A batch is small beside the tables, also when statistics do not know it yet: always by index, always the same plan.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
-- {"no": batch number, "repeated": bool, "notify": bool, kind: [items], ...} -> {kind: what the phase answers, ...} as text.
-- A phase that is left out of the answer, or answers null, refused nothing.
DECLARE
    answer text;
    groups text;
    part record;
BEGIN
    IF batch ? 'heartbeat' THEN
        answer := '"heartbeat":' || crawlsock.apply_heartbeat(batch -> 'heartbeat')::text;
    END IF;
    IF batch ? 'submit' THEN
        SELECT * INTO part FROM crawlsock.create_jobs(batch -> 'submit');
        answer := crawlsock.joined(answer, '"submit":' || part.statuses::text);
        groups := crawlsock.joined(groups, part.events);
    END IF;
    IF batch ? 'start' THEN
        SELECT * INTO part FROM crawlsock.apply_start(batch -> 'start');
        answer := crawlsock.joined(answer, '"start":' || part.refused::text);
        groups := crawlsock.joined(groups, part.events);
    END IF;
    IF batch ? 'progress' THEN
        SELECT * INTO part FROM crawlsock.apply_progress(batch -> 'progress', whole := true);
        answer := crawlsock.joined(answer, '"progress":' || part.refused::text);
        groups := crawlsock.joined(groups, part.events);
    END IF;
    IF batch ? 'merge' THEN
        SELECT * INTO part FROM crawlsock.apply_progress(batch -> 'merge', whole := false);
        answer := crawlsock.joined(answer, '"merge":' || jsonb_build_object('refused', part.refused, 'merged', part.merged)::text);
        groups := crawlsock.joined(groups, part.events);
    END IF;
    IF batch ? 'area' THEN
        answer := crawlsock.joined(answer, '"area":' || crawlsock.apply_area(batch -> 'area')::text);
    END IF;
    IF batch ? 'discover' THEN
        SELECT * INTO part FROM crawlsock.apply_discover(batch -> 'discover');
        answer := crawlsock.joined(answer, '"discover":' || part.answers::text);
        groups := crawlsock.joined(groups, part.events);
    END IF;
    IF batch ? 'complete' THEN
        SELECT * INTO part FROM crawlsock.apply_complete(batch -> 'complete');
        answer := crawlsock.joined(answer, '"complete":' || json_build_object('refused', part.refused, 'ran', part.ran)::text);
        groups := crawlsock.joined(groups, part.events);
    END IF;
    IF batch ? 'end' THEN
        SELECT * INTO part FROM crawlsock.apply_end(batch -> 'end');
        answer := crawlsock.joined(answer, '"end":' || jsonb_build_object('refused', part.refused, 'states', part.states)::text);
        groups := crawlsock.joined(groups, part.events);
    END IF;
    IF batch ? 'assign' THEN
        SELECT * INTO part FROM crawlsock.apply_assign(batch -> 'assign', (batch ->> 'no')::bigint,
                                                       coalesce((batch ->> 'repeated')::boolean, false));
        answer := crawlsock.joined(answer, '"assign":' || part.assigned);
        groups := crawlsock.joined(groups, part.events);
    END IF;
    PERFORM crawlsock.emit(groups);
    IF (batch ->> 'notify')::boolean AND groups IS NOT NULL THEN
        PERFORM pg_notify('crawlsock', batch ->> 'from');
    END IF;
    RETURN '{' || coalesce(answer, '') || '}';
END $$;
COMMENT ON FUNCTION crawlsock.apply IS 'Carry out one group of writes: heartbeats, submissions, starts, progress, discoveries, ends, then assignments.';
