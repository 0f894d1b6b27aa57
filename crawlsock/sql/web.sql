-- What the web side reads and writes about people who are signed in.

-- name: create_login
WITH token AS (
    SELECT t.* FROM crawlsock.auth_token t
    WHERE t.token_id = %(token_id)s AND t.role IN (%(role)s, 'admin') AND crawlsock.token_holds(t)),
made AS (
    INSERT INTO crawlsock.web_login (hash, token_id, role, expires_at)
    SELECT %(hash)s, token_id, %(role)s, now() + make_interval(secs => %(lifetime)s) FROM token
    -- An update that changes nothing gives the row to the same request again.
    ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash RETURNING expires_at, xmax = 0 AS is_new),
noted AS (
    INSERT INTO crawlsock.audit (actor, action, target)
    SELECT %(actor)s, 'login_create', %(token_id)s FROM made WHERE is_new),
gone AS (
    DELETE FROM crawlsock.web_login WHERE expires_at < now() - interval '1 day')
SELECT expires_at FROM made;

-- name: web_session
WITH held AS (
    SELECT s.session_id, s.token_id, t.name, s.role, t.accounts, s.created_at, least(s.expires_at, t.expires_at)
    FROM crawlsock.web_session s JOIN crawlsock.auth_token t USING (token_id)
    WHERE s.hash = %(hash)s AND s.expires_at > now() AND crawlsock.token_holds(t)
      AND s.last_seen_at > now() - make_interval(secs => %(idle)s)),
used AS (
    UPDATE crawlsock.web_session s SET last_seen_at = now() FROM held
    WHERE s.session_id = held.session_id AND s.last_seen_at < now() - make_interval(secs => %(idle)s / 10))
SELECT * FROM held;

-- name: end_web_session
WITH gone AS (DELETE FROM crawlsock.web_session WHERE hash = %(hash)s RETURNING session_id, token_id, role)
INSERT INTO crawlsock.audit (actor, action, target)
SELECT gone.role || ':' || t.name, 'logout', gone.session_id::text
FROM gone JOIN crawlsock.auth_token t USING (token_id);

-- name: living
WITH held AS (
    SELECT s.session_id FROM crawlsock.web_session s JOIN crawlsock.auth_token t USING (token_id)
    WHERE s.session_id = ANY (%(sessions)s::uuid[]) AND s.expires_at > now() AND crawlsock.token_holds(t)
      AND s.last_seen_at > now() - make_interval(secs => %(idle)s)),
used AS (
    UPDATE crawlsock.web_session s SET last_seen_at = now() FROM held
    WHERE s.session_id = held.session_id AND s.last_seen_at < now() - make_interval(secs => %(idle)s / 10))
SELECT session_id::text FROM held
UNION ALL
SELECT t.token_id::text FROM crawlsock.auth_token t
WHERE t.token_id = ANY (%(tokens)s::uuid[]) AND crawlsock.token_holds(t);
