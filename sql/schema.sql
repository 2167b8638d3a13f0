-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

BEGIN;

CREATE TABLE bench_alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT bench_alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE environment (
    environment_id UUID NOT NULL, 
    fingerprint TEXT NOT NULL, 
    hardware BOOLEAN NOT NULL, 
    device TEXT NOT NULL, 
    instance_type TEXT, 
    cores INTEGER, 
    host TEXT, 
    memory_bytes BIGINT, 
    kernel TEXT, 
    python TEXT, 
    torch TEXT, 
    transformers TEXT, 
    numpy TEXT, 
    torch_neuronx TEXT, 
    neuronx_cc TEXT, 
    neuron_runtime TEXT, 
    neuron_driver TEXT, 
    benchlib TEXT, 
    image TEXT, 
    CONSTRAINT pk_environment PRIMARY KEY (environment_id), 
    CONSTRAINT ck_environment_named CHECK (fingerprint <> '' AND device <> ''), 
    CONSTRAINT ck_environment_counts CHECK (cores >= 1 AND memory_bytes >= 1)
);

COMMENT ON TABLE environment IS 'Hardware and software that results were made with; rows never change';

COMMENT ON COLUMN environment.environment_id IS 'Derived from all other columns: equal environments share one row';

COMMENT ON COLUMN environment.fingerprint IS 'Equal for environments whose results may be compared';

COMMENT ON COLUMN environment.hardware IS 'True only for a real accelerator; results of a CPU or a stand-in never stand for one';

COMMENT ON COLUMN environment.device IS 'What ran the model';

COMMENT ON COLUMN environment.instance_type IS 'The cloud''s name of the machine, such as inf2.xlarge';

COMMENT ON COLUMN environment.cores IS 'Accelerator cores, or CPUs that may be used';

COMMENT ON COLUMN environment.host IS 'Host name';

COMMENT ON COLUMN environment.memory_bytes IS 'Main memory, bytes';

COMMENT ON COLUMN environment.kernel IS 'Release of the operating system''s kernel';

COMMENT ON COLUMN environment.python IS 'Version of the data plane''s Python';

COMMENT ON COLUMN environment.torch IS 'Version of torch';

COMMENT ON COLUMN environment.transformers IS 'Version of transformers';

COMMENT ON COLUMN environment.numpy IS 'Version of numpy';

COMMENT ON COLUMN environment.torch_neuronx IS 'Version of torch-neuronx';

COMMENT ON COLUMN environment.neuronx_cc IS 'Version of the Neuron compiler';

COMMENT ON COLUMN environment.neuron_runtime IS 'Version of the Neuron runtime library';

COMMENT ON COLUMN environment.neuron_driver IS 'Version of the Neuron kernel driver';

COMMENT ON COLUMN environment.benchlib IS 'Version of the code that measured';

COMMENT ON COLUMN environment.image IS 'Container or machine image';

CREATE INDEX ix_environment_fingerprint ON environment (fingerprint);

CREATE TABLE sweep (
    sweep_id UUID NOT NULL, 
    dag_id TEXT NOT NULL, 
    run_id TEXT NOT NULL, 
    origin TEXT NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    label TEXT, 
    note TEXT, 
    model TEXT NOT NULL, 
    model_revision TEXT, 
    sequence_length INTEGER NOT NULL, 
    seed BIGINT NOT NULL, 
    batch_sizes INTEGER[] NOT NULL, 
    backend TEXT NOT NULL, 
    precision TEXT NOT NULL, 
    compiler_args TEXT[] NOT NULL, 
    scenario TEXT NOT NULL, 
    replicas INTEGER, 
    workers INTEGER, 
    batches_per_worker INTEGER NOT NULL, 
    warmup_batches INTEGER NOT NULL, 
    rounds INTEGER NOT NULL, 
    interpreter TEXT NOT NULL, 
    CONSTRAINT pk_sweep PRIMARY KEY (sweep_id), 
    CONSTRAINT uq_sweep_dag_id UNIQUE (dag_id, run_id), 
    CONSTRAINT ck_sweep_origin CHECK (origin IN ('dag', 'import')), 
    CONSTRAINT ck_sweep_batch_sizes CHECK (cardinality(batch_sizes) >= 1 AND 1 <= ALL (batch_sizes)), 
    CONSTRAINT ck_sweep_precision CHECK (precision IN ('auto', 'fp32', 'bf16')), 
    CONSTRAINT ck_sweep_scenario CHECK (scenario IN ('offline', 'server', 'single_stream')), 
    CONSTRAINT ck_sweep_counts CHECK (sequence_length >= 1 AND replicas >= 1 AND workers >= 1 AND batches_per_worker >= 1 AND warmup_batches >= 1 AND rounds >= 1), 
    CONSTRAINT ck_sweep_seed CHECK (seed >= 0)
);

COMMENT ON TABLE sweep IS 'What was asked: one model, several batch sizes; one row per DAG run or import';

COMMENT ON COLUMN sweep.sweep_id IS 'Derived from dag_id and run_id';

COMMENT ON COLUMN sweep.dag_id IS 'Which DAG ran, or what imported';

COMMENT ON COLUMN sweep.run_id IS 'Which run of it';

COMMENT ON COLUMN sweep.origin IS 'dag: measured here; import: read from somebody''s table';

COMMENT ON COLUMN sweep.created_at IS 'When the sweep began';

COMMENT ON COLUMN sweep.label IS 'Short name given by a person';

COMMENT ON COLUMN sweep.note IS 'Why the run was started';

COMMENT ON COLUMN sweep.model IS 'Hub id, directory, or config:NAME for seeded random weights';

COMMENT ON COLUMN sweep.model_revision IS 'Branch, tag or commit on the hub';

COMMENT ON COLUMN sweep.sequence_length IS 'Tokens per sequence, padding included';

COMMENT ON COLUMN sweep.seed IS 'Seed of random weights';

COMMENT ON COLUMN sweep.batch_sizes IS 'Asked batch sizes, inferences per call';

COMMENT ON COLUMN sweep.backend IS 'What compiles and runs the model';

COMMENT ON COLUMN sweep.precision IS 'Asked precision; auto leaves it to the device';

COMMENT ON COLUMN sweep.compiler_args IS 'Flags for the device''s compiler';

COMMENT ON COLUMN sweep.scenario IS 'Kind of load: offline, server or single_stream';

COMMENT ON COLUMN sweep.replicas IS 'Asked loaded copies of the model; NULL: one per core';

COMMENT ON COLUMN sweep.workers IS 'Asked closed loops; NULL: one per replica';

COMMENT ON COLUMN sweep.batches_per_worker IS 'Asked batches per worker and round';

COMMENT ON COLUMN sweep.warmup_batches IS 'Asked batches per worker before anything counts';

COMMENT ON COLUMN sweep.rounds IS 'Asked measured windows';

COMMENT ON COLUMN sweep.interpreter IS 'Asked Python of the data plane';

CREATE INDEX ix_sweep_created_at ON sweep (created_at);

