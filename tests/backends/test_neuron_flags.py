from __future__ import annotations

import pytest

from benchlib.backends.base import ResolvedPrecision
from benchlib.backends.neuron.flags import (
    PROFILES,
    check,
    command_flags,
    compiler_flags,
    default_flags,
    not_applied,
    target,
    without_files,
)
from benchlib.errors import BadInput
from tests.dataplane import ROOT

BF16 = "--target inf2 --model-type transformer --auto-cast matmult --auto-cast-type bf16 -O2"
FP32 = "--target inf2 --model-type transformer --auto-cast none --auto-cast-type bf16 -O2"


@pytest.mark.parametrize(
    ("precision", "given", "complete"),
    [
        ("bf16", "", BF16),
        ("fp32", "", FP32),
        ("bf16", "profile:matmult-bf16", BF16),
        ("bf16", "profile:all-bf16", BF16.replace("matmult", "all")),
        ("fp32", "profile:none", FP32),
        ("bf16", "--auto-cast all", "--target inf2 --model-type transformer --auto-cast-type bf16 -O2 "
         "--auto-cast all"),
        ("bf16", "-O3", BF16.replace("-O2", "-O3")),
        ("bf16", "-O 1", BF16.replace("-O2", "-O1")),
        ("bf16", "--optlevel=3", BF16.replace("-O2", "-O3")),
        ("bf16", "--optlevel 3", BF16.replace("-O2", "-O3")),
        ("bf16", "--enable-fast-context-switch", f"{BF16} --enable-fast-context-switch"),
        ("bf16", "profile:all-bf16 --verbose info", f"{BF16.replace('matmult', 'all')} --verbose info"),
    ],
)  # fmt: skip
def test_every_flag_is_always_given(precision: ResolvedPrecision, given: str, complete: str) -> None:
    assert compiler_flags(precision, tuple(given.split())) == tuple(complete.split())


@pytest.mark.parametrize(
    ("precision", "given", "complaint"),
    [
        ("bf16", "--auto-cast none", "allowed: matmult or all with precision bf16"),
        ("fp32", "--auto-cast=matmult", "allowed: none with precision fp32"),
        ("fp32", "profile:all-bf16", "allowed: none with precision fp32"),
        ("bf16", "--auto-cast-type tf32", "allowed: bf16"),
        ("bf16", "profile:fastest", "profile:matmult-bf16, profile:all-bf16, profile:none"),
        ("bf16", "O3", "one word each"),
        ("bf16", "--optlevel 3 4", "one word each"),
    ],
)
def test_flags_that_make_something_else_than_the_label_are_refused(
    precision: ResolvedPrecision, given: str, complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint) as refusal:
        compiler_flags(precision, tuple(given.split()))
    assert refusal.value.field == "compiler_args"


def test_a_profile_makes_the_precision_that_it_claims_and_says_why_it_is_there() -> None:
    for profile in PROFILES:
        flags = compiler_flags(profile.precision, (f"profile:{profile.name}",))
        assert ("none" in flags) == (profile.precision == "fp32")
        assert profile.reason.endswith(".")


def test_the_default_flags_are_part_of_a_programs_identity() -> None:
    assert default_flags() == f"{BF16}; {FP32}"


def test_the_documentation_shows_the_default_flags() -> None:
    assert f"`{BF16}`" in (ROOT / "docs/neuron-host.md").read_text()


def test_the_target_is_what_the_flags_say() -> None:
    assert target(compiler_flags("bf16", ())) == "inf2"
    assert target(compiler_flags("bf16", ("--target", "trn1"))) == "trn1"


@pytest.mark.parametrize("given", ["", "profile:none", "--auto-cast none", "profile:all-bf16 -O3"])
def test_flags_that_some_precision_allows_pass_the_first_look(given: str) -> None:
    check(tuple(given.split()))


@pytest.mark.parametrize("given", ["profile:fastest", "O3", "--auto-cast-type fp16", "profile:none -O3 fast"])
def test_flags_that_no_precision_allows_do_not(given: str) -> None:
    with pytest.raises(BadInput):
        check(tuple(given.split()))


ROOT_LINE = "2026-07-13T19:19:18Z INFO 78862 [root]: /opt/venv/bin/neuronx-cc compile "


@pytest.mark.parametrize(
    ("log", "applied"),
    [
        (
            f"{ROOT_LINE}graph.hlo --framework XLA --target=inf2 -O2 --output /w/graph.neff\nINFO more",
            "--framework XLA --target inf2 -O2 --output /w/graph.neff",
        ),
        ("neuronx-cc compile --enable-fast-context-switch -O=3", "--enable-fast-context-switch -O3"),
        (f"first\n{ROOT_LINE}g.hlo '--internal=--a=1 --b' --optlevel 1", "--internal --a=1 --b -O1"),
        ("NeuronX Compiler version 2.26\nneuronx-cc --version", None),
        ("", None),
    ],
)
def test_the_compilers_command_line_is_found_in_its_log(log: str, applied: str | None) -> None:
    found = command_flags(log)
    assert (found is None) == (applied is None)
    assert " ".join(found or ()) == (applied or "")


@pytest.mark.parametrize(
    ("applied", "lost"),
    [
        (BF16, ()),
        ("g.hlo --framework XLA --output g.neff " + BF16.replace(" bf16", "=bf16"), ()),
        (BF16.replace("inf2", "trn1"), ()),
        (BF16.replace("-O2", ""), ("-O2",)),
        (BF16.replace("-O2", "--optlevel=1"), ("-O2",)),
        (f"{BF16} --auto-cast none", ("--auto-cast matmult",)),
        (f"--auto-cast none {BF16}", ()),
        (BF16.replace("inf2", "trn2"), ("--target inf2",)),
        (
            "-O2",
            ("--target inf2", "--model-type transformer", "--auto-cast matmult", "--auto-cast-type bf16"),
        ),
    ],
)
def test_a_flag_that_did_not_arrive_is_named(applied: str, lost: tuple[str, ...]) -> None:
    assert not_applied(compiler_flags("bf16", ()), applied.split()) == lost


def test_a_flag_without_a_value_is_there_whatever_follows_it() -> None:
    asked = compiler_flags("bf16", ("--enable-fast-context-switch",))
    assert not_applied(asked, f"--enable-fast-context-switch graph.hlo {BF16}".split()) == ()
    assert not_applied(asked, BF16.split()) == ("--enable-fast-context-switch",)


def test_paths_are_not_kept() -> None:
    assert without_files(f"--output /home/me/graph.neff {BF16}".split()) == tuple(BF16.split())
