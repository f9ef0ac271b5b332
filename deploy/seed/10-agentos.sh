#!/bin/sh
# Runs once, when the data folder is empty: the image's entrypoint calls what lies in /docker-entrypoint-initdb.d.
set -eu
psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname postgres \
  -v owner=agentos -v database=agentos -v password="$(cat "${DATABASE_PASSWORD_FILE:-/run/secrets/database-password}")" \
  -f /etc/agentos/roles.sql