CREATE TABLE compilation (
    compilation_id BIGINT GENERATED ALWAYS AS IDENTITY, 
    sweep_id UUID NOT NULL, 
    batch_size INTEGER NOT NULL, 
    attempt INTEGER NOT NULL, 
    status TEXT NOT NULL, 
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    environment_id UUID, 
    backend TEXT, 
    precision TEXT, 
    artifact_key TEXT, 
    artifact_filename TEXT, 
    artifact_sha256 TEXT, 
    artifact_size_bytes BIGINT, 
    cache_hit BOOLEAN, 
    compile_duration_s DOUBLE PRECISION, 
    peak_rss_bytes BIGINT, 
    warnings TEXT[] NOT NULL, 
    failure_kind TEXT, 
    failure_message TEXT, 
    failure_log_tail TEXT[], 
    CONSTRAINT pk_compilation PRIMARY KEY (compilation_id), 
    CONSTRAINT fk_compilation_environment_id FOREIGN KEY(environment_id) REFERENCES environment (environment_id), 
    CONSTRAINT fk_compilation_sweep_id FOREIGN KEY(sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT uq_compilation_sweep_id UNIQUE (sweep_id, batch_size, attempt), 
    CONSTRAINT ck_compilation_status CHECK (status IN ('ok', 'failed')), 
    CONSTRAINT ck_compilation_precision CHECK (precision IN ('fp32', 'bf16')), 
    CONSTRAINT ck_compilation_counts CHECK (batch_size >= 1 AND attempt >= 1 AND artifact_size_bytes >= 1 AND peak_rss_bytes >= 1), 
    CONSTRAINT ck_compilation_artifact CHECK (artifact_key ~ '^[0-9a-f]{64}$' AND artifact_sha256 ~ '^[0-9a-f]{64}$'), 
    CONSTRAINT ck_compilation_duration CHECK (compile_duration_s >= 0 AND compile_duration_s < 'Infinity'), 
    CONSTRAINT ck_compilation_ok_has_artifact CHECK (status <> 'ok' OR (num_nonnulls(failure_kind, failure_message, failure_log_tail) = 0 AND num_nulls(environment_id, backend, precision, artifact_key, artifact_filename, artifact_sha256, artifact_size_bytes, cache_hit, compile_duration_s) = 0)), 
    CONSTRAINT ck_compilation_failed_has_reason CHECK (status <> 'failed' OR (num_nulls(failure_kind, failure_message) = 0 AND num_nonnulls(artifact_key, artifact_sha256, artifact_size_bytes, compile_duration_s) = 0)), 
    CONSTRAINT ck_compilation_failure_kind CHECK (failure_kind IN ('bad_input', 'error', 'crashed', 'timeout'))
);

COMMENT ON TABLE compilation IS 'Attempts to compile the model at one batch size';

COMMENT ON COLUMN compilation.compilation_id IS 'Internal key';

COMMENT ON COLUMN compilation.sweep_id IS 'The sweep it belongs to';

COMMENT ON COLUMN compilation.batch_size IS 'Inferences per call';

COMMENT ON COLUMN compilation.attempt IS '1 for the first try';

COMMENT ON COLUMN compilation.status IS 'ok or failed';

COMMENT ON COLUMN compilation.recorded_at IS 'When the attempt ended';

COMMENT ON COLUMN compilation.environment_id IS 'What it was compiled with';

COMMENT ON COLUMN compilation.backend IS 'What compiled the model';

COMMENT ON COLUMN compilation.precision IS 'Precision of the program';

COMMENT ON COLUMN compilation.artifact_key IS 'SHA-256 of everything that shapes the program';

COMMENT ON COLUMN compilation.artifact_filename IS 'Name of the program''s file';

COMMENT ON COLUMN compilation.artifact_sha256 IS 'SHA-256 of that file';

COMMENT ON COLUMN compilation.artifact_size_bytes IS 'Size of that file, bytes';

COMMENT ON COLUMN compilation.cache_hit IS 'True: found in the artifact store, not compiled';

COMMENT ON COLUMN compilation.compile_duration_s IS 'Duration of the compilation that made the artifact, s';

COMMENT ON COLUMN compilation.peak_rss_bytes IS 'Highest resident memory of the compiling process, bytes';

COMMENT ON COLUMN compilation.warnings IS 'What the compiling process warned of';

COMMENT ON COLUMN compilation.failure_kind IS 'bad_input, error, crashed or timeout';

COMMENT ON COLUMN compilation.failure_message IS 'Why it failed, one sentence';

COMMENT ON COLUMN compilation.failure_log_tail IS 'Last lines of the failed process';

CREATE INDEX ix_compilation_environment_id ON compilation (environment_id);

CREATE TABLE measurement (
    measurement_id BIGINT GENERATED ALWAYS AS IDENTITY, 
    sweep_id UUID NOT NULL, 
    batch_size INTEGER NOT NULL, 
    scenario TEXT NOT NULL, 
    attempt INTEGER NOT NULL, 
    status TEXT NOT NULL, 
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    started_at TIMESTAMP WITH TIME ZONE, 
    environment_id UUID, 
    filename TEXT, 
    backend TEXT, 
    precision TEXT, 
    replicas INTEGER, 
    workers INTEGER, 
    worker_mode TEXT, 
    batches BIGINT, 
    inferences BIGINT, 
    duration_s DOUBLE PRECISION, 
    throughput_inf_per_s DOUBLE PRECISION, 
    samples BIGINT, 
    mean_ms DOUBLE PRECISION, 
    p50_ms DOUBLE PRECISION, 
    p90_ms DOUBLE PRECISION, 
    p95_ms DOUBLE PRECISION, 
    p99_ms DOUBLE PRECISION, 
    p99_9_ms DOUBLE PRECISION, 
    max_ms DOUBLE PRECISION, 
    load_duration_s DOUBLE PRECISION, 
    checks JSONB NOT NULL, 
    warnings TEXT[] NOT NULL, 
    failure_kind TEXT, 
    failure_message TEXT, 
    failure_log_tail TEXT[], 
    CONSTRAINT pk_measurement PRIMARY KEY (measurement_id), 
    CONSTRAINT fk_measurement_environment_id FOREIGN KEY(environment_id) REFERENCES environment (environment_id), 
    CONSTRAINT fk_measurement_sweep_id FOREIGN KEY(sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT uq_measurement_sweep_id UNIQUE (sweep_id, batch_size, scenario, attempt), 
    CONSTRAINT ck_measurement_status CHECK (status IN ('ok', 'invalid', 'failed')), 
    CONSTRAINT ck_measurement_scenario CHECK (scenario IN ('offline', 'server', 'single_stream')), 
    CONSTRAINT ck_measurement_precision CHECK (precision IN ('fp32', 'bf16')), 
    CONSTRAINT ck_measurement_worker_mode CHECK (worker_mode IN ('thread', 'process')), 
    CONSTRAINT ck_measurement_load CHECK (batch_size >= 1 AND attempt >= 1 AND replicas >= 1 AND workers >= 1), 
    CONSTRAINT ck_measurement_inferences CHECK (inferences = batches * batch_size), 
    CONSTRAINT ck_measurement_counts CHECK (batches >= 1 AND samples >= 1), 
    CONSTRAINT ck_measurement_rates CHECK (duration_s > 0 AND duration_s < 'Infinity' AND throughput_inf_per_s > 0 AND throughput_inf_per_s < 'Infinity'), 
    CONSTRAINT ck_measurement_throughput_matches_duration CHECK (abs(throughput_inf_per_s * duration_s - inferences) <= 0.01 * inferences + 0.0005 * throughput_inf_per_s), 
    CONSTRAINT ck_measurement_latencies CHECK (mean_ms > 0 AND mean_ms < 'Infinity' AND p50_ms > 0 AND p50_ms < 'Infinity' AND p90_ms > 0 AND p90_ms < 'Infinity' AND p95_ms > 0 AND p95_ms < 'Infinity' AND p99_ms > 0 AND p99_ms < 'Infinity' AND p99_9_ms > 0 AND p99_9_ms < 'Infinity' AND max_ms > 0 AND max_ms < 'Infinity'), 
    CONSTRAINT ck_measurement_latencies_ordered CHECK (p50_ms <= LEAST(p90_ms, p95_ms, p99_ms, p99_9_ms, max_ms) AND p90_ms <= LEAST(p95_ms, p99_ms, p99_9_ms, max_ms) AND p95_ms <= LEAST(p99_ms, p99_9_ms, max_ms) AND p99_ms <= LEAST(p99_9_ms, max_ms) AND p99_9_ms <= LEAST(max_ms) AND mean_ms <= 1.000001 * max_ms), 
    CONSTRAINT ck_measurement_load_duration CHECK (load_duration_s >= 0 AND load_duration_s < 'Infinity'), 
    CONSTRAINT ck_measurement_result_has_figures CHECK (status = 'failed' OR (num_nonnulls(failure_kind, failure_message, failure_log_tail) = 0 AND num_nulls(environment_id, started_at, filename, backend, replicas, workers, worker_mode, batches, inferences, duration_s, throughput_inf_per_s, samples) = 0)), 
    CONSTRAINT ck_measurement_failed_has_reason CHECK (status <> 'failed' OR (num_nulls(failure_kind, failure_message) = 0 AND num_nonnulls(batches, inferences, duration_s, throughput_inf_per_s, samples, mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, p99_9_ms, max_ms) = 0)), 
    CONSTRAINT ck_measurement_status_matches_checks CHECK (status = 'failed' OR (status = 'invalid') = jsonb_path_exists(checks, '$[*] ? (@.passed == false)')), 
    CONSTRAINT ck_measurement_failure_kind CHECK (failure_kind IN ('bad_input', 'error', 'crashed', 'timeout'))
);

COMMENT ON TABLE measurement IS 'Attempts to measure one batch size; an invalid one is kept and shown, never a peak';

COMMENT ON COLUMN measurement.measurement_id IS 'Internal key';

COMMENT ON COLUMN measurement.sweep_id IS 'The sweep it belongs to';

COMMENT ON COLUMN measurement.batch_size IS 'Inferences per call';

COMMENT ON COLUMN measurement.scenario IS 'Kind of load: offline, server or single_stream';

COMMENT ON COLUMN measurement.attempt IS '1 for the first try';

COMMENT ON COLUMN measurement.status IS 'ok; invalid: measured but a check says not to believe it; failed: no figures';

COMMENT ON COLUMN measurement.recorded_at IS 'When the attempt ended';

COMMENT ON COLUMN measurement.started_at IS 'When the measuring began';

COMMENT ON COLUMN measurement.environment_id IS 'What it was measured with';

COMMENT ON COLUMN measurement.filename IS 'Name of the program''s file';

COMMENT ON COLUMN measurement.backend IS 'What ran the model';

COMMENT ON COLUMN measurement.precision IS 'Precision of the program; NULL: not known';

COMMENT ON COLUMN measurement.replicas IS 'Loaded copies of the model';

COMMENT ON COLUMN measurement.workers IS 'Closed loops that issued batches';

COMMENT ON COLUMN measurement.worker_mode IS 'What a worker was: thread or process';

COMMENT ON COLUMN measurement.batches IS 'Measured batches of all workers in all rounds';

COMMENT ON COLUMN measurement.inferences IS 'batches x batch_size';

COMMENT ON COLUMN measurement.duration_s IS 'inferences / throughput: the time in which all workers were busy, s';

COMMENT ON COLUMN measurement.throughput_inf_per_s IS 'Inferences per second of all workers';

COMMENT ON COLUMN measurement.samples IS 'Batches that the latencies are taken from';

COMMENT ON COLUMN measurement.mean_ms IS 'Mean of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN measurement.p50_ms IS 'Median of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN measurement.p90_ms IS '90th percentile of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN measurement.p95_ms IS '95th percentile of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN measurement.p99_ms IS '99th percentile of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN measurement.p99_9_ms IS '99.9th percentile of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN measurement.max_ms IS 'Maximum of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN measurement.load_duration_s IS 'Time to load all replicas, s';

COMMENT ON COLUMN measurement.checks IS 'Reasons to believe the figures or not: name, passed, figure, limit, unit, advice';

COMMENT ON COLUMN measurement.warnings IS 'What the measuring process warned of';

COMMENT ON COLUMN measurement.failure_kind IS 'bad_input, error, crashed or timeout';

COMMENT ON COLUMN measurement.failure_message IS 'Why it failed, one sentence';

COMMENT ON COLUMN measurement.failure_log_tail IS 'Last lines of the failed process';

CREATE INDEX ix_measurement_environment_id ON measurement (environment_id);

CREATE TABLE round (
    measurement_id BIGINT NOT NULL, 
    round_index INTEGER NOT NULL, 
    batches BIGINT NOT NULL, 
    inferences BIGINT NOT NULL, 
    duration_s DOUBLE PRECISION NOT NULL, 
    throughput_inf_per_s DOUBLE PRECISION NOT NULL, 
    samples BIGINT NOT NULL, 
    mean_ms DOUBLE PRECISION, 
    p50_ms DOUBLE PRECISION, 
    p90_ms DOUBLE PRECISION, 
    p95_ms DOUBLE PRECISION, 
    p99_ms DOUBLE PRECISION, 
    p99_9_ms DOUBLE PRECISION, 
    max_ms DOUBLE PRECISION, 
    CONSTRAINT pk_round PRIMARY KEY (measurement_id, round_index), 
    CONSTRAINT fk_round_measurement_id FOREIGN KEY(measurement_id) REFERENCES measurement (measurement_id) ON DELETE CASCADE, 
    CONSTRAINT ck_round_index CHECK (round_index >= 0), 
    CONSTRAINT ck_round_inferences CHECK (mod(inferences, batches) = 0 AND inferences >= batches), 
    CONSTRAINT ck_round_counts CHECK (batches >= 1 AND samples >= 1), 
    CONSTRAINT ck_round_rates CHECK (duration_s > 0 AND duration_s < 'Infinity' AND throughput_inf_per_s > 0 AND throughput_inf_per_s < 'Infinity'), 
    CONSTRAINT ck_round_throughput_matches_duration CHECK (abs(throughput_inf_per_s * duration_s - inferences) <= 0.01 * inferences + 0.0005 * throughput_inf_per_s), 
    CONSTRAINT ck_round_latencies CHECK (mean_ms > 0 AND mean_ms < 'Infinity' AND p50_ms > 0 AND p50_ms < 'Infinity' AND p90_ms > 0 AND p90_ms < 'Infinity' AND p95_ms > 0 AND p95_ms < 'Infinity' AND p99_ms > 0 AND p99_ms < 'Infinity' AND p99_9_ms > 0 AND p99_9_ms < 'Infinity' AND max_ms > 0 AND max_ms < 'Infinity'), 
    CONSTRAINT ck_round_latencies_ordered CHECK (p50_ms <= LEAST(p90_ms, p95_ms, p99_ms, p99_9_ms, max_ms) AND p90_ms <= LEAST(p95_ms, p99_ms, p99_9_ms, max_ms) AND p95_ms <= LEAST(p99_ms, p99_9_ms, max_ms) AND p99_ms <= LEAST(p99_9_ms, max_ms) AND p99_9_ms <= LEAST(max_ms) AND mean_ms <= 1.000001 * max_ms)
);

COMMENT ON TABLE round IS 'The measured windows of a measurement, from which its variance comes';

COMMENT ON COLUMN round.measurement_id IS 'The measurement it belongs to';

COMMENT ON COLUMN round.round_index IS '0 for the first round';

COMMENT ON COLUMN round.batches IS 'Measured batches of all workers';

COMMENT ON COLUMN round.inferences IS 'batches x batch size';

COMMENT ON COLUMN round.duration_s IS 'inferences / throughput, s';

COMMENT ON COLUMN round.throughput_inf_per_s IS 'Inferences per second of all workers';

COMMENT ON COLUMN round.samples IS 'Batches that the latencies are taken from';

COMMENT ON COLUMN round.mean_ms IS 'Mean of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN round.p50_ms IS 'Median of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN round.p90_ms IS '90th percentile of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN round.p95_ms IS '95th percentile of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN round.p99_ms IS '99th percentile of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN round.p99_9_ms IS '99.9th percentile of the latency of one batch, ms; NULL where too few samples support it';

COMMENT ON COLUMN round.max_ms IS 'Maximum of the latency of one batch, ms; NULL where too few samples support it';

-- The comparison table of every sweep, one row per batch size; latencies in milliseconds.
-- Of several attempts the latest that is ok counts; where none is, the latest.
-- A batch size without a result is a row too: failed, with the reason.
CREATE VIEW comparison_table AS
SELECT
    sweep.sweep_id,
    sweep.created_at,
    sweep.label,
    sweep.model,
    coalesce(measured.filename, compiled.artifact_filename, 'model_batch_size_' || size.batch_size || '.pt')
        AS filename,
    size.batch_size,
    measured.batches,
    measured.inferences,
    measured.workers,
    measured.replicas,
    measured.duration_s,
    measured.throughput_inf_per_s,
    measured.p50_ms,
    measured.p95_ms,
    measured.p99_ms,
    coalesce(measured.status, 'failed') AS status,
    CASE measured.status
        WHEN 'ok' THEN ''
        WHEN 'failed' THEN measured.failure_message
        WHEN 'invalid' THEN (
            SELECT string_agg(checked.value ->> 'advice', ' ' ORDER BY checked.place)
            FROM jsonb_array_elements(measured.checks) WITH ORDINALITY AS checked (value, place)
            WHERE NOT (checked.value ->> 'passed')::boolean
        )
        ELSE coalesce(compiled.failure_message, 'no result')
    END AS reason,
    coalesce(measured.precision, compiled.precision) AS precision,
    environment.hardware,
    environment.device,
    environment.instance_type
FROM sweep
CROSS JOIN LATERAL (
    SELECT unnest(sweep.batch_sizes)
    UNION
    SELECT measurement.batch_size
    FROM measurement
    WHERE measurement.sweep_id = sweep.sweep_id AND measurement.scenario = sweep.scenario
    UNION
    SELECT compilation.batch_size
    FROM compilation
    WHERE compilation.sweep_id = sweep.sweep_id
) AS size (batch_size)
LEFT JOIN measurement AS measured ON measured.measurement_id = (
    SELECT attempt.measurement_id
    FROM measurement AS attempt
    WHERE attempt.sweep_id = sweep.sweep_id
        AND attempt.scenario = sweep.scenario
        AND attempt.batch_size = size.batch_size
    ORDER BY attempt.status = 'ok' DESC, attempt.attempt DESC
    LIMIT 1
)
LEFT JOIN compilation AS compiled ON compiled.compilation_id = (
    SELECT attempt.compilation_id
    FROM compilation AS attempt
    WHERE attempt.sweep_id = sweep.sweep_id AND attempt.batch_size = size.batch_size
    ORDER BY attempt.attempt DESC
    LIMIT 1
)
LEFT JOIN environment
    ON environment.environment_id = coalesce(measured.environment_id, compiled.environment_id);

COMMENT ON VIEW comparison_table IS
    'Every sweep side by side, one row per batch size, failed ones included; latencies in ms';

INSERT INTO bench_alembic_version (version_num) VALUES ('0001') RETURNING bench_alembic_version.version_num;

-- Running upgrade 0001 -> 0002

ALTER TABLE environment ADD COLUMN neuron_sdk TEXT;

COMMENT ON COLUMN environment.neuron_sdk IS 'Release of the Neuron SDK, such as 2.26.0';

ALTER TABLE measurement ADD COLUMN latency_buckets INTEGER[];

COMMENT ON COLUMN measurement.latency_buckets IS 'Histogram of the latency of one batch: bucket i ends at (1.01 / 0.99) ^ i ms';

ALTER TABLE measurement ADD COLUMN latency_bucket_batches BIGINT[];

COMMENT ON COLUMN measurement.latency_bucket_batches IS 'Batches in each of the latency_buckets';

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_latency_histogram CHECK (num_nulls(latency_buckets, latency_bucket_batches) <> 1 AND (latency_buckets IS NULL OR samples IS NOT NULL) AND cardinality(latency_buckets) >= 1 AND cardinality(latency_buckets) = cardinality(latency_bucket_batches) AND array_position(latency_buckets, NULL) IS NULL AND array_position(latency_bucket_batches, NULL) IS NULL AND 1 <= ALL (latency_bucket_batches));

ALTER TABLE measurement DROP CONSTRAINT ck_measurement_result_has_figures;

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_result_has_figures CHECK (status = 'failed' OR (num_nonnulls(failure_kind, failure_message, failure_log_tail) = 0 AND num_nulls(environment_id, started_at, filename, backend, throughput_inf_per_s) = 0 AND num_nulls(batches, inferences, duration_s, samples) IN (0, 4)));

-- A percentile of latency in ms, from any number of histograms: a bucket may be named many times.
-- Order statistics are taken as 2 * growth ^ bucket / (growth + 1), within 1 percent of the truth, and interpolated
-- linearly (Hyndman and Fan 1996, definition 7), so that the result is within 1 percent of what all samples give.
-- NULL where fewer than one batch is expected above the percentile.
CREATE FUNCTION latency_percentile(buckets integer[], batches bigint[], percent double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    WITH merged AS (
        SELECT
            2 * power(1.01::double precision / 0.99, pair.bucket) / (1.01::double precision / 0.99 + 1) AS ms,
            sum(sum(pair.batches)) OVER (ORDER BY pair.bucket) AS up_to
        FROM unnest($1, $2) AS pair (bucket, batches)
        GROUP BY pair.bucket
    ),
    target AS (
        SELECT max(merged.up_to) AS total, (max(merged.up_to) - 1)::double precision * $3 / 100 AS place
        FROM merged
    )
    SELECT below.ms + (target.place - floor(target.place)) * (above.ms - below.ms)
    FROM target
    CROSS JOIN LATERAL (
        SELECT min(merged.ms) AS ms FROM merged WHERE merged.up_to > floor(target.place)
    ) AS below
    CROSS JOIN LATERAL (
        SELECT min(merged.ms) AS ms FROM merged WHERE merged.up_to > ceil(target.place)
    ) AS above
    WHERE $3 >= 0 AND target.total * (1 - $3 / 100) >= 1 - 1e-9
$$;

COMMENT ON FUNCTION latency_percentile(integer[], bigint[], double precision) IS
    'Percentile of latency in ms within 1 percent, of one histogram or of many appended to each other';

-- The latency histograms as rows, one per measurement and bucket in use; histograms add up by bucket.
-- A bucket's width is 2 percent of its latency, the same everywhere and always.
CREATE VIEW latency_bucket AS
SELECT
    measurement.sweep_id,
    measurement.measurement_id,
    measurement.batch_size,
    measurement.status,
    measurement.started_at,
    pair.bucket,
    pair.batches,
    power(1.01::double precision / 0.99, pair.bucket - 1) AS above_ms,
    power(1.01::double precision / 0.99, pair.bucket) AS up_to_ms
FROM measurement
CROSS JOIN LATERAL unnest(measurement.latency_buckets, measurement.latency_bucket_batches)
    AS pair (bucket, batches);

COMMENT ON VIEW latency_bucket IS
    'Latency histograms, one row per measurement and bucket: batches that took above_ms to up_to_ms';

UPDATE bench_alembic_version SET version_num='0002' WHERE bench_alembic_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

CREATE TABLE series (
    series_id UUID NOT NULL, 
    model TEXT NOT NULL, 
    model_revision TEXT, 
    sequence_length INTEGER NOT NULL, 
    precision TEXT, 
    compiler_args TEXT[] NOT NULL, 
    batch_size INTEGER NOT NULL, 
    scenario TEXT NOT NULL, 
    replicas INTEGER, 
    workers INTEGER, 
    worker_mode TEXT, 
    backend TEXT NOT NULL, 
    instance_type TEXT, 
    hardware BOOLEAN NOT NULL, 
    CONSTRAINT pk_series PRIMARY KEY (series_id), 
    CONSTRAINT ck_series_derived CHECK (series_id = left(encode(sha256(convert_to(ROW(model, model_revision, sequence_length, precision, compiler_args, batch_size, scenario, replicas, workers, worker_mode, backend, instance_type, hardware)::text, 'UTF8')), 'hex'), 32)::uuid), 
    CONSTRAINT ck_series_counts CHECK (sequence_length >= 1 AND batch_size >= 1 AND replicas >= 1 AND workers >= 1)
);

COMMENT ON TABLE series IS 'The keys of the histories: measurements of one series differ in time and software only';

COMMENT ON COLUMN series.series_id IS 'Derived from all other columns, so the same in every database';

COMMENT ON COLUMN series.model IS 'Hub id, directory, or config:NAME for seeded random weights';

COMMENT ON COLUMN series.model_revision IS 'Branch, tag or commit on the hub';

COMMENT ON COLUMN series.sequence_length IS 'Tokens per sequence, padding included';

COMMENT ON COLUMN series.precision IS 'Precision of the program; NULL: not known';

COMMENT ON COLUMN series.compiler_args IS 'Flags for the device''s compiler';

COMMENT ON COLUMN series.batch_size IS 'Inferences per call';

COMMENT ON COLUMN series.scenario IS 'Kind of load: offline, server or single_stream';

COMMENT ON COLUMN series.replicas IS 'Loaded copies of the model; NULL: not known';

COMMENT ON COLUMN series.workers IS 'Closed loops that issued batches; NULL: not known';

COMMENT ON COLUMN series.worker_mode IS 'What a worker was: thread or process';

COMMENT ON COLUMN series.backend IS 'What ran the model';

COMMENT ON COLUMN series.instance_type IS 'The cloud''s name of the machine, such as inf2.xlarge';

COMMENT ON COLUMN series.hardware IS 'True only for a real accelerator; results of a CPU or a stand-in never stand for one';

ALTER TABLE sweep ADD COLUMN night DATE GENERATED ALWAYS AS ((created_at AT TIME ZONE 'UTC')::date) STORED NOT NULL;

COMMENT ON COLUMN sweep.night IS 'UTC date on which the sweep began';

CREATE INDEX ix_sweep_night ON sweep (night);

ALTER TABLE environment ADD COLUMN sdk TEXT GENERATED ALWAYS AS (coalesce(neuron_sdk, 'neuronx-cc ' || neuronx_cc, 'torch ' || torch, 'unknown')) STORED NOT NULL;

COMMENT ON COLUMN environment.sdk IS 'The Neuron SDK, or else the compiler, or else torch, with its version';

ALTER TABLE measurement ADD COLUMN night DATE;

COMMENT ON COLUMN measurement.night IS 'The sweep''s night; the database fills it in';

ALTER TABLE measurement ADD COLUMN sweep_created_at TIMESTAMP WITH TIME ZONE;

COMMENT ON COLUMN measurement.sweep_created_at IS 'When the sweep began; the database fills it in';

ALTER TABLE measurement ADD COLUMN origin TEXT;

COMMENT ON COLUMN measurement.origin IS 'The sweep''s origin; the database fills it in';

ALTER TABLE measurement ADD COLUMN series_id UUID;

ALTER TABLE measurement ADD CONSTRAINT fk_measurement_series_id FOREIGN KEY(series_id) REFERENCES series (series_id);

COMMENT ON COLUMN measurement.series_id IS 'The history it belongs to; the database fills it in; NULL for a failed attempt';

-- Fills in what a measurement has from its sweep and its series, whoever writes it; adds a series that is new.
-- A failed attempt belongs to no series: nobody knows what would have run.
CREATE FUNCTION place_measurement() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    key series;
BEGIN
    SELECT
        sweep.night, sweep.created_at, sweep.origin,
        sweep.model, sweep.model_revision, sweep.sequence_length, sweep.compiler_args
    INTO
        NEW.night, NEW.sweep_created_at, NEW.origin,
        key.model, key.model_revision, key.sequence_length, key.compiler_args
    FROM sweep
    WHERE sweep.sweep_id = NEW.sweep_id;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING
            MESSAGE = 'no sweep has this sweep_id: fk_measurement_sweep_id',
            CONSTRAINT = 'fk_measurement_sweep_id';
    END IF;

    NEW.series_id := NULL;
    IF NEW.status = 'failed' THEN
        RETURN NEW;
    END IF;

    SELECT environment.instance_type, environment.hardware
    INTO key.instance_type, key.hardware
    FROM environment
    WHERE environment.environment_id = NEW.environment_id;
    IF NOT FOUND AND NEW.environment_id IS NOT NULL THEN
        RAISE foreign_key_violation USING
            MESSAGE = 'no environment has this environment_id: fk_measurement_environment_id',
            CONSTRAINT = 'fk_measurement_environment_id';
    END IF;

    key.precision := NEW.precision;
    key.batch_size := NEW.batch_size;
    key.scenario := NEW.scenario;
    key.replicas := NEW.replicas;
    key.workers := NEW.workers;
    key.worker_mode := NEW.worker_mode;
    key.backend := NEW.backend;
    key.series_id := left(encode(sha256(convert_to(ROW(
        key.model, key.model_revision, key.sequence_length, key.precision, key.compiler_args, key.batch_size,
        key.scenario, key.replicas, key.workers, key.worker_mode, key.backend, key.instance_type, key.hardware
    )::text, 'UTF8')), 'hex'), 32)::uuid;
    NEW.series_id := key.series_id;

    IF NOT EXISTS (SELECT FROM series WHERE series.series_id = key.series_id) THEN
        BEGIN
            INSERT INTO series SELECT key.* ON CONFLICT DO NOTHING;
        EXCEPTION WHEN check_violation OR not_null_violation THEN
            NULL;  -- the measurement breaks the same rule, and its own constraint says so better
        END;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION place_measurement() IS
    'Trigger: fills in what a measurement has from its sweep, and the series it belongs to';

CREATE TRIGGER place_measurement BEFORE INSERT OR UPDATE ON measurement FOR EACH ROW EXECUTE FUNCTION place_measurement();

UPDATE measurement SET series_id = series_id;

ALTER TABLE measurement ALTER COLUMN night SET NOT NULL;

ALTER TABLE measurement ALTER COLUMN sweep_created_at SET NOT NULL;

ALTER TABLE measurement ALTER COLUMN origin SET NOT NULL;

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_result_has_series CHECK ((status = 'failed') = (series_id IS NULL));

CREATE INDEX ix_measurement_history ON measurement (series_id, night) INCLUDE (batch_size, scenario, status, attempt, sweep_id, sweep_created_at, origin, environment_id, throughput_inf_per_s, p50_ms, p99_ms);

CREATE INDEX ix_measurement_peak ON measurement (sweep_id, scenario, throughput_inf_per_s DESC, batch_size) WHERE status = 'ok';

CREATE INDEX ix_measurement_not_ok ON measurement (night) WHERE status <> 'ok';

CREATE INDEX ix_measurement_retry ON measurement (sweep_id, batch_size, scenario, attempt) WHERE attempt > 1 AND status = 'ok';

CREATE INDEX ix_compilation_failed ON compilation (sweep_id) WHERE status = 'failed';

CREATE INDEX ix_compilation_compiled ON compilation (sweep_id) WHERE NOT cache_hit;

ALTER TABLE measurement SET (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 2000);

-- After a correction of what a series is made of, by hand: its measurements move to where they belong now.
-- The argument names the column by which measurement refers to the corrected table.
CREATE FUNCTION place_again() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_ARGV[0] = 'sweep_id' THEN
        UPDATE measurement SET series_id = series_id WHERE sweep_id = NEW.sweep_id;
    ELSE
        UPDATE measurement SET series_id = series_id WHERE environment_id = NEW.environment_id;
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION place_again() IS
    'Trigger: moves measurements to their new series when a sweep or an environment was corrected';

CREATE TRIGGER place_again AFTER UPDATE ON sweep FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION place_again('sweep_id');

CREATE TRIGGER place_again AFTER UPDATE ON environment FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION place_again('environment_id');

CREATE TABLE change (
    change_id BIGINT GENERATED ALWAYS AS IDENTITY, 
    series_id UUID NOT NULL, 
    metric TEXT NOT NULL, 
    last_good_sweep_id UUID NOT NULL, 
    first_bad_sweep_id UUID NOT NULL, 
    before_value DOUBLE PRECISION NOT NULL, 
    after_value DOUBLE PRECISION NOT NULL, 
    relative_change DOUBLE PRECISION GENERATED ALWAYS AS (after_value / before_value - 1) STORED NOT NULL, 
    relative_low DOUBLE PRECISION NOT NULL, 
    relative_high DOUBLE PRECISION NOT NULL, 
    confidence DOUBLE PRECISION NOT NULL, 
    direction TEXT GENERATED ALWAYS AS (CASE WHEN (after_value < before_value) = (metric = 'throughput_inf_per_s') THEN 'worse' ELSE 'better' END) STORED NOT NULL, 
    detected_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    detector TEXT NOT NULL, 
    evidence JSONB NOT NULL, 
    CONSTRAINT pk_change PRIMARY KEY (change_id), 
    CONSTRAINT fk_change_series_id FOREIGN KEY(series_id) REFERENCES series (series_id), 
    CONSTRAINT fk_change_last_good_sweep_id FOREIGN KEY(last_good_sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT fk_change_first_bad_sweep_id FOREIGN KEY(first_bad_sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT uq_change_series_id UNIQUE (series_id, metric, first_bad_sweep_id), 
    CONSTRAINT ck_change_metric CHECK (metric IN ('throughput_inf_per_s', 'mean_ms', 'p50_ms', 'p90_ms', 'p95_ms', 'p99_ms', 'p99_9_ms', 'max_ms')), 
    CONSTRAINT ck_change_values CHECK (before_value > 0 AND before_value < 'Infinity' AND after_value > 0 AND after_value < 'Infinity'), 
    CONSTRAINT ck_change_differs CHECK (before_value <> after_value), 
    CONSTRAINT ck_change_interval CHECK (relative_low <= after_value / before_value - 1 AND after_value / before_value - 1 <= relative_high AND relative_low > -1 AND relative_high < 'Infinity'), 
    CONSTRAINT ck_change_confidence CHECK (confidence > 0 AND confidence < 1), 
    CONSTRAINT ck_change_named CHECK (detector <> ''), 
    CONSTRAINT ck_change_sweeps CHECK (last_good_sweep_id <> first_bad_sweep_id)
);

COMMENT ON TABLE change IS 'Shifts found in a series: where, how large, which way';

COMMENT ON COLUMN change.change_id IS 'Internal key';

COMMENT ON COLUMN change.series_id IS 'The history that shifted';

COMMENT ON COLUMN change.metric IS 'What shifted: throughput_inf_per_s or one of the latencies';

COMMENT ON COLUMN change.last_good_sweep_id IS 'The last sweep before the shift';

COMMENT ON COLUMN change.first_bad_sweep_id IS 'The first sweep after the shift';

COMMENT ON COLUMN change.before_value IS 'Level before the shift, in the metric''s unit';

COMMENT ON COLUMN change.after_value IS 'Level after the shift, in the metric''s unit';

COMMENT ON COLUMN change.relative_change IS 'after / before - 1: -0.03 is a loss of 3 percent';

COMMENT ON COLUMN change.relative_low IS 'Lower end of the interval of relative_change';

COMMENT ON COLUMN change.relative_high IS 'Upper end of the interval of relative_change';

COMMENT ON COLUMN change.confidence IS 'Confidence of that interval, such as 0.95';

COMMENT ON COLUMN change.direction IS 'worse: less throughput or more latency; else better';

COMMENT ON COLUMN change.detected_at IS 'When it was found';

COMMENT ON COLUMN change.detector IS 'What found it, with the version of its thresholds';

COMMENT ON COLUMN change.evidence IS 'What the detector went by, for people';

CREATE INDEX ix_change_first_bad_sweep_id ON change (first_bad_sweep_id);

CREATE INDEX ix_change_last_good_sweep_id ON change (last_good_sweep_id);

CREATE TABLE baseline (
    baseline_id BIGINT GENERATED ALWAYS AS IDENTITY, 
    series_id UUID NOT NULL, 
    kind TEXT NOT NULL, 
    first_sweep_id UUID NOT NULL, 
    last_sweep_id UUID NOT NULL, 
    author TEXT NOT NULL, 
    reason TEXT NOT NULL, 
    set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    withdrawn_at TIMESTAMP WITH TIME ZONE, 
    CONSTRAINT pk_baseline PRIMARY KEY (baseline_id), 
    CONSTRAINT fk_baseline_series_id FOREIGN KEY(series_id) REFERENCES series (series_id), 
    CONSTRAINT fk_baseline_first_sweep_id FOREIGN KEY(first_sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT fk_baseline_last_sweep_id FOREIGN KEY(last_sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT ck_baseline_kind CHECK (kind IN ('automatic', 'pinned')), 
    CONSTRAINT ck_baseline_named CHECK (author <> '' AND reason <> ''), 
    CONSTRAINT ck_baseline_withdrawn CHECK (withdrawn_at >= set_at)
);

COMMENT ON TABLE baseline IS 'What a series is judged against: one sweep or a range; a pinned one comes first';

COMMENT ON COLUMN baseline.baseline_id IS 'Internal key';

COMMENT ON COLUMN baseline.series_id IS 'The history that is judged';

COMMENT ON COLUMN baseline.kind IS 'automatic: chosen by the detector; pinned: by a person';

COMMENT ON COLUMN baseline.first_sweep_id IS 'First sweep of the range';

COMMENT ON COLUMN baseline.last_sweep_id IS 'Last sweep of the range, often the first';

COMMENT ON COLUMN baseline.author IS 'Who set it: a person, or the detector''s name';

COMMENT ON COLUMN baseline.reason IS 'Why this one';

COMMENT ON COLUMN baseline.set_at IS 'When it was set';

COMMENT ON COLUMN baseline.withdrawn_at IS 'When it stopped counting; NULL: it counts';

CREATE UNIQUE INDEX uq_baseline_current ON baseline (series_id, kind) WHERE withdrawn_at IS NULL;

CREATE INDEX ix_baseline_first_sweep_id ON baseline (first_sweep_id);

CREATE INDEX ix_baseline_last_sweep_id ON baseline (last_sweep_id);

CREATE TABLE annotation (
    annotation_id BIGINT GENERATED ALWAYS AS IDENTITY, 
    annotated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    author TEXT NOT NULL, 
    reason TEXT NOT NULL, 
    status TEXT, 
    change_id BIGINT, 
    series_id UUID, 
    sweep_id UUID, 
    CONSTRAINT pk_annotation PRIMARY KEY (annotation_id), 
    CONSTRAINT fk_annotation_change_id FOREIGN KEY(change_id) REFERENCES change (change_id) ON DELETE CASCADE, 
    CONSTRAINT fk_annotation_series_id FOREIGN KEY(series_id) REFERENCES series (series_id), 
    CONSTRAINT fk_annotation_sweep_id FOREIGN KEY(sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT ck_annotation_named CHECK (author <> '' AND reason <> ''), 
    CONSTRAINT ck_annotation_subject CHECK (num_nonnulls(change_id, series_id, sweep_id) >= 1), 
    CONSTRAINT ck_annotation_status CHECK (status IN ('open', 'acknowledged', 'fixed', 'expected', 'false_alarm')), 
    CONSTRAINT ck_annotation_status_is_of_a_change CHECK (status IS NULL OR change_id IS NOT NULL)
);

COMMENT ON TABLE annotation IS 'Who said what, when and why, about a change, a series or a sweep';

COMMENT ON COLUMN annotation.annotation_id IS 'Internal key, ascending in time';

COMMENT ON COLUMN annotation.annotated_at IS 'When it was said';

COMMENT ON COLUMN annotation.author IS 'Who said it';

COMMENT ON COLUMN annotation.reason IS 'What was said, or why the status is what it is';

COMMENT ON COLUMN annotation.status IS 'Status of the change from now on: open, acknowledged, fixed, expected or false_alarm';

COMMENT ON COLUMN annotation.change_id IS 'The change it is about';

COMMENT ON COLUMN annotation.series_id IS 'The series it is about';

COMMENT ON COLUMN annotation.sweep_id IS 'The sweep it is about';

CREATE INDEX ix_annotation_change_id ON annotation (change_id);

CREATE INDEX ix_annotation_series_id ON annotation (series_id);

CREATE INDEX ix_annotation_sweep_id ON annotation (sweep_id);

CREATE TABLE price (
    instance_type TEXT NOT NULL, 
    region_class TEXT NOT NULL, 
    kind TEXT NOT NULL, 
    valid_from DATE NOT NULL, 
    usd_per_hour NUMERIC(12, 6) NOT NULL, 
    source TEXT NOT NULL, 
    CONSTRAINT pk_price PRIMARY KEY (instance_type, region_class, kind, valid_from), 
    CONSTRAINT ck_price_named CHECK (instance_type <> '' AND region_class <> '' AND source <> ''), 
    CONSTRAINT ck_price_kind CHECK (kind IN ('on_demand', 'reserved_effective')), 
    CONSTRAINT ck_price_usd_per_hour CHECK (usd_per_hour > 0 AND usd_per_hour < 'NaN'), 
    CONSTRAINT ck_price_valid_from CHECK (isfinite(valid_from))
);

COMMENT ON TABLE price IS 'Prices of machines; each is in force until the next of the same kind';

COMMENT ON COLUMN price.instance_type IS 'The cloud''s name of the machine, such as inf2.xlarge';

COMMENT ON COLUMN price.region_class IS 'Regions that share a price list, such as us-east';

COMMENT ON COLUMN price.kind IS 'on_demand, or reserved_effective: a reservation spread over its hours';

COMMENT ON COLUMN price.valid_from IS 'First day it is in force';

COMMENT ON COLUMN price.usd_per_hour IS 'US dollars per machine and hour';

COMMENT ON COLUMN price.source IS 'Where the figure is from, and what it is';

INSERT INTO price (instance_type, region_class, kind, valid_from, usd_per_hour, source) VALUES
('inf2.xlarge', 'us-east', 'on_demand', DATE '2024-01-01', 0.758, 'AWS list price of 2024, us-east class: inf2_instance_prices.csv at Neuron SDK 2.19.1, on-demand'),
('inf2.xlarge', 'us-east', 'reserved_effective', DATE '2024-01-01', 0.328, 'AWS list price of 2024, us-east class: inf2_instance_prices.csv since Neuron SDK 2.20, effective price of a reserved instance, not on-demand'),
('inf2.8xlarge', 'us-east', 'on_demand', DATE '2024-01-01', 1.97, 'AWS list price of 2024, us-east class: inf2_instance_prices.csv at Neuron SDK 2.19.1, on-demand'),
('inf2.8xlarge', 'us-east', 'reserved_effective', DATE '2024-01-01', 0.850, 'AWS list price of 2024, us-east class: inf2_instance_prices.csv since Neuron SDK 2.20, effective price of a reserved instance, not on-demand'),
('inf2.24xlarge', 'us-east', 'on_demand', DATE '2024-01-01', 6.49, 'AWS list price of 2024, us-east class: inf2_instance_prices.csv at Neuron SDK 2.19.1, on-demand'),
('inf2.24xlarge', 'us-east', 'reserved_effective', DATE '2024-01-01', 2.804, 'AWS list price of 2024, us-east class: inf2_instance_prices.csv since Neuron SDK 2.20, effective price of a reserved instance, not on-demand'),
('inf2.48xlarge', 'us-east', 'on_demand', DATE '2024-01-01', 12.981, 'AWS list price of 2024, us-east class: inf2_instance_prices.csv at Neuron SDK 2.19.1, on-demand'),
('inf2.48xlarge', 'us-east', 'reserved_effective', DATE '2024-01-01', 5.608, 'AWS list price of 2024, us-east class: inf2_instance_prices.csv since Neuron SDK 2.20, effective price of a reserved instance, not on-demand');

-- The measurements that count: of a sweep, a batch size and a scenario the latest attempt that passed all checks.
-- Every view that ranks, averages or prices results is built on this one, so that no other attempt can enter.
CREATE VIEW valid_measurement AS
SELECT
    measurement.measurement_id,
    measurement.sweep_id,
    measurement.series_id,
    measurement.environment_id,
    measurement.night,
    measurement.sweep_created_at AS created_at,
    measurement.origin,
    measurement.batch_size,
    measurement.scenario,
    measurement.precision,
    measurement.replicas,
    measurement.workers,
    measurement.worker_mode,
    measurement.backend,
    measurement.attempt,
    measurement.started_at,
    measurement.batches,
    measurement.inferences,
    measurement.duration_s,
    measurement.throughput_inf_per_s,
    measurement.samples,
    measurement.mean_ms,
    measurement.p50_ms,
    measurement.p90_ms,
    measurement.p95_ms,
    measurement.p99_ms,
    measurement.p99_9_ms,
    measurement.max_ms,
    measurement.load_duration_s
FROM measurement
WHERE measurement.status = 'ok'
    AND NOT EXISTS (
        SELECT FROM measurement AS later
        WHERE later.sweep_id = measurement.sweep_id
            AND later.batch_size = measurement.batch_size
            AND later.scenario = measurement.scenario
            AND later.attempt > measurement.attempt
            AND later.attempt > 1  -- says what the line before implies, for the small index of retries
            AND later.status = 'ok'
    );

COMMENT ON VIEW valid_measurement IS
    'The measurements that count: the latest attempt that passed all checks, one row per sweep and batch size';

-- The environments as rows, one per field, ranked by how likely the field is to change a figure: the machine, then
-- what compiles and runs the program, then what merely surrounds it. benchlib.store.environments has this order too.
CREATE VIEW environment_field AS
SELECT environment.environment_id, field.rank, field.field, field.value
FROM environment
CROSS JOIN LATERAL (
    VALUES
    (1, 'hardware', environment.hardware::text),
    (2, 'device', environment.device),
    (3, 'instance_type', environment.instance_type),
    (4, 'cores', environment.cores::text),
    (5, 'neuron_sdk', environment.neuron_sdk),
    (6, 'neuronx_cc', environment.neuronx_cc),
    (7, 'neuron_runtime', environment.neuron_runtime),
    (8, 'neuron_driver', environment.neuron_driver),
    (9, 'kernel', environment.kernel),
    (10, 'torch', environment.torch),
    (11, 'torch_neuronx', environment.torch_neuronx),
    (12, 'transformers', environment.transformers),
    (13, 'python', environment.python),
    (14, 'numpy', environment.numpy),
    (15, 'benchlib', environment.benchlib),
    (16, 'image', environment.image),
    (17, 'host', environment.host),
    (18, 'memory_bytes', environment.memory_bytes::text)
) AS field (rank, field, value);

COMMENT ON VIEW environment_field IS
    'Environments as rows, one per field, ranked by how likely the field is to change a figure';

-- Throughput from night to night, valid measurements only: select one series_id and order by created_at.
CREATE VIEW throughput_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.environment_id,
    valid.throughput_inf_per_s
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id;

COMMENT ON VIEW throughput_history IS
    'Throughput over time, one row per series and sweep; valid measurements only';

-- Latency of one batch from night to night in milliseconds, valid measurements only. The throughput is there too,
-- to tell a slower tail from a slower whole.
CREATE VIEW latency_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.environment_id,
    valid.samples,
    valid.mean_ms,
    valid.p50_ms,
    valid.p90_ms,
    valid.p95_ms,
    valid.p99_ms,
    valid.p99_9_ms,
    valid.max_ms,
    valid.throughput_inf_per_s
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id;

COMMENT ON VIEW latency_history IS
    'Latency of one batch over time in ms, one row per series and sweep; valid measurements only';

-- The batch size with the highest throughput of every sweep, the smaller of equal ones. A sweep without a valid
-- measurement has no peak and no row.
CREATE VIEW peak AS
SELECT
    best.series_id,
    sweep.model,
    sweep.model_revision,
    sweep.sequence_length,
    best.precision,
    sweep.compiler_args,
    best.batch_size,
    sweep.scenario,
    best.replicas,
    best.workers,
    best.worker_mode,
    best.backend,
    environment.instance_type,
    environment.hardware,
    sweep.night,
    sweep.created_at,
    sweep.sweep_id,
    sweep.origin,
    sweep.label,
    environment.sdk,
    best.environment_id,
    best.throughput_inf_per_s,
    best.p50_ms,
    best.p95_ms,
    best.p99_ms
FROM sweep
CROSS JOIN LATERAL (
    SELECT valid.*
    FROM valid_measurement AS valid
    WHERE valid.sweep_id = sweep.sweep_id AND valid.scenario = sweep.scenario
    ORDER BY valid.throughput_inf_per_s DESC, valid.batch_size
    LIMIT 1
) AS best
INNER JOIN environment ON environment.environment_id = best.environment_id;

COMMENT ON VIEW peak IS
    'The batch size with the highest throughput of every sweep, among valid measurements only';

-- What each SDK made of each series, and how it compares with the SDK before it. Imported figures are kept apart
-- from those measured here. Medians, so that one odd night decides nothing.
CREATE VIEW sdk_comparison AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    step.origin,
    step.sdk,
    step.neuron_sdk,
    step.neuronx_cc,
    step.torch_neuronx,
    step.neuron_runtime,
    step.neuron_driver,
    step.torch,
    step.first_night,
    step.last_night,
    step.nights,
    step.median_throughput_inf_per_s,
    step.median_p50_ms,
    step.median_p99_ms,
    step.previous_sdk,
    step.throughput_change,
    step.p50_change,
    step.p99_change
FROM series
CROSS JOIN LATERAL (
    SELECT
        period.*,
        versions.*,
        lag(versions.sdk) OVER earlier AS previous_sdk,
        period.median_throughput_inf_per_s / lag(period.median_throughput_inf_per_s) OVER earlier - 1
            AS throughput_change,
        period.median_p50_ms / lag(period.median_p50_ms) OVER earlier - 1 AS p50_change,
        period.median_p99_ms / lag(period.median_p99_ms) OVER earlier - 1 AS p99_change
    FROM (
        SELECT
            valid.origin,
            same.example_id,
            min(valid.night) AS first_night,
            max(valid.night) AS last_night,
            count(DISTINCT valid.night) AS nights,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.throughput_inf_per_s)
                AS median_throughput_inf_per_s,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p50_ms) AS median_p50_ms,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p99_ms) AS median_p99_ms
        FROM valid_measurement AS valid
        -- Environments with the same versions are one; grouping by one of them is cheaper than by all versions.
        INNER JOIN (
            SELECT
                environment.environment_id,
                first_value(environment.environment_id) OVER (
                    PARTITION BY
                        environment.sdk,
                        environment.neuron_sdk,
                        environment.neuronx_cc,
                        environment.torch_neuronx,
                        environment.neuron_runtime,
                        environment.neuron_driver,
                        environment.torch
                    ORDER BY environment.environment_id
                ) AS example_id
            FROM environment
        ) AS same ON same.environment_id = valid.environment_id
        WHERE valid.series_id = series.series_id
        GROUP BY valid.origin, same.example_id
    ) AS period
    INNER JOIN (
        SELECT
            environment.environment_id,
            environment.sdk,
            environment.neuron_sdk,
            environment.neuronx_cc,
            environment.torch_neuronx,
            environment.neuron_runtime,
            environment.neuron_driver,
            environment.torch
        FROM environment
    ) AS versions ON versions.environment_id = period.example_id
    WINDOW earlier AS (PARTITION BY period.origin ORDER BY period.first_night, period.last_night)
) AS step;

COMMENT ON VIEW sdk_comparison IS
    'Each series under each SDK, one row per set of versions, with the change from the SDK before';

-- Prices of machines with the days between which they are in force.
CREATE VIEW price_period AS
SELECT
    price.instance_type,
    price.region_class,
    price.kind AS price_kind,
    price.valid_from,
    lead(price.valid_from) OVER later AS valid_before,
    price.usd_per_hour,
    price.source AS price_source
FROM price
WINDOW later AS (
    PARTITION BY price.instance_type, price.region_class, price.kind
    ORDER BY price.valid_from
);

COMMENT ON VIEW price_period IS 'Prices of machines in US dollars an hour, and the days they are in force';

-- What a million inferences cost at the price of the sweep's day:
-- (1e6 / throughput) * (dollars an hour / 3600), one row per kind of price and class of regions.
-- Real accelerators only: the speed of a CPU or a stand-in times the price of an accelerator means nothing.
-- Where no price was in force there is no row.
CREATE VIEW cost AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.throughput_inf_per_s,
    valid.p99_ms,
    period.region_class,
    period.price_kind,
    period.valid_from,
    period.usd_per_hour,
    (1e6 / valid.throughput_inf_per_s) * (period.usd_per_hour::double precision / 3600)
        AS usd_per_million_inferences
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id
INNER JOIN price_period AS period
    ON period.instance_type = series.instance_type
    AND period.valid_from <= valid.night
    AND coalesce(period.valid_before, 'infinity') > valid.night
WHERE series.hardware;

COMMENT ON VIEW cost IS 'US dollars per million inferences at the price of the day; real accelerators only';

-- The series there are, with the nights of their first and their last measurement, valid or not.
CREATE VIEW series_list AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    life.first_night,
    life.last_night
FROM series
CROSS JOIN LATERAL (
    SELECT min(measurement.night) AS first_night, max(measurement.night) AS last_night
    FROM measurement
    WHERE measurement.series_id = series.series_id
) AS life
WHERE life.first_night IS NOT NULL;

COMMENT ON VIEW series_list IS 'The series that have measurements, with their first and last night';

-- Every series on every night from its first measurement to today, or to the newest sweep: is there a valid
-- figure, and if not, why? A series that was given up goes on to be listed: compare night with last_night.
-- Only what was measured here counts: imported figures neither begin a series of nights nor fill one.
-- A failed attempt does not say which machine it would have run on: it explains the gap of every series that its
-- sweep may have meant.
CREATE VIEW coverage AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    calendar.night,
    CASE WHEN valid.sweep_id IS NOT NULL THEN 'valid' ELSE coalesce(missing.state, 'none') END AS state,
    coalesce(valid.sweep_id, missing.sweep_id) AS sweep_id,
    CASE WHEN valid.sweep_id IS NULL THEN coalesce(missing.reason, 'no sweep') ELSE '' END AS reason,
    life.last_night
FROM (
    SELECT bounds.first_night + day.number AS night
    FROM (
        SELECT
            min(sweep.night) AS first_night,
            greatest(max(sweep.night), (now() AT TIME ZONE 'UTC')::date) AS last_night
        FROM sweep
    ) AS bounds
    CROSS JOIN LATERAL generate_series(0, bounds.last_night - bounds.first_night) AS day (number)
) AS calendar
CROSS JOIN series
INNER JOIN LATERAL (
    SELECT min(measured.night) AS first_night, max(measured.night) AS last_night
    FROM measurement AS measured
    WHERE measured.series_id = series.series_id AND measured.origin = 'dag'
) AS life ON life.first_night <= calendar.night
LEFT JOIN LATERAL (
    SELECT measured.sweep_id
    FROM valid_measurement AS measured
    WHERE measured.series_id = series.series_id
        AND measured.night = calendar.night
        AND measured.origin = 'dag'
    LIMIT 1
) AS valid ON true
LEFT JOIN LATERAL (
    SELECT
        sweep.sweep_id,
        CASE WHEN measured.status = 'invalid' THEN 'invalid' ELSE 'failed' END AS state,
        CASE measured.status
            WHEN 'failed' THEN measured.failure_message
            WHEN 'invalid' THEN (
                SELECT string_agg(checked.value ->> 'advice', ' ' ORDER BY checked.place)
                FROM jsonb_array_elements(measured.checks) WITH ORDINALITY AS checked (value, place)
                WHERE NOT (checked.value ->> 'passed')::boolean
            )
            ELSE coalesce(compiled.failure_message, 'no result')
        END AS reason
    FROM sweep
    LEFT JOIN LATERAL (
        SELECT attempt.status, attempt.series_id, attempt.checks, attempt.failure_message
        FROM measurement AS attempt
        WHERE attempt.sweep_id = sweep.sweep_id
            AND attempt.batch_size = series.batch_size
            AND attempt.scenario = series.scenario
        ORDER BY attempt.status = 'ok' DESC, attempt.attempt DESC
        LIMIT 1
    ) AS measured ON true
    LEFT JOIN LATERAL (
        SELECT attempt.failure_message
        FROM compilation AS attempt
        WHERE attempt.sweep_id = sweep.sweep_id AND attempt.batch_size = series.batch_size
        ORDER BY attempt.attempt DESC
        LIMIT 1
    ) AS compiled ON true
    WHERE valid.sweep_id IS NULL
        AND sweep.night = calendar.night
        AND sweep.origin = 'dag'
        AND sweep.model = series.model
        AND sweep.model_revision IS NOT DISTINCT FROM series.model_revision
        AND sweep.sequence_length = series.sequence_length
        AND sweep.precision IN ('auto', series.precision)
        AND sweep.compiler_args = series.compiler_args
        AND sweep.scenario = series.scenario
        AND sweep.backend = series.backend
        AND coalesce(sweep.replicas = series.replicas, true)
        AND coalesce(sweep.workers = series.workers, true)
        AND series.batch_size = ANY (sweep.batch_sizes)
        AND coalesce(measured.series_id = series.series_id, true)
    ORDER BY measured.status = 'invalid' DESC NULLS LAST, sweep.created_at DESC
    LIMIT 1
) AS missing ON true;

COMMENT ON VIEW coverage IS
    'Every series on every night since it began: valid, invalid, failed or none, with the reason';

-- What differs between two environments, likeliest cause first. An environment that does not exist has no field,
-- so that everything about the other one differs.
CREATE FUNCTION environment_diff(a uuid, b uuid)
RETURNS TABLE (field text, before text, after text, rank integer)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT
        coalesce(earlier.field, later.field) AS field,
        earlier.value AS before,
        later.value AS after,
        coalesce(earlier.rank, later.rank) AS rank
    FROM (SELECT * FROM environment_field WHERE environment_field.environment_id = a) AS earlier
    FULL JOIN (SELECT * FROM environment_field WHERE environment_field.environment_id = b) AS later
        ON later.rank = earlier.rank
    WHERE earlier.value IS DISTINCT FROM later.value
    ORDER BY coalesce(earlier.rank, later.rank);
END;

COMMENT ON FUNCTION environment_diff(uuid, uuid) IS
    'What differs between environment a (before) and environment b (after), likeliest cause first';

-- The shifts that were found, each with where it stands: as the latest annotation says, open without one.
CREATE VIEW change_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    change.change_id,
    change.metric,
    change.direction,
    change.before_value,
    change.after_value,
    change.relative_change,
    change.relative_low,
    change.relative_high,
    change.confidence,
    change.last_good_sweep_id,
    good.night AS last_good_night,
    change.first_bad_sweep_id,
    bad.night AS first_bad_night,
    change.detected_at,
    change.detector,
    coalesce(said.status, 'open') AS status,
    said.author,
    said.annotated_at,
    said.reason,
    (
        SELECT CASE
            WHEN num_nulls(pair.before_id, pair.after_id) > 0 THEN 'not known'
            ELSE coalesce(
                (
                    SELECT string_agg(
                        difference.field || ' ' || coalesce(difference.before, 'none') || ' -> '
                        || coalesce(difference.after, 'none'),
                        ', ' ORDER BY difference.rank
                    )
                    FROM environment_diff(pair.before_id, pair.after_id) AS difference
                ),
                'nothing'
            )
        END
        FROM (
            SELECT
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    WHERE valid.series_id = change.series_id AND valid.sweep_id = change.last_good_sweep_id
                ) AS before_id,
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    WHERE valid.series_id = change.series_id AND valid.sweep_id = change.first_bad_sweep_id
                ) AS after_id
        ) AS pair
    ) AS environment_changes
FROM change
INNER JOIN series ON series.series_id = change.series_id
INNER JOIN sweep AS good ON good.sweep_id = change.last_good_sweep_id
INNER JOIN sweep AS bad ON bad.sweep_id = change.first_bad_sweep_id
LEFT JOIN LATERAL (
    SELECT annotation.status, annotation.author, annotation.annotated_at, annotation.reason
    FROM annotation
    WHERE annotation.change_id = change.change_id AND annotation.status IS NOT NULL
    ORDER BY annotation.annotated_at DESC, annotation.annotation_id DESC
    LIMIT 1
) AS said ON true;

COMMENT ON VIEW change_history IS
    'All shifts that were found, with their size, their status and what changed in the environment';

-- The shifts that still want somebody's attention: open, or acknowledged and not yet settled.
CREATE VIEW open_changes AS
SELECT change_history.*
FROM change_history
WHERE change_history.status IN ('open', 'acknowledged');

COMMENT ON VIEW open_changes IS 'Shifts that are open, or acknowledged and not yet settled';

-- What each series is judged against now: the pinned baseline, or else the automatic one. The figures are those
-- of the valid measurements in its range, as they stand today.
CREATE VIEW current_baseline AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    chosen.kind AS baseline_kind,
    chosen.author,
    chosen.reason,
    chosen.set_at,
    chosen.first_sweep_id,
    opening.night AS first_night,
    chosen.last_sweep_id,
    closing.night AS last_night,
    level.sweeps,
    level.median_throughput_inf_per_s,
    level.median_p50_ms,
    level.median_p99_ms
FROM series
CROSS JOIN LATERAL (
    SELECT baseline.*
    FROM baseline
    WHERE baseline.series_id = series.series_id AND baseline.withdrawn_at IS NULL
    ORDER BY baseline.kind = 'pinned' DESC
    LIMIT 1
) AS chosen
INNER JOIN sweep AS opening ON opening.sweep_id = chosen.first_sweep_id
INNER JOIN sweep AS closing ON closing.sweep_id = chosen.last_sweep_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS sweeps,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.throughput_inf_per_s) AS median_throughput_inf_per_s,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p50_ms) AS median_p50_ms,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p99_ms) AS median_p99_ms
    FROM valid_measurement AS valid
    WHERE valid.series_id = series.series_id
        AND valid.night BETWEEN opening.night AND closing.night
        AND valid.created_at BETWEEN opening.created_at AND closing.created_at
) AS level;

