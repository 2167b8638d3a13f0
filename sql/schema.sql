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

COMMIT;
