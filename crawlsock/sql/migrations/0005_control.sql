-- What web applications and administrators steer: jobs, trees, queues, accounts, tokens.

CREATE FUNCTION crawlsock.below(top uuid, whole_tree boolean) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    -- The job alone, or with all jobs below it, in an order that every caller locks them in.
    WITH RECURSIVE branch AS (
        SELECT job_id FROM crawlsock.job WHERE job_id = top
        UNION ALL
        SELECT child.job_id FROM branch JOIN crawlsock.job child ON child.parent_id = branch.job_id WHERE whole_tree)
    SELECT job_id FROM branch ORDER BY job_id;
$$;

CREATE FUNCTION crawlsock.take_keys(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    -- The key of a job that ended is free for others; to live again it must get it back.
    INSERT INTO crawlsock.job_key (account, job_key, job_id)
    SELECT j.account, j.job_key, j.job_id FROM crawlsock.job j JOIN crawlsock.job_queue q ON q.job_id = j.job_id
    WHERE j.job_id = ANY (ids) AND q.state IN ('failed', 'cancelled') AND j.job_key IS NOT NULL
    ORDER BY j.account, j.job_key ON CONFLICT DO NOTHING;
$$;

CREATE FUNCTION crawlsock.steer(verb text, ids uuid[], why text, OUT affected int, OUT orders jsonb) LANGUAGE plpgsql AS $$
-- Do to each of these jobs, which the caller has locked, what the verb does to it in its state; others are passed over.
DECLARE
    rows json;
BEGIN
    IF verb = 'retry' THEN
        PERFORM crawlsock.take_keys(ids);
    END IF;
    WITH changed AS (
        UPDATE crawlsock.job_queue q SET
            state = CASE
                WHEN q.state IN ('assigned', 'running') THEN q.state
                WHEN verb = 'cancel' THEN 'cancelled'
                WHEN verb = 'pause' THEN 'paused'
                ELSE crawlsock.ready_state(q.account) END,
            cancel_requested = q.cancel_requested AND verb <> 'retry' OR verb = 'cancel' AND q.state IN ('assigned', 'running'),
            pause_requested = q.state IN ('assigned', 'running') AND (verb = 'pause' OR q.pause_requested AND verb = 'cancel'),
            finished_at = CASE WHEN verb = 'cancel' AND q.state NOT IN ('assigned', 'running') THEN now() END,
            failures = CASE WHEN verb = 'retry' THEN 0 ELSE q.failures END,
            losses = CASE WHEN verb = 'retry' THEN 0 ELSE q.losses END,
            run_at = CASE WHEN verb = 'retry' THEN now() ELSE q.run_at END,
            lease = CASE WHEN q.state IN ('assigned', 'running') THEN q.lease END,
            session_id = CASE WHEN q.state IN ('assigned', 'running') THEN q.session_id END,
            assigned_at = CASE WHEN verb = 'retry' THEN NULL ELSE q.assigned_at END,
            started_at = CASE WHEN verb = 'retry' THEN NULL ELSE q.started_at END,
            keyed = CASE WHEN verb = 'retry' THEN EXISTS (SELECT FROM crawlsock.job_key k WHERE k.job_id = q.job_id) ELSE q.keyed END,
            reason = CASE WHEN verb = 'resume' AND q.state NOT IN ('assigned', 'running') OR verb = 'retry' THEN NULL ELSE coalesce(why, q.reason) END
        WHERE q.job_id = ANY (ids) AND CASE verb
            WHEN 'cancel' THEN q.finished_at IS NULL AND NOT q.cancel_requested
            WHEN 'pause' THEN q.state IN ('queued', 'waiting_credential')
                              OR q.state IN ('assigned', 'running') AND NOT q.pause_requested AND NOT q.cancel_requested
            WHEN 'resume' THEN q.state = 'paused' OR q.pause_requested
            ELSE q.state IN ('failed', 'cancelled') AND NOT EXISTS (
                SELECT FROM crawlsock.job j JOIN crawlsock.job_key k ON k.account = j.account AND k.job_key = j.job_key
                WHERE j.job_id = q.job_id AND k.job_id <> q.job_id) END
        RETURNING q.*),
    freed AS (
        DELETE FROM crawlsock.job_key k USING changed WHERE changed.finished_at IS NOT NULL AND k.job_id = changed.job_id)
    SELECT count(*), coalesce(jsonb_agg(jsonb_build_array(verb, session_id, job_id, lease, why))
                              FILTER (WHERE lease IS NOT NULL), '[]'),
           json_agg(json_build_array(CASE
               WHEN verb = 'cancel' THEN CASE WHEN state = 'cancelled' THEN 'job_cancelled' ELSE 'job_cancel_requested' END
               WHEN verb = 'pause' THEN 'job_paused' WHEN verb = 'resume' THEN 'job_resumed' ELSE 'job_retried' END,
               job_id, root_id, account, type, attempt, state, why))
    INTO affected, orders, rows FROM changed;
    PERFORM crawlsock.emit(crawlsock.job_events(rows));
END $$;

CREATE FUNCTION crawlsock.control(verb text, top uuid, whole_tree boolean, why text, who text,
                                  OUT refusal text, OUT affected int, OUT orders jsonb, OUT other uuid) LANGUAGE plpgsql AS $$
-- cancel, pause, resume or retry. refusal: unknown_job, invalid_state (of a single job; other is null) or duplicate.
DECLARE
    standing text;
    ids uuid[];
BEGIN
    SELECT state INTO standing FROM crawlsock.job_queue WHERE job_id = top;
    IF standing IS NULL THEN
        refusal := 'unknown_job';
        RETURN;
    END IF;
    SELECT array_agg(locked.job_id) INTO ids FROM (
        SELECT q.job_id FROM crawlsock.job_queue q WHERE q.job_id IN (SELECT crawlsock.below(top, whole_tree))
        ORDER BY q.job_id FOR UPDATE) AS locked;
    SELECT state INTO standing FROM crawlsock.job_queue WHERE job_id = top;
    IF NOT whole_tree AND (
        (verb = 'cancel' AND standing IN ('completed', 'failed'))
        OR (verb IN ('pause', 'resume') AND standing IN ('completed', 'failed', 'cancelled'))
        OR (verb = 'retry' AND standing NOT IN ('failed', 'cancelled', 'queued'))) THEN
        refusal := 'invalid_state';
        RETURN;
    END IF;

    IF verb = 'retry' AND NOT whole_tree AND standing IN ('failed', 'cancelled') THEN
        PERFORM crawlsock.take_keys(ids);
        SELECT k.job_id INTO other FROM crawlsock.job j JOIN crawlsock.job_key k ON k.account = j.account AND k.job_key = j.job_key
        WHERE j.job_id = top AND k.job_id <> top;
        IF other IS NOT NULL THEN
            refusal := 'duplicate';
            RETURN;
        END IF;
    END IF;

    SELECT * INTO affected, orders FROM crawlsock.steer(verb, ids, why);
    IF affected > 0 THEN
        INSERT INTO crawlsock.audit (actor, action, target, detail)
        VALUES (who, 'job_' || verb, top::text, jsonb_build_object('tree', whole_tree, 'affected', affected, 'reason', why));
        PERFORM pg_notify('crawlsock', 'control');
    END IF;
END $$;
COMMENT ON FUNCTION crawlsock.control IS 'Cancel, pause, resume or retry a job or a tree; leases stay with their holders, who get orders.';

CREATE FUNCTION crawlsock.pause_queue(wanted text, stop boolean, why text, who text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := coalesce(wanted, '*');
    was boolean := EXISTS (SELECT FROM crawlsock.queue WHERE job_type = coalesce(wanted, '*') AND paused);
BEGIN
    IF was = stop THEN
        RETURN;
    END IF;
    INSERT INTO crawlsock.queue (job_type, paused, reason, paused_by, paused_at) VALUES (name, stop, why, who, now())
    ON CONFLICT (job_type) DO UPDATE SET paused = stop, reason = why, paused_by = who, paused_at = now();
    INSERT INTO crawlsock.audit (actor, action, target, detail)
    VALUES (who, CASE WHEN stop THEN 'queue_paused' ELSE 'queue_resumed' END, name, jsonb_build_object('reason', why));
    PERFORM crawlsock.emit(crawlsock.event_group('kind job_type reason actor', json_build_array(json_build_array(
        CASE WHEN stop THEN 'queue_paused' ELSE 'queue_resumed' END, wanted, why, who))));
    PERFORM pg_notify('crawlsock', 'queue');
END $$;

CREATE FUNCTION crawlsock.credential_event(wanted text) RETURNS void LANGUAGE sql AS $$
    SELECT crawlsock.emit(crawlsock.event_group('kind account generation state reason',
        json_build_array(json_build_array('credential_changed', account, generation, state, reason))))
    FROM crawlsock.account WHERE account = wanted;
$$;

CREATE FUNCTION crawlsock.wake_waiting(wanted text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    rows json;
BEGIN
    WITH woken AS (
        UPDATE crawlsock.job_queue SET state = 'queued', reason = NULL
        WHERE account = wanted AND held_up AND state = 'waiting_credential' RETURNING *)
    SELECT json_agg(json_build_array('job_resumed', job_id, root_id, account, type, attempt, 'queued', 'credential renewed'))
    INTO rows FROM woken;
    PERFORM crawlsock.emit(crawlsock.job_events(rows));
    PERFORM crawlsock.credential_event(wanted);
    PERFORM pg_notify('crawlsock', 'credential');
END $$;

CREATE FUNCTION crawlsock.put_credential(wanted text, at_host text, of_kind text, box bytea, expires timestamptz, who text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    now_at bigint;
BEGIN
    SELECT generation INTO now_at FROM crawlsock.account a
    WHERE a.account = wanted AND a.sealed = box AND a.host = at_host;
    IF now_at IS NOT NULL THEN
        RETURN now_at;
    END IF;
    INSERT INTO crawlsock.account AS a (account, host, kind, sealed, generation, state, expires_at)
    VALUES (wanted, at_host, of_kind, box, 1, 'valid', expires)
    ON CONFLICT (account) DO UPDATE SET
        host = at_host, kind = of_kind, sealed = box, generation = a.generation + 1, state = 'valid', expires_at = expires, reason = NULL,
        refreshing_by = NULL, refreshing_until = NULL, updated_at = now()
    RETURNING generation INTO now_at;
    INSERT INTO crawlsock.audit (actor, action, target, detail)
    VALUES (who, 'credential_put', wanted, jsonb_build_object('host', at_host, 'kind', of_kind, 'generation', now_at));
    PERFORM crawlsock.wake_waiting(wanted);
    RETURN now_at;
END $$;

CREATE FUNCTION crawlsock.begin_refresh(wanted text, wanted_generation bigint, me uuid, ttl float8, OUT standing text, OUT until timestamptz)
LANGUAGE plpgsql AS $$
-- standing: unknown_account, credential_missing, busy, or yours.
BEGIN
    SELECT CASE WHEN state = 'none' THEN 'credential_missing' ELSE 'busy' END INTO standing
    FROM crawlsock.account WHERE account = wanted;
    standing := coalesce(standing, 'unknown_account');
    IF standing <> 'busy' THEN
        RETURN;
    END IF;
    UPDATE crawlsock.account a SET refreshing_by = me, refreshing_until = now() + make_interval(secs => ttl)
    WHERE a.account = wanted AND a.generation = wanted_generation AND a.state = 'valid'
      AND (a.refreshing_until IS NULL OR a.refreshing_until < now() OR a.refreshing_by = me)
    RETURNING a.refreshing_until INTO until;
    IF until IS NOT NULL THEN
        standing := 'yours';
    END IF;
END $$;

CREATE FUNCTION crawlsock.finish_refresh(wanted text, wanted_generation bigint, box bytea, expires timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    now_at bigint;
BEGIN
    UPDATE crawlsock.account a SET
        sealed = box, expires_at = expires,
        generation = a.generation + 1, state = 'valid', reason = NULL, refreshing_by = NULL, refreshing_until = NULL, updated_at = now()
    WHERE a.account = wanted AND a.generation = wanted_generation AND a.kind IS NOT NULL
    RETURNING a.generation INTO now_at;
    IF now_at IS NULL THEN
        SELECT a.generation INTO now_at FROM crawlsock.account a WHERE a.account = wanted;
    ELSE
        PERFORM crawlsock.wake_waiting(wanted);
    END IF;
    RETURN now_at;
END $$;

CREATE FUNCTION crawlsock.refuse_credential(wanted text, wanted_generation bigint, why text, OUT jobs int, OUT orders jsonb, OUT states jsonb)
LANGUAGE plpgsql AS $$
-- Everything of the account that waits or runs moves to waiting_credential; who runs it gets a cancel order.
-- states: what apply_end says of those that ran.
DECLARE
    items jsonb;
    rows json;
    ended record;
BEGIN
    jobs := 0;
    orders := '[]';
    UPDATE crawlsock.account a SET state = 'refused', reason = why, refreshing_by = NULL, refreshing_until = NULL, updated_at = now()
    WHERE a.account = wanted AND a.generation = wanted_generation AND a.state = 'valid';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    WITH held_up AS (
        UPDATE crawlsock.job_queue SET state = 'waiting_credential', reason = why
        WHERE account = wanted AND session_id IS NULL AND finished_at IS NULL AND NOT held_up RETURNING *)
    SELECT count(*), json_agg(json_build_array('job_waiting_credential', job_id, root_id, account, type, attempt, state, why))
    INTO jobs, rows FROM held_up;
    PERFORM crawlsock.emit(crawlsock.job_events(rows));
    SELECT jsonb_agg(jsonb_build_object('i', n, 'j', x.job_id, 'l', x.lease, 's', x.session_id, 'v', 'credential', 'd', why))
    INTO items FROM (
        SELECT row_number() OVER () - 1 AS n, q.job_id, q.lease, q.session_id FROM crawlsock.job_queue q
        WHERE q.account = wanted AND q.session_id IS NOT NULL AND q.finished_at IS NULL) AS x;
    IF items IS NOT NULL THEN
        SELECT * INTO ended FROM crawlsock.apply_end(items);
        PERFORM crawlsock.emit(ended.events);
        jobs := jobs + jsonb_array_length(ended.states);
        states := ended.states;
        SELECT jsonb_agg(jsonb_build_array('cancel', item ->> 's', item ->> 'j', item ->> 'l', why)) INTO orders
        FROM jsonb_array_elements(items) AS item;
    END IF;
    PERFORM crawlsock.credential_event(wanted);
    PERFORM pg_notify('crawlsock', 'credential');
END $$;

CREATE FUNCTION crawlsock.prune(before_events timestamptz, before_jobs timestamptz, OUT events int, OUT jobs int) LANGUAGE plpgsql AS $$
-- Trees go whole, when their every job ended long enough ago; at most a thousand trees a call.
DECLARE
    last record;
BEGIN
    WITH gone AS (
        DELETE FROM crawlsock.event e WHERE e.at < before_events
          AND e.xid < pg_snapshot_xmin(pg_current_snapshot()) RETURNING e.xid, e.id)
    SELECT count(*) OVER () AS n, xid, id INTO last FROM gone ORDER BY xid DESC, id DESC LIMIT 1;
    events := coalesce(last.n, 0);
    IF events > 0 THEN
        UPDATE crawlsock.feed_horizon SET xid = last.xid, id = last.id WHERE (feed_horizon.xid, feed_horizon.id) < (last.xid, last.id);
    END IF;
    WITH old AS (
        SELECT q.job_id FROM crawlsock.job_queue q
        WHERE q.job_id = q.root_id AND q.finished_at < before_jobs AND NOT EXISTS (
            SELECT FROM crawlsock.job j JOIN crawlsock.job_queue o ON o.job_id = j.job_id
            WHERE j.root_id = q.job_id AND (o.finished_at IS NULL OR o.finished_at >= before_jobs))
        LIMIT 1000),
    gone AS (
        DELETE FROM crawlsock.job j USING old WHERE j.root_id = old.job_id RETURNING 1)
    SELECT count(*) INTO jobs FROM gone;
    DELETE FROM crawlsock.crawler_session s WHERE s.ended_at < before_jobs;
    PERFORM crawlsock.prune_records(before_jobs);
END $$;