COMMENT ON VIEW current_baseline IS
    'What each series is judged against now: who chose it, why, and its level from valid measurements';

-- What people said, about whatever it was.
CREATE VIEW annotation_history AS
SELECT
    annotation.annotation_id,
    annotation.annotated_at,
    annotation.author,
    annotation.reason,
    annotation.status,
    annotation.change_id,
    coalesce(annotation.series_id, change.series_id) AS series_id,
    coalesce(annotation.sweep_id, change.first_bad_sweep_id) AS sweep_id,
    sweep.night
FROM annotation
LEFT JOIN change ON change.change_id = annotation.change_id
LEFT JOIN sweep ON sweep.sweep_id = coalesce(annotation.sweep_id, change.first_bad_sweep_id);

COMMENT ON VIEW annotation_history IS
    'What people said about changes, series and sweeps; of a change, its series and its first bad sweep too';

-- What differs between the environment of a sweep and that of the last sweep before it in one of its series, which
-- asked the same of the same kind of machine. No row: nothing differs, or there is no sweep before.
CREATE VIEW environment_difference AS
SELECT
    sweep.sweep_id,
    sweep.night,
    sweep.created_at,
    sweep.model,
    pair.previous_sweep_id,
    pair.previous_night,
    difference.rank,
    difference.field,
    difference.before,
    difference.after
FROM sweep
CROSS JOIN LATERAL (
    SELECT
        earlier.sweep_id AS previous_sweep_id,
        earlier.night AS previous_night,
        earlier.environment_id AS before_id,
        own.environment_id AS after_id
    FROM measurement AS own
    CROSS JOIN LATERAL (
        SELECT past.sweep_id, past.night, past.sweep_created_at, past.environment_id
        FROM measurement AS past
        WHERE past.series_id = own.series_id
            AND past.origin = own.origin
            AND past.night <= own.night
            AND past.sweep_created_at < own.sweep_created_at
        ORDER BY past.night DESC, past.sweep_created_at DESC
        LIMIT 1
    ) AS earlier
    WHERE own.sweep_id = sweep.sweep_id
    ORDER BY earlier.sweep_created_at DESC, own.measurement_id
    LIMIT 1
) AS pair
CROSS JOIN LATERAL environment_diff(pair.before_id, pair.after_id) AS difference;

COMMENT ON VIEW environment_difference IS
    'What differs between the environments of a sweep and of the comparable sweep before it, likeliest cause first';

-- Every attempt to compile, with what it took; a cache hit took what it took when it was compiled.
CREATE VIEW compilation_history AS
SELECT
    sweep.night,
    sweep.created_at,
    sweep.sweep_id,
    sweep.origin,
    sweep.label,
    sweep.model,
    sweep.model_revision,
    sweep.sequence_length,
    compilation.precision,
    sweep.compiler_args,
    compilation.batch_size,
    compilation.backend,
    compilation.attempt,
    compilation.status,
    compilation.cache_hit,
    compilation.compile_duration_s,
    compilation.peak_rss_bytes,
    compilation.artifact_key,
    compilation.artifact_size_bytes,
    compilation.environment_id,
    environment.sdk,
    environment.neuronx_cc,
    environment.hardware,
    compilation.failure_kind,
    compilation.failure_message
FROM compilation
INNER JOIN sweep ON sweep.sweep_id = compilation.sweep_id
LEFT JOIN environment ON environment.environment_id = compilation.environment_id;

COMMENT ON VIEW compilation_history IS
    'Every attempt to compile: duration, memory, size of the artifact, or why it failed';

-- Every attempt that failed, with the reason, and whether a later attempt of the same sweep made good for it.
CREATE VIEW failure_history AS
SELECT
    sweep.night,
    sweep.created_at,
    sweep.sweep_id,
    sweep.label,
    sweep.model,
    sweep.backend,
    failed.batch_size,
    'compile' AS stage,
    failed.attempt,
    failed.recorded_at,
    failed.failure_kind,
    failed.failure_message,
    failed.failure_log_tail,
    EXISTS (
        SELECT FROM compilation AS later
        WHERE later.sweep_id = failed.sweep_id
            AND later.batch_size = failed.batch_size
            AND later.attempt > failed.attempt
            AND later.status = 'ok'
    ) AS recovered
FROM compilation AS failed
INNER JOIN sweep ON sweep.sweep_id = failed.sweep_id
WHERE failed.status = 'failed'
UNION ALL
SELECT
    failed.night,
    sweep.created_at,
    sweep.sweep_id,
    sweep.label,
    sweep.model,
    sweep.backend,
    failed.batch_size,
    'measure' AS stage,
    failed.attempt,
    failed.recorded_at,
    failed.failure_kind,
    failed.failure_message,
    failed.failure_log_tail,
    EXISTS (
        SELECT FROM measurement AS later
        WHERE later.sweep_id = failed.sweep_id
            AND later.batch_size = failed.batch_size
            AND later.scenario = failed.scenario
            AND later.attempt > failed.attempt
            AND later.status <> 'failed'
    ) AS recovered
FROM measurement AS failed
INNER JOIN sweep ON sweep.sweep_id = failed.sweep_id
WHERE failed.status = 'failed';

COMMENT ON VIEW failure_history IS 'Every failed attempt to compile or measure, with the reason';

-- The checks of every measurement, passed or not.
CREATE VIEW measurement_check AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.environment_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    measurement.throughput_inf_per_s,
    checked.value ->> 'name' AS check_name,
    (checked.value ->> 'passed')::boolean AS passed,
    (checked.value ->> 'figure')::double precision AS figure,
    (checked.value ->> 'limit')::double precision AS figure_limit,
    checked.value ->> 'unit' AS unit,
    checked.value ->> 'advice' AS advice
FROM measurement
CROSS JOIN LATERAL jsonb_array_elements(measurement.checks) AS checked (value);

COMMENT ON VIEW measurement_check IS 'Why a measurement is believed or not: its checks, one row each';

-- The checks that kept a measurement from being believed, one row per check and attempt.
CREATE VIEW failed_check AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    checked.night,
    checked.sweep_id,
    checked.attempt,
    checked.environment_id,
    checked.throughput_inf_per_s,
    checked.check_name,
    checked.figure,
    checked.figure_limit,
    checked.unit,
    checked.advice
FROM measurement_check AS checked
INNER JOIN series ON series.series_id = checked.series_id
WHERE checked.status = 'invalid' AND NOT checked.passed;

COMMENT ON VIEW failed_check IS 'Checks that measurements failed, one row per check and attempt';

-- The rounds of every measurement, from which its variance comes.
CREATE VIEW measurement_round AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    round.round_index,
    round.batches,
    round.inferences,
    round.duration_s,
    round.throughput_inf_per_s,
    round.samples,
    round.mean_ms,
    round.p50_ms,
    round.p90_ms,
    round.p95_ms,
    round.p99_ms,
    round.p99_9_ms,
    round.max_ms
FROM measurement
INNER JOIN round ON round.measurement_id = measurement.measurement_id;

