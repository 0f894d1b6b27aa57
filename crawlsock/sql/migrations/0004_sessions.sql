-- Sessions of crawlers: opening, resuming, leaving, and taking back what the dead held.

CREATE FUNCTION crawlsock.take_back(sessions uuid[], how text, why text, poison_limit int, keep uuid[] DEFAULT '{}')
RETURNS jsonb LANGUAGE plpgsql AS $$
-- End every assignment of the sessions, except under the leases to keep. Returns [[job_id, session_id, new state, type, how,
-- seconds it ran or null], ...].
DECLARE
    items jsonb;
    ended record;
BEGIN
    SELECT jsonb_agg(jsonb_build_object('i', n, 'j', job_id, 'l', lease, 's', session_id, 'v', how, 'd', why, 'p', poison_limit))
    INTO items FROM (
        SELECT row_number() OVER (ORDER BY job_id) - 1 AS n, job_id, lease, session_id FROM (
            SELECT job_id, lease, session_id FROM crawlsock.job_queue
            WHERE session_id = ANY (sessions) AND finished_at IS NULL AND lease <> ALL (keep)
            ORDER BY job_id FOR UPDATE) AS locked) AS held;
    IF items IS NULL THEN
        RETURN '[]';
    END IF;
    SELECT * INTO ended FROM crawlsock.apply_end(items);
    PERFORM crawlsock.emit(ended.events);
    RETURN (SELECT coalesce(jsonb_agg(jsonb_build_array(
                items -> (state ->> 0)::int ->> 'j', items -> (state ->> 0)::int ->> 's',
                state -> 1, state -> 2, state -> 3, state -> 4)), '[]')
            FROM jsonb_array_elements(ended.states) AS state);
END $$;

CREATE FUNCTION crawlsock.session_event(kind text, crawler_id text, session_id uuid, reason text DEFAULT NULL)
RETURNS void LANGUAGE sql AS $$
    SELECT crawlsock.emit(crawlsock.event_group('kind crawler_id session_id reason',
        json_build_array(json_build_array(kind, crawler_id, session_id, reason))));
$$;

CREATE FUNCTION crawlsock.reap(wanted uuid[], poison_limit int) RETURNS TABLE (session uuid, crawler text, jobs int, poisoned int, ended jsonb)
LANGUAGE plpgsql AS $$
-- wanted NULL: every session past its deadline, those left out that somebody is just writing to. Named ones are waited
-- for: a link that is noted as lost in the same moment must not save a dead crawler's session. The session row goes
-- first: two reapers never share one.
DECLARE
    due uuid[];
    dead record;
    taken jsonb;
BEGIN
    IF wanted IS NULL THEN
        due := ARRAY(SELECT x.session_id FROM crawlsock.crawler_session x WHERE x.ended_at IS NULL AND x.deadline < now()
                     ORDER BY x.session_id FOR UPDATE SKIP LOCKED);
    ELSE
        due := ARRAY(SELECT x.session_id FROM crawlsock.crawler_session x WHERE x.ended_at IS NULL AND x.session_id = ANY (wanted)
                     ORDER BY x.session_id FOR UPDATE);
    END IF;
    FOR dead IN
        UPDATE crawlsock.crawler_session c SET ended_at = now(), end_reason = CASE WHEN wanted IS NULL THEN 'expired' ELSE 'dead' END
        WHERE c.session_id = ANY (due)
        RETURNING c.session_id, c.crawler_id, c.end_reason
    LOOP
        taken := crawlsock.take_back(ARRAY[dead.session_id], 'lost', 'crawler ' || dead.end_reason, poison_limit);
        PERFORM crawlsock.session_event('crawler_lost', dead.crawler_id, dead.session_id, dead.end_reason);
        session := dead.session_id;
        crawler := dead.crawler_id;
        jobs := jsonb_array_length(taken);
        ended := taken;
        SELECT count(*) INTO poisoned FROM jsonb_array_elements(taken) AS t WHERE t ->> 2 = 'failed';
        RETURN NEXT;
    END LOOP;
    IF FOUND THEN
        PERFORM pg_notify('crawlsock', 'reap');
    END IF;
