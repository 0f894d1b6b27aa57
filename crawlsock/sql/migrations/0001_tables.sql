-- Everything crawlsock knows. This file holds tables, keys and indexes; 0002 and later hold the functions that are the
-- only writers of them. Times are timestamptz by the database's clock; durations are seconds (double precision).

CREATE TABLE crawlsock.server (
    server_id   uuid PRIMARY KEY,
    name        text NOT NULL,
    version     text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE crawlsock.server IS 'One row for each running crawlsock service that uses this database.';
COMMENT ON COLUMN crawlsock.server.seen_at IS 'Renewed by every poll; a server not seen for ten polls counts as gone.';

CREATE TABLE crawlsock.account (
    account          text PRIMARY KEY CHECK (account <> '' AND length(account) <= 128),
    host             text,
    kind             text CHECK (kind IN ('oauth', 'personal')),
    sealed           bytea,
    generation       bigint NOT NULL DEFAULT 0,
    state            text NOT NULL DEFAULT 'none' CHECK (state IN ('none', 'valid', 'refused')),
    expires_at       timestamptz,
    reason           text,
    refreshing_by    uuid,
    refreshing_until timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'none') = (kind IS NULL)),
    CHECK ((kind IS NULL) = (sealed IS NULL))
);
COMMENT ON TABLE crawlsock.account IS 'A user of the web application at one GitLab host, with the credential its jobs use.';
COMMENT ON COLUMN crawlsock.account.sealed IS 'The credential, AES-GCM sealed by the service and bound to this row. Never readable here.';
COMMENT ON COLUMN crawlsock.account.generation IS 'Rises with every new credential; a crawler names the generation that failed.';
COMMENT ON COLUMN crawlsock.account.refreshing_until IS 'The one server that refreshes holds the account until then.';
INSERT INTO crawlsock.account (account) VALUES ('default');