COMMENT ON VIEW measurement_round IS 'The measured windows of every measurement, one row each';

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT relation.relname AS view, attribute.attname AS name, meaning.said
        FROM pg_class AS relation
        INNER JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0
        INNER JOIN LATERAL (
            SELECT meanings.said
            FROM (VALUES
        ('series_id', 'The series: the same in every database'),
        ('model', 'Hub id, directory, or config:NAME for seeded random weights'),
        ('model_revision', 'Branch, tag or commit on the hub'),
        ('sequence_length', 'Tokens per sequence, padding included'),
        ('precision', 'Precision of the program; NULL: not known'),
        ('compiler_args', 'Flags for the device''s compiler'),
        ('batch_size', 'Inferences per call'),
        ('scenario', 'Kind of load: offline, server or single_stream'),
        ('replicas', 'Loaded copies of the model; NULL: not known'),
        ('workers', 'Closed loops that issued batches; NULL: not known'),
        ('worker_mode', 'What a worker was: thread or process'),
        ('backend', 'What ran the model'),
        ('instance_type', 'The cloud''s name of the machine, such as inf2.xlarge'),
        ('hardware', 'True only for a real accelerator; results of a CPU or a stand-in never stand for one'),
        ('device', 'What ran the model, in words'),
        ('night', 'UTC date on which the sweep began'),
        ('created_at', 'When the sweep began'),
        ('sweep_id', 'The sweep'),
        ('origin', 'dag: measured here; import: read from somebody''s table'),
        ('label', 'Short name of the sweep, given by a person'),
        ('sdk', 'The Neuron SDK, or else the compiler, or else torch, with its version'),
        ('environment_id', 'The environment, for environment_diff and environment_field'),
        ('measurement_id', 'Internal key of the measurement'),
        ('attempt', '1 for the first try'),
        ('started_at', 'When the measuring began'),
        ('recorded_at', 'When the attempt ended'),
        ('filename', 'Name of the program''s file'),
        ('batches', 'Measured batches of all workers in all rounds'),
        ('inferences', 'batches x batch_size'),
        ('duration_s', 'inferences / throughput: the time in which all workers were busy, s'),
        ('throughput_inf_per_s', 'Inferences per second of all workers'),
        ('samples', 'Batches that the latencies are taken from'),
        ('mean_ms', 'Mean latency of one batch, ms'),
        ('p50_ms', 'Median latency of one batch, ms'),
        ('p90_ms', '90th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('p95_ms', '95th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('p99_ms', '99th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('p99_9_ms', '99.9th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('max_ms', 'Longest latency of one batch, ms'),
        ('load_duration_s', 'Time to load all replicas, s'),
        ('status', 'ok; invalid: measured but a check says not to believe it; failed: no figures'),
        ('reason', 'Why it failed or cannot be believed; empty when ok'),
        ('bucket', 'Number of the histogram''s bucket'),
        ('latency_bucket.batches', 'Batches in this bucket'),
        ('above_ms', 'Lower end of the bucket, exclusive, ms'),
        ('up_to_ms', 'Upper end of the bucket, inclusive, ms'),
        ('neuron_sdk', 'Release of the Neuron SDK'),
        ('neuronx_cc', 'Version of the Neuron compiler'),
        ('torch_neuronx', 'Version of torch-neuronx'),
        ('neuron_runtime', 'Version of the Neuron runtime library'),
        ('neuron_driver', 'Version of the Neuron kernel driver'),
        ('torch', 'Version of torch'),
        ('first_night', 'First night with a measurement'),
        ('last_night', 'Last night with a measurement'),
        ('nights', 'Nights with a valid measurement'),
        ('median_throughput_inf_per_s', 'Median over the sweeps of the inferences per second'),
        ('median_p50_ms', 'Median over the sweeps of the median latency of one batch, ms'),
        ('median_p99_ms', 'Median over the sweeps of the 99th percentile of the latency of one batch, ms'),
        ('previous_sdk', 'The SDK of the same series before this one; NULL for the first'),
        ('throughput_change', 'Median throughput / that under the previous SDK - 1: -0.03 is a loss of 3 percent'),
        ('p50_change', 'Median p50_ms / that under the previous SDK - 1: 0.03 is 3 percent slower'),
        ('p99_change', 'Median p99_ms / that under the previous SDK - 1: 0.03 is 3 percent slower'),
        ('region_class', 'Regions that share a price list, such as us-east'),
        ('price_kind', 'on_demand, or reserved_effective: a reservation spread over its hours'),
        ('valid_from', 'First day the price is in force'),
        ('valid_before', 'Day from which the next price is in force; NULL: there is none yet'),
        ('usd_per_hour', 'US dollars per machine and hour'),
        ('price_source', 'Where the price is from, and what it is'),
        ('usd_per_million_inferences', '(1e6 / throughput_inf_per_s) * (usd_per_hour / 3600)'),
        ('state', 'valid; invalid: measured, not believed; failed: asked for, no result; none: not asked for'),
        ('coverage.sweep_id', 'The sweep that measured, or that should have; NULL: there was none'),
        ('coverage.reason', 'Why there is no valid figure; empty when there is one'),
        ('coverage.last_night', 'Last night on which the series was measured here, valid or not'),
        ('change_id', 'Key of the change, for annotations'),
        ('metric', 'What shifted: throughput_inf_per_s or one of the latencies'),
        ('direction', 'worse: less throughput or more latency; else better'),
        ('before_value', 'Level before the shift, in the metric''s unit'),
        ('after_value', 'Level after the shift, in the metric''s unit'),
        ('relative_change', 'after / before - 1: -0.03 is a loss of 3 percent'),
        ('relative_low', 'Lower end of the interval of relative_change'),
        ('relative_high', 'Upper end of the interval of relative_change'),
        ('confidence', 'Confidence of that interval, such as 0.95'),
        ('last_good_sweep_id', 'The last sweep before the shift'),
        ('last_good_night', 'Its night'),
        ('first_bad_sweep_id', 'The first sweep after the shift'),
        ('first_bad_night', 'Its night'),
        ('detected_at', 'When the change was found'),
        ('detector', 'What found it, with the version of its thresholds'),
        ('change_history.status', 'open, acknowledged, fixed, expected or false_alarm'),
        ('open_changes.status', 'open or acknowledged'),
        ('author', 'Who said so; NULL: nobody yet'),
        ('annotated_at', 'When it was said'),
        ('change_history.reason', 'Why the status is what it is'),
        ('open_changes.reason', 'Why the status is what it is'),
        ('environment_changes', 'What differs in the environment, likeliest cause first; or: nothing, not known'),
        ('baseline_kind', 'automatic: chosen by the detector; pinned: by a person'),
        ('current_baseline.author', 'Who set it: a person, or the detector''s name'),
        ('current_baseline.reason', 'Why this one'),
        ('set_at', 'When it was set'),
        ('first_sweep_id', 'First sweep of the range'),
        ('current_baseline.first_night', 'Its night'),
        ('last_sweep_id', 'Last sweep of the range'),
        ('current_baseline.last_night', 'Its night'),
        ('sweeps', 'Valid measurements in the range'),
        ('annotation_id', 'Internal key, ascending in time'),
        ('annotation_history.author', 'Who said it'),
        ('annotation_history.reason', 'What was said, or why the status is what it is'),
        ('annotation_history.status', 'Status that the change has from then on; NULL: a remark'),
        ('annotation_history.change_id', 'The change it is about; NULL: none'),
        ('annotation_history.series_id', 'The series it is about, or that of the change'),
        ('annotation_history.sweep_id', 'The sweep it is about, or the change''s first bad one'),
        ('annotation_history.night', 'Night of that sweep'),
        ('rank', 'Place in the order of how likely the field is to change a figure; 1 is the likeliest'),
        ('field', 'Name of the field, as in the environment'),
        ('value', 'Its value as text; NULL: not present or not known'),
        ('previous_sweep_id', 'The last sweep before it that asked the same of the same kind of machine'),
        ('previous_night', 'Its night'),
        ('before', 'Value in the previous sweep''s environment'),
        ('after', 'Value in this sweep''s environment'),
        ('compilation_history.status', 'ok or failed'),
        ('compilation_history.backend', 'What compiled the model; NULL: the attempt failed'),
        ('compilation_history.environment_id', 'What it was compiled with; NULL: the attempt failed'),
        ('cache_hit', 'True: found in the artifact store, not compiled'),
        ('compile_duration_s', 'Duration of the compilation that made the artifact, s'),
        ('peak_rss_bytes', 'Highest resident memory of the compiling process, bytes'),
        ('artifact_key', 'SHA-256 of everything that shapes the program'),
        ('artifact_size_bytes', 'Size of the program''s file, bytes'),
        ('failure_kind', 'bad_input, error, crashed or timeout'),
        ('failure_message', 'Why it failed, one sentence'),
        ('failure_log_tail', 'Last lines of the failed process'),
        ('failure_history.backend', 'What was asked to compile and run the model'),
        ('stage', 'compile or measure'),
        ('recovered', 'True: a later attempt of the same sweep got a result'),
        ('failed_check.throughput_inf_per_s', 'Inferences per second of all workers, not to be believed'),
        ('check_name', 'Name of the check'),
        ('passed', 'False: the measurement is not to be believed'),
        ('round_index', '0 for the first round'),
        ('measurement_round.batches', 'Measured batches of all workers in this round'),
        ('figure', 'What was found, in the unit; NULL: not a number'),
        ('figure_limit', 'What it was held against, in the unit; NULL: not a number'),
        ('unit', 'Unit of both'),
        ('advice', 'What was found and what to do about it')
            ) AS meanings (name, said)
            WHERE meanings.name IN (attribute.attname, relation.relname || '.' || attribute.attname)
            ORDER BY length(meanings.name) DESC
            LIMIT 1
        ) AS meaning ON true
        WHERE relation.relnamespace = current_schema()::regnamespace AND relation.relname IN ('comparison_table', 'latency_bucket', 'valid_measurement', 'environment_field', 'throughput_history', 'latency_history', 'peak', 'sdk_comparison', 'price_period', 'cost', 'series_list', 'coverage', 'change_history', 'open_changes', 'current_baseline', 'annotation_history', 'environment_difference', 'compilation_history', 'failure_history', 'measurement_check', 'failed_check', 'measurement_round')
    LOOP
        EXECUTE 'COMMENT ON COLUMN ' || quote_ident(found.view) || '.' || quote_ident(found.name)
            || ' IS ' || quote_nullable(found.said);
    END LOOP;
END $$;

-- Refuses a change or a baseline whose sweeps have no valid measurement in its series, or run backwards.
-- The arguments name the columns of the earlier and of the later sweep.
CREATE FUNCTION require_valid_sweeps() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    earlier uuid := to_jsonb(NEW) ->> TG_ARGV[0];
    later uuid := to_jsonb(NEW) ->> TG_ARGV[1];
BEGIN
    IF EXISTS (
        SELECT FROM unnest(ARRAY[earlier, later]) AS named (sweep_id)
        WHERE NOT EXISTS (
            SELECT FROM valid_measurement AS valid
            WHERE valid.series_id = NEW.series_id AND valid.sweep_id = named.sweep_id
        )
    ) THEN
        RAISE check_violation USING
            MESSAGE = 'the ' || TG_TABLE_NAME || ' names a sweep without a valid measurement in its series',
            CONSTRAINT = 'ck_' || TG_TABLE_NAME || '_valid_sweeps';
    END IF;
    IF (SELECT created_at FROM sweep WHERE sweep_id = earlier)
        > (SELECT created_at FROM sweep WHERE sweep_id = later)
    THEN
        RAISE check_violation USING
            MESSAGE = 'the ' || TG_TABLE_NAME || ' names its sweeps in the wrong order of time',
            CONSTRAINT = 'ck_' || TG_TABLE_NAME || '_sweeps_ascend';
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION require_valid_sweeps() IS
    'Trigger: a change or a baseline may only name sweeps with a valid measurement in its series';

CREATE TRIGGER require_valid_sweeps BEFORE INSERT OR UPDATE ON change FOR EACH ROW EXECUTE FUNCTION require_valid_sweeps('last_good_sweep_id', 'first_bad_sweep_id');

CREATE TRIGGER require_valid_sweeps BEFORE INSERT OR UPDATE ON baseline FOR EACH ROW EXECUTE FUNCTION require_valid_sweeps('first_sweep_id', 'last_sweep_id');

UPDATE bench_alembic_version SET version_num='0003' WHERE bench_alembic_version.version_num = '0002';

-- Running upgrade 0003 -> 0004

ALTER TABLE sweep ADD COLUMN head TEXT DEFAULT 'classification' NOT NULL;

COMMENT ON COLUMN sweep.head IS 'What the network ends in: classification, or encoder for none';

ALTER TABLE sweep ALTER COLUMN head DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN inputs TEXT DEFAULT 'text' NOT NULL;

COMMENT ON COLUMN sweep.inputs IS 'What it is called with: text, or zeros_int32';

ALTER TABLE sweep ALTER COLUMN inputs DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN model_variant TEXT GENERATED ALWAYS AS (nullif(btrim(coalesce(nullif(head, 'classification'), '') || ' ' || coalesce(nullif(inputs, 'text'), '')), '')) STORED;

COMMENT ON COLUMN sweep.model_variant IS 'Head and inputs where they are others than classification of text; NULL: they are those';

ALTER TABLE sweep ADD COLUMN worker_mode TEXT DEFAULT 'thread' NOT NULL;

COMMENT ON COLUMN sweep.worker_mode IS 'Asked kind of worker; auto leaves it to a calibration';

ALTER TABLE sweep ALTER COLUMN worker_mode DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN warmup TEXT DEFAULT 'fixed' NOT NULL;

COMMENT ON COLUMN sweep.warmup IS 'fixed: warmup_batches and no more; stable: until it settled';

ALTER TABLE sweep ALTER COLUMN warmup DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN stop TEXT DEFAULT 'rounds' NOT NULL;

COMMENT ON COLUMN sweep.stop IS 'What ends the measuring: rounds, duration or precision';

ALTER TABLE sweep ALTER COLUMN stop DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN duration_s DOUBLE PRECISION DEFAULT '60' NOT NULL;

COMMENT ON COLUMN sweep.duration_s IS 'Asked measured time, or the longest for stop precision, s';

ALTER TABLE sweep ALTER COLUMN duration_s DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN relative_half_width DOUBLE PRECISION DEFAULT '0.005' NOT NULL;

COMMENT ON COLUMN sweep.relative_half_width IS 'Asked half of the 95 percent interval over its value, for stop precision';

ALTER TABLE sweep ALTER COLUMN relative_half_width DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN target_batches_per_s DOUBLE PRECISION;

COMMENT ON COLUMN sweep.target_batches_per_s IS 'server: asked mean rate of the arrivals; NULL: search the highest that meets the limit';

ALTER TABLE sweep ALTER COLUMN target_batches_per_s DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN latency_limit_ms DOUBLE PRECISION;

COMMENT ON COLUMN sweep.latency_limit_ms IS 'Highest acceptable P99, ms; NULL: none';

ALTER TABLE sweep ALTER COLUMN latency_limit_ms DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN arrival_seed BIGINT DEFAULT '0' NOT NULL;

COMMENT ON COLUMN sweep.arrival_seed IS 'server: asked seed of the random arrivals';

ALTER TABLE sweep ALTER COLUMN arrival_seed DROP DEFAULT;

ALTER TABLE sweep ADD COLUMN interleave BOOLEAN DEFAULT 'false' NOT NULL;

COMMENT ON COLUMN sweep.interleave IS 'Asked to measure all batch sizes in turns, round by round';

ALTER TABLE sweep ALTER COLUMN interleave DROP DEFAULT;

ALTER TABLE sweep ADD CONSTRAINT ck_sweep_head CHECK (head IN ('classification', 'encoder'));

ALTER TABLE sweep ADD CONSTRAINT ck_sweep_inputs CHECK (inputs IN ('text', 'zeros_int32'));

ALTER TABLE sweep ADD CONSTRAINT ck_sweep_worker_mode CHECK (worker_mode IN ('auto', 'thread', 'process', 'native'));

ALTER TABLE sweep ADD CONSTRAINT ck_sweep_warmup CHECK (warmup IN ('stable', 'fixed'));

ALTER TABLE sweep ADD CONSTRAINT ck_sweep_stop CHECK (stop IN ('rounds', 'duration', 'precision'));

ALTER TABLE sweep ADD CONSTRAINT ck_sweep_stop_rule CHECK (duration_s > 0 AND duration_s < 'Infinity' AND relative_half_width > 0 AND relative_half_width < 1);

ALTER TABLE sweep ADD CONSTRAINT ck_sweep_arrivals CHECK (target_batches_per_s > 0 AND target_batches_per_s < 'Infinity' AND arrival_seed >= 0 AND (scenario = 'server' OR target_batches_per_s IS NULL));

ALTER TABLE sweep ADD CONSTRAINT ck_sweep_latency_limit CHECK (latency_limit_ms > 0 AND latency_limit_ms < 'Infinity');

ALTER TABLE measurement ADD COLUMN processes INTEGER;

COMMENT ON COLUMN measurement.processes IS 'Processes that the workers were spread over';

ALTER TABLE measurement ADD COLUMN topology TEXT;

COMMENT ON COLUMN measurement.topology IS 'What issued the calls and why, one sentence';

ALTER TABLE measurement ADD COLUMN throughput_low_inf_per_s DOUBLE PRECISION;

COMMENT ON COLUMN measurement.throughput_low_inf_per_s IS 'Lower end of the 95 percent interval of throughput_inf_per_s, in its unit';

ALTER TABLE measurement ADD COLUMN throughput_high_inf_per_s DOUBLE PRECISION;

COMMENT ON COLUMN measurement.throughput_high_inf_per_s IS 'Upper end of the 95 percent interval of throughput_inf_per_s, in its unit';

ALTER TABLE measurement ADD COLUMN p50_low_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p50_low_ms IS 'Lower end of the 95 percent interval of p50_ms, in its unit';

ALTER TABLE measurement ADD COLUMN p50_high_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p50_high_ms IS 'Upper end of the 95 percent interval of p50_ms, in its unit';

ALTER TABLE measurement ADD COLUMN p90_low_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p90_low_ms IS 'Lower end of the 95 percent interval of p90_ms, in its unit';

ALTER TABLE measurement ADD COLUMN p90_high_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p90_high_ms IS 'Upper end of the 95 percent interval of p90_ms, in its unit';

ALTER TABLE measurement ADD COLUMN p95_low_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p95_low_ms IS 'Lower end of the 95 percent interval of p95_ms, in its unit';

ALTER TABLE measurement ADD COLUMN p95_high_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p95_high_ms IS 'Upper end of the 95 percent interval of p95_ms, in its unit';

ALTER TABLE measurement ADD COLUMN p99_low_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p99_low_ms IS 'Lower end of the 95 percent interval of p99_ms, in its unit';

ALTER TABLE measurement ADD COLUMN p99_high_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p99_high_ms IS 'Upper end of the 95 percent interval of p99_ms, in its unit';

ALTER TABLE measurement ADD COLUMN p99_9_low_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p99_9_low_ms IS 'Lower end of the 95 percent interval of p99_9_ms, in its unit';

ALTER TABLE measurement ADD COLUMN p99_9_high_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p99_9_high_ms IS 'Upper end of the 95 percent interval of p99_9_ms, in its unit';

ALTER TABLE measurement ADD COLUMN overhead_ns_per_call DOUBLE PRECISION;

COMMENT ON COLUMN measurement.overhead_ns_per_call IS 'Median time of the load generator''s loop around an empty replica, ns';

ALTER TABLE measurement ADD COLUMN overhead_service_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.overhead_service_ms IS 'Time of one call that ideal_batches_per_s and ceiling_batches_per_s are for, ms';

ALTER TABLE measurement ADD COLUMN ideal_batches_per_s DOUBLE PRECISION;

COMMENT ON COLUMN measurement.ideal_batches_per_s IS 'workers / overhead_service_ms';

ALTER TABLE measurement ADD COLUMN ceiling_batches_per_s DOUBLE PRECISION;

COMMENT ON COLUMN measurement.ceiling_batches_per_s IS 'What the load generator shows of an ideal device that takes exactly overhead_service_ms';

ALTER TABLE measurement ADD COLUMN target_batches_per_s DOUBLE PRECISION;

COMMENT ON COLUMN measurement.target_batches_per_s IS 'server: mean rate of the random arrivals, given or found by the search';

ALTER TABLE measurement ADD COLUMN p99_limit_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.p99_limit_ms IS 'server: highest acceptable P99, ms';

ALTER TABLE measurement ADD COLUMN arrival_seed BIGINT;

COMMENT ON COLUMN measurement.arrival_seed IS 'server: seed of the random arrivals';

ALTER TABLE measurement ADD COLUMN server_trials JSONB;

COMMENT ON COLUMN measurement.server_trials IS 'server: rates that the search tried, in order: target_batches_per_s, achieved_batches_per_s, samples, p99_ms, met; empty: the rate was given';

ALTER TABLE measurement ADD COLUMN service_samples BIGINT;

COMMENT ON COLUMN measurement.service_samples IS 'server: calls that the service latencies are taken from';

ALTER TABLE measurement ADD COLUMN service_mean_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.service_mean_ms IS 'server: mean latency of the calls alone, without waiting for a worker, ms';

ALTER TABLE measurement ADD COLUMN service_p50_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.service_p50_ms IS 'server: median latency of the calls alone, without waiting for a worker, ms';

ALTER TABLE measurement ADD COLUMN service_p90_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.service_p90_ms IS 'server: 90th percentile of the latency of the calls alone, without waiting for a worker, ms';

ALTER TABLE measurement ADD COLUMN service_p95_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.service_p95_ms IS 'server: 95th percentile of the latency of the calls alone, without waiting for a worker, ms';

ALTER TABLE measurement ADD COLUMN service_p99_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.service_p99_ms IS 'server: 99th percentile of the latency of the calls alone, without waiting for a worker, ms';

ALTER TABLE measurement ADD COLUMN service_p99_9_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.service_p99_9_ms IS 'server: 99.9th percentile of the latency of the calls alone, without waiting for a worker, ms';

ALTER TABLE measurement ADD COLUMN service_max_ms DOUBLE PRECISION;

COMMENT ON COLUMN measurement.service_max_ms IS 'server: maximum of the latency of the calls alone, without waiting for a worker, ms';

ALTER TABLE measurement ADD COLUMN telemetry JSONB;

COMMENT ON COLUMN measurement.telemetry IS 'What the device said of itself: name, value, unit, core; NULL: nothing';

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_processes CHECK (processes >= 1);

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_limits CHECK (num_nulls(throughput_low_inf_per_s, throughput_high_inf_per_s) <> 1 AND (throughput_low_inf_per_s IS NULL OR throughput_inf_per_s IS NOT NULL) AND num_nulls(p50_low_ms, p50_high_ms) <> 1 AND (p50_low_ms IS NULL OR p50_ms IS NOT NULL) AND num_nulls(p90_low_ms, p90_high_ms) <> 1 AND (p90_low_ms IS NULL OR p90_ms IS NOT NULL) AND num_nulls(p95_low_ms, p95_high_ms) <> 1 AND (p95_low_ms IS NULL OR p95_ms IS NOT NULL) AND num_nulls(p99_low_ms, p99_high_ms) <> 1 AND (p99_low_ms IS NULL OR p99_ms IS NOT NULL) AND num_nulls(p99_9_low_ms, p99_9_high_ms) <> 1 AND (p99_9_low_ms IS NULL OR p99_9_ms IS NOT NULL));

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_limits_ordered CHECK (throughput_low_inf_per_s <= throughput_high_inf_per_s AND throughput_low_inf_per_s > '-Infinity' AND throughput_high_inf_per_s < 'Infinity' AND p50_low_ms <= p50_ms AND p50_ms <= p50_high_ms AND p90_low_ms <= p90_ms AND p90_ms <= p90_high_ms AND p95_low_ms <= p95_ms AND p95_ms <= p95_high_ms AND p99_low_ms <= p99_ms AND p99_ms <= p99_high_ms AND p99_9_low_ms <= p99_9_ms AND p99_9_ms <= p99_9_high_ms AND p50_low_ms > 0 AND p50_low_ms < 'Infinity' AND p50_high_ms > 0 AND p50_high_ms < 'Infinity' AND p90_low_ms > 0 AND p90_low_ms < 'Infinity' AND p90_high_ms > 0 AND p90_high_ms < 'Infinity' AND p95_low_ms > 0 AND p95_low_ms < 'Infinity' AND p95_high_ms > 0 AND p95_high_ms < 'Infinity' AND p99_low_ms > 0 AND p99_low_ms < 'Infinity' AND p99_high_ms > 0 AND p99_high_ms < 'Infinity' AND p99_9_low_ms > 0 AND p99_9_low_ms < 'Infinity' AND p99_9_high_ms > 0 AND p99_9_high_ms < 'Infinity');

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_overhead CHECK (num_nulls(overhead_ns_per_call, overhead_service_ms, ideal_batches_per_s, ceiling_batches_per_s) IN (0, 4) AND overhead_ns_per_call >= 0 AND overhead_ns_per_call < 'Infinity' AND overhead_service_ms > 0 AND overhead_service_ms < 'Infinity' AND ideal_batches_per_s > 0 AND ideal_batches_per_s < 'Infinity' AND ceiling_batches_per_s > 0 AND ceiling_batches_per_s < 'Infinity');

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_server_only CHECK (scenario = 'server' OR num_nonnulls(target_batches_per_s, arrival_seed, server_trials, p99_limit_ms, service_samples, service_mean_ms, service_p50_ms, service_p90_ms, service_p95_ms, service_p99_ms, service_p99_9_ms, service_max_ms) = 0);

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_arrivals CHECK (num_nulls(target_batches_per_s, arrival_seed, server_trials) IN (0, 3) AND (target_batches_per_s IS NOT NULL OR num_nonnulls(p99_limit_ms, service_samples, service_mean_ms, service_p50_ms, service_p90_ms, service_p95_ms, service_p99_ms, service_p99_9_ms, service_max_ms) = 0) AND target_batches_per_s > 0 AND target_batches_per_s < 'Infinity' AND p99_limit_ms > 0 AND p99_limit_ms < 'Infinity' AND arrival_seed >= 0 AND jsonb_typeof(server_trials) = 'array' AND (server_trials = '[]' OR p99_limit_ms IS NOT NULL));

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_service CHECK (service_samples >= 1 AND service_mean_ms > 0 AND service_mean_ms < 'Infinity' AND service_p50_ms > 0 AND service_p50_ms < 'Infinity' AND service_p90_ms > 0 AND service_p90_ms < 'Infinity' AND service_p95_ms > 0 AND service_p95_ms < 'Infinity' AND service_p99_ms > 0 AND service_p99_ms < 'Infinity' AND service_p99_9_ms > 0 AND service_p99_9_ms < 'Infinity' AND service_max_ms > 0 AND service_max_ms < 'Infinity' AND service_p50_ms <= LEAST(service_p90_ms, service_p95_ms, service_p99_ms, service_p99_9_ms, service_max_ms) AND service_p90_ms <= LEAST(service_p95_ms, service_p99_ms, service_p99_9_ms, service_max_ms) AND service_p95_ms <= LEAST(service_p99_ms, service_p99_9_ms, service_max_ms) AND service_p99_ms <= LEAST(service_p99_9_ms, service_max_ms) AND service_p99_9_ms <= LEAST(service_max_ms) AND service_mean_ms <= 1.000001 * service_max_ms);

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_telemetry CHECK (jsonb_typeof(telemetry) = 'array');

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_load_is_known CHECK (origin <> 'dag' OR status = 'failed' OR num_nulls(replicas, workers, worker_mode, batches) = 0) NOT VALID;

DO $$ BEGIN ALTER TABLE measurement VALIDATE CONSTRAINT ck_measurement_load_is_known; EXCEPTION WHEN check_violation THEN RAISE NOTICE 'older rows break ck_measurement_load_is_known: it holds for new ones only'; END $$;

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_samples CHECK (samples <= batches) NOT VALID;

DO $$ BEGIN ALTER TABLE measurement VALIDATE CONSTRAINT ck_measurement_samples; EXCEPTION WHEN check_violation THEN RAISE NOTICE 'older rows break ck_measurement_samples: it holds for new ones only'; END $$;

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_single_stream CHECK (origin <> 'dag' OR scenario <> 'single_stream' OR (replicas = 1 AND workers = 1)) NOT VALID;

DO $$ BEGIN ALTER TABLE measurement VALIDATE CONSTRAINT ck_measurement_single_stream; EXCEPTION WHEN check_violation THEN RAISE NOTICE 'older rows break ck_measurement_single_stream: it holds for new ones only'; END $$;

ALTER TABLE measurement DROP CONSTRAINT ck_measurement_worker_mode;

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_worker_mode CHECK (worker_mode IN ('thread', 'process', 'native'));

ALTER TABLE measurement DROP CONSTRAINT ck_measurement_failed_has_reason;

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_failed_has_reason CHECK (status <> 'failed' OR (num_nulls(failure_kind, failure_message) = 0 AND num_nonnulls(batches, inferences, duration_s, throughput_inf_per_s, samples, mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, p99_9_ms, max_ms, overhead_ns_per_call, overhead_service_ms, ideal_batches_per_s, ceiling_batches_per_s, target_batches_per_s, arrival_seed, server_trials, telemetry) = 0));

ALTER TABLE series ADD COLUMN model_variant TEXT;

COMMENT ON COLUMN series.model_variant IS 'Head and inputs where they are others than classification of text; NULL: they are those';

ALTER TABLE series ADD COLUMN arrivals TEXT;

COMMENT ON COLUMN series.arrivals IS 'server: rate 500/s, or search p99<=5ms for the highest rate within a limit; else NULL';

ALTER TABLE series DROP CONSTRAINT ck_series_derived;

ALTER TABLE series ADD CONSTRAINT ck_series_derived CHECK (series_id = left(encode(sha256(convert_to(CASE WHEN num_nonnulls(model_variant, arrivals) = 0 THEN ROW(model, model_revision, sequence_length, precision, compiler_args, batch_size, scenario, replicas, workers, worker_mode, backend, instance_type, hardware)::text ELSE ROW(model, model_revision, sequence_length, precision, compiler_args, batch_size, scenario, replicas, workers, worker_mode, backend, instance_type, hardware, model_variant, arrivals)::text END, 'UTF8')), 'hex'), 32)::uuid);

ALTER TABLE series ADD CONSTRAINT ck_series_arrivals CHECK (arrivals <> '' AND scenario = 'server' OR arrivals IS NULL);

-- How the arrivals of a server measurement are told apart: by their rate or, where that is searched, by the limit.
-- The figures go through numeric, which is written the same way whatever the session's settings are.
CREATE FUNCTION server_arrivals(rate_per_s double precision, p99_limit_ms double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN $1 IS NULL THEN 'search p99<=' || trim_scale($2::numeric) || 'ms'
        ELSE 'rate ' || trim_scale($1::numeric) || '/s'
    END
$$;

COMMENT ON FUNCTION server_arrivals(double precision, double precision) IS
    'Names the arrivals of a server measurement by their rate or, for a search, by its limit; NULL for neither';

-- Fills in what a measurement has from its sweep and its series, whoever writes it; adds a series that is new.
-- A failed attempt belongs to no series: nobody knows what would have run.
CREATE OR REPLACE FUNCTION place_measurement() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    key series;
BEGIN
    SELECT
        sweep.night, sweep.created_at, sweep.origin,
        sweep.model, sweep.model_revision, sweep.sequence_length, sweep.compiler_args, sweep.model_variant
    INTO
        NEW.night, NEW.sweep_created_at, NEW.origin,
        key.model, key.model_revision, key.sequence_length, key.compiler_args, key.model_variant
    FROM sweep
    WHERE sweep.sweep_id = NEW.sweep_id;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING
            MESSAGE = 'no sweep has this sweep_id: fk_measurement_sweep_id',
            CONSTRAINT = 'fk_measurement_sweep_id';
    END IF;

    NEW.series_id := NULL;
    IF NEW.status = 'failed' THEN
        RETURN NEW;
    END IF;

    SELECT environment.instance_type, environment.hardware
    INTO key.instance_type, key.hardware
    FROM environment
    WHERE environment.environment_id = NEW.environment_id;
    IF NOT FOUND AND NEW.environment_id IS NOT NULL THEN
        RAISE foreign_key_violation USING
            MESSAGE = 'no environment has this environment_id: fk_measurement_environment_id',
            CONSTRAINT = 'fk_measurement_environment_id';
    END IF;

    key.precision := NEW.precision;
    key.batch_size := NEW.batch_size;
    key.scenario := NEW.scenario;
    key.replicas := NEW.replicas;
    key.workers := NEW.workers;
    key.worker_mode := NEW.worker_mode;
    key.backend := NEW.backend;
    -- What a search found is its result, not what was asked for.
    key.arrivals := server_arrivals(
        CASE WHEN NEW.server_trials = '[]' THEN NEW.target_batches_per_s END, NEW.p99_limit_ms
    );
    key.series_id := left(encode(sha256(convert_to(CASE
        WHEN num_nonnulls(key.model_variant, key.arrivals) = 0 THEN ROW(
            key.model, key.model_revision, key.sequence_length, key.precision, key.compiler_args, key.batch_size,
            key.scenario, key.replicas, key.workers, key.worker_mode, key.backend, key.instance_type, key.hardware
        )::text
        ELSE ROW(
            key.model, key.model_revision, key.sequence_length, key.precision, key.compiler_args, key.batch_size,
            key.scenario, key.replicas, key.workers, key.worker_mode, key.backend, key.instance_type, key.hardware,
            key.model_variant, key.arrivals
        )::text
    END, 'UTF8')), 'hex'), 32)::uuid;
    NEW.series_id := key.series_id;

    IF NOT EXISTS (SELECT FROM series WHERE series.series_id = key.series_id) THEN
        BEGIN
            INSERT INTO series SELECT key.* ON CONFLICT DO NOTHING;
        EXCEPTION WHEN check_violation OR not_null_violation THEN
            NULL;  -- the measurement breaks the same rule, and its own constraint says so better
        END;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION place_measurement() IS
    'Trigger: fills in what a measurement has from its sweep, and the series it belongs to';

COMMENT ON COLUMN series.worker_mode IS 'What a worker was: thread, process or native';

COMMENT ON COLUMN measurement.worker_mode IS 'What a worker was: thread, process or native';

DROP INDEX ix_sweep_night;

CREATE INDEX ix_sweep_night_model ON sweep (night, model);

CREATE INDEX ix_change_detected_at ON change (detected_at);

-- The comparison table of every sweep, one row per batch size; latencies in milliseconds.
-- Of several attempts the latest that is ok counts; where none is, the latest.
-- A batch size without a result is a row too: failed, with the reason.
CREATE OR REPLACE VIEW comparison_table AS
SELECT
    sweep.sweep_id,
    sweep.created_at,
    sweep.label,
    sweep.model,
    coalesce(measured.filename, compiled.artifact_filename, 'model_batch_size_' || size.batch_size || '.pt')
        AS filename,
    size.batch_size,
    measured.batches,
    measured.inferences,
    measured.workers,
    measured.replicas,
    measured.duration_s,
    measured.throughput_inf_per_s,
    measured.p50_ms,
    measured.p95_ms,
    measured.p99_ms,
    coalesce(measured.status, 'failed') AS status,
    CASE measured.status
        WHEN 'ok' THEN ''
        WHEN 'failed' THEN measured.failure_message
        WHEN 'invalid' THEN (
            SELECT string_agg(checked.value ->> 'advice', ' ' ORDER BY checked.place)
            FROM jsonb_array_elements(measured.checks) WITH ORDINALITY AS checked (value, place)
            WHERE NOT (checked.value ->> 'passed')::boolean
        )
        ELSE coalesce(compiled.failure_message, 'no result')
    END AS reason,
    coalesce(measured.precision, compiled.precision) AS precision,
    environment.hardware,
    environment.device,
    environment.instance_type,
    sweep.model_variant,
    sweep.scenario,
    sweep.latency_limit_ms,
    measured.worker_mode,
    measured.samples,
    measured.throughput_low_inf_per_s,
    measured.throughput_high_inf_per_s,
    measured.p90_ms,
    measured.p99_9_ms,
    measured.target_batches_per_s
FROM sweep
CROSS JOIN LATERAL (
    SELECT unnest(sweep.batch_sizes)
    UNION
    SELECT measurement.batch_size
    FROM measurement
    WHERE measurement.sweep_id = sweep.sweep_id AND measurement.scenario = sweep.scenario
    UNION
    SELECT compilation.batch_size
    FROM compilation
    WHERE compilation.sweep_id = sweep.sweep_id
) AS size (batch_size)
LEFT JOIN measurement AS measured ON measured.measurement_id = (
    SELECT attempt.measurement_id
    FROM measurement AS attempt
    WHERE attempt.sweep_id = sweep.sweep_id
        AND attempt.scenario = sweep.scenario
        AND attempt.batch_size = size.batch_size
    ORDER BY attempt.status = 'ok' DESC, attempt.attempt DESC
    LIMIT 1
)
LEFT JOIN compilation AS compiled ON compiled.compilation_id = (
    SELECT attempt.compilation_id
    FROM compilation AS attempt
    WHERE attempt.sweep_id = sweep.sweep_id AND attempt.batch_size = size.batch_size
    ORDER BY attempt.attempt DESC
    LIMIT 1
)
LEFT JOIN environment
    ON environment.environment_id = coalesce(measured.environment_id, compiled.environment_id);

COMMENT ON VIEW comparison_table IS
    'Every sweep side by side, one row per batch size, failed ones included; latencies in ms';

-- The measurements that count: of a sweep, a batch size and a scenario the latest attempt that passed all checks.
-- Every view that ranks, averages or prices results is built on this one, so that no other attempt can enter.
CREATE OR REPLACE VIEW valid_measurement AS
SELECT
    measurement.measurement_id,
    measurement.sweep_id,
    measurement.series_id,
    measurement.environment_id,
    measurement.night,
    measurement.sweep_created_at AS created_at,
    measurement.origin,
    measurement.batch_size,
    measurement.scenario,
    measurement.precision,
    measurement.replicas,
    measurement.workers,
    measurement.worker_mode,
    measurement.backend,
    measurement.attempt,
    measurement.started_at,
    measurement.batches,
    measurement.inferences,
    measurement.duration_s,
    measurement.throughput_inf_per_s,
    measurement.samples,
    measurement.mean_ms,
    measurement.p50_ms,
    measurement.p90_ms,
    measurement.p95_ms,
    measurement.p99_ms,
    measurement.p99_9_ms,
    measurement.max_ms,
    measurement.load_duration_s,
    measurement.processes,
    measurement.topology,
    measurement.throughput_low_inf_per_s,
    measurement.throughput_high_inf_per_s,
    measurement.p50_low_ms,
    measurement.p50_high_ms,
    measurement.p90_low_ms,
    measurement.p90_high_ms,
    measurement.p95_low_ms,
    measurement.p95_high_ms,
    measurement.p99_low_ms,
    measurement.p99_high_ms,
    measurement.p99_9_low_ms,
    measurement.p99_9_high_ms,
    measurement.overhead_ns_per_call,
    measurement.overhead_service_ms,
    measurement.ideal_batches_per_s,
    measurement.ceiling_batches_per_s,
    measurement.target_batches_per_s,
    measurement.p99_limit_ms,
    measurement.arrival_seed,
    measurement.service_samples,
    measurement.service_mean_ms,
    measurement.service_p50_ms,
    measurement.service_p90_ms,
    measurement.service_p95_ms,
    measurement.service_p99_ms,
    measurement.service_p99_9_ms,
    measurement.service_max_ms
FROM measurement
WHERE measurement.status = 'ok'
    AND NOT EXISTS (
        SELECT FROM measurement AS later
        WHERE later.sweep_id = measurement.sweep_id
            AND later.batch_size = measurement.batch_size
            AND later.scenario = measurement.scenario
            AND later.attempt > measurement.attempt
            AND later.attempt > 1  -- says what the line before implies, for the small index of retries
            AND later.status = 'ok'
    );

COMMENT ON VIEW valid_measurement IS
    'The measurements that count: the latest attempt that passed all checks, one row per sweep and batch size';

-- Throughput from night to night, valid measurements only: select one series_id and order by created_at.
CREATE OR REPLACE VIEW throughput_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.environment_id,
    valid.throughput_inf_per_s,
    series.model_variant,
    series.arrivals,
    valid.throughput_low_inf_per_s,
    valid.throughput_high_inf_per_s
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id;

COMMENT ON VIEW throughput_history IS
    'Throughput over time, one row per series and sweep; valid measurements only';

-- Latency of one batch from night to night in milliseconds, valid measurements only. The throughput is there too,
-- to tell a slower tail from a slower whole.
CREATE OR REPLACE VIEW latency_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.environment_id,
    valid.samples,
    valid.mean_ms,
    valid.p50_ms,
    valid.p90_ms,
    valid.p95_ms,
    valid.p99_ms,
    valid.p99_9_ms,
    valid.max_ms,
    valid.throughput_inf_per_s,
    series.model_variant,
    series.arrivals,
    valid.p50_low_ms,
    valid.p50_high_ms,
    valid.p90_low_ms,
    valid.p90_high_ms,
    valid.p95_low_ms,
    valid.p95_high_ms,
    valid.p99_low_ms,
    valid.p99_high_ms,
    valid.p99_9_low_ms,
    valid.p99_9_high_ms
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id;

COMMENT ON VIEW latency_history IS
    'Latency of one batch over time in ms, one row per series and sweep; valid measurements only';

-- The batch size with the highest throughput of every sweep, the smaller of equal ones. A sweep without a valid
-- measurement has no peak and no row.
CREATE OR REPLACE VIEW peak AS
SELECT
    best.series_id,
    sweep.model,
    sweep.model_revision,
    sweep.sequence_length,
    best.precision,
    sweep.compiler_args,
    best.batch_size,
    sweep.scenario,
    best.replicas,
    best.workers,
    best.worker_mode,
    best.backend,
    environment.instance_type,
    environment.hardware,
    sweep.night,
    sweep.created_at,
    sweep.sweep_id,
    sweep.origin,
    sweep.label,
    environment.sdk,
    best.environment_id,
    best.throughput_inf_per_s,
    best.p50_ms,
    best.p95_ms,
    best.p99_ms,
    series.model_variant,
    series.arrivals,
    best.throughput_low_inf_per_s,
    best.throughput_high_inf_per_s
FROM sweep
CROSS JOIN LATERAL (
    SELECT valid.*
    FROM valid_measurement AS valid
    WHERE valid.sweep_id = sweep.sweep_id AND valid.scenario = sweep.scenario
    ORDER BY valid.throughput_inf_per_s DESC, valid.batch_size
    LIMIT 1
) AS best
INNER JOIN environment ON environment.environment_id = best.environment_id
INNER JOIN series ON series.series_id = best.series_id;

COMMENT ON VIEW peak IS
    'The batch size with the highest throughput of every sweep, among valid measurements only';

-- What each SDK made of each series, and how it compares with the SDK before it. Imported figures are kept apart
-- from those measured here. Medians, so that one odd night decides nothing.
CREATE OR REPLACE VIEW sdk_comparison AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    step.origin,
    step.sdk,
    step.neuron_sdk,
    step.neuronx_cc,
    step.torch_neuronx,
    step.neuron_runtime,
    step.neuron_driver,
    step.torch,
    step.first_night,
    step.last_night,
    step.nights,
    step.median_throughput_inf_per_s,
    step.median_p50_ms,
    step.median_p99_ms,
    step.previous_sdk,
    step.throughput_change,
    step.p50_change,
    step.p99_change,
    series.model_variant,
    series.arrivals
FROM series
CROSS JOIN LATERAL (
    SELECT
        period.*,
        versions.*,
        lag(versions.sdk) OVER earlier AS previous_sdk,
        period.median_throughput_inf_per_s / lag(period.median_throughput_inf_per_s) OVER earlier - 1
            AS throughput_change,
        period.median_p50_ms / lag(period.median_p50_ms) OVER earlier - 1 AS p50_change,
        period.median_p99_ms / lag(period.median_p99_ms) OVER earlier - 1 AS p99_change
    FROM (
        SELECT
            valid.origin,
            same.example_id,
            min(valid.night) AS first_night,
            max(valid.night) AS last_night,
            count(DISTINCT valid.night) AS nights,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.throughput_inf_per_s)
                AS median_throughput_inf_per_s,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p50_ms) AS median_p50_ms,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p99_ms) AS median_p99_ms
        FROM valid_measurement AS valid
        -- Environments with the same versions are one; grouping by one of them is cheaper than by all versions.
        INNER JOIN (
            SELECT
                environment.environment_id,
                first_value(environment.environment_id) OVER (
                    PARTITION BY
                        environment.sdk,
                        environment.neuron_sdk,
                        environment.neuronx_cc,
                        environment.torch_neuronx,
                        environment.neuron_runtime,
                        environment.neuron_driver,
                        environment.torch
                    ORDER BY environment.environment_id
                ) AS example_id
            FROM environment
        ) AS same ON same.environment_id = valid.environment_id
        WHERE valid.series_id = series.series_id
        GROUP BY valid.origin, same.example_id
    ) AS period
    INNER JOIN (
        SELECT
            environment.environment_id,
            environment.sdk,
            environment.neuron_sdk,
            environment.neuronx_cc,
            environment.torch_neuronx,
            environment.neuron_runtime,
            environment.neuron_driver,
            environment.torch
        FROM environment
    ) AS versions ON versions.environment_id = period.example_id
    WINDOW earlier AS (PARTITION BY period.origin ORDER BY period.first_night, period.last_night)
) AS step;

