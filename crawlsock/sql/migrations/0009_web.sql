-- People who sign in at the dashboard: links that are used once, and the sessions they make.

CREATE TABLE crawlsock.web_login (
    hash       bytea PRIMARY KEY,
    token_id   uuid NOT NULL REFERENCES crawlsock.auth_token ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('webapp', 'monitor', 'admin')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE crawlsock.web_login IS 'Links that sign in, as SHA-256 hashes of 256 random bits; a row goes when its link is used.';

CREATE TABLE crawlsock.web_session (
    session_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    hash         bytea NOT NULL UNIQUE,
    token_id     uuid NOT NULL REFERENCES crawlsock.auth_token ON DELETE CASCADE,
    role         text NOT NULL CHECK (role IN ('webapp', 'monitor', 'admin')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE crawlsock.web_session IS 'Browsers that are signed in, their cookies as SHA-256 hashes; each ends with its token.';
COMMENT ON COLUMN crawlsock.web_session.last_seen_at IS 'Not newer than a tenth of the idle time, so that not every request writes.';
CREATE INDEX web_login_by_token ON crawlsock.web_login (token_id);
CREATE INDEX web_session_by_token ON crawlsock.web_session (token_id);

CREATE FUNCTION crawlsock.token_holds(t crawlsock.auth_token) RETURNS boolean
LANGUAGE sql STABLE AS $$ SELECT t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now()) $$;
COMMENT ON FUNCTION crawlsock.token_holds IS 'Whether a token was neither revoked nor is over.';

CREATE FUNCTION crawlsock.use_login(code bytea, cookie bytea, lifetime float8) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    link crawlsock.web_login;
    token crawlsock.auth_token;
    made uuid;
BEGIN
    DELETE FROM crawlsock.web_login WHERE expires_at <= now();
    DELETE FROM crawlsock.web_session WHERE expires_at <= now();
    DELETE FROM crawlsock.web_login WHERE hash = code RETURNING * INTO link;
    IF NOT FOUND THEN
        -- The same request again, whose first answer was lost.
        RETURN EXISTS (SELECT FROM crawlsock.web_session WHERE hash = cookie);
    END IF;
    SELECT * INTO token FROM crawlsock.auth_token WHERE token_id = link.token_id;
    IF NOT crawlsock.token_holds(token) THEN
        RETURN false;
    END IF;
    INSERT INTO crawlsock.web_session (hash, token_id, role, expires_at)
    VALUES (cookie, link.token_id, link.role, now() + make_interval(secs => lifetime))
    RETURNING session_id INTO made;
    INSERT INTO crawlsock.audit (actor, action, target)
    VALUES (link.role || ':' || token.name, 'login', made::text);
    RETURN true;
END $$;
COMMENT ON FUNCTION crawlsock.use_login IS 'Uses up a link and makes the session of its cookie; false when the link does not hold.';
