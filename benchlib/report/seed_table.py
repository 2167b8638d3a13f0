"""Read a comparison table back from Markdown: the inverse of `benchlib.report.markdown`, and more lenient.

Escaped characters, bold, the marks of ties, thousands separators, another case of the headers and missing P95
and P99 columns are understood. Figures that contradict each other are not: a table is taken wholly or not at
all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, pairwise
from typing import get_args

from markdown_it import MarkdownIt
from markdown_it.token import Token

from benchlib.analysis.littles_law import ClosedLoop, LatencyUnit, infer_latency_unit
from benchlib.analysis.peak import Tie
from benchlib.errors import BadInput
from benchlib.report.table import COLUMNS, NOTHING, Column
from benchlib.spec import MAX_BATCH_SIZE

LATENCIES = ("P50", "P95", "P99")
OPTIONAL = ("P95", "P99")
MAX_COUNT = 10**15
BLANK = ("", "-", NOTHING)

_SEPARATOR = "[,\u0020\u00a0\u2009\u202f]"
_NUMBER = re.compile(
    rf"([0-9]{{1,15}}|[1-9][0-9]{{0,2}}(?P<separator>{_SEPARATOR})[0-9]{{3}}(?:(?P=separator)[0-9]{{3}}){{0,3}})"
    r"(\.[0-9]{1,12})?"
)
_TIE = re.compile(rf" \((?:{'|'.join(get_args(Tie))})\)$")
_HEADER = re.compile(r"(?P<name>[^()]*?)\s*(?:\((?P<unit>[^()]*)\))?")


@dataclass(frozen=True)
class SeedRow:
    """One row as it stands in the table; its latencies are in the table's own unit."""

    name: str
    """Such as 'row 3', counted from 1 below the header."""
    filename: str
    batch_size: int
    batches: int
    inferences: int
    workers: int
    replicas: int
    duration_s: Decimal
    throughput_inf_per_s: Decimal
    p50: Decimal
    p95: Decimal | None
    p99: Decimal | None


@dataclass(frozen=True)
class SeedTable:
    """A table whose figures agree with each other."""

    title: str | None
    """The document's first heading."""
    latency_unit: LatencyUnit
    ignored_columns: tuple[str, ...]
    rows: tuple[SeedRow, ...]
    """At least one, in the order of the document."""


@dataclass(frozen=True)
class _Grid:
    """A table of the document as text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def read_seed_table(markdown: str) -> SeedTable:
    """Read the one comparison table of a document and find the unit of its latencies.

    Raises:
        BadInput: there is no such table or more than one, a column is missing, a cell is not a number, or the
            figures contradict each other; it names the row and its figures.
    """
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    grid = _the_table(list(_grids(tokens)))
    columns = _columns(grid.header)
    rows = tuple(_row(f"row {number}", columns, cells) for number, cells in enumerate(grid.rows, start=1))
    _check(rows)
    return SeedTable(
        title=_title(tokens),
        latency_unit=infer_latency_unit([_closed_loop(row) for row in rows], _declared_unit(grid.header)),
        ignored_columns=tuple(text for text in grid.header if _column(text) is None),
        rows=rows,
    )


def _grids(tokens: Iterable[Token]) -> Iterator[_Grid]:
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(_text(token))
        elif token.type == "table_close":
            yield _Grid(tuple(rows[0]), tuple(map(tuple, rows[1:])))
            rows = []


def _text(inline: Token) -> str:
    """What a reader sees, without bold and escapes."""
    return "".join(child.content for child in inline.children or ()).strip()


def _title(tokens: Sequence[Token]) -> str | None:
    titles = (_text(token) for opening, token in pairwise(tokens) if opening.type == "heading_open")
    return next(titles, None) or None


def _the_table(grids: Sequence[_Grid]) -> _Grid:
    if not grids:
        raise BadInput("document", "no table", f"a Markdown table with the columns {_names(COLUMNS)}")
    fitting = [grid for grid in grids if not _missing(grid.header)]
    if not fitting:
        header = grids[0].header
        raise BadInput("header", " | ".join(header), f"one with the columns {_names(_missing(header))} too")
    if len(fitting) > 1:
        raise BadInput("document", f"{len(fitting)} tables", "one comparison table; give each its own file")
    if not fitting[0].rows:
        raise BadInput("table", "no rows", "at least one row below the header")
    return fitting[0]


def _column(header: str) -> Column | None:
    match = _HEADER.fullmatch(header)
    name = match["name"].casefold() if match else header
    return next((column for column in COLUMNS if column.name.casefold() == name), None)


def _columns(header: Sequence[str]) -> tuple[Column | None, ...]:
    """What each position of the header stands for."""
    columns = tuple(map(_column, header))
    for column in COLUMNS:
        if columns.count(column) > 1:
            raise BadInput("header", " | ".join(header), f"the column {column.name} once")
    return columns


def _missing(header: Sequence[str]) -> list[Column]:
    found = [_column(text) for text in header]
    return [column for column in COLUMNS if column not in found and column.name not in OPTIONAL]


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(column.name for column in columns)


def _declared_unit(header: Sequence[str]) -> str | None:
    """The unit that all latency columns are headed with."""
    units: dict[str, str | None] = {}
    for text in header:
        column, match = _column(text), _HEADER.fullmatch(text)
        if match and column is not None and column.name in LATENCIES:
            units[column.name] = match["unit"]
    for name, unit in units.items():
        if unit != units["P50"]:
            raise BadInput(f"header of {name}", unit, f"the unit that P50 is headed with, {units['P50']!r}")
    return units["P50"]


@dataclass(frozen=True)
class _Cells:
    """One row's texts by column name, and how to read them."""

    name: str
    texts: Mapping[str, str]

    def text(self, column: str) -> str:
        if self.texts[column]:
            return self.texts[column]
        raise BadInput(f"{self.name}, {column}", "", "a name")

    def number(self, column: str) -> Decimal:
        text = _TIE.sub("", self.texts[column])
        match = _NUMBER.fullmatch(text)
        value = Decimal(re.sub(_SEPARATOR, "", text)) if match else Decimal(0)
        if value > 0:
            return value
        raise BadInput(f"{self.name}, {column}", text, "a number above 0, such as 12649.572")

    def count(self, column: str, largest: int = MAX_COUNT) -> int:
        value = self.number(column)
        if value == int(value) and value <= largest:
            return int(value)
        raise BadInput(f"{self.name}, {column}", self.texts[column], f"a whole number from 1 to {largest}")

    def optional_number(self, column: str) -> Decimal | None:
        return None if self.texts.get(column, "") in BLANK else self.number(column)


