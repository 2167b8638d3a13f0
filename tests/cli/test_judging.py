"""`bench change`, `baseline`, `annotate` and `price` as they are typed."""

from __future__ import annotations

import getpass
import json
import re
import shlex
from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console
from sqlalchemy import Engine, text

from benchlib.cli import judging
from benchlib.cli.judging import Column, print_table
from benchlib.settings import PROJECT_ROOT
from benchlib.store import judgement_lists as lists
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.incidents import find_incident
from benchlib.store.judgements import Subject
from benchlib.store.repository import Repository
from tests.cli.conftest import Bench
from tests.store import judgements, samples
from tests.store.conftest import run_psql
from tests.store.test_prices import TODAY
from tests.store.test_roles import logged_in

WHO = ("--author", "Ana", "--reason", "The new compiler spills.")


@pytest.fixture(autouse=True)
def change(engine: Engine) -> int:
    """Two nights of two batch sizes on a CPU, and a change between them; its number."""
    for day in (0, 1):
        sweep = samples.sweep(f"night-{day}", created_at=samples.NOON + timedelta(days=day))
        for size in (1, 2):
            Repository(engine).record(samples.measurement(size, sweep=sweep))
    with engine.begin() as connection:
        night = [samples.sweep(f"night-{day}").sweep_id for day in (0, 1)]
        return judgements.incident_of(connection, judgements.add_change(connection, *night))


def series_of(engine: Engine, batch_size: int) -> str:
    with engine.connect() as connection:
        return str(judgements.series_of(connection, samples.sweep("night-0").sweep_id, batch_size))


def test_a_change_from_open_to_settled(bench: Bench, change: int) -> None:
    code, out, err = bench("changes")
    assert (code, err) == (0, "")
    for part in ("bert-base-uncased", "throughput", "-3.0% worse", "1 of 2", "2026-03-02", "confirmed"):
        assert part in out
    assert bench("changes", "--direction", "better")[1] == "No change is open.\n"
    assert "not inf2 results" in out
    bench("mute", "model", "bert*", "--days", "3", *WHO)
    assert "1 more is muted" in bench("changes", "--direction", "worse")[1]
    assert "more is muted" not in bench("changes", "--direction", "better")[1]
    bench("mute", "end", "1", *WHO)
    assert bench("change", "ack", str(change), *WHO) == (
        0,
        f"change {change}: confirmed -> acknowledged\n",
        "",
    )
    assert "acknowledged" in bench("changes")[1]
    assert bench("change", "fix", str(change), *WHO)[1] == f"change {change}: acknowledged -> fixed\n"
    assert bench("changes")[1] == "No change is open.\n"
    assert "fixed" in bench("changes", "--all")[1]
    assert "fixed" in bench("changes", "--status", "fixed")[1]


def test_a_change_is_explained_with_all_that_was_said_about_it(bench: Bench, change: int) -> None:
    bench("change", "ack", str(change), *WHO)
    bench("annotate", "change", str(change), "Asked upstream.", "--author", "Ben")
    _, out, _ = bench("explain", str(change))
    first, scope, *_ = out.splitlines()
    assert first == (
        f"Change {change}, acknowledged: "
        "bert-base-uncased on cpu (not inf2): throughput -3.0% since 2026-03-02"
    )
    assert scope == "Batch size 1: throughput -3.0%."  # with two nights, nothing is known of the others
    assert "- throughput, batch size 1, from 2026-03-02: 1000 inf/s -> 970 inf/s, -3.00%" in out
    ben, ana = out.splitlines()[-2:]
    assert ("Ben" in ben, "Asked upstream." in ben) == (True, True)
    assert ("Ana" in ana, "acknowledged" in ana, "spills" in ana) == (True, True, True)


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("expect", "expected"),
        ("false-alarm", "false_alarm"),
        ("infra", "infra"),
        ("wont-fix", "wont_fix"),
        ("reopen", "reopened"),
    ],
)
def test_every_verb_has_its_status(bench: Bench, engine: Engine, change: int, verb: str, status: str) -> None:
    if verb == "reopen":
        bench("change", "fix", str(change), *WHO)
    assert bench("change", verb, str(change), *WHO)[0] == 0
    assert find_incident(engine, change).status == status


def test_saying_it_again_writes_nothing_and_names_who_said_it(bench: Bench, change: int) -> None:
    assert "is confirmed already; nothing written" in bench("change", "reopen", str(change), *WHO)[1]
    bench("change", "ack", str(change), *WHO)
    _, out, _ = bench("change", "ack", str(change), "--author", "Ben", "--reason", "Me too.")
    assert out.startswith(f"change {change} is acknowledged already, says Ana (")


