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