def _row(name: str, columns: Sequence[Column | None], texts: Sequence[str]) -> SeedRow:
    cells = _Cells(name, {column.name: text for column, text in zip(columns, texts, strict=True) if column})
    return SeedRow(
        name=name,
        filename=cells.text("Filename"),
        batch_size=cells.count("Batch", MAX_BATCH_SIZE),
        batches=cells.count("Batches"),
        inferences=cells.count("Inferences"),
        workers=cells.count("Threads"),
        replicas=cells.count("Models"),
        duration_s=cells.number("Duration"),
        throughput_inf_per_s=cells.number("Throughput"),
        p50=cells.number("P50"),
        p95=cells.optional_number("P95"),
        p99=cells.optional_number("P99"),
    )


def _check(rows: Sequence[SeedRow]) -> None:
    """Hold the figures of each row against each other, and the rows against each other."""
    for row in rows:
        _check_inferences(row)
        _check_throughput(row)
        _check_percentiles(row)
    for row, other in combinations(rows, 2):
        if row.batch_size == other.batch_size:
            raise BadInput(
                f"{other.name}, Batch", other.batch_size, f"a batch size that {row.name} has not got"
            )
    first = rows[0]
    for row in rows[1:]:
        if (row.workers, row.replicas) != (first.workers, first.replicas):
            load = f"{first.workers} and {first.replicas} as in {first.name}: one table, one load"
            raise BadInput(f"{row.name}, Threads and Models", f"{row.workers} and {row.replicas}", load)


def _check_inferences(row: SeedRow) -> None:
    if row.inferences != row.batches * row.batch_size:
        product = f"{row.batches} batches x {row.batch_size} = {row.batches * row.batch_size}"
        raise BadInput(f"{row.name}, Inferences", row.inferences, product)


def _check_throughput(row: SeedRow) -> None:
    """Throughput times duration must be the inferences, as far as the printed digits go."""
    half_s, half_per_s = _half_last_digit(row.duration_s), _half_last_digit(row.throughput_inf_per_s)
    least = (row.throughput_inf_per_s - half_per_s) * (row.duration_s - half_s)
    most = (row.throughput_inf_per_s + half_per_s) * (row.duration_s + half_s)
    if not least <= row.inferences <= most:
        rate = row.inferences / row.duration_s
        allowed = f"{row.inferences} inferences / {row.duration_s} s = {rate:.3f} inf/s within rounding"
        raise BadInput(f"{row.name}, Throughput", str(row.throughput_inf_per_s), allowed)


def _half_last_digit(value: Decimal) -> Decimal:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return Decimal((0, (5,), exponent - 1))


def _check_percentiles(row: SeedRow) -> None:
    printed = [
        (name, value) for name, value in (("P50", row.p50), ("P95", row.p95), ("P99", row.p99)) if value
    ]
    for (lower, least), (higher, value) in pairwise(printed):
        if value < least:
            raise BadInput(f"{row.name}, {higher}", str(value), f"at least its {lower}, {least}")


def _closed_loop(row: SeedRow) -> ClosedLoop:
    return ClosedLoop(row.name, row.workers, row.batch_size, float(row.throughput_inf_per_s), float(row.p50))
