"""How long does it take to judge everything that was ever stored?

    .venv/bin/python benchmarks/judging_scale.py

Fills a database as `store_scale.py` does, with 20 sweeps of 10 batch sizes a night, and judges it all: four
metrics of every series and of the geometric means, and the figures of the compilations. Then it judges one
night of one model as the nightly task does, and the whole again, which must change no row.

The default of 460 nights is 92 000 measurements with 8 figures each: over 730 000 values. The bar for the
whole is 60 s. The time grows with the nights, and with the changes that are found: this fleet has one in most
of its series every 60 nights. ``--nights 3650`` is ten years.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from benchlib.orchestration.judging import RECENT_NIGHTS, Asked, Outcome, judge
from benchmarks.store_scale import DATABASE, database, is_loaded, load, say

BAR_S = 60


def main() -> int:
    """Load, judge, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=460)
    parser.add_argument("--directory", type=Path, help="keep the database here, and use the one there")
    options = parser.parse_args()
    with database(options.directory) as server:
        if not is_loaded(server):
            load(server, options.nights, 1)
        engine = create_engine(server.url(DATABASE))
        with engine.begin() as connection:  # those that the fleet comes with were made up
            connection.execute(text("TRUNCATE incident, night_event CASCADE"))
        whole_s = _judged(engine, "everything", lambda: judge(engine, Asked()))
        with engine.connect() as connection:
            last = connection.execute(text("SELECT max(night) FROM sweep")).scalar_one()
        nightly = Asked(first=last - timedelta(days=RECENT_NIGHTS - 1), model="model-0")
        _judged(engine, "one night of one model", lambda: judge(engine, nightly))
        _judged(engine, "everything again", lambda: judge(engine, Asked()))
        engine.dispose()
    return 0 if whole_s < BAR_S else 1


def _judged(engine: Engine, what: str, work: Callable[[], Outcome]) -> float:
    begun, cpu_begun = time.perf_counter(), time.process_time()
    outcome = work()
    taken_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_begun
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT count(*) FROM measurement")).scalar_one()
        incidents = connection.execute(text("SELECT count(*) FROM incident")).scalar_one()
    say(
        f"{what}: {taken_s:.1f} s, {cpu_s:.1f} s of them in Python; {outcome.rows} rows written; "
        f"{stored} measurements, {incidents} incidents stored"
    )
    return taken_s


if __name__ == "__main__":
    sys.exit(main())
