"""Rows of the published tables, typed by hand: sound ones, and those that are known to be wrong."""

from __future__ import annotations

import csv
import io

HEADER = (
    "instance_family,source_csv,table_kind,model,task,image_size,instance_type,application_type,run_mode,"
    "tp_degree,dp_degree,batch_size,sequence_length,input_length,output_length,model_dtype,autocast,"
    "weight_dtype,os_type,framework,neuron_version,sdk_tag_date,throughput,throughput_unit,latency_p50_ms,"
    "latency_p90_ms,latency_p95_ms,latency_p99_ms,implied_parallelism,first_seen_date,first_seen_commit,"
    "first_tag,last_tag,quality_flag"
)

SOUND = {
    "instance_family": "inf2",
    "source_csv": "throughput_data_encoder.csv",
    "table_kind": "throughput",
    "model": "bert-base-uncased",
    "task": "Raw Output (AutoModel)",
    "instance_type": "inf2.xlarge",
    "application_type": "Batch",
    "run_mode": "Data Parallel",
    "batch_size": "8",
    "sequence_length": "128",
    "model_dtype": "FP32",
    "autocast": "Matmult-BF16",
    "framework": "PyTorch 2.7",
    "neuron_version": "2.25.0",
    "sdk_tag_date": "2025-07-31",
    "throughput": "2863.74",
    "throughput_unit": "inferences/s",
    "latency_p50_ms": "5.54",
    "latency_p99_ms": "5.99",
    "first_seen_date": "2025-08-05",
}

LATENCY = {
    **SOUND,
    "table_kind": "latency",
    "source_csv": "latency_data_encoder.csv",
    "batch_size": "1",
}
CASED = {
    **LATENCY,
    "model": "bert-base-cased",
    "quality_flag": "littles_law_mismatch",
}

SDK_2_20 = {
    "framework": "PyTorch 2.1",
    "neuron_version": "2.20.0",
    "sdk_tag_date": "2024-09-16",
}
SDK_2_21 = {
    "framework": "PyTorch 2.5",
    "neuron_version": "2.21.0",
    "sdk_tag_date": "2024-12-20",
}
SDK_2_9 = {
    "framework": "PyTorch 1.13.0",
    "neuron_version": "2.9.0",
    "sdk_tag_date": "2023-03-24",
}

TOO_SLOW = {
    **CASED,
    **SDK_2_20,
    "throughput": "41.24005048",
    "latency_p50_ms": "1.01661682",
    "latency_p99_ms": "1.090765",
}
TOO_FAST = {
    **CASED,
    **SDK_2_21,
    "throughput": "2830.11848227",
    "latency_p50_ms": "0.98586082",
    "latency_p99_ms": "1.07145309",
}
TOO_MANY = {
    **SOUND,
    **SDK_2_9,
    "model": "distilbert-base-cased",
    "task": "",
    "batch_size": "4",
    "throughput": "3721.4",
    "latency_p50_ms": "8.96",
    "latency_p99_ms": "11.61",
}
SHIFTED = {
    **LATENCY,
    "model": "albert-base-v2",
    "instance_type": "trn1.2xlarge",
    "instance_family": "trn1",
    "application_type": "2.21.0",
    "run_mode": "1",
    "batch_size": "128",
    "sequence_length": "FP32",
    "model_dtype": "Matmult-BF16",
    "autocast": "U22",
    "framework": "PyTorch 2.5",
    "neuron_version": "Data Parallel",
    "sdk_tag_date": "",
    "throughput": "2118.94180699",
    "latency_p50_ms": "0.94056129",
    "latency_p99_ms": "",
}
FOOTNOTE = {
    **SOUND,
    "neuron_version": "2.13.0 *",
    "model": "roberta-base *",
}
MRPC = {
    **LATENCY,
    **SDK_2_21,
    "model": "bert-base-cased-finetuned-mrpc",
    "task": "Sequence Classification",
    "quality_flag": "several_values_for_same_version",
}
FIRST_VALUE = {
    **MRPC,
    "throughput": "2144.41349977",
    "latency_p50_ms": "0.92673302",
    "latency_p99_ms": "0.98",
    "first_seen_date": "2024-12-20",
}
SECOND_VALUE = {
    **MRPC,
    "throughput": "2191.85482052",
    "latency_p50_ms": "0.92601776",
    "latency_p99_ms": "0.95",
    "first_seen_date": "2025-04-03",
}
TAIL_BELOW_MEDIAN = {
    **SOUND,
    "instance_type": "trn1.2xlarge",
    "throughput": "5373.35",
    "batch_size": "16",
    "latency_p50_ms": "6.0",
    "latency_p99_ms": "5.94",
}
TOKENS = {
    **SOUND,
    "model": "Llama-2-13b",
    "task": "Text Generation",
    "throughput_unit": "tokens/s",
}
IMAGES = {
    **SOUND,
    "model": "resnet50",
    "task": "Image Classification",
    "image_size": "224x224",
    "sequence_length": "",
}
TENSOR_PARALLEL = {
    **SOUND,
    "model": "opt-66b",
    "run_mode": "Tensor Parallel",
    "sequence_length": "2048",
}
NO_LENGTH = {
    **LATENCY,
    **SDK_2_9,
    "task": "",
    "sequence_length": "",
}
INF1 = {
    **SOUND,
    "instance_family": "inf1",
    "instance_type": "inf1.6xlarge",
    "task": "",
    "run_mode": "Model Pipeline",
    "model": "BERT base",
    "sequence_length": "",
    "autocast": "",
    "batch_size": "1",
    "model_dtype": "fp32, bert-base-uncased, sequence-length=128",
    "framework": "PyTorch 1.11.0",
    "neuron_version": "1.19.0",
    "sdk_tag_date": "2022-04-29",
    "throughput": "2079.1",
    "latency_p50_ms": "5.7",
    "latency_p99_ms": "6.0",
}


def table_of(*rows: dict[str, str]) -> str:
    """A file with the published header."""
    target = io.StringIO()
    writer = csv.DictWriter(target, HEADER.split(","))
    writer.writeheader()
    writer.writerows(rows)
    return target.getvalue()
