-- What `make demo` shows.
\set ECHO queries
CREATE EXTENSION leadscore;
SELECT extversion FROM pg_extension WHERE extname = 'leadscore';
