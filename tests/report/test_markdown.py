"""The Markdown table has the seed's shape to the character, and names in it stay names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchlib.report.markdown import escape, render_markdown
from benchlib.report.table import NOTHING
from tests.analysis.comparisons import comparison, failed, invalid, ok

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def test_the_whole_document_to_the_character() -> None:
    rows = [
        ok(1, 100),
        ok(2, 250.5),
        invalid(4, 300, "12 % of CPU time was stolen"),
        failed(8, "the compiler was killed by signal 9, probably for lack of memory"),
    ]
    rendered = render_markdown(comparison(rows, label="SDK 2.31"))
    assert rendered == (
        "Model bert-base-uncased, sequence length 128, precision fp32, scenario offline, backend cpu, "
        "device Xeon, label SDK 2.31, sweep 1b0a9c56, date 2026-03-01 02:30 UTC. "
        "Measured on a CPU: not an inf2 result.\n"
        "\n"
        "| Filename                 | Batch | Batches | Inferences | Threads | Models | Duration (s) |"
        "                               Throughput (inf/s) | P50 (ms) | P95 (ms) | P99 (ms) |\n"
        "| ------------------------ | ----: | ------: | ---------: | ------: | -----: | -----------: |"
        " -----------------------------------------------: | -------: | -------: | -------: |\n"
        "| model\\_batch\\_size\\_1.pt |     1 |    1000 |       1000 |      10 |      5 |       10.000 |"
        "                                          100.000 |  100.000 |  125.000 |  150.000 |\n"
        "| model\\_batch\\_size\\_2.pt |     2 |    1000 |       2000 |      10 |      5 |        7.984 |"
        "                                      **250.500** |   79.840 |   99.800 |  119.760 |\n"
        "| model\\_batch\\_size\\_4.pt |     4 |    1000 |       4000 |      10 |      5 |       13.333 |"
        "                                300.000 (invalid) |  133.333 |  166.667 |  200.000 |\n"
        f"| model\\_batch\\_size\\_8.pt |     8 |       {NOTHING} |          {NOTHING} |       {NOTHING} |"
        f"      {NOTHING} |            {NOTHING} | failed: the compiler was killed by signal 9, pr… |"
        f"        {NOTHING} |        {NOTHING} |        {NOTHING} |\n"
        "\n"
        "- Batch size 4 is not valid: 12 % of CPU time was stolen\n"
        "- Batch size 8 failed: the compiler was killed by signal 9, probably for lack of memory\n"
        "\n"
        "Note: Peak throughput observed at batch size 2 (≈250 inf/s), the largest valid one and still "
        "rising: larger batch sizes have no valid measurement. Not measured: batch size 8. "
        "Measured but not valid: batch size 4. Measured on a CPU: not an inf2 result.\n"
    )


def test_ties_and_margins_are_words_and_a_last_column() -> None:
    rows = [ok(1, 240, half_width=15), ok(2, 250, half_width=5), ok(4, 249), failed(8)]
    table = [line for line in render_markdown(comparison(rows)).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0][10:] == ["P99 (ms)", "± inf/s (95 %)"]
    assert cells[1][11].endswith("-:")
    assert [row[7] for row in cells[2:5]] == ["240.000 (tied)", "**250.000**", "249.000 (level)"]
    assert [row[11] for row in cells[2:]] == ["±6.2 %", "±2.0 %", NOTHING, NOTHING]
    assert len({len(line) for line in table}) == 1


HOSTILE = [
    "a|b",
    "[red]x[/red]",
    "<script>alert(1)</script>",
    "line\n\n| --- |\n# two",
    "**bold** _it_ `code` ~~gone~~ &lt; $x$ \\",
    "![img](http://x/y)",
    "\x1b[31mred\x07",
    "‮gnp.exe",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    row = replace(ok(1, 100), filename=name)
    rows = [row, invalid(2, 90, name), failed(3, name)]
    html = MARKDOWN.render(render_markdown(comparison(rows, model=name, label=name, device=name)))
    counts = {tag: html.count(tag) for tag in ("<p>", "<table>", "<ul>", "<li>", "<tr>", "<td")}
    assert counts == {"<p>": 2, "<table>": 1, "<ul>": 1, "<li>": 2, "<tr>": 4, "<td": 33}
    assert html.count("<strong>") == 1
    assert html.count('<td style="text-align:right">150.000</td>\n</tr>') == 1
    for markup in ("<script", "<em", "<code", "<img", "<a ", "<h1", "<s>", "\x1b", "\x07", "\u202e"):
        assert markup not in html


@given(st.text())
def test_escaped_text_reads_as_it_was_written(text: str) -> None:
    inline = MARKDOWN.parse(f"x {escape(text)} x")[1]
    children = inline.children or []
    assert [child.type for child in children] == ["text"]
    written = " ".join(f"x {text} x".split())
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in written)
    assert " ".join(children[0].content.split()) == " ".join(shown.split())
