# All commands of the project; `make help` lists them. Parameters of the notebooks are given as NAME=value.

VENV ?= .venv
BIN := $(VENV)/bin

# The values given on the command line, quoted for the shell.
PARAMETERS = $(foreach name,$(filter-out VENV PYTHON,$(.VARIABLES)),$(if \
	$(filter command,$(firstword $(origin $(name)))),'$(name)=$(subst ','\'',$(value $(name)))'))

EXTRA_KEYS := metadata.papermill cell.metadata.papermill cell.metadata.execution $(addprefix metadata.language_info., \
	codemirror_mode file_extension mimetype nbconvert_exporter pygments_lexer version)

export JUPYTER_PREFER_ENV_PATH := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup spark reports inspect compare example picture results train recommend export explore share test \
	chaos matrix colab lint packages lab bench benchmark tune ablation diff strip lock clean

help: ## list all commands and what they do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

setup: ## create .venv from requirements.lock, if it is not up to date (PYTHON=python3.12 selects the Python)
	@PYTHON='$(PYTHON)' sh tools/setup.sh '$(VENV)' $(filter setup,$(MAKECMDGOALS))

spark: setup ## install PySpark into .venv for ENGINE=spark, if Java is there, and run a job of one row
	@$(BIN)/python tools/spark.py

reports: setup ## run the notebooks 01 to 04 and write a dated report: make reports DATASET=movielens EPOCHS=20
	@$(BIN)/python -m recsys.reports $(PARAMETERS)

inspect: setup ## show what your files are and the command that reads them: make inspect DATA_PATH=<file or folder>
	@$(BIN)/python -m recsys.inspect $(PARAMETERS)

compare: setup ## compare two reports, by default the last two: make compare A=<report> B=<report>
	@$(BIN)/python -m recsys.reports.comparison '$(subst ','\'',$(value A))' '$(subst ','\'',$(value B))'

example: setup ## make the committed report in reports/example again
	@$(BIN)/python -m recsys.reports --name=example $(PARAMETERS)

picture: ## make README's picture again, from the report in reports/example (needs Chromium)
	@sh tools/picture.sh reports/example/index.html docs/report.png

results: setup ## run the data of README's table and update it: make results LIGHTGCN=<folder> AMAZONCDS=<folder> MUSIC=<sessions.parquet>
	@$(BIN)/python tools/results.py --run $(PARAMETERS)

train: setup ## train a run's recipes, also with several processes: make train RUN=<run> RECIPES=best WORKERS=2
	@$(BIN)/python -m recsys.train_run $(PARAMETERS)

recommend: setup ## write K songs for every listener to data/runs/<RUN>/recommendations: make recommend RUN=<run> K=20
	@$(BIN)/python -m recsys.recommend $(PARAMETERS)

export: setup ## write vectors and an index of the songs, for a service, to data/runs/<RUN>/export: make export RUN=<run>
	@$(BIN)/python -m recsys.export $(PARAMETERS)

explore: setup ## write the explorer of songs, one page for a browser, to data/runs/<RUN>/: make explore RUN=<run>
	@$(BIN)/python -m recsys.explore $(PARAMETERS)

share: setup ## write a report as one zip without listeners' ids and paths, to send or publish: make share REPORT=<report>
	@$(BIN)/python -m recsys.reports.share '$(subst ','\'',$(value REPORT))'

test: setup ## run all notebooks and all tests (TESTS=tests/test_metrics.py runs this file only)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --nbmake --nbmake-timeout=300 \
		$(or $(TESTS),tests notebooks)

chaos: setup ## break the program in counted ways and write docs/reliability.md (TOPICS=disk runs one of them)
	@$(BIN)/python tests/chaos $(TOPICS)

matrix: ## run the tests in Python 3.11, 3.12 and 3.13, as far as they are installed
	@TESTS='$(TESTS)' sh tools/matrix.sh

colab: ## run every notebook as Colab would: its Python, its package versions, an empty folder
	@sh tools/colab.sh

lint: setup ## check style, common mistakes and types
	@$(BIN)/ruff check .
	@$(BIN)/mypy

packages: setup ## print the packages of recsys, their files and the imports between them
	@$(BIN)/python tools/packages.py

lab: setup ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab

bench: setup ## measure speeds against their targets: make bench FULL=1 DATA="30music=<file>"; GROWTH=1 measures growth
	@$(BIN)/python -m $(if $(GROWTH),bench.scale $(if $(ROWS),ROWS=$(ROWS)),bench $(if $(FULL),--full) $(DATA))

benchmark: setup ## report quality against time, next to other libraries: make benchmark DATASET=lightgcn DATA_PATH=<folder>
	@$(BIN)/python -m recsys.reports --last=5 $(PARAMETERS)

tune: setup ## search for better settings on validation: make tune DATASET=movielens TRIALS=30 MINUTES=40
	@$(BIN)/python -m recsys.tune $(PARAMETERS)

ablation: setup ## measure each change from author to best: make ablation DATA_PATH=<sessions.parquet>
	@$(BIN)/python -m bench.ablation $(PARAMETERS)

diff: setup ## show what changed in the notebooks, cell by cell
	@git diff -- '*.ipynb'

strip: setup ## remove outputs and metadata of kernels and papermill from the notebooks, before a commit
	@$(BIN)/nbstripout --keep-id --extra-keys '$(EXTRA_KEYS)' notebooks/*.ipynb

lock: ## pin the dependencies of pyproject.toml in requirements.lock (needs uv)
	@uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
		--extra lab --extra movielens --extra tune --extra export --extra test pyproject.toml --output-file requirements.lock

clean: ## remove the environment, caches and unfinished reports; keep data and reports
	@rm -rf '$(VENV)' recsys.egg-info .pytest_cache .ruff_cache reports/.*.partial
	@find recsys tests notebooks -name __pycache__ -prune -exec rm -rf {} +
	@for section in diff merge; do git config --local --remove-section $$section.jupyternotebook 2>/dev/null || true; done
