#!/bin/sh
# What PostgreSQL's official image does when it starts, as far as our manifests ask for it: makes the database where there is
# none, for nobody but who knows the password, then runs the server with the arguments given.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    # The password goes through a file: everybody in a pod can read what a process was called with.
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    # shellcheck disable=SC2086
    initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust --pgdata="$PGDATA" ${POSTGRES_INITDB_ARGS:-} >/dev/null
    : >/tmp/password
    printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    printf '%s\n' "listen_addresses = '*'" "unix_socket_directories = '/var/run/postgresql'" >>"$PGDATA/postgresql.conf"
    printf 'CREATE DATABASE "%s"\n' "$POSTGRES_DB" | postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec postgres -D "$PGDATA" "$@"
