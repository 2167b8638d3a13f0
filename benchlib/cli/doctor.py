"""`bench doctor`: whether this host is ready for a sweep."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.markup import escape

from benchlib.errors import EXIT_FAILED
from benchlib.orchestration.doctor import Finding, examine
from benchlib.settings import Settings

_MARKS = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "error": "[red]ERROR  [/]"}


def doctor(
    as_json: bool = typer.Option(False, "--json", help="One JSON list of findings instead of text."),
) -> None:
    """Check this host before a sweep: interpreter, device, disk, database, artifact store, broker, clock.

    Takes seconds and changes nothing. Exit code 0: no error; 1: at least one.
    """
    findings = list(examine(Settings.from_environment()))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print(findings)
    if any(finding.status == "error" for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def _print(findings: list[Finding]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        console.print(f"{_MARKS[finding.status]} {finding.name:{width}}  {escape(finding.found)}")
        for label, said in (("why", finding.why), ("do", finding.remedy)):
            if said:
                console.print(f"        {'':{width}}  {label}: {escape(said)}")
    errors = sum(finding.status == "error" for finding in findings)
    warnings = sum(finding.status == "warning" for finding in findings)
    console.print(f"\n{errors} errors, {warnings} warnings")
