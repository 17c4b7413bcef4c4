# Everything runs in .venv, made on the first run and remade when the lock file changes.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: install demo test check translations truth bench bench-pages bench-full faults pictures lighthouse clean

install: .venv/installed

.venv/installed: deploy/requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Wasl needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r deploy/requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/demo: deploy/requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Wasl needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r deploy/requirements.lock
	touch $@

# The demo needs no development tools: it runs from the checkout with the locked packages alone.
demo: .venv/demo
	$(BIN)/python -m webhook_app demo $(ARGS)

test: install
	$(BIN)/pytest $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/python -m tests.checks.translations
	$(BIN)/python -m tests.checks.directions

# New and changed texts of the sources come into the catalogues, where they wait to be translated.
translations: install
	$(BIN)/python -m tests.checks.translations --update

# 2,000 simulated sends with every misbehaviour, compared with the simulator's ledger message by message.
truth: install
	$(BIN)/pytest tests/test_truth.py -n 0 -s --sends 2000

# Beside a view that stores nothing and a plain ORM view. wrk and gcc must be there. ARGS=--quick: a look, 3 minutes.
bench: install
	$(BIN)/python -W ignore -m tests.benchmarks.ingest $(ARGS)

# Every page at 10 million messages, beside 10 thousand and beside an Overview that counts rows. Takes hours and 40 GB,
# in a folder that stays with ARGS="--keep FOLDER". ARGS=--quick: a look, 2 minutes.
bench-pages: install
	$(BIN)/python -W ignore -m tests.benchmarks.pages $(ARGS)

# A worker's memory after a million callbacks; ingest beside 10 million stored messages. Takes hours.
bench-full: install
	$(BIN)/python -W ignore -m tests.benchmarks.ingest --memory 1000000
	$(BIN)/python -W ignore -m tests.benchmarks.ingest --flat

# Wasl while something goes wrong: lists the runs. ARGS="kills --share 0.1": a tenth of one; ARGS="all --full": all.
faults: install
	$(BIN)/python -W ignore -m tests.faults $(ARGS)

# Every page in three languages, both themes, on a phone and on a desk, into pictures/. ARGS=overview: only that.
pictures: install
	$(BIN)/python -W ignore -m tests.pictures $(ARGS)

# Overview and Messages as Lighthouse (by npx) judges them: performance and accessibility of 95 at least.
lighthouse: install
	$(BIN)/python -W ignore -m tests.benchmarks.lighthouse

clean:
	rm -rf .venv build dist