COMMENT ON VIEW sdk_comparison IS
    'Each series under each SDK, one row per set of versions, with the change from the SDK before';

-- What a million inferences cost at the price of the sweep's day:
-- (1e6 / throughput) * (dollars an hour / 3600), one row per kind of price and class of regions.
-- Real accelerators only: the speed of a CPU or a stand-in times the price of an accelerator means nothing.
-- Where no price was in force there is no row.
CREATE OR REPLACE VIEW cost AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.throughput_inf_per_s,
    valid.p99_ms,
    period.region_class,
    period.price_kind,
    period.valid_from,
    period.usd_per_hour,
    (1e6 / valid.throughput_inf_per_s) * (period.usd_per_hour::double precision / 3600)
        AS usd_per_million_inferences,
    series.model_variant,
    series.arrivals
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id
INNER JOIN price_period AS period
    ON period.instance_type = series.instance_type
    AND period.valid_from <= valid.night
    AND coalesce(period.valid_before, 'infinity') > valid.night
WHERE series.hardware;

COMMENT ON VIEW cost IS 'US dollars per million inferences at the price of the day; real accelerators only';

-- The series there are, with the nights of their first and their last measurement, valid or not.
CREATE OR REPLACE VIEW series_list AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    life.first_night,
    life.last_night,
    series.model_variant,
    series.arrivals
FROM series
CROSS JOIN LATERAL (
    SELECT min(measurement.night) AS first_night, max(measurement.night) AS last_night
    FROM measurement
    WHERE measurement.series_id = series.series_id
) AS life
WHERE life.first_night IS NOT NULL;

COMMENT ON VIEW series_list IS 'The series that have measurements, with their first and last night';

-- Every series on every night from its first measurement to today, or to the newest sweep: is there a valid
-- figure, and if not, why? A series that was given up goes on to be listed: compare night with last_night.
-- Only what was measured here counts: imported figures neither begin a series of nights nor fill one.
-- A failed attempt does not say which machine it would have run on: it explains the gap of every series that its
-- sweep may have meant.
CREATE OR REPLACE VIEW coverage AS
WITH cell AS NOT MATERIALIZED (
    SELECT
        series.*,
        calendar.night,
        life.last_night,
        valid.sweep_id AS valid_sweep_id
    FROM (
        SELECT bounds.first_night + day.number AS night
        FROM (
            SELECT
                min(sweep.night) AS first_night,
                greatest(max(sweep.night), (now() AT TIME ZONE 'UTC')::date) AS last_night
            FROM sweep
        ) AS bounds
        CROSS JOIN LATERAL generate_series(0, bounds.last_night - bounds.first_night) AS day (number)
    ) AS calendar
    CROSS JOIN series
    INNER JOIN LATERAL (
        SELECT min(measured.night) AS first_night, max(measured.night) AS last_night
        FROM measurement AS measured
        WHERE measured.series_id = series.series_id AND measured.origin = 'dag'
    ) AS life ON life.first_night <= calendar.night
    LEFT JOIN LATERAL (
        SELECT measured.sweep_id
        FROM valid_measurement AS measured
        WHERE measured.series_id = series.series_id
            AND measured.night = calendar.night
            AND measured.origin = 'dag'
        LIMIT 1
    ) AS valid ON true
)
SELECT
    cell.series_id,
    cell.model,
    cell.model_revision,
    cell.sequence_length,
    cell.precision,
    cell.compiler_args,
    cell.batch_size,
    cell.scenario,
    cell.replicas,
    cell.workers,
    cell.worker_mode,
    cell.backend,
    cell.instance_type,
    cell.hardware,
    cell.night,
    'valid' AS state,
    cell.valid_sweep_id AS sweep_id,
    '' AS reason,
    cell.last_night,
    cell.model_variant,
    cell.arrivals
FROM cell
WHERE cell.valid_sweep_id IS NOT NULL
UNION ALL
SELECT
    cell.series_id,
    cell.model,
    cell.model_revision,
    cell.sequence_length,
    cell.precision,
    cell.compiler_args,
    cell.batch_size,
    cell.scenario,
    cell.replicas,
    cell.workers,
    cell.worker_mode,
    cell.backend,
    cell.instance_type,
    cell.hardware,
    cell.night,
    coalesce(missing.state, 'none') AS state,
    missing.sweep_id,
    coalesce(missing.reason, 'no sweep') AS reason,
    cell.last_night,
    cell.model_variant,
    cell.arrivals
FROM cell
LEFT JOIN LATERAL (
    SELECT
        sweep.sweep_id,
        CASE
            WHEN measured.status = 'invalid' THEN 'invalid'
            WHEN measured.status = 'ok' OR is_young THEN 'none'
            ELSE 'failed'
        END AS state,
        CASE measured.status
            WHEN 'ok' THEN 'measured as ' || measured.worker_mode
            WHEN 'failed' THEN measured.failure_message
            WHEN 'invalid' THEN (
                SELECT string_agg(checked.value ->> 'advice', ' ' ORDER BY checked.place)
                FROM jsonb_array_elements(measured.checks) WITH ORDINALITY AS checked (value, place)
                WHERE NOT (checked.value ->> 'passed')::boolean
            )
            ELSE coalesce(compiled.failure_message, CASE WHEN is_young THEN 'not finished yet' ELSE 'no result' END)
        END AS reason
    FROM sweep
    LEFT JOIN LATERAL (
        SELECT
            attempt.status, attempt.series_id, attempt.worker_mode, attempt.checks, attempt.failure_message
        FROM measurement AS attempt
        WHERE attempt.sweep_id = sweep.sweep_id
            AND attempt.batch_size = cell.batch_size
            AND attempt.scenario = cell.scenario
        ORDER BY attempt.status = 'ok' DESC, attempt.attempt DESC
        LIMIT 1
    ) AS measured ON true
    LEFT JOIN LATERAL (
        SELECT attempt.failure_message
        FROM compilation AS attempt
        WHERE attempt.sweep_id = sweep.sweep_id AND attempt.batch_size = cell.batch_size
        ORDER BY attempt.attempt DESC
        LIMIT 1
    ) AS compiled ON true
    CROSS JOIN LATERAL (
        SELECT
            measured.status IS NULL
            AND compiled.failure_message IS NULL
            AND sweep.created_at > now() - interval '1 day'
    ) AS age (is_young)
    LEFT JOIN series AS other ON other.series_id = measured.series_id
    WHERE sweep.night = cell.night
        AND sweep.origin = 'dag'
        AND sweep.model = cell.model
        AND sweep.model_revision IS NOT DISTINCT FROM cell.model_revision
        AND sweep.sequence_length = cell.sequence_length
        AND sweep.precision IN ('auto', cell.precision)
        AND sweep.compiler_args = cell.compiler_args
        AND sweep.scenario = cell.scenario
        AND sweep.backend = cell.backend
        AND coalesce(sweep.replicas = cell.replicas, true)
        AND coalesce(sweep.workers = cell.workers, true)
        AND sweep.model_variant IS NOT DISTINCT FROM cell.model_variant
        AND coalesce(
            cell.arrivals = server_arrivals(sweep.target_batches_per_s, sweep.latency_limit_ms), true
        )
        AND cell.batch_size = ANY (sweep.batch_sizes)
        AND CASE
            WHEN measured.series_id IS NULL THEN coalesce(sweep.worker_mode IN ('auto', cell.worker_mode), true)
            WHEN measured.series_id = cell.series_id THEN true
            -- Of what the sweep left open, only the kind of worker came out as another one.
            ELSE measured.status = 'ok' AND sweep.worker_mode = 'auto' AND ROW(
                other.precision, other.replicas, other.workers, other.instance_type, other.hardware, other.arrivals
            ) IS NOT DISTINCT FROM ROW(
                cell.precision, cell.replicas, cell.workers, cell.instance_type, cell.hardware,
                cell.arrivals
            )
        END
    ORDER BY measured.status = 'invalid' DESC NULLS LAST, sweep.created_at DESC
    LIMIT 1
) AS missing ON true
WHERE cell.valid_sweep_id IS NULL;

COMMENT ON VIEW coverage IS
    'Every series on every night since it began: valid, invalid, failed or none, with the reason';

-- The shifts that were found, each with where it stands: as the latest annotation says, open without one.
CREATE OR REPLACE VIEW change_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    change.change_id,
    change.metric,
    change.direction,
    change.before_value,
    change.after_value,
    change.relative_change,
    change.relative_low,
    change.relative_high,
    change.confidence,
    change.last_good_sweep_id,
    good.night AS last_good_night,
    change.first_bad_sweep_id,
    bad.night AS first_bad_night,
    change.detected_at,
    change.detector,
    coalesce(said.status, 'open') AS status,
    said.author,
    said.annotated_at,
    said.reason,
    (
        SELECT CASE
            WHEN num_nulls(pair.before_id, pair.after_id) > 0 THEN 'not known'
            ELSE coalesce(
                (
                    SELECT string_agg(
                        difference.field || ' ' || coalesce(difference.before, 'none') || ' -> '
                        || coalesce(difference.after, 'none'),
                        ', ' ORDER BY difference.rank
                    )
                    FROM environment_diff(pair.before_id, pair.after_id) AS difference
                ),
                'nothing'
            )
        END
        FROM (
            SELECT
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    WHERE valid.series_id = change.series_id AND valid.sweep_id = change.last_good_sweep_id
                ) AS before_id,
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    WHERE valid.series_id = change.series_id AND valid.sweep_id = change.first_bad_sweep_id
                ) AS after_id
        ) AS pair
    ) AS environment_changes,
    series.model_variant,
    series.arrivals
FROM change
INNER JOIN series ON series.series_id = change.series_id
INNER JOIN sweep AS good ON good.sweep_id = change.last_good_sweep_id
INNER JOIN sweep AS bad ON bad.sweep_id = change.first_bad_sweep_id
LEFT JOIN LATERAL (
    SELECT annotation.status, annotation.author, annotation.annotated_at, annotation.reason
    FROM annotation
    WHERE annotation.change_id = change.change_id AND annotation.status IS NOT NULL
    ORDER BY annotation.annotated_at DESC, annotation.annotation_id DESC
    LIMIT 1
) AS said ON true;

COMMENT ON VIEW change_history IS
    'All shifts that were found, with their size, their status and what changed in the environment';

-- The shifts that still want somebody's attention: open, or acknowledged and not yet settled.
CREATE OR REPLACE VIEW open_changes AS
SELECT change_history.*
FROM change_history
WHERE change_history.status IN ('open', 'acknowledged');

COMMENT ON VIEW open_changes IS 'Shifts that are open, or acknowledged and not yet settled';

-- What each series is judged against now: the pinned baseline, or else the automatic one. The figures are those
-- of the valid measurements in its range, as they stand today.
CREATE OR REPLACE VIEW current_baseline AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    chosen.kind AS baseline_kind,
    chosen.author,
    chosen.reason,
    chosen.set_at,
    chosen.first_sweep_id,
    opening.night AS first_night,
    chosen.last_sweep_id,
    closing.night AS last_night,
    level.sweeps,
    level.median_throughput_inf_per_s,
    level.median_p50_ms,
    level.median_p99_ms,
    series.model_variant,
    series.arrivals
FROM series
CROSS JOIN LATERAL (
    SELECT baseline.*
    FROM baseline
    WHERE baseline.series_id = series.series_id AND baseline.withdrawn_at IS NULL
    ORDER BY baseline.kind = 'pinned' DESC
    LIMIT 1
) AS chosen
INNER JOIN sweep AS opening ON opening.sweep_id = chosen.first_sweep_id
INNER JOIN sweep AS closing ON closing.sweep_id = chosen.last_sweep_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS sweeps,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.throughput_inf_per_s) AS median_throughput_inf_per_s,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p50_ms) AS median_p50_ms,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p99_ms) AS median_p99_ms
    FROM valid_measurement AS valid
    WHERE valid.series_id = series.series_id
        AND valid.night BETWEEN opening.night AND closing.night
        AND valid.created_at BETWEEN opening.created_at AND closing.created_at
) AS level;

COMMENT ON VIEW current_baseline IS
    'What each series is judged against now: who chose it, why, and its level from valid measurements';

-- The checks of every measurement, passed or not.
CREATE OR REPLACE VIEW measurement_check AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.environment_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    measurement.throughput_inf_per_s,
    checked.value ->> 'name' AS check_name,
    (checked.value ->> 'passed')::boolean AS passed,
    (checked.value ->> 'figure')::double precision AS figure,
    (checked.value ->> 'limit')::double precision AS figure_limit,
    checked.value ->> 'unit' AS unit,
    checked.value ->> 'advice' AS advice,
    measurement.origin
FROM measurement
CROSS JOIN LATERAL jsonb_array_elements(measurement.checks) AS checked (value);

COMMENT ON VIEW measurement_check IS 'Why a measurement is believed or not: its checks, one row each';

-- The checks that kept a measurement from being believed, one row per check and attempt.
CREATE OR REPLACE VIEW failed_check AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    checked.night,
    checked.sweep_id,
    checked.attempt,
    checked.environment_id,
    checked.throughput_inf_per_s,
    checked.check_name,
    checked.figure,
    checked.figure_limit,
    checked.unit,
    checked.advice,
    series.model_variant,
    series.arrivals,
    checked.origin
FROM measurement_check AS checked
INNER JOIN series ON series.series_id = checked.series_id
WHERE checked.status = 'invalid' AND NOT checked.passed;

COMMENT ON VIEW failed_check IS 'Checks that measurements failed, one row per check and attempt';

-- Every attempt to compile, with what it took; a cache hit took what it took when it was compiled.
CREATE OR REPLACE VIEW compilation_history AS
SELECT
    sweep.night,
    sweep.created_at,
    sweep.sweep_id,
    sweep.origin,
    sweep.label,
    sweep.model,
    sweep.model_revision,
    sweep.sequence_length,
    compilation.precision,
    sweep.compiler_args,
    compilation.batch_size,
    compilation.backend,
    compilation.attempt,
    compilation.status,
    compilation.cache_hit,
    compilation.compile_duration_s,
    compilation.peak_rss_bytes,
    compilation.artifact_key,
    compilation.artifact_size_bytes,
    compilation.environment_id,
    environment.sdk,
    environment.neuronx_cc,
    environment.hardware,
    compilation.failure_kind,
    compilation.failure_message,
    sweep.model_variant
FROM compilation
INNER JOIN sweep ON sweep.sweep_id = compilation.sweep_id
LEFT JOIN environment ON environment.environment_id = compilation.environment_id;

COMMENT ON VIEW compilation_history IS
    'Every attempt to compile: duration, memory, size of the artifact, or why it failed';

-- The scenario server from night to night, valid measurements only. Latency counts from the scheduled arrival, so that
-- waiting for a worker is in it; service latency is that of the calls alone. One arrival is one batch.
CREATE VIEW server_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    series.model_variant,
    series.arrivals,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.environment_id,
    valid.target_batches_per_s,
    valid.throughput_inf_per_s,
    valid.p99_limit_ms,
    valid.samples,
    valid.p50_ms,
    valid.p99_ms,
    valid.service_p50_ms,
    valid.service_p99_ms
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id
WHERE series.arrivals IS NOT NULL;

COMMENT ON VIEW server_history IS
    'Rate and latency under random arrivals over time, one row per series and sweep; valid measurements only';

-- The rates that a search for the highest one tried, in their order.
CREATE VIEW server_trial AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    measurement.p99_limit_ms,
    trial.place AS trial_number,
    (trial.value ->> 'target_batches_per_s')::double precision AS target_batches_per_s,
    (trial.value ->> 'achieved_batches_per_s')::double precision AS achieved_batches_per_s,
    (trial.value ->> 'samples')::bigint AS samples,
    (trial.value ->> 'p99_ms')::double precision AS p99_ms,
    (trial.value ->> 'met')::boolean AS met
FROM measurement
CROSS JOIN LATERAL jsonb_array_elements(measurement.server_trials) WITH ORDINALITY AS trial (value, place);

COMMENT ON VIEW server_trial IS 'The rates that each search for the highest one tried, one row each';

-- What the device said of itself while it was measured.
CREATE VIEW measurement_reading AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    reading.value ->> 'name' AS reading_name,
    (reading.value ->> 'value')::double precision AS figure,
    reading.value ->> 'unit' AS unit,
    (reading.value ->> 'core')::integer AS core
FROM measurement
CROSS JOIN LATERAL jsonb_array_elements(measurement.telemetry) AS reading (value);

COMMENT ON VIEW measurement_reading IS 'What the device said of itself during each measurement, one row per reading';

-- What the load generator itself cost in every measurement, and how much of an ideal device it can show.
CREATE VIEW measurement_harness AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    measurement.replicas,
    measurement.workers,
    measurement.worker_mode,
    measurement.processes,
    measurement.topology,
    measurement.throughput_inf_per_s,
    measurement.overhead_ns_per_call,
    measurement.overhead_service_ms,
    measurement.ideal_batches_per_s,
    measurement.ceiling_batches_per_s,
    measurement.overhead_ns_per_call / (measurement.overhead_service_ms * 1e6) AS share_of_latency,
    measurement.ceiling_batches_per_s / measurement.ideal_batches_per_s AS share_of_ideal
FROM measurement
WHERE measurement.overhead_ns_per_call IS NOT NULL;

COMMENT ON VIEW measurement_harness IS
    'What the load generator cost in each measurement and how much it can show; all that were measured with it';

-- What was asked, one row per sweep, whatever came of it: also those that have no result yet, or never will.
CREATE VIEW sweep_list AS
SELECT
    sweep_id,
    dag_id,
    run_id,
    origin,
    created_at,
    night,
    label,
    note,
    model,
    model_revision,
    model_variant,
    sequence_length,
    batch_sizes,
    backend,
    precision,
    compiler_args,
    scenario,
    replicas,
    workers,
    worker_mode,
    latency_limit_ms
FROM sweep;

