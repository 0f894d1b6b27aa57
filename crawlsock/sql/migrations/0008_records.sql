-- What operators look back at: failures in groups, incidents, and what was sent about them. The groups are kept by
-- crawlsock.apply_end, in the transaction that records the failure; incidents by crawlsock.record_incidents.

-- Failures.

ALTER TABLE crawlsock.job_error
    ADD COLUMN account     text NOT NULL,
    ADD COLUMN fingerprint text NOT NULL,
    ADD COLUMN category    text NOT NULL,
    ADD COLUMN severity    text NOT NULL CHECK (severity IN ('info', 'warning', 'critical'));
COMMENT ON COLUMN crawlsock.job_error.fingerprint IS 'Failures with one fingerprint differ in numbers, names and paths only; see crawlsock/incidents.';
-- The occurrences of a group, newest first; and how many there were within a window.
CREATE INDEX job_error_by_group ON crawlsock.job_error (account, fingerprint, at, error_id);

CREATE TABLE crawlsock.error_group (
    fingerprint  text NOT NULL,
    account      text NOT NULL REFERENCES crawlsock.account ON DELETE CASCADE,
    error_type   text NOT NULL,
    category     text NOT NULL,
    severity     text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    title        text NOT NULL,
    count        bigint NOT NULL,
    first_seen   timestamptz NOT NULL DEFAULT now(),
    last_seen    timestamptz NOT NULL DEFAULT now(),
    last_job_id  uuid NOT NULL,
    last_message text NOT NULL,
    group_id     bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (fingerprint, account)
);
COMMENT ON TABLE crawlsock.error_group IS 'Failures of one account that are the same failure. Written in the order (account, fingerprint), after the jobs.';
COMMENT ON COLUMN crawlsock.error_group.count IS 'How often it was reported since first_seen; more than there are rows, once jobs were pruned.';
COMMENT ON COLUMN crawlsock.error_group.severity IS 'Of the last occurrence.';
COMMENT ON COLUMN crawlsock.error_group.last_job_id IS 'No foreign key: the job may be pruned, the group stays.';
CREATE INDEX error_group_recent ON crawlsock.error_group (last_seen, group_id);
CREATE INDEX error_group_frequent ON crawlsock.error_group (count, group_id);
ALTER TABLE crawlsock.error_group SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

ALTER TABLE crawlsock.job_queue
    ADD COLUMN fingerprint text,
    ADD COLUMN failed_with text GENERATED ALWAYS AS (CASE WHEN state = 'failed' THEN fingerprint END) STORED;
COMMENT ON COLUMN crawlsock.job_queue.fingerprint IS 'Of the failure that its crawler reported last.';
COMMENT ON COLUMN crawlsock.job_queue.failed_with IS 'The failure that it is failed with now. Null while it is not failed, so starting a job changes no indexed value.';
CREATE INDEX job_queue_failed_with ON crawlsock.job_queue (account, failed_with, created_at, job_id) WHERE failed_with IS NOT NULL;
CREATE INDEX job_queue_poison ON crawlsock.job_queue (account, type, finished_at) WHERE reason = 'poison' AND finished_at IS NOT NULL;
CREATE INDEX crawler_session_ended ON crawlsock.crawler_session (ended_at) WHERE ended_at IS NOT NULL;

-- Lists.

ALTER TABLE crawlsock.area ADD COLUMN area_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE;
COMMENT ON COLUMN crawlsock.area.area_id IS 'The order in which areas were first seen.';
CREATE INDEX area_of_account ON crawlsock.area (account, area_id);
CREATE INDEX audit_by_actor ON crawlsock.audit (actor, audit_id);
CREATE INDEX audit_by_action ON crawlsock.audit (action, audit_id);

-- Incidents.

CREATE TABLE crawlsock.incident (
    incident_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind           text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,63}$'),
    subject        text NOT NULL DEFAULT '',
    account        text,
    fingerprint    text,
    severity       text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    title          text NOT NULL,
    detail         text,
    next_step      text,
    count          bigint NOT NULL DEFAULT 1,
    base           bigint NOT NULL DEFAULT 0,
    opened_at      timestamptz NOT NULL DEFAULT now(),
    last_at        timestamptz NOT NULL DEFAULT now(),
    closed_at      timestamptz,
    notified_at    timestamptz,
    notified_count bigint,
    CHECK (closed_at >= opened_at)
);
COMMENT ON TABLE crawlsock.incident IS 'What asks for people. One that goes on counts up; one that is over is closed.';
COMMENT ON COLUMN crawlsock.incident.subject IS 'What it is about within its kind: a fingerprint, an account, a job type.';
COMMENT ON COLUMN crawlsock.incident.base IS 'What is taken off the measure of its kind to get the count since it opened.';
COMMENT ON COLUMN crawlsock.incident.notified_at IS 'When people were last told; the cool-down counts from here, also for the next one of its kind and subject.';
CREATE UNIQUE INDEX incident_open_once ON crawlsock.incident (kind, subject, coalesce(account, '')) WHERE closed_at IS NULL;
CREATE INDEX incident_newest ON crawlsock.incident (opened_at, incident_id);
CREATE INDEX incident_of_account ON crawlsock.incident (account, opened_at, incident_id) WHERE account IS NOT NULL;
CREATE INDEX incident_notified ON crawlsock.incident (kind, subject, notified_at) WHERE notified_at IS NOT NULL;

