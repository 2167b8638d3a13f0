# The commands a contributor needs; `make` lists them.
.PHONY: help lock format lint types test

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

UV_COMPILE = uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-annotate --no-emit-index-url --no-header --quiet

lock:  ## render requirements/*.txt from the *.in files (needs uv)
	$(UV_COMPILE) requirements/control.in -o requirements/control.txt
	$(UV_COMPILE) requirements/dev.in -o requirements/dev.txt

format:  ## let ruff format and fix what it can
	.venv/bin/ruff format . && .venv/bin/ruff check --fix .

lint:  ## ruff and the import rules
	.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/lint-imports

types:  ## mypy --strict over benchlib, the data plane's rooms as Python 3.10 too
	.venv/bin/mypy

test:  ## everything CI runs
	./bench test