COMMENT ON VIEW sweep_list IS 'All sweeps, as they were asked for, whether or not they have results';

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT relation.relname AS view, attribute.attname AS name, meaning.said
        FROM pg_class AS relation
        INNER JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0
        INNER JOIN LATERAL (
            SELECT meanings.said
            FROM (VALUES
        ('series_id', 'The series: the same in every database'),
        ('model', 'Hub id, directory, or config:NAME for seeded random weights'),
        ('model_revision', 'Branch, tag or commit on the hub'),
        ('sequence_length', 'Tokens per sequence, padding included'),
        ('precision', 'Precision of the program; NULL: not known'),
        ('compiler_args', 'Flags for the device''s compiler'),
        ('batch_size', 'Inferences per call'),
        ('scenario', 'Kind of load: offline, server or single_stream'),
        ('replicas', 'Loaded copies of the model; NULL: not known'),
        ('workers', 'Closed loops that issued batches; NULL: not known'),
        ('worker_mode', 'What a worker was: thread, process or native'),
        ('backend', 'What ran the model'),
        ('instance_type', 'The cloud''s name of the machine, such as inf2.xlarge'),
        ('hardware', 'True only for a real accelerator; results of a CPU or a stand-in never stand for one'),
        ('device', 'What ran the model, in words'),
        ('night', 'UTC date on which the sweep began'),
        ('created_at', 'When the sweep began'),
        ('sweep_id', 'The sweep'),
        ('origin', 'dag: measured here; import: read from somebody''s table'),
        ('label', 'Short name of the sweep, given by a person'),
        ('sdk', 'The Neuron SDK, or else the compiler, or else torch, with its version'),
        ('environment_id', 'The environment, for environment_diff and environment_field'),
        ('measurement_id', 'Internal key of the measurement'),
        ('attempt', '1 for the first try'),
        ('started_at', 'When the measuring began'),
        ('recorded_at', 'When the attempt ended'),
        ('filename', 'Name of the program''s file'),
        ('batches', 'Measured batches of all workers in all rounds'),
        ('inferences', 'batches x batch_size'),
        ('duration_s', 'inferences / throughput: the time in which all workers were busy, s'),
        ('throughput_inf_per_s', 'Inferences per second of all workers'),
        ('samples', 'Batches that the latencies are taken from'),
        ('mean_ms', 'Mean latency of one batch, ms'),
        ('p50_ms', 'Median latency of one batch, ms'),
        ('p90_ms', '90th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('p95_ms', '95th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('p99_ms', '99th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('p99_9_ms', '99.9th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('max_ms', 'Longest latency of one batch, ms'),
        ('load_duration_s', 'Time to load all replicas, s'),
        ('status', 'ok; invalid: measured but a check says not to believe it; failed: no figures'),
        ('reason', 'Why it failed or cannot be believed; empty when ok'),
        ('bucket', 'Number of the histogram''s bucket'),
        ('latency_bucket.batches', 'Batches in this bucket'),
        ('above_ms', 'Lower end of the bucket, exclusive, ms'),
        ('up_to_ms', 'Upper end of the bucket, inclusive, ms'),
        ('neuron_sdk', 'Release of the Neuron SDK'),
        ('neuronx_cc', 'Version of the Neuron compiler'),
        ('torch_neuronx', 'Version of torch-neuronx'),
        ('neuron_runtime', 'Version of the Neuron runtime library'),
        ('neuron_driver', 'Version of the Neuron kernel driver'),
        ('torch', 'Version of torch'),
        ('first_night', 'First night with a measurement'),
        ('last_night', 'Last night with a measurement'),
        ('nights', 'Nights with a valid measurement'),
        ('median_throughput_inf_per_s', 'Median over the sweeps of the inferences per second'),
        ('median_p50_ms', 'Median over the sweeps of the median latency of one batch, ms'),
        ('median_p99_ms', 'Median over the sweeps of the 99th percentile of the latency of one batch, ms'),
        ('previous_sdk', 'The SDK of the same series before this one; NULL for the first'),
        ('throughput_change', 'Median throughput / that under the previous SDK - 1: -0.03 is a loss of 3 percent'),
        ('p50_change', 'Median p50_ms / that under the previous SDK - 1: 0.03 is 3 percent slower'),
        ('p99_change', 'Median p99_ms / that under the previous SDK - 1: 0.03 is 3 percent slower'),
        ('region_class', 'Regions that share a price list, such as us-east'),
        ('price_kind', 'on_demand, or reserved_effective: a reservation spread over its hours'),
        ('valid_from', 'First day the price is in force'),
        ('valid_before', 'Day from which the next price is in force; NULL: there is none yet'),
        ('usd_per_hour', 'US dollars per machine and hour'),
        ('price_source', 'Where the price is from, and what it is'),
        ('usd_per_million_inferences', '(1e6 / throughput_inf_per_s) * (usd_per_hour / 3600)'),
        ('state', 'valid; invalid: measured, not believed; failed: asked for, no result; none: not asked for'),
        ('coverage.sweep_id', 'The sweep that measured, or that should have; NULL: there was none'),
        ('coverage.reason', 'Why there is no valid figure; empty when there is one'),
        ('coverage.last_night', 'Last night on which the series was measured here, valid or not'),
        ('change_id', 'Key of the change, for annotations'),
        ('metric', 'What shifted: throughput_inf_per_s or one of the latencies'),
        ('direction', 'worse: less throughput or more latency; else better'),
        ('before_value', 'Level before the shift, in the metric''s unit'),
        ('after_value', 'Level after the shift, in the metric''s unit'),
        ('relative_change', 'after / before - 1: -0.03 is a loss of 3 percent'),
        ('relative_low', 'Lower end of the interval of relative_change'),
        ('relative_high', 'Upper end of the interval of relative_change'),
        ('confidence', 'Confidence of that interval, such as 0.95'),
        ('last_good_sweep_id', 'The last sweep before the shift'),
        ('last_good_night', 'Its night'),
        ('first_bad_sweep_id', 'The first sweep after the shift'),
        ('first_bad_night', 'Its night'),
        ('detected_at', 'When the change was found'),
        ('detector', 'What found it, with the version of its thresholds'),
        ('change_history.status', 'open, acknowledged, fixed, expected or false_alarm'),
        ('open_changes.status', 'open or acknowledged'),
        ('author', 'Who said so; NULL: nobody yet'),
        ('annotated_at', 'When it was said'),
        ('change_history.reason', 'Why the status is what it is'),
        ('open_changes.reason', 'Why the status is what it is'),
        ('environment_changes', 'What differs in the environment, likeliest cause first; or: nothing, not known'),
        ('baseline_kind', 'automatic: chosen by the detector; pinned: by a person'),
        ('current_baseline.author', 'Who set it: a person, or the detector''s name'),
        ('current_baseline.reason', 'Why this one'),
        ('set_at', 'When it was set'),
        ('first_sweep_id', 'First sweep of the range'),
        ('current_baseline.first_night', 'Its night'),
        ('last_sweep_id', 'Last sweep of the range'),
        ('current_baseline.last_night', 'Its night'),
        ('sweeps', 'Valid measurements in the range'),
        ('annotation_id', 'Internal key, ascending in time'),
        ('annotation_history.author', 'Who said it'),
        ('annotation_history.reason', 'What was said, or why the status is what it is'),
        ('annotation_history.status', 'Status that the change has from then on; NULL: a remark'),
        ('annotation_history.change_id', 'The change it is about; NULL: none'),
        ('annotation_history.series_id', 'The series it is about, or that of the change'),
        ('annotation_history.sweep_id', 'The sweep it is about, or the change''s first bad one'),
        ('annotation_history.night', 'Night of that sweep'),
        ('rank', 'Place in the order of how likely the field is to change a figure; 1 is the likeliest'),
        ('field', 'Name of the field, as in the environment'),
        ('value', 'Its value as text; NULL: not present or not known'),
        ('previous_sweep_id', 'The last sweep before it that asked the same of the same kind of machine'),
        ('previous_night', 'Its night'),
        ('before', 'Value in the previous sweep''s environment'),
        ('after', 'Value in this sweep''s environment'),
        ('compilation_history.status', 'ok or failed'),
        ('compilation_history.backend', 'What compiled the model; NULL: the attempt failed'),
        ('compilation_history.environment_id', 'What it was compiled with; NULL: the attempt failed'),
        ('cache_hit', 'True: found in the artifact store, not compiled'),
        ('compile_duration_s', 'Duration of the compilation that made the artifact, s'),
        ('peak_rss_bytes', 'Highest resident memory of the compiling process, bytes'),
        ('artifact_key', 'SHA-256 of everything that shapes the program'),
        ('artifact_size_bytes', 'Size of the program''s file, bytes'),
        ('failure_kind', 'bad_input, error, crashed or timeout'),
        ('failure_message', 'Why it failed, one sentence'),
        ('failure_log_tail', 'Last lines of the failed process'),
        ('failure_history.backend', 'What was asked to compile and run the model'),
        ('stage', 'compile or measure'),
        ('recovered', 'True: a later attempt of the same sweep got a result'),
        ('failed_check.throughput_inf_per_s', 'Inferences per second of all workers, not to be believed'),
        ('check_name', 'Name of the check'),
        ('passed', 'False: the measurement is not to be believed'),
        ('round_index', '0 for the first round'),
        ('measurement_round.batches', 'Measured batches of all workers in this round'),
        ('figure', 'What was found, in the unit; NULL: not a number'),
        ('figure_limit', 'What it was held against, in the unit; NULL: not a number'),
        ('unit', 'Unit of both'),
        ('advice', 'What was found and what to do about it'),
        ('model_variant', 'Head and inputs where they are others than classification of text; NULL: they are those'),
        ('arrivals', 'server: rate 500/s, or search p99<=5ms for the highest rate within a limit; else NULL'),
        ('processes', 'Processes that the workers were spread over; NULL: not known'),
        ('topology', 'What issued the calls and why, one sentence; NULL: not known'),
        ('throughput_low_inf_per_s', 'Lower end of the 95 percent interval of throughput_inf_per_s; NULL: not known'),
        ('throughput_high_inf_per_s', 'Upper end of the 95 percent interval of throughput_inf_per_s; NULL: not known'),
        ('p50_low_ms', 'Lower end of the 95 percent interval of p50_ms; NULL: not known'),
        ('p50_high_ms', 'Upper end of the 95 percent interval of p50_ms; NULL: not known'),
        ('p90_low_ms', 'Lower end of the 95 percent interval of p90_ms; NULL: not known'),
        ('p90_high_ms', 'Upper end of the 95 percent interval of p90_ms; NULL: not known'),
        ('p95_low_ms', 'Lower end of the 95 percent interval of p95_ms; NULL: not known'),
        ('p95_high_ms', 'Upper end of the 95 percent interval of p95_ms; NULL: not known'),
        ('p99_low_ms', 'Lower end of the 95 percent interval of p99_ms; NULL: not known'),
        ('p99_high_ms', 'Upper end of the 95 percent interval of p99_ms; NULL: not known'),
        ('p99_9_low_ms', 'Lower end of the 95 percent interval of p99_9_ms; NULL: not known'),
        ('p99_9_high_ms', 'Upper end of the 95 percent interval of p99_9_ms; NULL: not known'),
        ('overhead_ns_per_call', 'Median time of the load generator''s loop around an empty replica, ns'),
        ('overhead_service_ms', 'Time of one call that ideal_batches_per_s and ceiling_batches_per_s are for, ms'),
        ('ideal_batches_per_s', 'workers / overhead_service_ms'),
        ('ceiling_batches_per_s', 'What the load generator shows of an ideal device that takes exactly so long'),
        ('target_batches_per_s', 'server: mean rate of the random arrivals, given or found by the search'),
        ('p99_limit_ms', 'server: highest acceptable P99, ms; NULL: none'),
        ('arrival_seed', 'server: seed of the random arrivals'),
        ('latency_limit_ms', 'Highest acceptable P99 that the sweep asked for, ms; NULL: none'),
        ('service_samples', 'server: calls that the service latencies are taken from'),
        ('service_mean_ms', 'server: mean latency of the calls alone, without waiting for a worker, ms'),
        ('service_p50_ms', 'server: median latency of the calls alone, without waiting for a worker, ms'),
        ('service_p90_ms', 'server: 90th percentile of the latency of the calls alone, ms'),
        ('service_p95_ms', 'server: 95th percentile of the latency of the calls alone, ms'),
        ('service_p99_ms', 'server: 99th percentile of the latency of the calls alone, ms'),
        ('service_p99_9_ms', 'server: 99.9th percentile of the latency of the calls alone, ms'),
        ('service_max_ms', 'server: longest latency of the calls alone, ms'),
        ('server_history.p50_ms', 'Median latency from the scheduled arrival, ms'),
        ('server_history.p99_ms', '99th percentile of the latency from the scheduled arrival, ms'),
        ('trial_number', 'Place in the search; 1 is the first'),
        ('server_trial.target_batches_per_s', 'Mean rate of the random arrivals that was tried'),
        ('achieved_batches_per_s', 'Batches per second that were served'),
        ('server_trial.samples', 'Batches that the latency is taken from'),
        ('server_trial.p99_ms', '99th percentile of the latency from the arrival, ms; NULL: too few samples'),
        ('met', 'True: the limit was met and the arrivals were kept up with'),
        ('reading_name', 'What was read, such as core_utilisation'),
        ('measurement_reading.figure', 'What the device said, in the unit'),
        ('measurement_reading.unit', 'Unit of the figure, such as ratio, bytes or count'),
        ('core', 'The core that it is of; NULL: the whole device'),
        ('share_of_latency', 'overhead_ns_per_call over the time of one call: 0.01 is 1 percent of the latency'),
        ('dag_id', 'Which DAG ran, or what imported'),
        ('run_id', 'Which run of it'),
        ('note', 'Why the run was started'),
        ('batch_sizes', 'Asked batch sizes, inferences per call'),
        ('sweep_list.precision', 'Asked precision; auto leaves it to the device'),
        ('sweep_list.replicas', 'Asked loaded copies of the model; NULL: one per core'),
        ('sweep_list.workers', 'Asked closed loops; NULL: one per replica'),
        ('sweep_list.worker_mode', 'Asked kind of worker; auto leaves it to a calibration'),
        ('share_of_ideal', 'ceiling_batches_per_s / ideal_batches_per_s; 1 is perfect')
            ) AS meanings (name, said)
            WHERE meanings.name IN (attribute.attname, relation.relname || '.' || attribute.attname)
            ORDER BY length(meanings.name) DESC
            LIMIT 1
        ) AS meaning ON true
        WHERE relation.relnamespace = current_schema()::regnamespace AND relation.relname IN ('comparison_table', 'valid_measurement', 'throughput_history', 'latency_history', 'peak', 'sdk_comparison', 'cost', 'series_list', 'coverage', 'change_history', 'open_changes', 'current_baseline', 'measurement_check', 'failed_check', 'compilation_history', 'server_history', 'server_trial', 'measurement_reading', 'measurement_harness', 'sweep_list')
    LOOP
        EXECUTE 'COMMENT ON COLUMN ' || quote_ident(found.view) || '.' || quote_ident(found.name)
            || ' IS ' || quote_nullable(found.said);
    END LOOP;
END $$;

UPDATE bench_alembic_version SET version_num='0004' WHERE bench_alembic_version.version_num = '0003';

-- Running upgrade 0004 -> 0005

CREATE TABLE notice (
    subject TEXT NOT NULL, 
    told_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    told_to TEXT[] NOT NULL, 
    CONSTRAINT pk_notice PRIMARY KEY (subject), 
    CONSTRAINT ck_notice_named CHECK (subject <> ''), 
    CONSTRAINT ck_notice_told CHECK (cardinality(told_to) >= 1)
);

COMMENT ON TABLE notice IS 'What has been told to people through the notification channels, each subject once';

COMMENT ON COLUMN notice.subject IS 'What it was about, such as one missing night';

COMMENT ON COLUMN notice.told_at IS 'When it was told';

COMMENT ON COLUMN notice.told_to IS 'The channels that took it, such as slack:bench_slack:#performance';

ALTER TABLE measurement ADD COLUMN samples_url TEXT;

COMMENT ON COLUMN measurement.samples_url IS 'Where the clock readings of every batch are kept, an npz file; NULL: nowhere, or no longer';

ALTER TABLE measurement ADD CONSTRAINT ck_measurement_samples_url CHECK (samples_url <> '' AND status <> 'failed' OR samples_url IS NULL);

UPDATE bench_alembic_version SET version_num='0005' WHERE bench_alembic_version.version_num = '0004';

-- Running upgrade 0005 -> 0006

CREATE TABLE configuration (
    configuration_id UUID NOT NULL, 
    model TEXT NOT NULL, 
    model_revision TEXT, 
    sequence_length INTEGER NOT NULL, 
    precision TEXT, 
    compiler_args TEXT[] NOT NULL, 
    scenario TEXT NOT NULL, 
    replicas INTEGER, 
    workers INTEGER, 
    worker_mode TEXT, 
    backend TEXT NOT NULL, 
    instance_type TEXT, 
    hardware BOOLEAN NOT NULL, 
    model_variant TEXT, 
    arrivals TEXT, 
    CONSTRAINT pk_configuration PRIMARY KEY (configuration_id), 
    CONSTRAINT ck_configuration_derived CHECK (configuration_id = left(encode(sha256(convert_to(ROW(model, model_revision, sequence_length, precision, compiler_args, scenario, replicas, workers, worker_mode, backend, instance_type, hardware, model_variant, arrivals)::text, 'UTF8')), 'hex'), 32)::uuid)
);

COMMENT ON TABLE configuration IS 'What is measured at several batch sizes: the key of its series without the batch size';

COMMENT ON COLUMN configuration.configuration_id IS 'Derived from all other columns, so the same in every database';

COMMENT ON COLUMN configuration.model IS 'Hub id, directory, or config:NAME for seeded random weights';

COMMENT ON COLUMN configuration.model_revision IS 'Branch, tag or commit on the hub';

COMMENT ON COLUMN configuration.sequence_length IS 'Tokens per sequence, padding included';

COMMENT ON COLUMN configuration.precision IS 'Precision of the program; NULL: not known';

COMMENT ON COLUMN configuration.compiler_args IS 'Flags for the device''s compiler';

COMMENT ON COLUMN configuration.scenario IS 'Kind of load: offline, server or single_stream';

COMMENT ON COLUMN configuration.replicas IS 'Loaded copies of the model; NULL: not known';

COMMENT ON COLUMN configuration.workers IS 'Closed loops that issued batches; NULL: not known';

COMMENT ON COLUMN configuration.worker_mode IS 'What a worker was: thread, process or native';

COMMENT ON COLUMN configuration.backend IS 'What ran the model';

COMMENT ON COLUMN configuration.instance_type IS 'The cloud''s name of the machine, such as inf2.xlarge';

COMMENT ON COLUMN configuration.hardware IS 'True only for a real accelerator; results of a CPU or a stand-in never stand for one';

COMMENT ON COLUMN configuration.model_variant IS 'Head and inputs where they are others than classification of text; NULL: they are those';

COMMENT ON COLUMN configuration.arrivals IS 'server: rate 500/s, or search p99<=5ms for the highest rate within a limit; else NULL';

INSERT INTO configuration SELECT DISTINCT left(encode(sha256(convert_to(ROW(model, model_revision, sequence_length, precision, compiler_args, scenario, replicas, workers, worker_mode, backend, instance_type, hardware, model_variant, arrivals)::text, 'UTF8')), 'hex'), 32)::uuid, model, model_revision, sequence_length, precision, compiler_args, scenario, replicas, workers, worker_mode, backend, instance_type, hardware, model_variant, arrivals FROM series;

ALTER TABLE series ADD COLUMN configuration_id UUID;

COMMENT ON COLUMN series.configuration_id IS 'The same without the batch size; the database fills it in';

UPDATE series SET configuration_id = left(encode(sha256(convert_to(ROW(model, model_revision, sequence_length, precision, compiler_args, scenario, replicas, workers, worker_mode, backend, instance_type, hardware, model_variant, arrivals)::text, 'UTF8')), 'hex'), 32)::uuid;

ALTER TABLE series ALTER COLUMN configuration_id SET NOT NULL;

ALTER TABLE series ADD CONSTRAINT fk_series_configuration_id FOREIGN KEY(configuration_id) REFERENCES configuration (configuration_id);

ALTER TABLE series ADD CONSTRAINT uq_series_series_id UNIQUE (series_id, configuration_id);

CREATE INDEX ix_series_configuration_id ON series (configuration_id);

ALTER TABLE series ADD CONSTRAINT ck_series_configuration_derived CHECK (configuration_id = left(encode(sha256(convert_to(ROW(model, model_revision, sequence_length, precision, compiler_args, scenario, replicas, workers, worker_mode, backend, instance_type, hardware, model_variant, arrivals)::text, 'UTF8')), 'hex'), 32)::uuid);

-- Fills in the configuration of a series, whoever writes it; adds a configuration that is new.
CREATE FUNCTION place_series() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.configuration_id := left(encode(sha256(convert_to(ROW(
        NEW.model, NEW.model_revision, NEW.sequence_length, NEW.precision, NEW.compiler_args, NEW.scenario,
        NEW.replicas, NEW.workers, NEW.worker_mode, NEW.backend, NEW.instance_type, NEW.hardware,
        NEW.model_variant, NEW.arrivals
    )::text, 'UTF8')), 'hex'), 32)::uuid;
    IF NOT EXISTS (SELECT FROM configuration WHERE configuration.configuration_id = NEW.configuration_id) THEN
        INSERT INTO configuration VALUES (
            NEW.configuration_id, NEW.model, NEW.model_revision, NEW.sequence_length, NEW.precision,
            NEW.compiler_args, NEW.scenario, NEW.replicas, NEW.workers, NEW.worker_mode, NEW.backend,
            NEW.instance_type, NEW.hardware, NEW.model_variant, NEW.arrivals
        ) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION place_series() IS
    'Trigger: fills in the configuration that a series belongs to';

CREATE TRIGGER place_series BEFORE INSERT OR UPDATE ON series FOR EACH ROW EXECUTE FUNCTION place_series();

CREATE TABLE incident (
    incident_id BIGINT GENERATED ALWAYS AS IDENTITY, 
    configuration_id UUID NOT NULL, 
    direction TEXT NOT NULL, 
    last_good_sweep_id UUID NOT NULL, 
    first_bad_sweep_id UUID NOT NULL, 
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT pk_incident PRIMARY KEY (incident_id), 
    CONSTRAINT fk_incident_configuration_id FOREIGN KEY(configuration_id) REFERENCES configuration (configuration_id), 
    CONSTRAINT fk_incident_last_good_sweep_id FOREIGN KEY(last_good_sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT fk_incident_first_bad_sweep_id FOREIGN KEY(first_bad_sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT uq_incident_incident_id UNIQUE (incident_id, configuration_id), 
    CONSTRAINT uq_incident_configuration_id UNIQUE (configuration_id, direction, first_bad_sweep_id), 
    CONSTRAINT ck_incident_direction CHECK (direction IN ('worse', 'better')), 
    CONSTRAINT ck_incident_sweeps CHECK (last_good_sweep_id <> first_bad_sweep_id)
);

COMMENT ON TABLE incident IS 'Changes of one configuration within three nights in one direction: what people judge';

COMMENT ON COLUMN incident.incident_id IS 'The number by which people know it';

COMMENT ON COLUMN incident.configuration_id IS 'What shifted, at one or more batch sizes';

COMMENT ON COLUMN incident.direction IS 'worse: less throughput, more latency, time or size; else better';

COMMENT ON COLUMN incident.last_good_sweep_id IS 'The last sweep before its leading change';

COMMENT ON COLUMN incident.first_bad_sweep_id IS 'The first sweep after its leading change';

COMMENT ON COLUMN incident.opened_at IS 'When it was found';

CREATE INDEX ix_incident_first_bad_sweep_id ON incident (first_bad_sweep_id);

CREATE INDEX ix_incident_last_good_sweep_id ON incident (last_good_sweep_id);

CREATE INDEX ix_incident_opened_at ON incident (opened_at);

ALTER TABLE change ADD COLUMN incident_id BIGINT;

COMMENT ON COLUMN change.incident_id IS 'The incident that it is part of';

ALTER TABLE change ADD COLUMN configuration_id UUID;

COMMENT ON COLUMN change.configuration_id IS 'What shifted, at one batch size or at all';

ALTER TABLE change ADD COLUMN level TEXT GENERATED ALWAYS AS (CASE WHEN series_id IS NULL THEN 'geometric_mean' ELSE 'batch_size' END) STORED NOT NULL;

COMMENT ON COLUMN change.level IS 'batch_size: one series; geometric_mean: the mean over all batch sizes';

ALTER TABLE change ADD COLUMN agreed BOOLEAN;

COMMENT ON COLUMN change.agreed IS 'A second method finds it too; NULL: it was not asked or cannot tell';

UPDATE change SET configuration_id = series.configuration_id FROM series WHERE series.series_id = change.series_id;

INSERT INTO incident (configuration_id, direction, last_good_sweep_id, first_bad_sweep_id, opened_at) SELECT DISTINCT ON (configuration_id, direction, first_bad_sweep_id) configuration_id, direction, last_good_sweep_id, first_bad_sweep_id, detected_at FROM change ORDER BY configuration_id, direction, first_bad_sweep_id, detected_at;

UPDATE change SET incident_id = incident.incident_id FROM incident WHERE incident.configuration_id = change.configuration_id AND incident.direction = change.direction AND incident.first_bad_sweep_id = change.first_bad_sweep_id;

ALTER TABLE change ALTER COLUMN incident_id SET NOT NULL;

ALTER TABLE change ALTER COLUMN configuration_id SET NOT NULL;

ALTER TABLE change ALTER COLUMN series_id DROP NOT NULL;

COMMENT ON COLUMN change.series_id IS 'The history that shifted; NULL: the geometric mean over the batch sizes';

COMMENT ON COLUMN change.metric IS 'What shifted: throughput_inf_per_s, a latency, or a figure of the compilation';

ALTER TABLE change ADD CONSTRAINT fk_change_incident_id FOREIGN KEY(incident_id, configuration_id) REFERENCES incident (incident_id, configuration_id) ON DELETE CASCADE;

ALTER TABLE change ADD CONSTRAINT fk_change_series_of_configuration FOREIGN KEY(series_id, configuration_id) REFERENCES series (series_id, configuration_id);

CREATE INDEX ix_change_incident_id ON change (incident_id);

CREATE UNIQUE INDEX uq_change_geometric_mean ON change (configuration_id, metric, first_bad_sweep_id) WHERE series_id IS NULL;

ALTER TABLE change DROP CONSTRAINT ck_change_metric;

ALTER TABLE change ADD CONSTRAINT ck_change_metric CHECK (metric IN ('throughput_inf_per_s', 'mean_ms', 'p50_ms', 'p90_ms', 'p95_ms', 'p99_ms', 'p99_9_ms', 'max_ms', 'compile_duration_s', 'artifact_size_bytes', 'peak_rss_bytes'));

-- Fills in what a new change leaves out, whoever writes it: the configuration of its series, and the incident that
-- begins with its sweep, which is added when there is none.
CREATE FUNCTION situate_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    way text := CASE
        WHEN (NEW.after_value < NEW.before_value) = (NEW.metric = 'throughput_inf_per_s') THEN 'worse'
        ELSE 'better'
    END;
BEGIN
    IF NEW.configuration_id IS NULL THEN
        NEW.configuration_id := (
            SELECT series.configuration_id FROM series WHERE series.series_id = NEW.series_id
        );
    END IF;
    IF NEW.incident_id IS NULL THEN
        INSERT INTO incident (configuration_id, direction, last_good_sweep_id, first_bad_sweep_id, opened_at)
        VALUES (NEW.configuration_id, way, NEW.last_good_sweep_id, NEW.first_bad_sweep_id, NEW.detected_at)
        ON CONFLICT DO NOTHING;
        NEW.incident_id := (
            SELECT incident.incident_id
            FROM incident
            WHERE incident.configuration_id = NEW.configuration_id
                AND incident.direction = way
                AND incident.first_bad_sweep_id = NEW.first_bad_sweep_id
        );
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION situate_change() IS
    'Trigger: fills in the configuration of a change and the incident that it is part of';

CREATE TRIGGER situate_change BEFORE INSERT ON change FOR EACH ROW EXECUTE FUNCTION situate_change();

ALTER TABLE annotation ADD COLUMN incident_id BIGINT;

COMMENT ON COLUMN annotation.incident_id IS 'The incident it is about';

ALTER TABLE annotation ADD CONSTRAINT fk_annotation_incident_id FOREIGN KEY(incident_id) REFERENCES incident (incident_id) ON DELETE CASCADE;

CREATE INDEX ix_annotation_incident_id ON annotation (incident_id);

ALTER TABLE annotation DROP CONSTRAINT ck_annotation_status;

ALTER TABLE annotation DROP CONSTRAINT ck_annotation_subject;

ALTER TABLE annotation DROP CONSTRAINT ck_annotation_status_is_of_a_change;

UPDATE annotation SET incident_id = change.incident_id, status = CASE annotation.status WHEN 'open' THEN 'reopened' ELSE annotation.status END FROM change WHERE change.change_id = annotation.change_id;

ALTER TABLE annotation ADD CONSTRAINT ck_annotation_status CHECK (status IN ('suspect', 'confirmed', 'acknowledged', 'expected', 'infra', 'fixed', 'wont_fix', 'false_alarm', 'recovered', 'reopened'));

ALTER TABLE annotation ADD CONSTRAINT ck_annotation_subject CHECK (num_nonnulls(incident_id, change_id, series_id, sweep_id) >= 1);

ALTER TABLE annotation ADD CONSTRAINT ck_annotation_status_is_of_an_incident CHECK (status IS NULL OR incident_id IS NOT NULL);

COMMENT ON COLUMN annotation.status IS 'Status of the incident from now on: suspect, confirmed, acknowledged, expected, infra, fixed, wont_fix, false_alarm, recovered or reopened';

ALTER TABLE baseline ADD COLUMN superseded_by BIGINT;

COMMENT ON COLUMN baseline.superseded_by IS 'The pinned baseline that took its place; NULL: it counts, or it was withdrawn';

ALTER TABLE baseline ADD CONSTRAINT fk_baseline_superseded_by FOREIGN KEY(superseded_by) REFERENCES baseline (baseline_id) ON DELETE CASCADE;

ALTER TABLE baseline ADD CONSTRAINT ck_baseline_superseded CHECK (superseded_by IS NULL OR (superseded_by <> baseline_id AND withdrawn_at IS NOT NULL));

CREATE INDEX ix_baseline_superseded_by ON baseline (superseded_by);

ALTER TABLE sweep ADD COLUMN confirms_sweep_id UUID;

COMMENT ON COLUMN sweep.confirms_sweep_id IS 'The sweep whose suspicious figures were measured again, in the same night; NULL: it stands by itself';

ALTER TABLE sweep ADD CONSTRAINT fk_sweep_confirms_sweep_id FOREIGN KEY(confirms_sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE;

ALTER TABLE sweep ADD CONSTRAINT ck_sweep_confirms CHECK (confirms_sweep_id <> sweep_id);

CREATE INDEX ix_sweep_confirms ON sweep (confirms_sweep_id) WHERE confirms_sweep_id IS NOT NULL;

CREATE TABLE night_event (
    night_event_id BIGINT GENERATED ALWAYS AS IDENTITY, 
    night DATE NOT NULL, 
    kind TEXT NOT NULL, 
    configuration_id UUID NOT NULL, 
    series_id UUID, 
    metric TEXT, 
    sweep_id UUID, 
    detected_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    detector TEXT NOT NULL, 
    evidence JSONB NOT NULL, 
    CONSTRAINT pk_night_event PRIMARY KEY (night_event_id), 
    CONSTRAINT fk_night_event_configuration_id FOREIGN KEY(configuration_id) REFERENCES configuration (configuration_id), 
    CONSTRAINT fk_night_event_sweep_id FOREIGN KEY(sweep_id) REFERENCES sweep (sweep_id) ON DELETE CASCADE, 
    CONSTRAINT fk_night_event_series_id FOREIGN KEY(series_id, configuration_id) REFERENCES series (series_id, configuration_id), 
    CONSTRAINT ck_night_event_kind CHECK (kind IN ('missing', 'failed', 'insufficient_data', 'suspect', 'outlier', 'trend')), 
    CONSTRAINT ck_night_event_metric CHECK (metric IN ('throughput_inf_per_s', 'mean_ms', 'p50_ms', 'p90_ms', 'p95_ms', 'p99_ms', 'p99_9_ms', 'max_ms', 'compile_duration_s', 'artifact_size_bytes', 'peak_rss_bytes')), 
    CONSTRAINT ck_night_event_subject CHECK ((kind IN ('suspect', 'outlier', 'trend')) = (metric IS NOT NULL) AND (kind IN ('suspect', 'outlier', 'trend') OR series_id IS NOT NULL) AND (kind <> 'trend' OR extract(isodow FROM night) = 1)), 
    CONSTRAINT ck_night_event_named CHECK (detector <> '')
);

COMMENT ON TABLE night_event IS 'What a night had that is no lasting change: gaps, outliers, and slow trends of a week';

COMMENT ON COLUMN night_event.night_event_id IS 'Internal key';

COMMENT ON COLUMN night_event.night IS 'UTC date of the sweeps that it is about; of a trend, the week''s Monday';

COMMENT ON COLUMN night_event.kind IS 'missing: no figure and no sweep; failed: asked for, no result; insufficient_data: not to be believed; suspect: one night far off, not yet measured again; outlier: far off, and not the next time; trend: slow';

COMMENT ON COLUMN night_event.configuration_id IS 'What it is about';

COMMENT ON COLUMN night_event.series_id IS 'The history it is about; NULL: the mean over all batch sizes';

COMMENT ON COLUMN night_event.metric IS 'Which figure; NULL: all, there is none';

COMMENT ON COLUMN night_event.sweep_id IS 'The sweep that measured, or should have; NULL: there was none';

COMMENT ON COLUMN night_event.detected_at IS 'When it was found';

COMMENT ON COLUMN night_event.detector IS 'What found it, with the version of its thresholds';

COMMENT ON COLUMN night_event.evidence IS 'What the detector went by, for people';

CREATE UNIQUE INDEX uq_night_event_subject ON night_event (night, configuration_id, coalesce(series_id, '00000000-0000-0000-0000-000000000000'::uuid), kind, coalesce(metric, ''::text));

CREATE INDEX ix_night_event_configuration_id ON night_event (configuration_id);

CREATE INDEX ix_night_event_series_id ON night_event (series_id);

CREATE INDEX ix_night_event_sweep_id ON night_event (sweep_id);

CREATE TABLE mute (
    mute_id BIGINT GENERATED ALWAYS AS IDENTITY, 
    series_id UUID, 
    model_glob TEXT, 
    metric TEXT, 
    author TEXT NOT NULL, 
    reason TEXT NOT NULL, 
    set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    lifted_at TIMESTAMP WITH TIME ZONE, 
    lifted_by TEXT, 
    lifted_reason TEXT, 
    CONSTRAINT pk_mute PRIMARY KEY (mute_id), 
    CONSTRAINT fk_mute_series_id FOREIGN KEY(series_id) REFERENCES series (series_id), 
    CONSTRAINT ck_mute_subject CHECK (num_nonnulls(series_id, model_glob) = 1), 
    CONSTRAINT ck_mute_metric CHECK (metric IN ('throughput_inf_per_s', 'mean_ms', 'p50_ms', 'p90_ms', 'p95_ms', 'p99_ms', 'p99_9_ms', 'max_ms', 'compile_duration_s', 'artifact_size_bytes', 'peak_rss_bytes')), 
    CONSTRAINT ck_mute_named CHECK (author <> '' AND reason <> '' AND model_glob <> ''), 
    CONSTRAINT ck_mute_expires CHECK (expires_at > set_at AND isfinite(expires_at)), 
    CONSTRAINT ck_mute_lifted CHECK (num_nulls(lifted_at, lifted_by, lifted_reason) IN (0, 3) AND lifted_at >= set_at AND lifted_by <> '' AND lifted_reason <> '')
);

COMMENT ON TABLE mute IS 'What nobody wants to hear of for a while, and until when';

COMMENT ON COLUMN mute.mute_id IS 'The number by which people know it';

COMMENT ON COLUMN mute.series_id IS 'The history that is muted; NULL: those of models';

COMMENT ON COLUMN mute.model_glob IS 'Pattern of the models that are muted, with * and ?; NULL: a single history';

COMMENT ON COLUMN mute.metric IS 'Only this figure; NULL: all';

COMMENT ON COLUMN mute.author IS 'Who muted it';

COMMENT ON COLUMN mute.reason IS 'Why';

COMMENT ON COLUMN mute.set_at IS 'When it was muted';

COMMENT ON COLUMN mute.expires_at IS 'When it is heard again by itself';

COMMENT ON COLUMN mute.lifted_at IS 'When a person ended it before that; NULL: nobody did';

COMMENT ON COLUMN mute.lifted_by IS 'Who ended it';

COMMENT ON COLUMN mute.lifted_reason IS 'Why it was ended';

CREATE INDEX ix_mute_expires_at ON mute (expires_at);

CREATE INDEX ix_mute_series_id ON mute (series_id);

-- Refuses a change or a baseline whose sweeps have no valid measurement in its series, or run backwards. A change
-- without a series is of the geometric mean: any series of its configuration will do.
-- The arguments name the columns of the earlier and of the later sweep.
CREATE OR REPLACE FUNCTION require_valid_sweeps() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    earlier uuid := to_jsonb(NEW) ->> TG_ARGV[0];
    later uuid := to_jsonb(NEW) ->> TG_ARGV[1];
    configuration uuid := to_jsonb(NEW) ->> 'configuration_id';
BEGIN
    IF EXISTS (
        SELECT FROM unnest(ARRAY[earlier, later]) AS named (sweep_id)
        WHERE NOT EXISTS (
            SELECT FROM valid_measurement AS valid
            WHERE valid.sweep_id = named.sweep_id
                AND valid.series_id IN (
                    SELECT NEW.series_id
                    UNION ALL
                    SELECT series.series_id
                    FROM series
                    WHERE NEW.series_id IS NULL AND series.configuration_id = configuration
                )
        )
    ) THEN
        RAISE check_violation USING
            MESSAGE = 'the ' || TG_TABLE_NAME || ' names a sweep without a valid measurement in its series',
            CONSTRAINT = 'ck_' || TG_TABLE_NAME || '_valid_sweeps';
    END IF;
    IF (SELECT created_at FROM sweep WHERE sweep_id = earlier)
        > (SELECT created_at FROM sweep WHERE sweep_id = later)
    THEN
        RAISE check_violation USING
            MESSAGE = 'the ' || TG_TABLE_NAME || ' names its sweeps in the wrong order of time',
            CONSTRAINT = 'ck_' || TG_TABLE_NAME || '_sweeps_ascend';
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION require_valid_sweeps() IS
    'Trigger: a change or a baseline may only name sweeps with a valid measurement in its series';

-- The shifts that were found, each with where it stands: as its incident does; suspect, confirmed and reopened
-- ones are open. Shifts of a geometric mean belong to no series: incident_change has those too.
CREATE OR REPLACE VIEW change_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    change.change_id,
    change.metric,
    change.direction,
    change.before_value,
    change.after_value,
    change.relative_change,
    change.relative_low,
    change.relative_high,
    change.confidence,
    change.last_good_sweep_id,
    good.night AS last_good_night,
    change.first_bad_sweep_id,
    bad.night AS first_bad_night,
    change.detected_at,
    change.detector,
    CASE
        WHEN said.status IS NULL OR said.status IN ('suspect', 'confirmed', 'reopened') THEN 'open'
        ELSE said.status
    END AS status,
    said.author,
    said.annotated_at,
    said.reason,
    (
        SELECT CASE
            WHEN num_nulls(pair.before_id, pair.after_id) > 0 THEN 'not known'
            ELSE coalesce(
                (
                    SELECT string_agg(
                        difference.field || ' ' || coalesce(difference.before, 'none') || ' -> '
                        || coalesce(difference.after, 'none'),
                        ', ' ORDER BY difference.rank
                    )
                    FROM environment_diff(pair.before_id, pair.after_id) AS difference
                ),
                'nothing'
            )
        END
        FROM (
            SELECT
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    WHERE valid.series_id = change.series_id AND valid.sweep_id = change.last_good_sweep_id
                ) AS before_id,
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    WHERE valid.series_id = change.series_id AND valid.sweep_id = change.first_bad_sweep_id
                ) AS after_id
        ) AS pair
    ) AS environment_changes,
    series.model_variant,
    series.arrivals,
    change.configuration_id,
    change.incident_id,
    change.agreed
FROM change
INNER JOIN series ON series.series_id = change.series_id
INNER JOIN sweep AS good ON good.sweep_id = change.last_good_sweep_id
INNER JOIN sweep AS bad ON bad.sweep_id = change.first_bad_sweep_id
LEFT JOIN LATERAL (
    SELECT annotation.status, annotation.author, annotation.annotated_at, annotation.reason
    FROM annotation
    WHERE annotation.incident_id = change.incident_id AND annotation.status IS NOT NULL
    ORDER BY annotation.annotated_at DESC, annotation.annotation_id DESC
    LIMIT 1
) AS said ON true;

COMMENT ON VIEW change_history IS
    'All shifts that were found, with their size, their status and what changed in the environment';

-- The shifts that still want somebody's attention: open, or acknowledged and not yet settled.
CREATE OR REPLACE VIEW open_changes AS
SELECT change_history.*
FROM change_history
WHERE change_history.status IN ('open', 'acknowledged');

COMMENT ON VIEW open_changes IS 'Shifts that are open, or acknowledged and not yet settled';

-- What people said, about whatever it was.
CREATE OR REPLACE VIEW annotation_history AS
SELECT
    annotation.annotation_id,
    annotation.annotated_at,
    annotation.author,
    annotation.reason,
    annotation.status,
    annotation.change_id,
    coalesce(annotation.series_id, change.series_id) AS series_id,
    coalesce(annotation.sweep_id, change.first_bad_sweep_id, incident.first_bad_sweep_id) AS sweep_id,
    sweep.night,
    annotation.incident_id
FROM annotation
LEFT JOIN change ON change.change_id = annotation.change_id
LEFT JOIN incident ON incident.incident_id = annotation.incident_id
LEFT JOIN sweep
    ON sweep.sweep_id = coalesce(annotation.sweep_id, change.first_bad_sweep_id, incident.first_bad_sweep_id);

COMMENT ON VIEW annotation_history IS
    'What people said about incidents, changes, series and sweeps; of an incident, its first bad sweep too';

-- What was asked, one row per sweep, whatever came of it: also those that have no result yet, or never will.
CREATE OR REPLACE VIEW sweep_list AS
SELECT
    sweep_id,
    dag_id,
    run_id,
    origin,
    created_at,
    night,
    label,
    note,
    model,
    model_revision,
    model_variant,
    sequence_length,
    batch_sizes,
    backend,
    precision,
    compiler_args,
    scenario,
    replicas,
    workers,
    worker_mode,
    latency_limit_ms,
    confirms_sweep_id
FROM sweep;

COMMENT ON VIEW sweep_list IS 'All sweeps, as they were asked for, whether or not they have results';

-- Of every sweep, batch size and scenario the latest attempt that passed all checks, also of the sweeps that only
-- measured again what another one found.
CREATE VIEW valid_attempt AS
SELECT
    measurement.measurement_id,
    measurement.sweep_id,
    measurement.series_id,
    measurement.environment_id,
    measurement.night,
    measurement.sweep_created_at AS created_at,
    measurement.origin,
    measurement.batch_size,
    measurement.scenario,
    measurement.precision,
    measurement.replicas,
    measurement.workers,
    measurement.worker_mode,
    measurement.backend,
    measurement.attempt,
    measurement.started_at,
    measurement.batches,
    measurement.inferences,
    measurement.duration_s,
    measurement.throughput_inf_per_s,
    measurement.samples,
    measurement.mean_ms,
    measurement.p50_ms,
    measurement.p90_ms,
    measurement.p95_ms,
    measurement.p99_ms,
    measurement.p99_9_ms,
    measurement.max_ms,
    measurement.load_duration_s,
    measurement.processes,
    measurement.topology,
    measurement.throughput_low_inf_per_s,
    measurement.throughput_high_inf_per_s,
    measurement.p50_low_ms,
    measurement.p50_high_ms,
    measurement.p90_low_ms,
    measurement.p90_high_ms,
    measurement.p95_low_ms,
    measurement.p95_high_ms,
    measurement.p99_low_ms,
    measurement.p99_high_ms,
    measurement.p99_9_low_ms,
    measurement.p99_9_high_ms,
    measurement.overhead_ns_per_call,
    measurement.overhead_service_ms,
    measurement.ideal_batches_per_s,
    measurement.ceiling_batches_per_s,
    measurement.target_batches_per_s,
    measurement.p99_limit_ms,
    measurement.arrival_seed,
    measurement.service_samples,
    measurement.service_mean_ms,
    measurement.service_p50_ms,
    measurement.service_p90_ms,
    measurement.service_p95_ms,
    measurement.service_p99_ms,
    measurement.service_p99_9_ms,
    measurement.service_max_ms
FROM measurement
WHERE measurement.status = 'ok'
    AND NOT EXISTS (
        SELECT FROM measurement AS later
        WHERE later.sweep_id = measurement.sweep_id
            AND later.batch_size = measurement.batch_size
            AND later.scenario = measurement.scenario
            AND later.attempt > measurement.attempt
            AND later.attempt > 1  -- says what the line before implies, for the small index of retries
            AND later.status = 'ok'
    );

COMMENT ON VIEW valid_attempt IS
    'The latest attempt that passed all checks of every sweep and batch size, second measurements of a night too';

-- What detection goes by: of each valid measurement made here the median over its rounds, which one disturbed round
-- cannot move, and the percentiles of all its batches. What a night was confirmed by is told apart: it is never the
-- value of the night.
CREATE VIEW night_value AS
SELECT
    valid.series_id,
    valid.batch_size,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    sweep.confirms_sweep_id,
    valid.environment_id,
    windows.rounds,
    coalesce(windows.quartiles[2], valid.throughput_inf_per_s) AS throughput_inf_per_s,
    CASE
        WHEN windows.rounds > 1 THEN (windows.quartiles[3] - windows.quartiles[1]) / 1.349 / windows.quartiles[2]
    END AS throughput_spread,
    valid.p50_ms,
    valid.p90_ms,
    valid.p95_ms,
    valid.p99_ms
FROM valid_attempt AS valid
INNER JOIN sweep ON sweep.sweep_id = valid.sweep_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS rounds,
        percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY round.throughput_inf_per_s) AS quartiles
    FROM round
    WHERE round.measurement_id = valid.measurement_id
) AS windows
WHERE valid.origin = 'dag';

COMMENT ON VIEW night_value IS
    'What changes are detected in: medians over the rounds of each valid measurement that was made here';

-- What is or was muted, by whom, why and until when.
CREATE VIEW mute_history AS
SELECT
    mute.mute_id,
    mute.series_id,
    series.batch_size,
    coalesce(series.model, mute.model_glob) AS model_glob,
    mute.metric,
    mute.author,
    mute.reason,
    mute.set_at,
    mute.expires_at,
    mute.lifted_at,
    mute.lifted_by,
    mute.lifted_reason,
    mute.lifted_at IS NULL AND mute.expires_at > now() AND mute.set_at <= now() AS in_force,
    '^' || replace(
        replace(regexp_replace(mute.model_glob, '([^A-Za-z0-9_*?])', '\\\1', 'g'), '*', '.*'), '?', '.'
    ) || '$' AS model_regex
FROM mute
LEFT JOIN series ON series.series_id = mute.series_id;

COMMENT ON VIEW mute_history IS 'What nobody wanted to hear of, from when until when';

-- The shifts that make up each incident, those of geometric means included.
CREATE VIEW incident_change AS
SELECT
    change.incident_id,
    change.change_id,
    change.configuration_id,
    change.series_id,
    series.batch_size,
    change.level,
    change.metric,
    change.direction,
    change.before_value,
    change.after_value,
    change.relative_change,
    change.relative_low,
    change.relative_high,
    change.confidence,
    change.agreed,
    change.last_good_sweep_id,
    good.night AS last_good_night,
    change.first_bad_sweep_id,
    bad.night AS first_bad_night,
    change.detected_at,
    change.detector,
    change.evidence
FROM change
LEFT JOIN series ON series.series_id = change.series_id
INNER JOIN sweep AS good ON good.sweep_id = change.last_good_sweep_id
INNER JOIN sweep AS bad ON bad.sweep_id = change.first_bad_sweep_id;

COMMENT ON VIEW incident_change IS
    'The shifts of each incident, one row per batch size and metric, and those of geometric means';

-- What people judge: the shifts of one configuration within three nights in one direction, as one.
-- The leading change is the one of throughput rather than of a latency, of the geometric mean rather than of one
-- batch size, and among equals the largest.
CREATE VIEW incident_history AS
SELECT
    configuration.configuration_id,
    configuration.model,
    configuration.model_revision,
    configuration.sequence_length,
    configuration.precision,
    configuration.compiler_args,
    configuration.scenario,
    configuration.replicas,
    configuration.workers,
    configuration.worker_mode,
    configuration.backend,
    configuration.instance_type,
    configuration.hardware,
    configuration.model_variant,
    configuration.arrivals,
    incident.incident_id,
    incident.direction,
    coalesce(said.status, 'confirmed') AS status,
    said.author,
    said.annotated_at,
    said.reason,
    incident.opened_at,
    incident.last_good_sweep_id,
    (SELECT sweep.night FROM sweep WHERE sweep.sweep_id = incident.last_good_sweep_id) AS last_good_night,
    incident.first_bad_sweep_id,
    (SELECT sweep.night FROM sweep WHERE sweep.sweep_id = incident.first_bad_sweep_id) AS first_bad_night,
    headline.metric,
    headline.relative_change,
    scope.batch_sizes,
    known.batch_sizes AS batch_sizes_known,
    scope.metrics,
    scope.agreed,
    scope.effect
    * CASE
        WHEN cardinality(scope.batch_sizes) = 0 THEN 1
        ELSE cardinality(scope.batch_sizes)::float8 / known.batch_sizes
    END
    * CASE WHEN scope.agreed THEN 1 ELSE 0.5 END AS importance,
    silence.muted_until,
    (
        SELECT CASE
            WHEN num_nulls(pair.before_id, pair.after_id) > 0 THEN 'not known'
            ELSE coalesce(
                (
                    SELECT string_agg(
                        difference.field || ' ' || coalesce(difference.before, 'none') || ' -> '
                        || coalesce(difference.after, 'none'),
                        ', ' ORDER BY difference.rank
                    )
                    FROM environment_diff(pair.before_id, pair.after_id) AS difference
                ),
                'nothing'
            )
        END
        FROM (
            SELECT
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    INNER JOIN series ON series.series_id = valid.series_id
                    WHERE series.configuration_id = incident.configuration_id
                        AND valid.sweep_id = incident.last_good_sweep_id
                    ORDER BY valid.batch_size
                    LIMIT 1
                ) AS before_id,
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    INNER JOIN series ON series.series_id = valid.series_id
                    WHERE series.configuration_id = incident.configuration_id
                        AND valid.sweep_id = incident.first_bad_sweep_id
                    ORDER BY valid.batch_size
                    LIMIT 1
                ) AS after_id
        ) AS pair
    ) AS environment_changes,
    said.annotation_id
