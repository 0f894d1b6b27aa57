-- Who may submit needs no right to tables, where tokens' hashes and sealed credentials are: USAGE of the schema is enough.

ALTER FUNCTION crawlsock.submit SECURITY DEFINER SET search_path = pg_catalog, crawlsock, pg_temp;
