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
    compilation.failure_message,
    sweep.model_variant
FROM compilation
INNER JOIN sweep ON sweep.sweep_id = compilation.sweep_id
LEFT JOIN environment ON environment.environment_id = compilation.environment_id;

COMMENT ON VIEW compilation_history IS
    'Every attempt to compile: duration, memory, size of the artifact, or why it failed';
