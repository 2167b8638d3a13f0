"""Every question of the Grafana dashboard, asked as Grafana asks it: as a reader, its variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, text

from benchlib.settings import PROJECT_ROOT
from tests.store import fleet
from tests.store.test_roles import logged_in

GRAFANA = PROJECT_ROOT / "docker" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "bench.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
VARIABLES = {each["name"]: each["query"] for each in DASHBOARD["templating"]["list"]}
ANNOTATIONS = {each["name"]: each["target"]["rawSql"] for each in DASHBOARD["annotations"]["list"]}
FILLED = {
    "${model:sqlstring}": f"'{fleet.BERT}','{fleet.TINY}','it''s another'",
    "${batch_size:sqlstring}": "'1','4'",
    "$__timeFrom()": f"'{fleet.FIRST}T00:00:00Z'",
    "$__timeTo()": f"'{fleet.UNTIL}T23:59:59Z'",
}


@dataclass(frozen=True)
class Answer:
    columns: list[str]
    rows: list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def reader(small_fleet: Engine) -> Iterator[Engine]:
    with logged_in(small_fleet, "bench_reader") as engine:
        yield engine


def ask(reader: Engine, sql: str) -> Answer:
    for written, value in FILLED.items():
        sql = sql.replace(written, value)
    assert "$" not in sql
    with reader.connect() as connection:
        found = connection.execute(text(sql.replace(":", r"\:")))
        return Answer(list(found.keys()), [tuple(row) for row in found])


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_every_panel_gets_rows_of_its_shape(reader: Engine, panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    answer = ask(reader, target["rawSql"])
    assert answer.rows
    if target["format"] == "table":
        assert panel["type"] == "table"
        return
    assert panel["type"] == "timeseries"
    assert answer.columns[:2] == ["time", "metric"]
    assert len(answer.columns) == 3
    for moment, name, value in answer.rows:
        assert isinstance(moment, datetime)
        assert isinstance(name, str)
        assert isinstance(value, (int, float, Decimal))
    moments = [row[0] for row in answer.rows]
    assert moments == sorted(moments)


def test_no_line_of_a_cpu_can_be_taken_for_inf2(reader: Engine) -> None:
    for title in ("Throughput", "P99 latency of one batch", "P50 latency of one batch", "Peak batch size"):
        names = {name for _, name, _ in ask(reader, PANELS[title]["targets"][0]["rawSql"]).rows}
        of_cpu = {name for name in names if name.startswith(fleet.TINY)}
        assert of_cpu
        assert all(name.endswith("(not inf2)") for name in of_cpu)
        assert not any(name.endswith("(not inf2)") for name in names - of_cpu)
    costs = ask(reader, PANELS["US dollars per million inferences"]["targets"][0]["rawSql"])
    assert not any(name.startswith(fleet.TINY) for _, name, _ in costs.rows)


def test_the_figures_are_the_stored_ones(reader: Engine) -> None:
    throughput = ask(reader, PANELS["Throughput"]["targets"][0]["rawSql"])
    first = {name: value for moment, name, value in throughput.rows if moment.date() == fleet.FIRST}
    of_size_1 = {name: value for name, value in first.items() if name.startswith(f"{fleet.BERT}, batch 1, ")}
    (name,) = of_size_1
    assert name.startswith(f"{fleet.BERT}, batch 1, inf2.xlarge, offline, seq 128, bf16, 2 x 2, ")
    assert of_size_1[name] == 500.0
    assert 5000.0 not in [value for *_, value in throughput.rows]
    gaps = ask(reader, PANELS["Nights without a valid figure"]["targets"][0]["rawSql"])
    assert (fleet.night_of(7), fleet.BERT, "inf2.xlarge", "1, 4", "none", "no sweep") in gaps.rows


def test_series_that_differ_never_share_a_line(reader: Engine) -> None:
    for title in ("Throughput", "P99 latency of one batch", "Peak batch size"):
        found = ask(reader, PANELS[title]["targets"][0]["rawSql"]).rows
        assert len({(moment, name) for moment, name, _ in found}) == len(found), title


def test_tables_say_where_no_accelerator_ran(reader: Engine) -> None:
    answer = ask(reader, PANELS["SDK by SDK"]["targets"][0]["rawSql"])
    ran_on = {row[0]: row[answer.columns.index("Ran on")] for row in answer.rows}
    assert ran_on == {fleet.BERT: "inf2.xlarge", fleet.TINY: "cpu (not inf2)"}


def test_the_variables_offer_what_there_is(reader: Engine) -> None:
    assert ask(reader, VARIABLES["model"]).rows == [(fleet.BERT,), (fleet.TINY,)]
    assert ask(reader, VARIABLES["batch_size"]).rows == [(1,), (4,)]


def test_upgrades_and_changes_are_marks(reader: Engine) -> None:
    upgrades = ask(reader, ANNOTATIONS["SDK"])
    assert [(moment.date(), words) for moment, words in upgrades.rows] == [
        (fleet.night_of(fleet.UPGRADE), "SDK 2.26.0")
    ]
    changes = ask(reader, ANNOTATIONS["Changes"])
    assert changes.columns == ["time", "text", "tags"]
    assert any("worse by -10.0 % at batch size 4: neuron_sdk" in words for _, words, _ in changes.rows)


def test_the_dashboard_is_provisioned_from_where_it_lies() -> None:
    compose = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
    grafana = compose["services"]["grafana"]
    assert grafana["profiles"] == ["grafana"]
    mounts = dict(mount.split(":")[:2] for mount in grafana["volumes"])
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "bench.yaml").read_text())
    (folder,) = provider["providers"]
    assert mounts["./docker/grafana/dashboards"] == folder["options"]["path"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home) == Path(folder["options"]["path"]) / "bench.json"
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "bench.yaml").read_text())[
        "datasources"
    ]
    used = {panel["datasource"]["uid"] for panel in PANELS.values()}
    assert used == {source["uid"]}
    assert re.fullmatch(r"\$[A-Z_]+", source["secureJsonData"]["password"])
    assert source["secureJsonData"]["password"][1:] in grafana["environment"]


def test_the_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS.values():
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        lines = range(place["y"], place["y"] + place["h"])
        cells = set(product(columns, lines))
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in PANELS.values()}) == len(PANELS)