CREATE TABLE crawlsock.job (
    job_id            uuid PRIMARY KEY,
    root_id           uuid NOT NULL,
    parent_id         uuid REFERENCES crawlsock.job ON DELETE CASCADE,
    account           text NOT NULL REFERENCES crawlsock.account,
    type              text NOT NULL CHECK (type ~ '^[a-z][a-z0-9_]{0,63}$'),
    host              text,
    entity_id         text,
    namespace_path    text,
    name              text,
    job_key           text,
    discovery_key     text GENERATED ALWAYS AS (type || ':' || coalesce(host, '') || ':' || entity_id) STORED,
    payload           jsonb,
    estimated_size    bigint,
    max_attempts      integer NOT NULL DEFAULT 5 CHECK (max_attempts >= 1),
    backoff_base      double precision NOT NULL DEFAULT 5 CHECK (backoff_base >= 0),
    backoff_cap       double precision NOT NULL DEFAULT 3600 CHECK (backoff_cap >= 0),
    no_progress_limit double precision CHECK (no_progress_limit > 0),
    created_at        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE crawlsock.job IS 'What was asked for: written once, at submission, and never updated.';
COMMENT ON COLUMN crawlsock.job.root_id IS 'The submitted job at the top of the tree; a root names itself.';
COMMENT ON COLUMN crawlsock.job.discovery_key IS 'Inside one tree an entity is crawled by one job for ever: re-reports and cycles make none.';
CREATE UNIQUE INDEX job_once_in_a_tree ON crawlsock.job (root_id, discovery_key);
CREATE INDEX job_children ON crawlsock.job (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE crawlsock.crawler_session (
    session_id    uuid PRIMARY KEY,
    crawler_id    text NOT NULL,
    server_id     uuid NOT NULL,
    state         text NOT NULL DEFAULT 'connected' CHECK (state IN ('connected', 'away')),
    ticket_hash   bytea NOT NULL UNIQUE,
    slots         integer NOT NULL,
    labels        text[] NOT NULL DEFAULT '{}',
    job_types     text[],
    pid           integer,
    uid           integer,
    process_start bigint,
    boot_id       text,
    hostname      text,
    version       text,
    transport     text,
    lease_length  double precision NOT NULL,
    deadline      timestamptz NOT NULL,
    connected_at  timestamptz NOT NULL DEFAULT now(),
    heartbeat_at  timestamptz NOT NULL DEFAULT now(),
    beat          jsonb,
    ended_at      timestamptz,
    end_reason    text
);
COMMENT ON TABLE crawlsock.crawler_session IS 'One crawler''s stay. Its leases live exactly as long as it: until ended_at is set.';
COMMENT ON COLUMN crawlsock.crawler_session.deadline IS 'Past this, by the clock here, the reaper ends the session and requeues its jobs.';
COMMENT ON COLUMN crawlsock.crawler_session.ticket_hash IS 'SHA-256 of the ticket with which the crawler resumes the session on a new connection.';
COMMENT ON COLUMN crawlsock.crawler_session.process_start IS 'Start time of the process in clock ticks since boot: tells a process from a later one with the same pid.';
CREATE INDEX crawler_session_live ON crawlsock.crawler_session (deadline) WHERE ended_at IS NULL;
CREATE INDEX crawler_session_by_name ON crawlsock.crawler_session (crawler_id) WHERE ended_at IS NULL;

CREATE TABLE crawlsock.job_queue (
    job_id           uuid PRIMARY KEY REFERENCES crawlsock.job ON DELETE CASCADE,
    state            text NOT NULL CHECK (state IN ('queued', 'assigned', 'running', 'completed', 'failed', 'cancelled',
                                                    'paused', 'waiting_credential')),
    priority         smallint NOT NULL DEFAULT 0,
    attempt          integer NOT NULL DEFAULT 0,
    failures         integer NOT NULL DEFAULT 0,
    releases         integer NOT NULL DEFAULT 0,
    losses           integer NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    pause_requested  boolean NOT NULL DEFAULT false,
    keyed            boolean NOT NULL DEFAULT false,
    run_at           timestamptz NOT NULL DEFAULT now(),
    assigned_at      timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,
    session_id       uuid,
    lease            uuid,
    batch            bigint,
    root_id          uuid NOT NULL,
    account          text NOT NULL,
    type             text NOT NULL,
    labels           text[],
    reason           text,
    held_up          boolean NOT NULL GENERATED ALWAYS AS (state IN ('paused', 'waiting_credential')) STORED,
    CHECK ((state IN ('assigned', 'running')) <= (lease IS NOT NULL AND session_id IS NOT NULL)),
    CHECK ((state IN ('queued', 'paused', 'waiting_credential')) <= (lease IS NULL AND session_id IS NULL AND finished_at IS NULL)),
    CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);
COMMENT ON TABLE crawlsock.job_queue IS 'Where a job stands: the narrow, hot half of it, one row a job. See docs/decisions for why it stands apart.';
COMMENT ON COLUMN crawlsock.job_queue.attempt IS 'Number of assignments so far; rises with each.';
COMMENT ON COLUMN crawlsock.job_queue.lease IS 'The fence. Set by assignment, kept when the holder finishes the job, cleared when the job goes back to the queue.';
COMMENT ON COLUMN crawlsock.job_queue.batch IS 'The group commit that assigned it: a commit of unknown outcome is repeated and finds its own assignments by it.';
COMMENT ON COLUMN crawlsock.job_queue.keyed IS 'It holds a row in job_key.';
ALTER TABLE crawlsock.job_queue SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1);
-- No index mentions the state itself: starting a job changes no indexed column, and so is a heap-only update.
CREATE INDEX job_queue_next ON crawlsock.job_queue (priority DESC, run_at, job_id)
    WHERE session_id IS NULL AND finished_at IS NULL AND NOT held_up;
CREATE INDEX job_queue_by_session ON crawlsock.job_queue (session_id) WHERE session_id IS NOT NULL AND finished_at IS NULL;
CREATE INDEX job_queue_held_up ON crawlsock.job_queue (account) WHERE held_up;
CREATE INDEX job_queue_wishes ON crawlsock.job_queue (session_id) WHERE cancel_requested OR pause_requested;

CREATE TABLE crawlsock.job_key (
    account text NOT NULL,
    job_key text NOT NULL,
    job_id  uuid NOT NULL REFERENCES crawlsock.job ON DELETE CASCADE,
    PRIMARY KEY (account, job_key)
);
COMMENT ON TABLE crawlsock.job_key IS 'Keys of live jobs: two live jobs of one account never share one. The row goes when its job finishes.';
CREATE INDEX job_key_by_job ON crawlsock.job_key (job_id);

CREATE TABLE crawlsock.job_assignment (
    job_id      uuid NOT NULL REFERENCES crawlsock.job ON DELETE CASCADE,
    attempt     integer NOT NULL,
    lease       uuid NOT NULL,
    session_id  uuid NOT NULL,
    assigned_at timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    ended_at    timestamptz,
    outcome     text CHECK (outcome IN ('completed', 'failed', 'cancelled', 'released', 'lost', 'stuck', 'credential')),
    detail      text,
    PRIMARY KEY (job_id, attempt),
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
COMMENT ON TABLE crawlsock.job_assignment IS 'Which crawler had which attempt, under which lease, from when to when, and how it ended.';
COMMENT ON COLUMN crawlsock.job_assignment.started_at IS 'Filled in when the assignment ends; until then it stands in job_queue.';
ALTER TABLE crawlsock.job_assignment SET (fillfactor = 85);

CREATE TABLE crawlsock.job_progress (
    job_id       uuid PRIMARY KEY REFERENCES crawlsock.job ON DELETE CASCADE,
    attempt      integer NOT NULL,
    seq          bigint NOT NULL,
    stage        text NOT NULL CHECK (stage IN ('discovering', 'fetching', 'completed', 'failed')),
    entities     jsonb NOT NULL DEFAULT '{}',
    percent      double precision,
    rate         double precision,
    time_left    double precision,
    message      text,
    resume_state jsonb,
    updated_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE crawlsock.job_progress IS 'The current snapshot of a job''s progress; never goes back within an attempt.';
COMMENT ON COLUMN crawlsock.job_progress.resume_state IS 'Where the next attempt goes on from.';
ALTER TABLE crawlsock.job_progress SET (fillfactor = 70);

CREATE TABLE crawlsock.job_milestone (
    job_id  uuid NOT NULL REFERENCES crawlsock.job ON DELETE CASCADE,
    percent smallint NOT NULL CHECK (percent IN (25, 50, 75, 90, 100)),
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, percent)
);
COMMENT ON TABLE crawlsock.job_milestone IS 'When a job first reached a part of its work.';

CREATE TABLE crawlsock.job_result (
    job_id  uuid PRIMARY KEY REFERENCES crawlsock.job ON DELETE CASCADE,
    files   jsonb,
    summary jsonb
);
COMMENT ON TABLE crawlsock.job_result IS 'What a completed job left behind, when it said so.';

CREATE TABLE crawlsock.job_error (
    error_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id      uuid NOT NULL REFERENCES crawlsock.job ON DELETE CASCADE,
    attempt     integer NOT NULL,
    error_type  text NOT NULL,
    message     text NOT NULL,
    recoverable boolean NOT NULL,
    request     jsonb,
    stack       text,
    context     jsonb,
    at          timestamptz NOT NULL DEFAULT now(),
    UNIQUE (job_id, attempt)
);
COMMENT ON TABLE crawlsock.job_error IS 'Failures that crawlers reported, one an attempt.';

CREATE TABLE crawlsock.area (
    account     text NOT NULL REFERENCES crawlsock.account ON DELETE CASCADE,
    host        text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('group', 'project', 'user')),
    entity_id   text NOT NULL,
    path        text NOT NULL,
    name        text,
    parent_path text,
    visibility  text,
    seen_by     uuid REFERENCES crawlsock.job ON DELETE SET NULL,
    first_seen  timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, host, kind, entity_id)
);
COMMENT ON TABLE crawlsock.area IS 'Groups, projects and users that crawlers have seen.';
CREATE INDEX area_seen_by ON crawlsock.area (seen_by) WHERE seen_by IS NOT NULL;