FROM incident
INNER JOIN configuration ON configuration.configuration_id = incident.configuration_id
LEFT JOIN LATERAL (
    SELECT
        annotation.annotation_id, annotation.status, annotation.author, annotation.annotated_at,
        annotation.reason
    FROM annotation
    WHERE annotation.incident_id = incident.incident_id AND annotation.status IS NOT NULL
    ORDER BY annotation.annotated_at DESC, annotation.annotation_id DESC
    LIMIT 1
) AS said ON true
LEFT JOIN LATERAL (
    SELECT change.metric, change.relative_change
    FROM change
    WHERE change.incident_id = incident.incident_id AND change.direction = incident.direction
    ORDER BY
        array_position(
            ARRAY['throughput_inf_per_s', 'p50_ms', 'mean_ms', 'p90_ms', 'p95_ms', 'p99_ms', 'p99_9_ms', 'max_ms'],
            change.metric
        ),
        change.level DESC,
        abs(change.relative_change) DESC,
        change.change_id
    LIMIT 1
) AS headline ON true
CROSS JOIN LATERAL (
    SELECT
        coalesce(array_agg(DISTINCT series.batch_size) FILTER (WHERE series.batch_size IS NOT NULL), '{}')
            AS batch_sizes,
        coalesce(array_agg(DISTINCT change.metric), '{}') AS metrics,
        bool_or(change.agreed) AS agreed,
        max(
            abs(change.relative_change) / coalesce((change.evidence ->> 'effect_floor')::float8, 0.01)
            -- What is compiled once is served a million times.
            * CASE WHEN change.metric IN ('compile_duration_s', 'artifact_size_bytes', 'peak_rss_bytes') THEN 0.1 ELSE 1 END
        ) AS effect
    FROM change
    LEFT JOIN series ON series.series_id = change.series_id
    WHERE change.incident_id = incident.incident_id AND change.direction = incident.direction
) AS scope
CROSS JOIN LATERAL (
    SELECT count(DISTINCT series.batch_size) AS batch_sizes
    FROM series
    WHERE series.configuration_id = incident.configuration_id
) AS known
CROSS JOIN LATERAL (
    SELECT nullif(min(coalesce(covered.until, '-infinity')), '-infinity') AS muted_until
    FROM change
    CROSS JOIN LATERAL (
        SELECT max(mute_history.expires_at) AS until
        FROM mute_history
        WHERE mute_history.in_force
            AND (mute_history.series_id = change.series_id OR configuration.model ~ mute_history.model_regex)
            AND coalesce(mute_history.metric = change.metric, true)
    ) AS covered
    WHERE change.incident_id = incident.incident_id AND change.direction = incident.direction
) AS silence;

COMMENT ON VIEW incident_history IS
    'All incidents: what shifted together, how far, at which batch sizes, where it stands and what differed';

-- The incidents that want somebody's attention: neither settled, nor over, nor muted.
CREATE VIEW open_incidents AS
SELECT incident_history.*
FROM incident_history
WHERE incident_history.status IN ('suspect', 'confirmed', 'acknowledged', 'reopened')
    AND incident_history.muted_until IS NULL;

COMMENT ON VIEW open_incidents IS 'Incidents that are neither settled, nor over, nor muted';

-- What happened on single nights and is no lasting change, with whose it is.
CREATE VIEW night_event_history AS
SELECT
    configuration.configuration_id,
    configuration.model,
    configuration.model_revision,
    configuration.sequence_length,
    configuration.precision,
    configuration.compiler_args,
    configuration.scenario,
    configuration.replicas,
    configuration.workers,
    configuration.worker_mode,
    configuration.backend,
    configuration.instance_type,
    configuration.hardware,
    configuration.model_variant,
    configuration.arrivals,
    night_event.night_event_id,
    night_event.night,
    night_event.kind,
    night_event.series_id,
    series.batch_size,
    night_event.metric,
    night_event.sweep_id,
    night_event.detected_at,
    night_event.detector,
    night_event.evidence
FROM night_event
INNER JOIN configuration ON configuration.configuration_id = night_event.configuration_id
LEFT JOIN series ON series.series_id = night_event.series_id;

COMMENT ON VIEW night_event_history IS
    'Gaps, suspicious figures, outliers and slow trends: what a night had that is no lasting change';

-- The measurements that count: of a sweep, a batch size and a scenario the latest attempt that passed all checks.
-- Every view that ranks, averages or prices results is built on this one, so that no other attempt can enter, nor
-- a sweep that only measured again what another one found.
CREATE OR REPLACE VIEW valid_measurement AS
SELECT attempt.*
FROM valid_attempt AS attempt
WHERE attempt.sweep_id NOT IN (SELECT sweep_id FROM sweep WHERE confirms_sweep_id IS NOT NULL);

