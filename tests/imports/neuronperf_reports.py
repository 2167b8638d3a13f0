"""Reports as NeuronPerf leaves them, with figures that agree with each other."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

COLUMNS = (
    "model_name,n_models,workers_per_model,pipeline_size,batch_size,throughput_avg,throughput_peak,"
    "latency_ms_p0,latency_ms_p50,latency_ms_p90,latency_ms_p95,latency_ms_p99,latency_ms_p100,"
    "cpu_avg_percent,cpu_percent_p50,mem_avg_percent,mem_percent_p50,e2e_avg_ms,infer_avg_ms,total_infs,"
    "total_s,performance_level,model_filename,device_type,instance_type,cost_per_1m_inf"
)

FILE = Path("bert.results-20240401-093000.csv")

REPORT: dict[str, Any] = {
    "model_name": "bert",
    "n_models": 2,
    "workers_per_model": 2,
    "pipeline_size": 1,
    "batch_size": 8,
    "throughput_avg": 2850.5,
    "throughput_peak": 2864.0,
    "latency_ms_p0": 9.1,
    "latency_ms_p50": 11.2,
    "latency_ms_p90": 11.6,
    "latency_ms_p95": 11.8,
    "latency_ms_p99": 12.4,
    "latency_ms_p100": 31.7,
    "e2e_avg_ms": 11.226,
    "infer_avg_ms": 11.2,
    "total_infs": 342_000,
    "total_s": 121.5,
    "model_filename": "model_b8.pt",
    "device_type": "neuron",
    "instance_type": "inf2.xlarge",
    "status": "finished",
}


def as_csv(*reports: dict[str, Any]) -> list[str]:
    """The lines that ``write_csv`` writes: what a report lacks is N/A."""
    target = io.StringIO()
    writer = csv.DictWriter(target, COLUMNS.split(","), restval="N/A", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(reports)
    return target.getvalue().splitlines(keepends=True)