CREATE TABLE crawlsock.queue (
    job_type  text PRIMARY KEY,
    paused    boolean NOT NULL DEFAULT false,
    reason    text,
    paused_by text,
    paused_at timestamptz
);
COMMENT ON TABLE crawlsock.queue IS 'Pauses by job type; the row ''*'' stands for all of them.';

CREATE TABLE crawlsock.event (
    id     bigint GENERATED ALWAYS AS IDENTITY,
    xid    xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at     timestamptz NOT NULL DEFAULT now(),
    groups json NOT NULL,
    PRIMARY KEY (xid, id)
);
COMMENT ON TABLE crawlsock.event IS 'The feed: one row a commit. Read in the order (xid, id), only below the oldest transaction still running.';
COMMENT ON COLUMN crawlsock.event.groups IS '[{"columns": [...], "rows": [[...], ...]}, ...]; text on purpose: it is written and read whole.';
-- Compressing it would cost more time than all else that is done with it; it lives for a day.
ALTER TABLE crawlsock.event ALTER COLUMN groups SET STORAGE EXTERNAL;
CREATE INDEX event_by_time ON crawlsock.event (at);

CREATE TABLE crawlsock.feed_horizon (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    xid      xid8 NOT NULL DEFAULT '0',
    id       bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE crawlsock.feed_horizon IS 'The last event that was pruned: a reader from before it has a gap.';
INSERT INTO crawlsock.feed_horizon DEFAULT VALUES;

CREATE TABLE crawlsock.auth_token (
    token_id     uuid PRIMARY KEY,
    role         text NOT NULL CHECK (role IN ('crawler', 'webapp', 'monitor', 'admin')),
    name         text NOT NULL,
    hash         bytea NOT NULL UNIQUE,
    accounts     text[],
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
COMMENT ON TABLE crawlsock.auth_token IS 'Tokens of peers, as SHA-256 hashes of 256 random bits.';
COMMENT ON COLUMN crawlsock.auth_token.accounts IS 'The accounts a web application''s token may act for; null means all.';

CREATE TABLE crawlsock.audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text NOT NULL,
    action   text NOT NULL,
    target   text,
    detail   jsonb
);
COMMENT ON TABLE crawlsock.audit IS 'Who steered what, when.';
CREATE INDEX audit_by_time ON crawlsock.audit (at);
