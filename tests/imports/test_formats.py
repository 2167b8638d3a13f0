"""A file's first line tells what it is."""

from __future__ import annotations

import pytest

from benchlib.imports.formats import detect
from tests.analysis.comparisons import SEED
from tests.imports.neuronperf_reports import REPORT, as_csv
from tests.imports.published_rows import SOUND, table_of


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (SEED.read_text(), "seed"),
        (table_of(SOUND), "published"),
        ("\ufeff" + table_of(SOUND), "published"),
        ("".join(as_csv(REPORT)), "neuronperf-csv"),
        (' \n[{"n_models": 1}]', "neuronperf-json"),
        ('{"schema_version": 1}\n', "jsonl"),
        ("", "seed"),
        ("a,b,c\n1,2,3\n", "seed"),
    ],
)
def test_the_format_is_told(head: str, found: str) -> None:
    assert detect(head) == found