END $$;
COMMENT ON FUNCTION crawlsock.reap IS 'End sessions of dead or expired crawlers and put their jobs back.';

CREATE FUNCTION crawlsock.open_session(wish jsonb, poison_limit int, OUT outcome text, OUT ended jsonb) LANGUAGE plpgsql AS $$
-- outcome: 'opened', 'known' (this ticket opened it before) or 'duplicate'. ended: what take_back says of an earlier session.
DECLARE
    item record;
BEGIN
    SELECT * INTO item FROM jsonb_to_record(wish) AS x(
        session_id uuid, crawler_id text, server_id uuid, ticket text, slots int, labels text[], job_types text[], pid int, uid int,
        process_start bigint, boot_id text, hostname text, version text, transport text, lease_length float8);
    PERFORM pg_advisory_xact_lock(hashtextextended('crawlsock session ' || item.crawler_id, 0));
    IF EXISTS (SELECT FROM crawlsock.crawler_session c WHERE c.ticket_hash = decode(item.ticket, 'hex') AND c.ended_at IS NULL) THEN
        outcome := 'known';
        RETURN;
    END IF;
    ended := (SELECT jsonb_agg(job) FROM crawlsock.reap(ARRAY(
        SELECT c.session_id FROM crawlsock.crawler_session c
        WHERE c.crawler_id = item.crawler_id AND c.ended_at IS NULL AND (c.state = 'away' OR c.deadline < now())), poison_limit) AS r,
        jsonb_array_elements(r.ended) AS job);
    IF EXISTS (SELECT FROM crawlsock.crawler_session c WHERE c.crawler_id = item.crawler_id AND c.ended_at IS NULL) THEN
        outcome := 'duplicate';
        RETURN;
    END IF;
    INSERT INTO crawlsock.crawler_session (session_id, crawler_id, server_id, ticket_hash, slots, labels, job_types, pid, uid,
                                           process_start, boot_id, hostname, version, transport, lease_length, deadline)
    VALUES (item.session_id, item.crawler_id, item.server_id, decode(item.ticket, 'hex'), item.slots, coalesce(item.labels, '{}'),
            item.job_types, item.pid, item.uid, item.process_start, item.boot_id, item.hostname, item.version, item.transport,
            item.lease_length, now() + make_interval(secs => item.lease_length));
    PERFORM crawlsock.session_event('crawler_connected', item.crawler_id, item.session_id);
    PERFORM pg_notify('crawlsock', item.server_id::text);
    outcome := 'opened';
END $$;

CREATE FUNCTION crawlsock.resume_session(ticket text, held text[], process jsonb, OUT session uuid, OUT kept jsonb, OUT lost jsonb,
                                         OUT ended jsonb)
LANGUAGE plpgsql AS $$
-- session is null when it has ended. Leases of the session that the crawler does not hold go back to the queue unharmed.
DECLARE
    known record;
BEGIN
    UPDATE crawlsock.crawler_session c SET
        state = 'connected', server_id = (process ->> 'server_id')::uuid, heartbeat_at = now(), connected_at = now(),
        deadline = now() + make_interval(secs => c.lease_length),
        pid = coalesce((process ->> 'pid')::int, c.pid), uid = coalesce((process ->> 'uid')::int, c.uid),
        process_start = coalesce((process ->> 'process_start')::bigint, c.process_start), boot_id = coalesce(process ->> 'boot_id', c.boot_id)
    WHERE c.ticket_hash = decode(ticket, 'hex') AND c.ended_at IS NULL
    RETURNING c.session_id, c.crawler_id INTO known;
    IF known.session_id IS NULL THEN
        RETURN;
    END IF;
    session := known.session_id;
    ended := crawlsock.take_back(ARRAY[session], 'released', 'not held after a resume', 0, ARRAY(
        SELECT q.lease FROM crawlsock.job_queue q WHERE q.session_id = session AND q.finished_at IS NULL
          AND (held IS NULL OR q.lease::text = ANY (held))));
    SELECT coalesce(jsonb_agg(jsonb_build_array(q.job_id, q.lease, q.attempt, q.type, q.account,
               CASE WHEN p.attempt = q.attempt THEN p.seq ELSE 0 END, q.cancel_requested, q.pause_requested)), '[]'),
           coalesce((SELECT jsonb_agg(lease) FROM unnest(held) AS lease
                     WHERE lease <> ALL (coalesce(array_agg(q.lease::text), '{}'))), '[]')
    INTO kept, lost
    FROM crawlsock.job_queue q LEFT JOIN crawlsock.job_progress p ON p.job_id = q.job_id
    WHERE q.session_id = session AND q.finished_at IS NULL;
    PERFORM crawlsock.session_event('crawler_connected', known.crawler_id, session, 'resumed');
    PERFORM pg_notify('crawlsock', process ->> 'server_id');