CREATE TABLE crawlsock.notification (
    notification_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    channel         text NOT NULL,
    event           text NOT NULL,
    account         text,
    incident_id     uuid REFERENCES crawlsock.incident ON DELETE SET NULL,
    content         jsonb NOT NULL,
    state           text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    due_at          timestamptz NOT NULL DEFAULT now(),
    taken_by        uuid,
    ended_at        timestamptz,
    last_error      text,
    CHECK ((state = 'waiting') = (ended_at IS NULL))
);
COMMENT ON TABLE crawlsock.notification IS 'The outbox: written with the incident, sent by whichever server takes the row, kept as a record.';
COMMENT ON COLUMN crawlsock.notification.due_at IS 'Not sent before; pushed on by who takes the row, so a server that dies while sending leaves it to the next.';
COMMENT ON COLUMN crawlsock.notification.content IS 'The incident as it was then; the message is made from it. Holds no secret.';
CREATE INDEX notification_due ON crawlsock.notification (due_at) WHERE state = 'waiting';
CREATE INDEX notification_newest ON crawlsock.notification (created_at, notification_id);
CREATE INDEX notification_by_incident ON crawlsock.notification (incident_id) WHERE incident_id IS NOT NULL;

CREATE FUNCTION crawlsock.watch(time_window float8, threshold int, stalled_after float8) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
-- Everything that the rules of crawlsock/incidents look at, in one look. Bounded: groups that were seen within the window,
-- each counted up to the threshold; the first ten thousand jobs that wait longest behind the highest priority.
DECLARE
    since timestamptz := now() - make_interval(secs => time_window);
BEGIN
    RETURN jsonb_build_object(
        'groups', (SELECT coalesce(jsonb_agg(jsonb_build_array(account, fingerprint, error_type, category, severity, title,
                                                               count, recent, last_message)), '[]')
            FROM (SELECT g.*, (SELECT count(*) FROM (SELECT FROM crawlsock.job_error e WHERE e.account = g.account
                          AND e.fingerprint = g.fingerprint AND e.at > since LIMIT threshold) AS counted) AS recent
                  FROM crawlsock.error_group g WHERE g.last_seen > since ORDER BY g.last_seen DESC LIMIT 1000) AS seen),
        'losses', (SELECT coalesce(jsonb_agg(jsonb_build_array(crawler_id, end_reason, ended_at > since)
                                             ORDER BY ended_at DESC), '[]')
            FROM (SELECT * FROM crawlsock.crawler_session s
                  WHERE s.ended_at > least(since, (SELECT i.opened_at - make_interval(secs => time_window)
                                                   FROM crawlsock.incident i WHERE i.kind = 'crawler_lost' AND i.closed_at IS NULL))
                    AND s.end_reason IN ('expired', 'dead') ORDER BY s.ended_at DESC LIMIT 10000) AS lost),
        'poison', (SELECT coalesce(jsonb_agg(jsonb_build_array(account, type, total, recent)), '[]')
            FROM (SELECT q.account, q.type, count(*) AS total, count(*) FILTER (WHERE q.finished_at > since) AS recent
                  FROM crawlsock.job_queue q
                  WHERE q.reason = 'poison' AND q.finished_at IS NOT NULL AND q.finished_at > least(since, (
                      SELECT i.opened_at - make_interval(secs => time_window) FROM crawlsock.incident i
                      WHERE i.kind = 'job_poison' AND i.account = q.account AND i.subject = q.type AND i.closed_at IS NULL))
                  GROUP BY q.account, q.type) AS parked),
        'refused', (SELECT coalesce(jsonb_agg(jsonb_build_array(a.account, a.host, a.reason,
                        (SELECT count(*) FROM crawlsock.job_queue q
                         WHERE q.account = a.account AND q.held_up AND q.state = 'waiting_credential'))), '[]')
            FROM crawlsock.account a WHERE a.state = 'refused'),
        'stalled', (SELECT coalesce(jsonb_agg(jsonb_build_array(type, labels, jobs, waited)), '[]')
            FROM (SELECT head.type, head.labels, count(*) AS jobs, extract(epoch FROM now() - min(head.run_at)) AS waited
                  FROM (SELECT q.type, q.labels, q.run_at FROM crawlsock.job_queue q
                        WHERE q.session_id IS NULL AND q.finished_at IS NULL AND NOT q.held_up
                          AND q.run_at < now() - make_interval(secs => stalled_after)
                        ORDER BY q.priority DESC, q.run_at, q.job_id LIMIT 10000) AS head
                  GROUP BY head.type, head.labels) AS due
            WHERE NOT EXISTS (SELECT FROM crawlsock.queue p WHERE p.paused AND p.job_type IN ('*', due.type))
              AND NOT EXISTS (SELECT FROM crawlsock.crawler_session c
                  WHERE (c.ended_at IS NULL OR c.ended_at > now() - make_interval(secs => stalled_after))
                    AND (c.job_types IS NULL OR due.type = ANY (c.job_types))
                    AND (due.labels IS NULL OR due.labels <@ c.labels))),
        'feed_age', (SELECT extract(epoch FROM clock_timestamp() - e.at) FROM crawlsock.event e
            WHERE e.xid >= pg_snapshot_xmin(pg_current_snapshot()) ORDER BY e.xid, e.id LIMIT 1),
        'open', (SELECT coalesce(jsonb_agg(jsonb_build_array(i.incident_id, i.kind, i.subject, i.account, i.count, i.base)), '[]')
            FROM crawlsock.incident i WHERE i.closed_at IS NULL));
