-- What is submitted in SQL passes no schema, and goes to crawlers in messages that do. So the limits of job_submit hold
-- here as well: one job outside of them would spoil the whole answer that it stands in.

CREATE FUNCTION crawlsock.submission_fault(
    type text, account text, host text, entity_id text, namespace_path text, name text, labels text[], job_key text, payload jsonb)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN type IS NULL OR type !~ '^[a-z][a-z0-9_]{0,63}$' THEN 'type must be 1 to 64 of a-z, 0-9 and _, a letter first'
        WHEN account IS NULL OR account !~ '^[^\u0001-\u001f\u007f]{1,128}$' THEN 'account must be 1 to 128 characters, none of control'
        WHEN host !~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$' THEN 'host must be a name, a name and port, or a URL, of 128 characters at most'
        WHEN entity_id !~ '^[^\u0001-\u001f\u007f]{1,255}$' THEN 'entity_id must be 1 to 255 characters, none of control'
        WHEN length(namespace_path) NOT BETWEEN 1 AND 1024 OR namespace_path ~ '[\u0001-\u001f\u007f]'
            THEN 'namespace_path must be 1 to 1024 characters, none of control'
        WHEN length(name) > 512 OR name ~ '[\u0001-\u001f\u007f]' THEN 'name must be 512 characters at most, none of control'
        WHEN length(job_key) NOT BETWEEN 1 AND 512 OR job_key ~ '[\u0001-\u001f\u007f]'
            THEN 'job_key must be 1 to 512 characters, none of control'
        WHEN cardinality(labels) > 32 OR EXISTS (
            SELECT FROM unnest(labels) AS label WHERE label IS NULL OR label !~ '^[A-Za-z0-9_.=:/-]{1,64}$')
            THEN 'labels must be 32 at most, each 1 to 64 of A-Z, a-z, 0-9 and _.=:/-'
        WHEN jsonb_typeof(payload) <> 'object' THEN 'payload must be a JSON object'
        WHEN octet_length(payload::text) > 65536 THEN 'payload must be 65536 bytes at most'
        WHEN (SELECT count(*) FROM jsonb_object_keys(payload)) > 1024 THEN 'payload must have 1024 fields at most'
        WHEN payload @? 'strict $.**{9 to last}' THEN 'payload must be 8 levels deep at most'
        WHEN payload @? 'strict $.** ? (@ > 9223372036854775807 || @ < -9223372036854775807)'
            THEN 'numbers in payload must lie within 64 bits; write larger ones as text'
    END
$$;
COMMENT ON FUNCTION crawlsock.submission_fault IS 'What is wrong with a job that is submitted in SQL, as the end of a sentence; NULL: nothing.';

-- Who may submit needs no right to tables, where tokens' hashes and sealed credentials are: USAGE of the schema is enough.

CREATE FUNCTION crawlsock.submit(
    type text, account text DEFAULT 'default', host text DEFAULT NULL, entity_id text DEFAULT NULL,
    namespace_path text DEFAULT NULL, name text DEFAULT NULL, priority integer DEFAULT 0,
    run_at timestamptz DEFAULT NULL, max_attempts integer DEFAULT 5, labels text[] DEFAULT NULL,
    job_key text DEFAULT NULL, payload jsonb DEFAULT NULL, job_id uuid DEFAULT NULL,
    backoff_base double precision DEFAULT 5, backoff_cap double precision DEFAULT 3600,
    no_progress_limit double precision DEFAULT NULL, estimated_size bigint DEFAULT NULL)
RETURNS TABLE (status text, id uuid) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, crawlsock, pg_temp AS $$
DECLARE
    made record;
    wanted uuid := coalesce(submit.job_id, gen_random_uuid());
    fault text := coalesce(crawlsock.submission_fault(type, account, host, entity_id, namespace_path, name, labels, job_key, payload),
        CASE
            WHEN priority NOT BETWEEN -1000 AND 1000 THEN 'priority must be from -1000 to 1000'
            WHEN max_attempts NOT BETWEEN 1 AND 1000 THEN 'max_attempts must be from 1 to 1000'
            WHEN run_at NOT BETWEEN '1900-01-01 00:00Z' AND '2299-12-31 00:00Z' THEN 'run_at must be a time in the years 1900 to 2299'
            WHEN backoff_base NOT BETWEEN 0.001 AND 86400 THEN 'backoff_base must be from 0.001 to 86400 seconds'
            WHEN backoff_cap NOT BETWEEN 0.001 AND 604800 THEN 'backoff_cap must be from 0.001 to 604800 seconds'
            WHEN no_progress_limit <= 0 OR no_progress_limit > 31536000 THEN 'no_progress_limit must be above 0, and a year at most'
            WHEN estimated_size NOT BETWEEN 0 AND 9007199254740991 THEN 'estimated_size must be from 0 to 2^53 - 1'
        END);
BEGIN
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'crawlsock.submit: %', fault
            USING ERRCODE = 'check_violation', HINT = 'The limits are those of job_submit; crawlsock schema show job_submit prints them.';
    END IF;
    SELECT * INTO made FROM crawlsock.create_jobs(jsonb_build_array(jsonb_build_object(
        'i', 0, 'j', wanted, 'type', submit.type, 'account', submit.account,
        'host', submit.host, 'entity_id', submit.entity_id, 'namespace_path', submit.namespace_path, 'name', submit.name,
        'priority', submit.priority, 'run_at', submit.run_at, 'max_attempts', submit.max_attempts, 'labels', to_jsonb(submit.labels),
        'job_key', submit.job_key, 'payload', submit.payload, 'backoff_base', submit.backoff_base, 'backoff_cap', submit.backoff_cap,
        'no_progress_limit', submit.no_progress_limit, 'estimated_size', submit.estimated_size)));
    status := coalesce(made.statuses -> 0 ->> 1, 'created');
    id := CASE WHEN made.statuses IS NULL THEN wanted ELSE (made.statuses -> 0 ->> 2)::uuid END;
    IF status = 'unknown_account' THEN
        RAISE EXCEPTION 'crawlsock.submit: there is no account %', quote_literal(submit.account)
            USING ERRCODE = 'foreign_key_violation', HINT = 'Store its credential first (credential_put, or crawlsock account put), or use account ''default''.';
    ELSIF status = 'id_taken' THEN
        RAISE EXCEPTION 'crawlsock.submit: job id % belongs to another account', submit.job_id
            USING ERRCODE = 'unique_violation', HINT = 'Leave job_id out, or choose a fresh UUID.';
    END IF;
    PERFORM crawlsock.emit(made.events);
    PERFORM pg_notify('crawlsock', 'sql');
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION crawlsock.submit IS 'Submit one job inside the caller''s own transaction: rolled back means never seen. Returns created or duplicate, and the job''s id.';
