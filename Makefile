.DEFAULT_GOAL := help
PYTHON_BIN := .venv/bin/python
OTHER_METHODS := $(addprefix unlearning_,simnpo dpo refusal undial masked enpo rmu)
IN_SUBSPACE := unlearning_distill $(addsuffix -subspace,$(addprefix unlearning_,ga npo simnpo dpo rmu))
NEXT_BEST := $(addprefix unlearning_,dpo refusal masked)

# Where it is set, every start compiles torch and transformers again: 18 s instead of 7, dozens of times in the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test test-slurm check golden docs bench experiments lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## Make .venv from the locked versions (CPU build of torch where there is no GPU).

.venv/ready: requirements.lock pyproject.toml tools/setup.sh
	@bash tools/setup.sh
	@touch $@

run: setup ## Forget William Shakespeare with the embedded model; the result lies in runs/.
	$(PYTHON_BIN) launch_training.py

check: setup ## Format, lint, types, import contracts.
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	$(PYTHON_BIN) -m mypy
	.venv/bin/lint-imports --no-logo

test: setup check ## Everything that must hold: check, then all tests.
	OMP_NUM_THREADS=1 $(PYTHON_BIN) -m pytest -n auto --maxprocesses 4

test-slurm: setup ## The launchers on a real SLURM of one node, started for it (minutes; installs it where it may).
	ATU_TEST_SLURM=1 OMP_NUM_THREADS=1 $(PYTHON_BIN) -m pytest tests/slurm

golden: setup ## Every row of the reference results for RWKU and TOFU (minutes; needs ATU_SHARED).
	$(PYTHON_BIN) tests/golden/whole_target.py
	$(PYTHON_BIN) tests/golden/whole_tofu.py

docs: setup ## The site of docs/, in docs/_build; a broken link is an error.
	$(PYTHON_BIN) -m sphinx -b html -W -q docs docs/_build

bench: setup ## How fast the parts are against the released way (minutes; the table also goes to perf/latest.json).
	$(PYTHON_BIN) perf/bench.py

experiments: setup ## All tables of docs/: methods, ablations, attacks, the taught testbed (days; resumes where it was stopped).
	$(PYTHON_BIN) experiments/comparison.py --jobs 2
	$(PYTHON_BIN) experiments/comparison.py --jobs 2 --methods $(IN_SUBSPACE)
	$(PYTHON_BIN) experiments/comparison.py --testbed celebs --jobs 2
	$(PYTHON_BIN) experiments/comparison.py --testbed celebs-general --jobs 2 --seeds 0 --methods unlearning_atu unlearning_npo
	$(PYTHON_BIN) experiments/comparison.py --jobs 2 --concepts William_Shakespeare --methods $(OTHER_METHODS)
	$(PYTHON_BIN) experiments/comparison.py --jobs 2 --concepts Ancient_Egypt Human_Heart --seeds 0 --methods $(NEXT_BEST)
	$(PYTHON_BIN) experiments/comparison.py --testbed celebs --jobs 2 --concepts 1_Stephen_King --seeds 0 --methods $(OTHER_METHODS)
	$(PYTHON_BIN) experiments/icu.py
	$(PYTHON_BIN) experiments/icu.py --testbed celebs
	$(PYTHON_BIN) experiments/summary.py
	$(PYTHON_BIN) experiments/ablation.py --jobs 2
	$(PYTHON_BIN) experiments/attack_comparison.py --jobs 2
	$(PYTHON_BIN) experiments/attack_comparison.py --concept 1_Stephen_King --jobs 2
	$(PYTHON_BIN) experiments/attack_comparison.py --concept 46_Raquel_Welch --jobs 2
	$(PYTHON_BIN) experiments/attack_comparison.py --concept 58_Rihanna --jobs 2
	$(PYTHON_BIN) experiments/gold_neighbors.py
	$(PYTHON_BIN) experiments/taught_testbed.py --jobs 2

lock: setup ## Resolve the newest allowed versions into requirements.lock.
	@bash tools/lock.sh

clean: ## Remove .venv and caches; runs/ stays.
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
