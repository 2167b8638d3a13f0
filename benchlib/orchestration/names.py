"""Names that the DAG files and those who start or follow their runs must agree on."""

from __future__ import annotations

DAG_ID = "inf2_batch_sweep"
PLAN_TASK = "plan"
COMPILE_TASK = "per_batch_size.compile"
MEASURE_TASK = "per_batch_size.measure"

DEVICE_QUEUE = "inf2"
DEVICE_POOL = "inf2_host"
DEVICE_POOL_SLOTS = 4
"""A measurement takes them all."""
COMPILE_SLOTS = 2
"""Two compiles abreast: each claims a core and gigabytes, and an inf2.xlarge has two cores and 16 GiB."""
