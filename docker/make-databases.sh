#!/bin/bash
# Run once by the PostgreSQL image on an empty volume: Airflow's database and ours, each with an owner of its own.
set -eu
psql --username postgres --set ON_ERROR_STOP=1 \
    --set airflow_password="$AIRFLOW_DATABASE_PASSWORD" --set bench_password="$BENCH_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE DATABASE airflow OWNER airflow ENCODING 'UTF8' TEMPLATE template0;
CREATE ROLE bench LOGIN PASSWORD :'bench_password' CREATEROLE;
CREATE DATABASE bench OWNER bench ENCODING 'UTF8' TEMPLATE template0;
SQL