END $$;

CREATE FUNCTION crawlsock.end_session(wanted uuid, why text) RETURNS jsonb LANGUAGE plpgsql AS $$
-- Returns what take_back does.
DECLARE
    gone text;
    ended jsonb;
BEGIN
    UPDATE crawlsock.crawler_session SET ended_at = now(), end_reason = why
    WHERE session_id = wanted AND ended_at IS NULL RETURNING crawler_id INTO gone;
    IF gone IS NOT NULL THEN
        ended := crawlsock.take_back(ARRAY[wanted], 'released', why, 0);
        PERFORM crawlsock.session_event('crawler_ended', gone, wanted, why);
        PERFORM pg_notify('crawlsock', 'end');
    END IF;
    RETURN ended;
END $$;

CREATE FUNCTION crawlsock.stuck(poison_limit int) RETURNS TABLE (session uuid, job uuid, lease uuid, now_is jsonb) LANGUAGE plpgsql AS $$
-- Jobs that declared a no-progress limit and have said nothing for longer than it; now_is: what apply_end says of each.
DECLARE
    items jsonb;
    ended record;
BEGIN
    SELECT jsonb_agg(jsonb_build_object('i', n, 'j', x.job_id, 'l', x.lease, 's', x.session_id, 'v', 'stuck',
                                        'd', 'no progress', 'p', poison_limit))
    INTO items FROM (
        SELECT row_number() OVER () - 1 AS n, q.job_id, q.lease, q.session_id
        FROM crawlsock.job_queue q
        JOIN crawlsock.job j ON j.job_id = q.job_id AND j.no_progress_limit IS NOT NULL
        LEFT JOIN crawlsock.job_progress p ON p.job_id = q.job_id AND p.attempt = q.attempt
        WHERE q.session_id IS NOT NULL AND q.finished_at IS NULL AND NOT q.pause_requested
          AND greatest(q.assigned_at, q.started_at, p.updated_at) + make_interval(secs => j.no_progress_limit) < now()) AS x;
    IF items IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO ended FROM crawlsock.apply_end(items);
    PERFORM crawlsock.emit(ended.events);
    PERFORM pg_notify('crawlsock', 'stuck');
    RETURN QUERY SELECT (items -> (state ->> 0)::int ->> 's')::uuid, (items -> (state ->> 0)::int ->> 'j')::uuid,
                        (items -> (state ->> 0)::int ->> 'l')::uuid, state
                 FROM jsonb_array_elements(ended.states) AS state;
END $$;

CREATE FUNCTION crawlsock.adopt_sessions(me uuid, grace float8) RETURNS SETOF uuid LANGUAGE sql AS $$
    -- Sessions of this server, and those past their deadline, whose server may be gone, get at least the grace.
    UPDATE crawlsock.crawler_session c SET deadline = greatest(c.deadline, now() + make_interval(secs => grace))
    WHERE c.ended_at IS NULL AND (c.server_id = me OR c.deadline < now())
    RETURNING c.session_id;
$$;

CREATE FUNCTION crawlsock.detach_session(wanted uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE crawlsock.crawler_session SET state = 'away' WHERE session_id = wanted AND ended_at IS NULL AND state <> 'away';
END $$;
