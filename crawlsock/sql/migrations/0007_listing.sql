-- What lists, counts and charts need. Every page of every list begins at an index that has the order of the list, and looks
-- at candidates from there; docs/decisions/0090 says what each index costs and what it buys.

ALTER TABLE crawlsock.job_queue ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN crawlsock.job_queue.created_at IS 'The same as in job: both defaults are the time of one transaction.';
-- An index on the state would make every start an update of all indexes. This column does not change there.
ALTER TABLE crawlsock.job_queue ADD COLUMN standing "char" NOT NULL GENERATED ALWAYS AS (CASE state
    WHEN 'queued' THEN 'q' WHEN 'assigned' THEN 'h' WHEN 'running' THEN 'h' WHEN 'completed' THEN 'c' WHEN 'failed' THEN 'f'
    WHEN 'cancelled' THEN 'x' WHEN 'paused' THEN 'p' ELSE 'w' END::"char") STORED;
COMMENT ON COLUMN crawlsock.job_queue.standing IS 'The state in one byte, where assigned and running are one: held.';

CREATE INDEX job_queue_by_standing ON crawlsock.job_queue (standing, created_at, job_id);

CREATE INDEX job_by_time ON crawlsock.job (created_at, job_id);
CREATE INDEX job_by_account ON crawlsock.job (account, created_at, job_id);
CREATE INDEX job_by_type ON crawlsock.job (type, created_at, job_id);
CREATE INDEX job_by_root ON crawlsock.job (root_id, created_at, job_id);
DROP INDEX crawlsock.job_children;
CREATE INDEX job_children ON crawlsock.job (parent_id, created_at, job_id) WHERE parent_id IS NOT NULL;

CREATE INDEX audit_by_target ON crawlsock.audit (target, audit_id) WHERE target IS NOT NULL;

CREATE TABLE crawlsock.activity (
    minute    timestamptz NOT NULL,
    account   text NOT NULL,
    server_id uuid NOT NULL,
    completed bigint NOT NULL DEFAULT 0,
    failed    bigint NOT NULL DEFAULT 0,
    items     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (minute, account, server_id)
);
COMMENT ON TABLE crawlsock.activity IS 'What each server saw end and move on in each minute. For charts: what a server that is killed had not written yet is missing.';

CREATE FUNCTION crawlsock.add_activity(rows jsonb, me uuid, before timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- rows: [[minute, account, completed, failed, items], ...], each added to what is there. Minutes earlier than `before` go.
BEGIN
    INSERT INTO crawlsock.activity AS known (minute, account, server_id, completed, failed, items)
    SELECT (r ->> 0)::timestamptz, r ->> 1, me, (r ->> 2)::bigint, (r ->> 3)::bigint, (r ->> 4)::bigint
    FROM jsonb_array_elements(rows) AS r
    ON CONFLICT (minute, account, server_id) DO UPDATE SET
        completed = known.completed + excluded.completed, failed = known.failed + excluded.failed, items = known.items + excluded.items;
    DELETE FROM crawlsock.activity WHERE minute < before;
END $$;

CREATE FUNCTION crawlsock.control_jobs(verb text, wanted uuid[], states text[], why text, who text, what jsonb,
                                       OUT affected int, OUT orders jsonb) LANGUAGE plpgsql AS $$
-- What crawlsock.control does to a tree, done to jobs that a filter found; those that left the wanted states since are left out.
DECLARE
    ids uuid[];
BEGIN
    SELECT array_agg(locked.job_id) INTO ids FROM (
        SELECT q.job_id FROM crawlsock.job_queue q WHERE q.job_id = ANY (wanted) AND q.state = ANY (states)
        ORDER BY q.job_id FOR UPDATE) AS locked;
    SELECT * INTO affected, orders FROM crawlsock.steer(verb, ids, why);
    IF affected > 0 THEN
        INSERT INTO crawlsock.audit (actor, action, target, detail)
        VALUES (who, 'job_' || verb, NULL, jsonb_build_object('filter', what, 'affected', affected, 'reason', why));
        PERFORM pg_notify('crawlsock', 'control');
    END IF;
END $$;