def test_the_author_is_who_is_logged_in(bench: Bench, engine: Engine, change: int) -> None:
    bench("change", "ack", str(change), "-r", "I look into it.")
    assert find_incident(engine, change).author == getpass.getuser()


def test_changes_as_json_have_all_fields(bench: Bench, change: int) -> None:
    (line,) = json.loads(bench("changes", "--json")[1])
    assert (line["incident_id"], line["batch_sizes"], line["hardware"]) == (change, [1], False)
    (told,) = json.loads(bench("explain", str(change), "--json")[1])
    assert {name: told[name] for name in line} == line
    assert (told["shifts"][0]["relative_low"], told["said"]) == (-0.035, [])


def test_a_mute_hides_a_change_names_its_end_and_can_be_ended(bench: Bench, change: int) -> None:
    for wrong in ((), ("--days", "3", "--until", "2999-01-01"), ("--until", "2020-01-01"), ("--days", "400")):
        code, out, err = bench("mute", "model", "bert*", *WHO, *wrong)
        assert (code, out) == (2, "")
        assert "mute" in err or "expiry" in err
    assert re.match(r"mute 1 until \d{4}-\d\d-\d\d", bench("mute", "model", "bert*", "--days", "3", *WHO)[1])
    _, out, _ = bench("changes")
    assert "No change is open." in out
    assert "1 more is muted" in out
    assert "muted until" in bench("changes", "--all")[1]
    assert "bert*" in bench("mute", "list")[1]
    assert bench("mute", "end", "1", *WHO)[1] == "mute 1 ended\n"
    assert bench("mute", "end", "1", *WHO)[1] == "mute 1 has ended already; nothing written\n"
    assert "confirmed" in bench("changes")[1]
    assert bench("mute", "list")[1] == "Nothing is muted.\n"
    assert "Ana" in bench("mute", "list", "--all")[1]


def test_a_series_is_muted_by_its_id(bench: Bench, engine: Engine, change: int) -> None:
    other, own = (series_of(engine, size)[:13] for size in (2, 1))
    bench("mute", "series", other, "--days", "1", *WHO)
    assert "confirmed" in bench("changes")[1]
    bench("mute", "series", own, "--days", "1", "--metric", "throughput_inf_per_s", *WHO)
    assert "No change is open." in bench("changes")[1]


def test_judging_says_what_it_would_write_and_then_what_it_wrote(bench: Bench) -> None:
    _, out, _ = bench("judge", "--dry-run", "--from", "2026-03-01", "--to", "2026-03-02")
    assert "Judged until 2026-03-02 with thresholds 1: configurations 1," in out
    assert "rows that would be written 0." in out
    assert "Too few nights since they began or last changed to tell one now: 2 series." in out
    assert bench("judge", "--thresholds", "9")[2] == (
        "bench: thresholds: '9' is not allowed; allowed: one of 1, 1-sensitive, 1-strict\n"
    )
    assert bench("judge", "--from", "2026-03-02", "--to", "2026-03-01")[0] == 2


def test_judging_fails_when_something_could_not_be_judged(bench: Bench, engine: Engine) -> None:
    with engine.begin() as connection:
        rules = text(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'measurement'::regclass AND contype = 'c'"
        )
        for name in connection.scalars(rules).all():
            connection.execute(text(f'ALTER TABLE measurement DROP CONSTRAINT "{name}"'))
        connection.execute(text("UPDATE measurement SET p50_ms = -1"))
    code, out, err = bench("judge")
    assert (code, "configurations 0," in out) == (1, True)
    assert err.startswith("bench: not judged: bert-base-uncased (")
    assert "-1.0 is not allowed" in err


def test_a_sweep_is_pinned_listed_and_unpinned(bench: Bench, engine: Engine) -> None:
    assert bench("baseline", "pin", "night-0", *WHO) == (0, "2 series pinned, 0 were so already\n", "")
    only = ("--series", series_of(engine, 2)[:13])
    pinned = bench("baseline", "pin", "night-0", "--to", "night-1", *only, *WHO)
    assert pinned[1] == "1 series pinned, 0 were so already\n"
    _, out, _ = bench("baseline", "list", "--pinned")
    one, two = [line for line in out.splitlines() if "bert" in line]
    assert ("2026-03-01 to" in one, "2026-03-01 to 2026-03-02" in two) == (False, True)
    assert "not inf2 results" in out
    (line,) = json.loads(bench("baseline", "list", "--json", *only)[1])
    assert (line["batch_size"], line["sweeps"], line["author"]) == (2, 2, "Ana")
    assert bench("baseline", "unpin", "night-0", *WHO)[1] == "2 series unpinned\n"
    assert bench("baseline", "unpin", "night-0", *WHO)[1] == "nothing is pinned there; nothing written\n"
    assert bench("baseline", "list", "--pinned")[1] == "No series is pinned.\n"