END $$;
COMMENT ON FUNCTION crawlsock.watch IS 'What the rules for incidents look at.';

CREATE FUNCTION crawlsock.notify_people(about crawlsock.incident, what text, channels text[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    made int;
BEGIN
    INSERT INTO crawlsock.notification (channel, event, account, incident_id, content)
    SELECT channel, what, about.account, about.incident_id,
           jsonb_strip_nulls(to_jsonb(about) - '{subject,base,notified_at,notified_count}'::text[])
    FROM unnest(channels) AS channel ORDER BY channel;
    GET DIAGNOSTICS made = ROW_COUNT;
    UPDATE crawlsock.incident i SET notified_at = now(), notified_count = about.count WHERE i.incident_id = about.incident_id;
    RETURN made;
END $$;

CREATE FUNCTION crawlsock.incident_event(what text, about crawlsock.incident) RETURNS void LANGUAGE sql AS $$
    SELECT crawlsock.emit(crawlsock.event_group('kind incident_id account incident severity title count', json_build_array(
        json_build_array(what, about.incident_id, about.account, about.kind, about.severity, about.title, about.count))));
$$;

CREATE FUNCTION crawlsock.record_incidents(findings jsonb, over jsonb, channels text[], cool_down float8,
                                           OUT opened int, OUT closed int, OUT notified int) LANGUAGE plpgsql AS $$
-- findings: [{kind, subject, account, fingerprint, severity, title, detail, next_step, count, base, away, quiet}, ...];
-- away is how many seconds something lasted that is over already; of a quiet one nobody is told. over: [[incident_id, count when it was looked at], ...].
-- One server at a time: the others find what the first one wrote.
DECLARE
    item record;
    known crawlsock.incident;
    told timestamptz;
    tell boolean;
BEGIN
    opened := 0;
    closed := 0;
    notified := 0;
    PERFORM pg_advisory_xact_lock(hashtextextended('crawlsock incidents', 0));
    FOR item IN SELECT * FROM jsonb_to_recordset(findings) AS x(kind text, subject text, account text, fingerprint text,
                    severity text, title text, detail text, next_step text, count bigint, base bigint, away float8, quiet boolean) LOOP
        SELECT * INTO known FROM crawlsock.incident i
        WHERE i.kind = item.kind AND i.subject = item.subject AND i.account IS NOT DISTINCT FROM item.account
          AND CASE WHEN item.away IS NULL THEN i.closed_at IS NULL
                   ELSE i.closed_at > now() - make_interval(secs => item.away) END
        LIMIT 1;
        told := (SELECT max(i.notified_at) FROM crawlsock.incident i
                 WHERE i.kind = item.kind AND i.subject = item.subject AND i.account IS NOT DISTINCT FROM item.account);
        tell := NOT coalesce(item.quiet, false) AND cardinality(channels) > 0
            AND (told IS NULL OR told <= now() - make_interval(secs => cool_down));
        IF known.incident_id IS NULL THEN
            INSERT INTO crawlsock.incident AS i (kind, subject, account, fingerprint, severity, title, detail, next_step, count, base,
                                                 opened_at, closed_at)
            VALUES (item.kind, item.subject, item.account, item.fingerprint, item.severity, item.title, item.detail,
                    item.next_step, item.count, item.base, now() - make_interval(secs => coalesce(item.away, 0)),
                    CASE WHEN item.away IS NOT NULL THEN now() END)
            RETURNING * INTO known;
            opened := opened + 1;
            PERFORM crawlsock.incident_event('incident_opened', known);
            IF tell THEN
                notified := notified + crawlsock.notify_people(known, 'incident.opened', channels);
            END IF;
        ELSIF item.away IS NULL AND item.count > known.count THEN
            UPDATE crawlsock.incident i SET count = item.count, last_at = now(), severity = item.severity, title = item.title,
                   detail = item.detail, next_step = item.next_step
            WHERE i.incident_id = known.incident_id RETURNING * INTO known;
            PERFORM crawlsock.incident_event('incident_counted', known);
            IF tell THEN
                notified := notified + crawlsock.notify_people(known, CASE WHEN known.notified_at IS NULL
                    THEN 'incident.opened' ELSE 'incident.continued' END, channels);
            END IF;
        END IF;
    END LOOP;
    FOR known IN
        UPDATE crawlsock.incident i SET closed_at = now()
        FROM jsonb_array_elements(over) AS ended
        WHERE i.incident_id = (ended ->> 0)::uuid AND i.count = (ended ->> 1)::bigint AND i.closed_at IS NULL
        RETURNING i.*
    LOOP
        closed := closed + 1;
        PERFORM crawlsock.incident_event('incident_closed', known);
        IF known.notified_at IS NOT NULL THEN
            notified := notified + crawlsock.notify_people(known, 'incident.closed', channels);
        END IF;
    END LOOP;
    IF opened + closed + notified > 0 THEN
        PERFORM pg_notify('crawlsock', 'incident');
    END IF;
END $$;
COMMENT ON FUNCTION crawlsock.record_incidents IS 'Open, count up and close incidents, and put what people must be told into the outbox.';

CREATE FUNCTION crawlsock.take_notifications(me uuid, wanted text[], hold float8, most int) RETURNS SETOF crawlsock.notification
LANGUAGE sql AS $$
    -- Whoever takes a row has it for the time of the hold; then it is due again. Materialized: as a plain subquery it may be
    -- run again for each row that it locked, and then takes more than it should.
    WITH next AS MATERIALIZED (
        SELECT w.notification_id FROM crawlsock.notification w
        WHERE w.state = 'waiting' AND w.due_at <= now() AND w.channel = ANY (wanted)
        ORDER BY w.due_at LIMIT most FOR UPDATE SKIP LOCKED)
    UPDATE crawlsock.notification n SET taken_by = me, attempts = n.attempts + 1, due_at = now() + make_interval(secs => hold)
    FROM next WHERE n.notification_id = next.notification_id
    RETURNING n.*;
$$;

CREATE FUNCTION crawlsock.settle_notification(wanted uuid, tried int, outcome text, why text, again float8) RETURNS void
LANGUAGE sql AS $$
    -- sent, failed for good, or waiting for another try so many seconds from now. Only the try that it is about counts.
    UPDATE crawlsock.notification n SET state = outcome, last_error = why,
           due_at = CASE WHEN outcome = 'waiting' THEN now() + make_interval(secs => again) ELSE n.due_at END,
           ended_at = CASE WHEN outcome <> 'waiting' THEN now() END
    WHERE n.notification_id = wanted AND n.attempts = tried AND n.state = 'waiting';
$$;

CREATE FUNCTION crawlsock.test_notification(channels text[], actor text) RETURNS TABLE (id uuid, by text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY INSERT INTO crawlsock.notification AS n (channel, event, content)
        SELECT channel, 'test', jsonb_build_object('title', 'A test, asked for by ' || actor) FROM unnest(channels) AS channel
        RETURNING n.notification_id, n.channel;
    INSERT INTO crawlsock.audit (actor, action, target) VALUES (test_notification.actor, 'notification_test', array_to_string(channels, ' '));
    PERFORM pg_notify('crawlsock', 'incident');
END $$;

CREATE FUNCTION crawlsock.prune_records(before_jobs timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- In the order in which they are written, passing over what somebody is just writing to.
BEGIN
    -- A channel that was taken away leaves what waits for it; after a week nobody wants to hear it.
    UPDATE crawlsock.notification n SET state = 'failed', ended_at = now(), last_error = 'not sent within a week'
    WHERE n.state = 'waiting' AND n.created_at < now() - interval '7 days';
    DELETE FROM crawlsock.notification n WHERE n.ended_at < before_jobs;
    DELETE FROM crawlsock.incident i WHERE i.closed_at < before_jobs;
    DELETE FROM crawlsock.error_group g USING (
        SELECT o.fingerprint, o.account FROM crawlsock.error_group o WHERE o.last_seen < before_jobs
        ORDER BY o.account, o.fingerprint FOR UPDATE SKIP LOCKED) AS old
    WHERE g.fingerprint = old.fingerprint AND g.account = old.account;
END $$;
