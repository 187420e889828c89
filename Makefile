# Every command of the project, a line each: `make help`. Parameters of the notebooks are given as NAME=value.

VENV ?= .venv
BIN := $(VENV)/bin

# What was given on the command line, each value quoted for the shell as it was typed.
PARAMETERS = $(foreach name,$(filter-out VENV PYTHON,$(.VARIABLES)),$(if \
	$(filter command,$(firstword $(origin $(name)))),'$(name)=$(subst ','\'',$(value $(name)))'))

LEFT_BEHIND := metadata.papermill cell.metadata.papermill cell.metadata.execution $(addprefix metadata.language_info., \
	codemirror_mode file_extension mimetype nbconvert_exporter pygments_lexer version)

export JUPYTER_PREFER_ENV_PATH := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup reports compare example picture results recommend test matrix colab lint lab bench benchmark tune ablation diff strip lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv from requirements.lock, if it is not there already (PYTHON=python3.12 chooses another one)
	@PYTHON='$(PYTHON)' sh tools/setup.sh '$(VENV)' $(filter setup,$(MAKECMDGOALS))

reports: setup ## run the notebooks 01 to 04 into a dated report: make reports DATASET=movielens EPOCHS=20
	@$(BIN)/python -m recsys.reports $(PARAMETERS)

compare: setup ## what differs between two reports, and which is better: make compare A=<report> B=<report>, or the last two
	@$(BIN)/python -m recsys.reports.comparison '$(subst ','\'',$(value A))' '$(subst ','\'',$(value B))'

example: setup ## make the report anew that is kept in reports/example
	@$(BIN)/python -m recsys.reports --name=example $(PARAMETERS)

picture: ## take the picture of the report in reports/example that README shows (needs Chromium)
	@sh tools/picture.sh reports/example/index.html docs/report.png

results: setup ## run all data sets of README's table and write it anew: make results LIGHTGCN=<folder> MUSIC=<sessions.parquet>
	@$(BIN)/python tools/results.py --run $(PARAMETERS)

recommend: setup ## write the best songs for every listener to data/runs/<RUN>/recommendations: make recommend RUN=<run> K=20
	@$(BIN)/python -m recsys.recommend $(PARAMETERS)

test: setup ## run all tests, and every notebook as it stands (TESTS=tests/test_model.py runs these)
ifndef TESTS
	@$(BIN)/python -m pytest --nbmake --nbmake-timeout=300 notebooks
endif
	@$(BIN)/python -m pytest -n 2 --dist loadfile --nbmake --nbmake-timeout=300 $(or $(TESTS),tests)

matrix: ## run the tests in Python 3.11, 3.12 and 3.13, those of them that are here
	@TESTS='$(TESTS)' sh tools/matrix.sh

colab: ## run every notebook as Colab would: its Python, its versions, an empty folder, the first cell
	@sh tools/colab.sh

lint: setup ## check style, the usual mistakes and types
	@$(BIN)/ruff check .
	@$(BIN)/mypy

lab: setup ## open JupyterLab on the notebooks
	@$(BIN)/jupyter lab

bench: setup ## measure speeds beside their targets: make bench FULL=1 DATA="30music=<sessions.parquet> lightgcn=<folder>"
	@$(BIN)/python -m bench $(if $(FULL),--full) $(DATA)

benchmark: setup ## quality against time, beside peers, as a page: make benchmark DATASET=lightgcn DATA_PATH=<folder>
	@$(BIN)/python -m recsys.reports --last=5 $(PARAMETERS)

tune: setup ## search for a recipe on validation: make tune DATASET=movielens TRIALS=30 MINUTES=40; then RECIPES="best tuned"
	@$(BIN)/python -m recsys.tune $(PARAMETERS)

ablation: setup ## what each change from author to best is worth, into docs/training.md: make ablation DATA_PATH=<sessions.parquet>
	@$(BIN)/python -m bench.ablation $(PARAMETERS)

diff: setup ## show what changed in the notebooks, cell by cell
	@git diff -- '*.ipynb'

strip: setup ## clear the notebooks of outputs and of what a kernel or papermill left in them, before a commit
	@$(BIN)/nbstripout --keep-id --extra-keys '$(LEFT_BEHIND)' notebooks/*.ipynb

lock: ## pin anew what pyproject.toml asks for (needs uv)
	@uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
		--extra lab --extra movielens --extra tune --extra test pyproject.toml --output-file requirements.lock

clean: ## remove the environment, caches and unfinished reports; data and reports stay
	@rm -rf '$(VENV)' recsys.egg-info .pytest_cache .ruff_cache reports/.*.partial
	@find recsys tests notebooks -name __pycache__ -prune -exec rm -rf {} +
	@for section in diff merge; do git config --local --remove-section $$section.jupyternotebook 2>/dev/null || true; done