def test_remarks_are_noted_once_and_listed(bench: Bench, engine: Engine) -> None:
    author = ("--author", "Ana")
    nights = ("annotate", "nights", "2026-03-01", "A loud neighbour.", "--to", "2026-03-02", *author)
    assert bench("annotate", "sweep", "night-1", "A loud neighbour.", *author)[1] == "1 noted\n"
    assert bench(*nights)[1] == "1 noted, 1 had it already\n"
    assert bench("annotate", "series", series_of(engine, 1)[:13], "Noisy.", *author)[1] == "1 noted\n"
    _, out, _ = bench("annotate", "list")
    assert out.count("A loud neighbour.") == 2
    assert f"series {series_of(engine, 1)[:8]}" in out
    (line,) = json.loads(bench("annotate", "list", "--sweep", "night-1", "--json")[1])
    assert (line["reason"], line["night"], line["status"]) == ("A loud neighbour.", "2026-03-02", None)
    assert bench("annotate", "list", "--change", "1")[1] == "Nothing was said.\n"


def test_a_list_that_is_cut_says_so(bench: Bench) -> None:
    bench("baseline", "pin", "night-0", *WHO)
    assert "No more than 1 lines are shown" in bench("baseline", "list", "--limit", "1")[1]
    assert "are shown" not in bench("baseline", "list")[1]


