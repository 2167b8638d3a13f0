"""What a finished sweep means for the exit code."""

from __future__ import annotations

from benchlib.analysis.comparison import Comparison
from benchlib.errors import BenchError


def raise_for_failures(comparison: Comparison, succeeded: bool, where: str) -> None:
    """Do nothing when every batch size has a result and the run succeeded; ``where`` the details are.

    Raises:
        BenchError: names the batch sizes that have none.
    """
    failed = [str(row.batch_size) for row in comparison.rows if row.status == "failed"]
    if failed:
        sizes = "batch size" if len(failed) == 1 else "batch sizes"
        raise BenchError(f"no result for {sizes} {', '.join(failed)}: the details are in {where}")
    if not succeeded:
        raise BenchError(f"every batch size has a result, but the run failed: why is in {where}")
