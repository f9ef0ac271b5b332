-- The roles and the database of a node, once, as a superuser of the server:
--   psql -v owner=agentos -v database=agentos -v password='…' -f deploy/seed/roles.sql postgres
--
-- The services log in as the owner and act as agentos_app, which owns nothing and which row-level security binds. The
-- owner migrates and is no superuser. Extensions need one: where pgvector is to be used, make it here, in the database.
SELECT 'CREATE ROLE agentos_app NOLOGIN NOBYPASSRLS' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'agentos_app') \gexec
CREATE ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
GRANT agentos_app TO :"owner";
CREATE DATABASE :"database" OWNER :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO agentos_app;