def test_a_price_is_added_listed_and_never_overwritten_in_passing(bench: Bench) -> None:
    price = ("price", "add", "inf2.xlarge", "0.9", "--from", "2026-03-01", "--source", "A list.")
    assert bench(*price) == (0, "stored\n", "")
    assert bench(*price) == (0, "stored already; nothing written\n", "")
    other = ("price", "add", "inf2.xlarge", "0.8", "--from", "2026-03-01", "--source", "A better list.")
    code, out, err = bench(*other)
    assert (code, out) == (2, "")
    assert err == (
        "bench: usd_per_hour: '0.8' is not allowed; "
        "allowed: 0.9, as stored for that day (A list.), unless it is to be replaced\n"
    )
    assert bench(*other, "--replace")[1] == "stored\n"
    _, out, _ = bench("price", "list", "inf2.xlarge")
    assert [each for each in ("before 2026-03-01", "A better list.", "A list.") if each in out] == [
        "before 2026-03-01",
        "A better list.",
    ]
    lines = json.loads(bench("price", "list", "inf2.xlarge", "--json")[1])
    assert [line["valid_before"] for line in lines if line["price_kind"] == "on_demand"] == [str(TODAY), None]
    assert bench("price", "list", "moon.large")[1] == "No price is stored of moon.large.\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("change", "ack", "999999", *WHO), "change: '999999' is not allowed; allowed: the id of a stored"),
        (("change", "ack", "1", "--author", " ", "--reason", "x"), "author: ' ' is not allowed"),
        (("change", "ack", "1", "--reason", ""), "reason: '' is not allowed"),
        (("explain", "999999"), "change: 999999 is not allowed"),
        (("changes", "--series", "nosuch"), "series: 'nosuch' is not allowed"),
        (("changes", "--status", "good"), "status: 'good' is not allowed; allowed: one of suspect, "),
        (("mute", "end", "7", *WHO), "mute: 7 is not allowed"),
        (("baseline", "pin", "nosuch", *WHO), "sweep: 'nosuch' is not allowed"),
        (("baseline", "pin", "night-1", "--to", "night-0", *WHO), "last sweep: "),
        (("baseline", "unpin", *WHO), "sweep: None is not allowed; allowed: a sweep, unless a"),
        (("annotate", "sweep", "night-0", " "), "reason: ' ' is not allowed"),
        (("annotate", "sweep", "night-0", "\udcff"), "reason: "),
        (("annotate", "nights", "2020-01-01", "x"), "nights: '2020-01-01 to 2020-01-01' is not allowed"),
        (("annotate", "change", "999999", "x"), "change: '999999' is not allowed"),
        (("price", "add", "inf2", "free", "--from", "2026-03-01", "--source", "x"), "usd_per_hour: 'free'"),
        (("price", "add", "inf2.xlarge", "-1", "--from", "2026-03-01", "--source", "x"), ""),
        (("price", "add", "inf2.xlarge", "1", "--from", "March", "--source", "x"), ""),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_exit_code_2_and_nothing_written(
    bench: Bench, engine: Engine, change: int, arguments: tuple[str, ...], complaint: str
) -> None:
    code, out, err = bench(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    if complaint:
        assert err.startswith(f"bench: {complaint}")
        assert err.count("\n") == 1
    assert lists.list_annotations(engine, Subject()) == ()
    assert lists.list_baselines(engine) == ()
    assert len(lists.list_prices(engine)) == 8


def test_a_reader_lists_and_is_told_that_it_may_not_write(
    bench: Bench,
    postgres: EmbeddedPostgres,
    engine: Engine,
    change: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_psql(postgres, engine, "-f", str(PROJECT_ROOT / "sql" / "roles.sql"))
    with logged_in(engine, "bench_reader") as reader:
        monkeypatch.setenv("BENCH_DATABASE_URL", reader.url.render_as_string(hide_password=False))
        assert "-3.0% worse" in bench("changes")[1]
        assert "throughput -3.0%" in bench("explain", str(change))[1]
        assert bench("mute", "list")[1] == "Nothing is muted.\n"
        assert "inf2.48xlarge" in bench("price", "list")[1]
        assert "Throughput" in bench("report", "night-0", "--format", "md")[1]
        assert bench("coverage", "--nights", "1")[0] == 0
        code, _, err = bench("change", "ack", str(change), *WHO)
        assert (code, "Traceback" in err) == (1, False)
        assert "permission denied" in err
    assert find_incident(engine, change).status == "confirmed"


def test_what_was_said_cannot_steer_the_terminal(bench: Bench) -> None:
    bench("annotate", "sweep", "night-0", "red \x1b[31m alert", "--author", "A\nna")
    _, out, _ = bench("annotate", "list")
    assert ("\x1b" in out, "A na" in out) == (False, True)


@pytest.mark.parametrize(
    ("width", "missing"), [(200, []), (70, ["Why", "Band"]), (60, ["Why", "Who", "Band"])]
)
def test_a_narrow_terminal_loses_whole_columns_and_is_told_which(
    monkeypatch: pytest.MonkeyPatch, width: int, missing: list[str]
) -> None:
    screen = Console(file=StringIO(), width=width, color_system=None)
    monkeypatch.setattr(judging, "open_console", lambda: screen)
    columns = (
        Column("Id"),
        Column("Why", wraps=True, dispensable=3),
        Column("Who", dispensable=1),
        Column("Band", dispensable=2),
    )
    print_table(columns, [("7" * 40, "Because. " * 9, "A" * 18, "B" * 12)])
    assert isinstance(screen.file, StringIO)
    shown = screen.file.getvalue()
    assert "7" * 40 in shown
    assert ("A" * 18 in shown, "B" * 12 in shown) == ("Who" not in missing, "Band" not in missing)
    assert ("Too narrow" in shown) == bool(missing)
    assert not missing or f"Too narrow for: {', '.join(missing)}." in shown


COMMANDS = {
    "change": ("ack", "fix", "expect", "infra", "wont-fix", "false-alarm", "reopen"),
    "mute": ("list", "model", "series", "end"),
    "baseline": ("list", "pin", "unpin"),
    "annotate": ("list", "sweep", "series", "change", "nights"),
    "price": ("list", "add"),
}


ALONE = ("changes", "explain", "judge")


@pytest.mark.parametrize(
    "command",
    [*((each,) for each in ALONE), *((room, verb) for room, verbs in COMMANDS.items() for verb in verbs)],
    ids=" ".join,
)
def test_every_command_explains_itself(bench: Bench, command: tuple[str, ...]) -> None:
    code, out, _ = bench(*command, "--help")
    assert code == 0
    assert len(out.splitlines()) > 6


def documented() -> list[list[str]]:
    """The commands of docs/judgements.md, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", (PROJECT_ROOT / "docs" / "judgements.md").read_text(), re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines()]


def test_the_documented_commands_run(bench: Bench, engine: Engine, change: int) -> None:
    with engine.begin() as connection:
        night = [samples.sweep(f"night-{day}").sweep_id for day in (0, 1)]
        slower = {"before_value": 1.0, "after_value": 1.1, "relative_low": 0.05, "relative_high": 0.2}
        faster = {**slower, "after_value": 0.9, "relative_low": -0.2, "relative_high": -0.05}
        added = judgements.add_change(connection, *night, metric="p50_ms", **faster)
        other = judgements.incident_of(connection, added)
    names = {
        "RUN_ID": "night-0",
        "LATER_RUN_ID": "night-1",
        "3f9c": series_of(engine, 1),
        "17": str(change),
        "18": str(other),
    }
    commands = documented()
    assert {command[0] for command in commands} == {*COMMANDS, *ALONE}
    for command in commands:
        code, _, err = bench(*(names.get(word, word) for word in command))
        assert (code, err) == (0, ""), command