COMMENT ON VIEW valid_measurement IS
    'The measurements that count: the latest attempt that passed all checks, one row per sweep and batch size';

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT relation.relname AS view, attribute.attname AS name, meaning.said
        FROM pg_class AS relation
        INNER JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0
        INNER JOIN LATERAL (
            SELECT meanings.said
            FROM (VALUES
        ('series_id', 'The series: the same in every database'),
        ('model', 'Hub id, directory, or config:NAME for seeded random weights'),
        ('model_revision', 'Branch, tag or commit on the hub'),
        ('sequence_length', 'Tokens per sequence, padding included'),
        ('precision', 'Precision of the program; NULL: not known'),
        ('compiler_args', 'Flags for the device''s compiler'),
        ('batch_size', 'Inferences per call'),
        ('scenario', 'Kind of load: offline, server or single_stream'),
        ('replicas', 'Loaded copies of the model; NULL: not known'),
        ('workers', 'Closed loops that issued batches; NULL: not known'),
        ('worker_mode', 'What a worker was: thread, process or native'),
        ('backend', 'What ran the model'),
        ('instance_type', 'The cloud''s name of the machine, such as inf2.xlarge'),
        ('hardware', 'True only for a real accelerator; results of a CPU or a stand-in never stand for one'),
        ('device', 'What ran the model, in words'),
        ('night', 'UTC date on which the sweep began'),
        ('created_at', 'When the sweep began'),
        ('sweep_id', 'The sweep'),
        ('origin', 'dag: measured here; import: read from somebody''s table'),
        ('label', 'Short name of the sweep, given by a person'),
        ('sdk', 'The Neuron SDK, or else the compiler, or else torch, with its version'),
        ('environment_id', 'The environment, for environment_diff and environment_field'),
        ('measurement_id', 'Internal key of the measurement'),
        ('attempt', '1 for the first try'),
        ('started_at', 'When the measuring began'),
        ('recorded_at', 'When the attempt ended'),
        ('filename', 'Name of the program''s file'),
        ('batches', 'Measured batches of all workers in all rounds'),
        ('inferences', 'batches x batch_size'),
        ('duration_s', 'inferences / throughput: the time in which all workers were busy, s'),
        ('throughput_inf_per_s', 'Inferences per second of all workers'),
        ('samples', 'Batches that the latencies are taken from'),
        ('mean_ms', 'Mean latency of one batch, ms'),
        ('p50_ms', 'Median latency of one batch, ms'),
        ('p90_ms', '90th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('p95_ms', '95th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('p99_ms', '99th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('p99_9_ms', '99.9th percentile of the latency of one batch, ms; NULL where too few samples support it'),
        ('max_ms', 'Longest latency of one batch, ms'),
        ('load_duration_s', 'Time to load all replicas, s'),
        ('status', 'ok; invalid: measured but a check says not to believe it; failed: no figures'),
        ('reason', 'Why it failed or cannot be believed; empty when ok'),
        ('bucket', 'Number of the histogram''s bucket'),
        ('latency_bucket.batches', 'Batches in this bucket'),
        ('above_ms', 'Lower end of the bucket, exclusive, ms'),
        ('up_to_ms', 'Upper end of the bucket, inclusive, ms'),
        ('neuron_sdk', 'Release of the Neuron SDK'),
        ('neuronx_cc', 'Version of the Neuron compiler'),
        ('torch_neuronx', 'Version of torch-neuronx'),
        ('neuron_runtime', 'Version of the Neuron runtime library'),
        ('neuron_driver', 'Version of the Neuron kernel driver'),
        ('torch', 'Version of torch'),
        ('first_night', 'First night with a measurement'),
        ('last_night', 'Last night with a measurement'),
        ('nights', 'Nights with a valid measurement'),
        ('median_throughput_inf_per_s', 'Median over the sweeps of the inferences per second'),
        ('median_p50_ms', 'Median over the sweeps of the median latency of one batch, ms'),
        ('median_p99_ms', 'Median over the sweeps of the 99th percentile of the latency of one batch, ms'),
        ('previous_sdk', 'The SDK of the same series before this one; NULL for the first'),
        ('throughput_change', 'Median throughput / that under the previous SDK - 1: -0.03 is a loss of 3 percent'),
        ('p50_change', 'Median p50_ms / that under the previous SDK - 1: 0.03 is 3 percent slower'),
        ('p99_change', 'Median p99_ms / that under the previous SDK - 1: 0.03 is 3 percent slower'),
        ('region_class', 'Regions that share a price list, such as us-east'),
        ('price_kind', 'on_demand, or reserved_effective: a reservation spread over its hours'),
        ('valid_from', 'First day the price is in force'),
        ('valid_before', 'Day from which the next price is in force; NULL: there is none yet'),
        ('usd_per_hour', 'US dollars per machine and hour'),
        ('price_source', 'Where the price is from, and what it is'),
        ('usd_per_million_inferences', '(1e6 / throughput_inf_per_s) * (usd_per_hour / 3600)'),
        ('state', 'valid; invalid: measured, not believed; failed: asked for, no result; none: not asked for'),
        ('coverage.sweep_id', 'The sweep that measured, or that should have; NULL: there was none'),
        ('coverage.reason', 'Why there is no valid figure; empty when there is one'),
        ('coverage.last_night', 'Last night on which the series was measured here, valid or not'),
        ('change_id', 'Key of the change, for annotations'),
        ('metric', 'What shifted: throughput_inf_per_s or one of the latencies'),
        ('direction', 'worse: less throughput or more latency; else better'),
        ('before_value', 'Level before the shift, in the metric''s unit'),
        ('after_value', 'Level after the shift, in the metric''s unit'),
        ('relative_change', 'after / before - 1: -0.03 is a loss of 3 percent'),
        ('relative_low', 'Lower end of the interval of relative_change'),
        ('relative_high', 'Upper end of the interval of relative_change'),
        ('confidence', 'Confidence of that interval, such as 0.95'),
        ('last_good_sweep_id', 'The last sweep before the shift'),
        ('last_good_night', 'Its night'),
        ('first_bad_sweep_id', 'The first sweep after the shift'),
        ('first_bad_night', 'Its night'),
        ('detected_at', 'When the change was found'),
        ('detector', 'What found it, with the version of its thresholds'),
        ('change_history.status', 'open, acknowledged, fixed, expected or false_alarm'),
        ('open_changes.status', 'open or acknowledged'),
        ('author', 'Who said so; NULL: nobody yet'),
        ('annotated_at', 'When it was said'),
        ('change_history.reason', 'Why the status is what it is'),
        ('open_changes.reason', 'Why the status is what it is'),
        ('environment_changes', 'What differs in the environment, likeliest cause first; or: nothing, not known'),
        ('baseline_kind', 'automatic: chosen by the detector; pinned: by a person'),
        ('current_baseline.author', 'Who set it: a person, or the detector''s name'),
        ('current_baseline.reason', 'Why this one'),
        ('set_at', 'When it was set'),
        ('first_sweep_id', 'First sweep of the range'),
        ('current_baseline.first_night', 'Its night'),
        ('last_sweep_id', 'Last sweep of the range'),
        ('current_baseline.last_night', 'Its night'),
        ('sweeps', 'Valid measurements in the range'),
        ('annotation_id', 'Internal key, ascending in time'),
        ('annotation_history.author', 'Who said it'),
        ('annotation_history.reason', 'What was said, or why the status is what it is'),
        ('annotation_history.status', 'Status that the change has from then on; NULL: a remark'),
        ('annotation_history.change_id', 'The change it is about; NULL: none'),
        ('annotation_history.series_id', 'The series it is about, or that of the change'),
        ('annotation_history.sweep_id', 'The sweep it is about, or the change''s first bad one'),
        ('annotation_history.night', 'Night of that sweep'),
        ('rank', 'Place in the order of how likely the field is to change a figure; 1 is the likeliest'),
        ('field', 'Name of the field, as in the environment'),
        ('value', 'Its value as text; NULL: not present or not known'),
        ('previous_sweep_id', 'The last sweep before it that asked the same of the same kind of machine'),
        ('previous_night', 'Its night'),
        ('before', 'Value in the previous sweep''s environment'),
        ('after', 'Value in this sweep''s environment'),
        ('compilation_history.status', 'ok or failed'),
        ('compilation_history.backend', 'What compiled the model; NULL: the attempt failed'),
        ('compilation_history.environment_id', 'What it was compiled with; NULL: the attempt failed'),
        ('cache_hit', 'True: found in the artifact store, not compiled'),
        ('compile_duration_s', 'Duration of the compilation that made the artifact, s'),
        ('peak_rss_bytes', 'Highest resident memory of the compiling process, bytes'),
        ('artifact_key', 'SHA-256 of everything that shapes the program'),
        ('artifact_size_bytes', 'Size of the program''s file, bytes'),
        ('failure_kind', 'bad_input, error, crashed or timeout'),
        ('failure_message', 'Why it failed, one sentence'),
        ('failure_log_tail', 'Last lines of the failed process'),
        ('failure_history.backend', 'What was asked to compile and run the model'),
        ('stage', 'compile or measure'),
        ('recovered', 'True: a later attempt of the same sweep got a result'),
        ('failed_check.throughput_inf_per_s', 'Inferences per second of all workers, not to be believed'),
        ('check_name', 'Name of the check'),
        ('passed', 'False: the measurement is not to be believed'),
        ('round_index', '0 for the first round'),
        ('measurement_round.batches', 'Measured batches of all workers in this round'),
        ('figure', 'What was found, in the unit; NULL: not a number'),
        ('figure_limit', 'What it was held against, in the unit; NULL: not a number'),
        ('unit', 'Unit of both'),
        ('advice', 'What was found and what to do about it'),
        ('model_variant', 'Head and inputs where they are others than classification of text; NULL: they are those'),
        ('arrivals', 'server: rate 500/s, or search p99<=5ms for the highest rate within a limit; else NULL'),
        ('processes', 'Processes that the workers were spread over; NULL: not known'),
        ('topology', 'What issued the calls and why, one sentence; NULL: not known'),
        ('throughput_low_inf_per_s', 'Lower end of the 95 percent interval of throughput_inf_per_s; NULL: not known'),
        ('throughput_high_inf_per_s', 'Upper end of the 95 percent interval of throughput_inf_per_s; NULL: not known'),
        ('p50_low_ms', 'Lower end of the 95 percent interval of p50_ms; NULL: not known'),
        ('p50_high_ms', 'Upper end of the 95 percent interval of p50_ms; NULL: not known'),
        ('p90_low_ms', 'Lower end of the 95 percent interval of p90_ms; NULL: not known'),
        ('p90_high_ms', 'Upper end of the 95 percent interval of p90_ms; NULL: not known'),
        ('p95_low_ms', 'Lower end of the 95 percent interval of p95_ms; NULL: not known'),
        ('p95_high_ms', 'Upper end of the 95 percent interval of p95_ms; NULL: not known'),
        ('p99_low_ms', 'Lower end of the 95 percent interval of p99_ms; NULL: not known'),
        ('p99_high_ms', 'Upper end of the 95 percent interval of p99_ms; NULL: not known'),
        ('p99_9_low_ms', 'Lower end of the 95 percent interval of p99_9_ms; NULL: not known'),
        ('p99_9_high_ms', 'Upper end of the 95 percent interval of p99_9_ms; NULL: not known'),
        ('overhead_ns_per_call', 'Median time of the load generator''s loop around an empty replica, ns'),
        ('overhead_service_ms', 'Time of one call that ideal_batches_per_s and ceiling_batches_per_s are for, ms'),
        ('ideal_batches_per_s', 'workers / overhead_service_ms'),
        ('ceiling_batches_per_s', 'What the load generator shows of an ideal device that takes exactly so long'),
        ('target_batches_per_s', 'server: mean rate of the random arrivals, given or found by the search'),
        ('p99_limit_ms', 'server: highest acceptable P99, ms; NULL: none'),
        ('arrival_seed', 'server: seed of the random arrivals'),
        ('latency_limit_ms', 'Highest acceptable P99 that the sweep asked for, ms; NULL: none'),
        ('service_samples', 'server: calls that the service latencies are taken from'),
        ('service_mean_ms', 'server: mean latency of the calls alone, without waiting for a worker, ms'),
        ('service_p50_ms', 'server: median latency of the calls alone, without waiting for a worker, ms'),
        ('service_p90_ms', 'server: 90th percentile of the latency of the calls alone, ms'),
        ('service_p95_ms', 'server: 95th percentile of the latency of the calls alone, ms'),
        ('service_p99_ms', 'server: 99th percentile of the latency of the calls alone, ms'),
        ('service_p99_9_ms', 'server: 99.9th percentile of the latency of the calls alone, ms'),
        ('service_max_ms', 'server: longest latency of the calls alone, ms'),
        ('server_history.p50_ms', 'Median latency from the scheduled arrival, ms'),
        ('server_history.p99_ms', '99th percentile of the latency from the scheduled arrival, ms'),
        ('trial_number', 'Place in the search; 1 is the first'),
        ('server_trial.target_batches_per_s', 'Mean rate of the random arrivals that was tried'),
        ('achieved_batches_per_s', 'Batches per second that were served'),
        ('server_trial.samples', 'Batches that the latency is taken from'),
        ('server_trial.p99_ms', '99th percentile of the latency from the arrival, ms; NULL: too few samples'),
        ('met', 'True: the limit was met and the arrivals were kept up with'),
        ('reading_name', 'What was read, such as core_utilisation'),
        ('measurement_reading.figure', 'What the device said, in the unit'),
        ('measurement_reading.unit', 'Unit of the figure, such as ratio, bytes or count'),
        ('core', 'The core that it is of; NULL: the whole device'),
        ('share_of_latency', 'overhead_ns_per_call over the time of one call: 0.01 is 1 percent of the latency'),
        ('dag_id', 'Which DAG ran, or what imported'),
        ('run_id', 'Which run of it'),
        ('note', 'Why the run was started'),
        ('batch_sizes', 'Asked batch sizes, inferences per call'),
        ('sweep_list.precision', 'Asked precision; auto leaves it to the device'),
        ('sweep_list.replicas', 'Asked loaded copies of the model; NULL: one per core'),
        ('sweep_list.workers', 'Asked closed loops; NULL: one per replica'),
        ('sweep_list.worker_mode', 'Asked kind of worker; auto leaves it to a calibration'),
        ('share_of_ideal', 'ceiling_batches_per_s / ideal_batches_per_s; 1 is perfect')
            ) AS meanings (name, said)
            WHERE meanings.name IN (attribute.attname, relation.relname || '.' || attribute.attname)
            ORDER BY length(meanings.name) DESC
            LIMIT 1
        ) AS meaning ON true
        WHERE relation.relnamespace = current_schema()::regnamespace AND relation.relname IN ('valid_attempt')
    LOOP
        EXECUTE 'COMMENT ON COLUMN ' || quote_ident(found.view) || '.' || quote_ident(found.name)
            || ' IS ' || quote_nullable(found.said);
    END LOOP;
END $$;

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT relation.relname AS view, attribute.attname AS name, meaning.said
        FROM pg_class AS relation
        INNER JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0
        INNER JOIN LATERAL (
            SELECT meanings.said
            FROM (VALUES
        ('configuration_id', 'What is measured at several batch sizes: the series without the batch size'),
        ('incident_id', 'Key of the incident, for judging it'),
        ('agreed', 'A second method finds it too; NULL: it was not asked or cannot tell'),
        ('level', 'batch_size: one series; geometric_mean: the mean over all batch sizes'),
        ('change_history.status', 'open, acknowledged, expected, infra, fixed, wont_fix, false_alarm or recovered'),
        ('sweep_list.confirms_sweep_id', 'The sweep whose figures it measures again; NULL: it stands by itself'),
        ('annotation_history.status', 'Status that the incident has from then on; NULL: a remark'),
        ('annotation_history.incident_id', 'The incident it is about; NULL: none'),
        ('annotation_history.series_id', 'The series it is about, or that of the change'),
        ('annotation_history.sweep_id', 'The sweep it is about, or the first bad one of the incident or change'),
        ('night_value.series_id', 'The series: the same in every database'),
        ('night_value.batch_size', 'Inferences per call'),
        ('night_value.night', 'UTC date on which the sweep began'),
        ('night_value.created_at', 'When the sweep began'),
        ('night_value.sweep_id', 'The sweep'),
        ('night_value.confirms_sweep_id', 'The sweep that it only confirms; NULL: it is a value of its night'),
        ('night_value.environment_id', 'The environment, for environment_diff and environment_field'),
        ('night_value.rounds', 'Measured windows that the throughput is the median of'),
        ('night_value.throughput_inf_per_s', 'Median over the rounds of the inferences per second'),
        ('night_value.throughput_spread', 'Robust standard deviation of the rounds / median; NULL: one round'),
        ('night_value.p50_ms', 'Median latency of one batch, all rounds pooled, ms'),
        ('night_value.p90_ms', '90th percentile, all rounds pooled, ms; NULL where too few samples support it'),
        ('night_value.p95_ms', '95th percentile, all rounds pooled, ms; NULL where too few samples support it'),
        ('night_value.p99_ms', '99th percentile, all rounds pooled, ms; NULL where too few samples support it'),
        ('model', 'Hub id, directory, or config:NAME for seeded random weights'),
        ('model_revision', 'Branch, tag or commit on the hub'),
        ('sequence_length', 'Tokens per sequence, padding included'),
        ('precision', 'Precision of the program; NULL: not known'),
        ('compiler_args', 'Flags for the device''s compiler'),
        ('scenario', 'Kind of load: offline, server or single_stream'),
        ('replicas', 'Loaded copies of the model; NULL: not known'),
        ('workers', 'Closed loops that issued batches; NULL: not known'),
        ('worker_mode', 'What a worker was: thread, process or native'),
        ('backend', 'What ran the model'),
        ('instance_type', 'The cloud''s name of the machine, such as inf2.xlarge'),
        ('hardware', 'True only for a real accelerator; results of a CPU or a stand-in never stand for one'),
        ('model_variant', 'Head and inputs where they are others than classification of text; NULL: they are those'),
        ('arrivals', 'server: rate 500/s, or search p99<=5ms for the highest rate within a limit; else NULL'),
        ('incident_history.direction', 'worse: less throughput, more latency, time or size; else better'),
        ('incident_history.status', 'suspect, confirmed, acknowledged, expected, infra, fixed, wont_fix, false_alarm, recovered or reopened'),
        ('incident_history.author', 'Who said so: a person, or the detector with the version of its thresholds'),
        ('incident_history.annotated_at', 'When it was said'),
        ('incident_history.reason', 'Why the status is what it is'),
        ('incident_history.opened_at', 'When it was found'),
        ('incident_history.last_good_sweep_id', 'The last sweep before its leading change'),
        ('incident_history.last_good_night', 'Its night'),
        ('incident_history.first_bad_sweep_id', 'The first sweep after its leading change'),
        ('incident_history.first_bad_night', 'Its night'),
        ('incident_history.metric', 'What its leading change is of'),
        ('incident_history.relative_change', 'after / before - 1 of what leads it: -0.03 is a loss of 3 percent'),
        ('incident_history.batch_sizes', 'The batch sizes that shifted; empty: only their geometric mean'),
        ('incident_history.batch_sizes_known', 'How many batch sizes the configuration has'),
        ('incident_history.metrics', 'All that shifted'),
        ('incident_history.importance', 'Effect over the least that counts, x share of the batch sizes, x 1 if a second method agrees, else 0.5'),
        ('incident_history.muted_until', 'Until when all of it is muted; NULL: it is heard'),
        ('incident_history.environment_changes', 'What differs in the environment, likeliest cause first; or: nothing, not known'),
        ('incident_history.annotation_id', 'What says where it stands; NULL: nothing, it is confirmed'),
        ('open_incidents.status', 'suspect, confirmed, acknowledged or reopened'),
        ('incident_change.change_id', 'Key of the change'),
        ('incident_change.series_id', 'The history that shifted; NULL: the geometric mean over the batch sizes'),
        ('incident_change.batch_size', 'Inferences per call; NULL: the geometric mean over the batch sizes'),
        ('incident_change.metric', 'What shifted: throughput_inf_per_s, a latency, or a figure of the compilation'),
        ('incident_change.direction', 'worse or better; another one than the incident''s: what ended it'),
        ('incident_change.before_value', 'Level before the shift, in the metric''s unit'),
        ('incident_change.after_value', 'Level after the shift, in the metric''s unit'),
        ('incident_change.relative_change', 'after / before - 1: -0.03 is a loss of 3 percent'),
        ('incident_change.relative_low', 'Lower end of the interval of relative_change'),
        ('incident_change.relative_high', 'Upper end of the interval of relative_change'),
        ('incident_change.confidence', 'Confidence of that interval, such as 0.95'),
        ('incident_change.last_good_sweep_id', 'The last sweep before the shift'),
        ('incident_change.last_good_night', 'Its night'),
        ('incident_change.first_bad_sweep_id', 'The first sweep after the shift'),
        ('incident_change.first_bad_night', 'Its night'),
        ('incident_change.detected_at', 'When the change was found'),
        ('incident_change.detector', 'What found it, with the version of its thresholds'),
        ('incident_change.evidence', 'What the detector went by: baseline, statistic, limits'),
        ('night_event_id', 'Internal key'),
        ('night_event_history.night', 'UTC date of the sweeps that it is about; of a trend, the week''s Monday'),
        ('night_event_history.kind', 'missing: no figure and no sweep; failed: asked for, no result; insufficient_data: not to be believed; suspect: one night far off, not yet measured again; outlier: far off, and not the next time; trend: slow'),
        ('night_event_history.series_id', 'The history it is about; NULL: the mean over all batch sizes'),
        ('night_event_history.batch_size', 'Inferences per call; NULL: the mean over all batch sizes'),
        ('night_event_history.metric', 'Which figure; NULL: all, there is none'),
        ('night_event_history.sweep_id', 'The sweep that measured, or should have; NULL: there was none'),
        ('night_event_history.detected_at', 'When it was found'),
        ('night_event_history.detector', 'What found it, with the version of its thresholds'),
        ('night_event_history.evidence', 'What the detector went by, for people'),
        ('mute_id', 'Key of the mute, for ending it'),
        ('mute_history.series_id', 'The history that is muted; NULL: those of models'),
        ('mute_history.batch_size', 'Of that history; NULL: all'),
        ('model_glob', 'Pattern of the models that are muted, with * and ?; NULL: a single history'),
        ('mute_history.metric', 'Only this figure; NULL: all'),
        ('mute_history.author', 'Who muted it'),
        ('mute_history.reason', 'Why'),
        ('set_at', 'When it was muted'),
        ('expires_at', 'When it is heard again by itself'),
        ('lifted_at', 'When a person ended it before that; NULL: nobody did'),
        ('lifted_by', 'Who ended it'),
        ('lifted_reason', 'Why it was ended'),
        ('in_force', 'True: it mutes now'),
        ('model_regex', 'The pattern as a regular expression; NULL: a single history'),
        ('open_incidents.direction', 'worse: less throughput, more latency, time or size; else better'),
        ('open_incidents.author', 'Who said so: a person, or the detector with the version of its thresholds'),
        ('open_incidents.annotated_at', 'When it was said'),
        ('open_incidents.reason', 'Why the status is what it is'),
        ('open_incidents.opened_at', 'When it was found'),
        ('open_incidents.last_good_sweep_id', 'The last sweep before its leading change'),
        ('open_incidents.last_good_night', 'Its night'),
        ('open_incidents.first_bad_sweep_id', 'The first sweep after its leading change'),
        ('open_incidents.first_bad_night', 'Its night'),
        ('open_incidents.metric', 'What its leading change is of'),
        ('open_incidents.relative_change', 'after / before - 1 of what leads it: -0.03 is a loss of 3 percent'),
        ('open_incidents.batch_sizes', 'The batch sizes that shifted; empty: only their geometric mean'),
        ('open_incidents.batch_sizes_known', 'How many batch sizes the configuration has'),
        ('open_incidents.metrics', 'All that shifted'),
        ('open_incidents.importance', 'Effect over the least that counts, x share of the batch sizes, x 1 if a second method agrees, else 0.5'),
        ('open_incidents.muted_until', 'Until when all of it is muted; NULL: it is heard'),
        ('open_incidents.environment_changes', 'What differs in the environment, likeliest cause first; or: nothing, not known'),
        ('open_incidents.annotation_id', 'What says where it stands; NULL: nothing, it is confirmed')
            ) AS meanings (name, said)
            WHERE meanings.name IN (attribute.attname, relation.relname || '.' || attribute.attname)
            ORDER BY length(meanings.name) DESC
            LIMIT 1
        ) AS meaning ON true
        WHERE relation.relnamespace = current_schema()::regnamespace AND relation.relname IN ('change_history', 'open_changes', 'annotation_history', 'sweep_list', 'valid_attempt', 'night_value', 'mute_history', 'incident_change', 'incident_history', 'open_incidents', 'night_event_history')
    LOOP
        EXECUTE 'COMMENT ON COLUMN ' || quote_ident(found.view) || '.' || quote_ident(found.name)
            || ' IS ' || quote_nullable(found.said);
    END LOOP;
END $$;

UPDATE bench_alembic_version SET version_num='0006' WHERE bench_alembic_version.version_num = '0005';

-- Running upgrade 0006 -> 0007

CREATE TABLE experiment (
    experiment_id UUID NOT NULL, 
    dag_id TEXT NOT NULL, 
    run_id TEXT NOT NULL, 
    author TEXT NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    label TEXT, 
    note TEXT, 
    host TEXT, 
    model TEXT NOT NULL, 
    model_revision TEXT, 
    sequence_length INTEGER NOT NULL, 
    batch_sizes INTEGER[] NOT NULL, 
    scenario TEXT NOT NULL, 
    backend TEXT NOT NULL, 
    old_interpreter TEXT NOT NULL, 
    new_interpreter TEXT NOT NULL, 
    pairs INTEGER NOT NULL, 
    max_pairs INTEGER NOT NULL, 
    min_effect DOUBLE PRECISION NOT NULL, 
    p99_min_effect DOUBLE PRECISION NOT NULL, 
    spec JSONB NOT NULL, 
    old_environment_id UUID, 
    new_environment_id UUID, 
    finished_at TIMESTAMP WITH TIME ZONE, 
    verdict TEXT, 
    sentence TEXT, 
    judgements JSONB NOT NULL, 
    problems JSONB NOT NULL, 
    notes TEXT[] NOT NULL, 
    accepted_at TIMESTAMP WITH TIME ZONE, 
    accepted_by TEXT, 
    accepted_reason TEXT, 
    CONSTRAINT pk_experiment PRIMARY KEY (experiment_id), 
    CONSTRAINT ck_experiment_accepted CHECK (num_nulls(accepted_at, accepted_by, accepted_reason) IN (0, 3) AND accepted_by <> '' AND accepted_reason <> '' AND (accepted_at IS NULL OR verdict IS NOT NULL)), 
    CONSTRAINT ck_experiment_batch_sizes CHECK (cardinality(batch_sizes) >= 1 AND 1 <= ALL (batch_sizes)), 
    CONSTRAINT ck_experiment_counts CHECK (pairs >= 1 AND max_pairs >= pairs), 
    CONSTRAINT ck_experiment_effects CHECK (min_effect > 0 AND min_effect < 1 AND p99_min_effect > 0 AND p99_min_effect < 1), 
    CONSTRAINT ck_experiment_named CHECK (author <> '' AND old_interpreter <> '' AND new_interpreter <> ''), 
    CONSTRAINT ck_experiment_outcome CHECK (num_nulls(finished_at, verdict, sentence) IN (0, 3) AND jsonb_typeof(judgements) = 'array' AND jsonb_typeof(problems) = 'array'), 
    CONSTRAINT ck_experiment_verdict CHECK (verdict IN ('worse', 'better', 'no worse', 'undecided', 'not compared')), 
    CONSTRAINT fk_experiment_new_environment_id FOREIGN KEY(new_environment_id) REFERENCES environment (environment_id), 
    CONSTRAINT fk_experiment_old_environment_id FOREIGN KEY(old_environment_id) REFERENCES environment (environment_id), 
    CONSTRAINT uq_experiment_dag_id UNIQUE (dag_id, run_id)
);

COMMENT ON TABLE experiment IS 'Comparisons of two interpreters, measured in turns on one host';

COMMENT ON COLUMN experiment.experiment_id IS 'Derived from dag_id and run_id';

COMMENT ON COLUMN experiment.dag_id IS 'Which DAG ran it, or bench compare';

COMMENT ON COLUMN experiment.run_id IS 'Which run of it';

COMMENT ON COLUMN experiment.author IS 'Who asked for it';

COMMENT ON COLUMN experiment.created_at IS 'When it was asked for';

COMMENT ON COLUMN experiment.label IS 'Short name given by a person';

COMMENT ON COLUMN experiment.note IS 'Why it was asked for';

COMMENT ON COLUMN experiment.host IS 'Host that compiled its programs';

COMMENT ON COLUMN experiment.model IS 'Hub id, directory, or config:NAME for seeded random weights';

COMMENT ON COLUMN experiment.model_revision IS 'Branch, tag or commit on the hub';

COMMENT ON COLUMN experiment.sequence_length IS 'Tokens per sequence, padding included';

COMMENT ON COLUMN experiment.batch_sizes IS 'Asked batch sizes, inferences per call';

COMMENT ON COLUMN experiment.scenario IS 'Kind of load: offline or single_stream';

COMMENT ON COLUMN experiment.backend IS 'What compiles and runs the model';

COMMENT ON COLUMN experiment.old_interpreter IS 'Asked Python of the old side';

COMMENT ON COLUMN experiment.new_interpreter IS 'Asked Python of the new side; the same as the old one: the procedure measures itself';

COMMENT ON COLUMN experiment.pairs IS 'Asked pairs per batch size before the first verdict';

COMMENT ON COLUMN experiment.max_pairs IS 'Asked most pairs per batch size';

COMMENT ON COLUMN experiment.min_effect IS 'Smallest relative difference of throughput and P50 that matters';

COMMENT ON COLUMN experiment.p99_min_effect IS 'Smallest relative difference of P99 that matters';

COMMENT ON COLUMN experiment.spec IS 'All that was asked for';

COMMENT ON COLUMN experiment.old_environment_id IS 'What the old side ran in; NULL: nothing compiled';

COMMENT ON COLUMN experiment.new_environment_id IS 'What the new side ran in; NULL: nothing compiled';

COMMENT ON COLUMN experiment.finished_at IS 'When the verdict was found; NULL: not yet';

COMMENT ON COLUMN experiment.verdict IS 'Of the new side: worse, better, no worse, undecided or not compared; NULL: not yet';

COMMENT ON COLUMN experiment.sentence IS 'The verdict for people';

COMMENT ON COLUMN experiment.judgements IS 'Each metric at each batch size: estimate, interval, p-value, verdict';

COMMENT ON COLUMN experiment.problems IS 'Batch sizes that could not be compared: side, stage, reason';

COMMENT ON COLUMN experiment.notes IS 'What one must know beside the verdict, for people';

COMMENT ON COLUMN experiment.accepted_at IS 'When the new side was accepted; NULL: not';

COMMENT ON COLUMN experiment.accepted_by IS 'Who accepted it';

COMMENT ON COLUMN experiment.accepted_reason IS 'Why';

CREATE INDEX ix_experiment_created_at ON experiment (created_at);

CREATE INDEX ix_experiment_new_environment_id ON experiment (new_environment_id);

CREATE INDEX ix_experiment_old_environment_id ON experiment (old_environment_id);

CREATE TABLE pair (
    experiment_id UUID NOT NULL, 
    batch_size INTEGER NOT NULL, 
    pair_number INTEGER NOT NULL, 
    first_side TEXT NOT NULL, 
    counts BOOLEAN NOT NULL, 
    reason TEXT, 
    host TEXT, 
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    old_throughput_inf_per_s DOUBLE PRECISION, 
    new_throughput_inf_per_s DOUBLE PRECISION, 
    old_p50_ms DOUBLE PRECISION, 
    new_p50_ms DOUBLE PRECISION, 
    old_p99_ms DOUBLE PRECISION, 
    new_p99_ms DOUBLE PRECISION, 
    old_output_error DOUBLE PRECISION, 
    new_output_error DOUBLE PRECISION, 
    old_failed_checks TEXT[] NOT NULL, 
    new_failed_checks TEXT[] NOT NULL, 
    CONSTRAINT pk_pair PRIMARY KEY (experiment_id, batch_size, pair_number), 
    CONSTRAINT ck_pair_counts CHECK (batch_size >= 1 AND pair_number >= 1), 
    CONSTRAINT ck_pair_counts_or_has_reason CHECK ((reason IS NULL) = counts AND (NOT counts OR num_nulls(old_throughput_inf_per_s, new_throughput_inf_per_s) = 0)), 
    CONSTRAINT ck_pair_figures CHECK (old_throughput_inf_per_s > 0 AND old_throughput_inf_per_s < 'Infinity' AND old_p50_ms > 0 AND old_p50_ms < 'Infinity' AND old_p99_ms > 0 AND old_p99_ms < 'Infinity' AND new_throughput_inf_per_s > 0 AND new_throughput_inf_per_s < 'Infinity' AND new_p50_ms > 0 AND new_p50_ms < 'Infinity' AND new_p99_ms > 0 AND new_p99_ms < 'Infinity'), 
    CONSTRAINT ck_pair_first_side CHECK (first_side IN ('old', 'new')), 
    CONSTRAINT ck_pair_output_errors CHECK (old_output_error >= 0 AND new_output_error >= 0), 
    CONSTRAINT fk_pair_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiment (experiment_id) ON DELETE CASCADE
);

COMMENT ON TABLE pair IS 'The pairs of an experiment: both sides measured one right after the other';

COMMENT ON COLUMN pair.experiment_id IS 'The experiment it belongs to';

COMMENT ON COLUMN pair.batch_size IS 'Inferences per call';

COMMENT ON COLUMN pair.pair_number IS 'From 1 for each batch size, unusable ones included';

COMMENT ON COLUMN pair.first_side IS 'Which side was measured first: old or new';

COMMENT ON COLUMN pair.counts IS 'False: it cannot be used, see reason';

COMMENT ON COLUMN pair.reason IS 'Why it cannot be used; NULL: it can';

COMMENT ON COLUMN pair.host IS 'Host on which both were measured';

COMMENT ON COLUMN pair.recorded_at IS 'When the second of the two ended';

COMMENT ON COLUMN pair.old_throughput_inf_per_s IS 'Inferences per second, old side';

COMMENT ON COLUMN pair.new_throughput_inf_per_s IS 'Inferences per second, new side';

COMMENT ON COLUMN pair.old_p50_ms IS 'Median latency of one batch, old side, ms';

COMMENT ON COLUMN pair.new_p50_ms IS 'Median latency of one batch, new side, ms';

COMMENT ON COLUMN pair.old_p99_ms IS '99th percentile of the latency of one batch, old side, ms; NULL: too few samples';

COMMENT ON COLUMN pair.new_p99_ms IS '99th percentile of the latency of one batch, new side, ms; NULL: too few samples';

COMMENT ON COLUMN pair.old_output_error IS 'Largest relative difference of an output from the CPU reference, old side';

COMMENT ON COLUMN pair.new_output_error IS 'Largest relative difference of an output from the CPU reference, new side';

COMMENT ON COLUMN pair.old_failed_checks IS 'Checks that failed on the old side';

COMMENT ON COLUMN pair.new_failed_checks IS 'Checks that failed on the new side';

-- The comparisons of two interpreters, with both environments and the verdict.
CREATE VIEW experiment_history AS
SELECT
    experiment.experiment_id,
    experiment.dag_id,
    experiment.run_id,
    experiment.author,
    experiment.created_at,
    experiment.label,
    experiment.note,
    experiment.host,
    experiment.model,
    experiment.model_revision,
    experiment.sequence_length,
    experiment.batch_sizes,
    experiment.scenario,
    experiment.backend,
    coalesce(older.instance_type, newer.instance_type) AS instance_type,
    older.hardware AND newer.hardware AS hardware,
    coalesce(older.device, newer.device) AS device,
    experiment.old_interpreter,
    experiment.new_interpreter,
    experiment.old_interpreter = experiment.new_interpreter AS with_itself,
    experiment.old_environment_id,
    experiment.new_environment_id,
    older.sdk AS old_sdk,
    newer.sdk AS new_sdk,
    CASE
        WHEN older.environment_id IS NOT NULL AND newer.environment_id IS NOT NULL
            THEN coalesce(differing.changes, 'nothing')
    END AS environment_changes,
    experiment.pairs AS asked_pairs,
    experiment.max_pairs,
    experiment.min_effect,
    experiment.p99_min_effect,
    counted.pairs,
    counted.unusable_pairs,
    experiment.finished_at,
    experiment.verdict,
    experiment.sentence,
    experiment.problems,
    experiment.notes,
    experiment.accepted_at,
    experiment.accepted_by,
    experiment.accepted_reason,
    experiment.spec
FROM experiment
LEFT JOIN environment AS older ON older.environment_id = experiment.old_environment_id
LEFT JOIN environment AS newer ON newer.environment_id = experiment.new_environment_id
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE pair.counts) AS pairs,
        count(*) FILTER (WHERE NOT pair.counts) AS unusable_pairs
    FROM pair
    WHERE pair.experiment_id = experiment.experiment_id
) AS counted
LEFT JOIN LATERAL (
    SELECT
        string_agg(
            difference.field || ' ' || coalesce(difference.before, 'none') || ' -> '
                || coalesce(difference.after, 'none'),
            ', ' ORDER BY difference.rank
        ) AS changes
    FROM environment_diff(experiment.old_environment_id, experiment.new_environment_id) AS difference
) AS differing ON true;

COMMENT ON VIEW experiment_history IS
    'Comparisons of two interpreters in turns on one host, one row each, with both environments and the verdict';

-- What an experiment says of each metric at each batch size, and of the geometric mean over them.
CREATE VIEW experiment_judgement AS
SELECT
    experiment.experiment_id,
    judged.batch_size,
    judged.metric,
    judged.old_value,
    judged.new_value,
    judged.relative_change,
    judged.relative_low,
    judged.relative_high,
    judged.pairs,
    judged.p_value,
    judged.adjusted_p_value,
    judged.min_effect,
    judged.verdict
FROM experiment
CROSS JOIN LATERAL jsonb_to_recordset(experiment.judgements) AS judged (
    batch_size integer,
    metric text,
    old_value double precision,
    new_value double precision,
    relative_change double precision,
    relative_low double precision,
    relative_high double precision,
    pairs integer,
    p_value double precision,
    adjusted_p_value double precision,
    min_effect double precision,
    verdict text
);

COMMENT ON VIEW experiment_judgement IS
    'What an experiment says of each metric at each batch size, with interval and verdict, one row each';

-- The pairs of the experiments: both sides measured one right after the other.
CREATE VIEW experiment_pair AS
SELECT
    pair.experiment_id,
    pair.batch_size,
    pair.pair_number,
    pair.first_side,
    pair.counts,
    pair.reason,
    pair.host,
    pair.recorded_at,
    pair.old_throughput_inf_per_s,
    pair.new_throughput_inf_per_s,
    pair.old_p50_ms,
    pair.new_p50_ms,
    pair.old_p99_ms,
    pair.new_p99_ms,
    pair.old_output_error,
    pair.new_output_error,
    pair.old_failed_checks,
    pair.new_failed_checks
FROM pair;

COMMENT ON VIEW experiment_pair IS 'The pairs of the experiments, with the figures of both sides, one row each';

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT relation.relname AS view, attribute.attname AS name, meaning.said
        FROM pg_class AS relation
        INNER JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0
        INNER JOIN LATERAL (
            SELECT meanings.said
            FROM (VALUES
        ('experiment_id', 'The experiment, for bench experiment show'),
        ('dag_id', 'Which DAG ran it, or bench compare'),
        ('run_id', 'Which run of it'),
        ('author', 'Who asked for it'),
        ('created_at', 'When it was asked for'),
        ('label', 'Short name given by a person'),
        ('note', 'Why it was asked for'),
        ('experiment_history.host', 'Host that compiled its programs'),
        ('experiment_pair.host', 'Host on which both were measured'),
        ('model', 'Hub id, directory, or config:NAME for seeded random weights'),
        ('model_revision', 'Branch, tag or commit on the hub'),
        ('sequence_length', 'Tokens per sequence, padding included'),
        ('batch_sizes', 'Asked batch sizes'),
        ('batch_size', 'Inferences per call'),
        ('experiment_judgement.batch_size', 'Inferences per call; NULL: the geometric mean over all batch sizes'),
        ('scenario', 'Kind of load: offline or single_stream'),
        ('backend', 'What ran the model'),
        ('instance_type', 'The cloud''s name of the machine, such as inf2.xlarge'),
        ('hardware', 'True only where both sides ran on a real accelerator; NULL: nothing compiled'),
        ('device', 'What ran the model, in words'),
        ('old_interpreter', 'Asked Python of the old side'),
        ('new_interpreter', 'Asked Python of the new side'),
        ('with_itself', 'True: both sides are the same, and what is found is the procedure''s own error'),
        ('old_environment_id', 'What the old side ran in, for environment_diff'),
        ('new_environment_id', 'What the new side ran in, for environment_diff'),
        ('old_sdk', 'The Neuron SDK of the old side, or else the compiler, or else torch, with its version'),
        ('new_sdk', 'The Neuron SDK of the new side, or else the compiler, or else torch, with its version'),
        ('environment_changes', 'What differs from the old to the new side, likeliest cause first; or: nothing'),
        ('asked_pairs', 'Asked pairs per batch size before the first verdict'),
        ('max_pairs', 'Asked most pairs per batch size'),
        ('experiment_history.min_effect', 'Smallest relative difference of throughput and P50 that matters'),
        ('experiment_judgement.min_effect', 'Smallest relative difference that matters in this metric'),
        ('p99_min_effect', 'Smallest relative difference of P99 that matters'),
        ('pairs', 'Pairs that count'),
        ('unusable_pairs', 'Pairs that were measured and cannot be used'),
        ('finished_at', 'When the verdict was found; NULL: not yet'),
        ('experiment_history.verdict', 'Of the new side: worse, better, no worse, undecided or not compared'),
        ('sentence', 'The verdict for people'),
        ('problems', 'Batch sizes that could not be compared: batch_size, side, stage, reason'),
        ('notes', 'What one must know beside the verdict, for people'),
        ('accepted_at', 'When the new side was accepted; NULL: it is not'),
        ('accepted_by', 'Who accepted it'),
        ('accepted_reason', 'Why'),
        ('spec', 'All that was asked for'),
        ('metric', 'throughput_inf_per_s, p50_ms or p99_ms'),
        ('old_value', 'Median over the pairs, old side, in the metric''s unit; NULL for the geometric mean'),
        ('new_value', 'Median over the pairs, new side, in the metric''s unit; NULL for the geometric mean'),
        ('relative_change', 'new / old - 1, Hodges-Lehmann estimate over the pairs: -0.02 is 2 percent less'),
        ('relative_low', 'Lower end of the 95 percent interval of relative_change'),
        ('relative_high', 'Upper end of the 95 percent interval of relative_change'),
        ('p_value', 'Of no difference, by Wilcoxon''s signed-rank test, for this one alone'),
        ('adjusted_p_value', 'By Benjamini and Hochberg, over all judgements of the experiment'),
        ('experiment_judgement.verdict', 'worse, better, no worse or undecided'),
        ('pair_number', 'From 1 for each batch size, unusable ones included'),
        ('first_side', 'Which side was measured first: old or new'),
        ('counts', 'False: it cannot be used, see reason'),
        ('reason', 'Why it cannot be used; NULL: it can'),
        ('recorded_at', 'When the second of the two ended'),
        ('old_throughput_inf_per_s', 'Inferences per second, old side'),
        ('new_throughput_inf_per_s', 'Inferences per second, new side'),
        ('old_p50_ms', 'Median latency of one batch, old side, ms'),
        ('new_p50_ms', 'Median latency of one batch, new side, ms'),
        ('old_p99_ms', '99th percentile of the latency of one batch, old side, ms; NULL: too few samples'),
        ('new_p99_ms', '99th percentile of the latency of one batch, new side, ms; NULL: too few samples'),
        ('old_output_error', 'Largest relative difference of an output from the CPU reference, old side'),
        ('new_output_error', 'Largest relative difference of an output from the CPU reference, new side'),
        ('old_failed_checks', 'Checks that failed on the old side; of a pair that counts, about noise only'),
        ('new_failed_checks', 'Checks that failed on the new side; of a pair that counts, about noise only')
            ) AS meanings (name, said)
            WHERE meanings.name IN (attribute.attname, relation.relname || '.' || attribute.attname)
            ORDER BY length(meanings.name) DESC
            LIMIT 1
        ) AS meaning ON true
        WHERE relation.relnamespace = current_schema()::regnamespace AND relation.relname IN ('experiment_history', 'experiment_judgement', 'experiment_pair')
    LOOP
        EXECUTE 'COMMENT ON COLUMN ' || quote_ident(found.view) || '.' || quote_ident(found.name)
            || ' IS ' || quote_nullable(found.said);
    END LOOP;
END $$;

UPDATE bench_alembic_version SET version_num='0007' WHERE bench_alembic_version.version_num = '0006';

COMMIT;
