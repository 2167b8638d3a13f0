"""The errors that people are meant to read, in one sentence each."""

from __future__ import annotations

from pydantic import ValidationError

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2


class BenchError(Exception):
    """Something went wrong that one sentence explains; shown without a traceback."""


class BadInput(BenchError, ValueError):
    """What was asked cannot be done as asked. Nothing has been written; exit code 2.

    A ValueError too, so that pydantic's validators may raise it.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field = field
        self.value = value
        self.allowed = allowed
        super().__init__(f"{field}: {value!r} is not allowed; allowed: {allowed}")

    @classmethod
    def from_validation(cls, error: ValidationError) -> BadInput:
        """The first complaint of a pydantic validation, as one sentence."""
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or error.title
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, BadInput):
            return cause
        message = first["msg"].removeprefix("Value error, ")
        return cls(field, first["input"], message[:1].lower() + message[1:])
