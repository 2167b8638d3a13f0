#!/usr/bin/env bash
# Brings the compose deployment up for real, runs one sweep through Celery and takes it down again. Not part of the
# tests that run everywhere: it needs root and Debian's docker.io, docker-compose and debootstrap, and no registry.
#
#   tests/e2e/compose/up.sh [DIRECTORY]
#
# The base images that a registry would give (python, postgres, redis) are made from Debian and from the wheels of
# the lock files, under the names that docker-compose.yml asks for.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work"
export DOCKER_HOST=unix://$work/docker.sock COMPOSE_PROJECT_NAME=inf2-benchmark
compose=(docker-compose --project-directory "$root" --file "$root/docker-compose.yml" --env-file "$work/env")

say() { printf '\n== %s\n' "$*"; }

start_engine() {
    docker version >/dev/null 2>&1 && return
    dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" --host "$DOCKER_HOST" \
        >"$work/dockerd.log" 2>&1 &
    timeout 60 sh -c 'until docker version >/dev/null 2>&1; do sleep 0.5; done'
}

make_base_images() {
    if [ ! -e "$work/root/usr/bin/python3" ]; then
        debootstrap --variant=minbase \
            --include=ca-certificates,curl,python3,python3-venv,redis-server,procps bookworm "$work/root" \
            >"$work/debootstrap.log"
    fi
    mkdir -p "$work/base/wheels"
    if [ ! -e "$work/base/complete" ]; then
        # For Debian's Python, not for the one that downloads.
        local for_debian=(--quiet --no-deps --python-version 3.11.2 --only-binary :all:)
        # Markers are judged by the Python that downloads: this one is for Debian's.
        sed "s/ ; python_full_version < '3.11.3'//" "$root/requirements/control.txt" >"$work/control.txt"
        "$root/.venv/bin/python" -m pip download "${for_debian[@]}" --require-hashes \
            --requirement "$work/control.txt" --dest "$work/base/wheels"
        "$root/.venv-data/bin/python" -m pip download --quiet \
            --requirement "$root/requirements/data-cpu.txt" --dest "$work/base/wheels"
        touch "$work/base/complete"
    fi
    tar --create --directory "$work/root" . | docker import - inf2-benchmark-debian >/dev/null
    cp "$root/tests/e2e/compose/"{base.Dockerfile,postgres-entrypoint.sh} "$work/base"
    for stage in python:3.12-slim-bookworm postgres:18 redis:7.2-bookworm; do
        docker build --quiet --file "$work/base/base.Dockerfile" --target "${stage%%:*}" --tag "$stage" \
            "$work/base"
    done
}

make_secrets() {
    [ -e "$work/env" ] && return
    for name in POSTGRES_PASSWORD AIRFLOW_DATABASE_PASSWORD BENCH_DATABASE_PASSWORD REDIS_PASSWORD \
        AIRFLOW_SECRET_KEY AIRFLOW_JWT_SECRET AIRFLOW_ADMIN_PASSWORD; do
        printf '%s=%s\n' "$name" "$(openssl rand -hex 32)"
    done >"$work/env"
    printf 'AIRFLOW_FERNET_KEY=%s\n' "$(openssl rand -base64 32 | tr '+/' '-_')" >>"$work/env"
}

up() {
    "${compose[@]}" up --detach --build \
        airflow-apiserver airflow-scheduler airflow-dag-processor airflow-triggerer worker-default worker-cpu
    timeout 300 sh -c 'while docker ps --format "{{.Status}}" | grep -qE "starting|unhealthy"; do sleep 2; done'
    docker ps --all --format 'table {{.Names}}\t{{.Status}}'
}

sweep() {
    local run=compose-$(date +%s) airflow
    airflow=("${compose[@]}" exec -T airflow-scheduler)
    "${airflow[@]}" airflow dags trigger inf2_batch_sweep --run-id "$run" --conf \
        '{"model": "config:bert-tiny", "sequence_length": 32, "batch_sizes": [1, 2], "batches_per_worker": 100}' \
        >/dev/null
    timeout 600 sh -c "until ${airflow[*]} airflow dags state inf2_batch_sweep $run | grep -qE 'success|failed'; do sleep 3; done"
    "${airflow[@]}" airflow tasks states-for-dag-run inf2_batch_sweep "$run" --output plain
    "${airflow[@]}" python -m benchlib.cli report
}

down() { "${compose[@]}" down --volumes --timeout 30; }

say "engine"; start_engine
say "base images"; make_base_images
make_secrets
say "up"; up
say "one sweep of two batch sizes through Celery"; sweep
say "down"; down
if [ -e "$work/pid" ]; then kill "$(cat "$work/pid")"; fi
