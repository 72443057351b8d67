# Everything runs in one locked environment, .venv, which uv makes. Each target brings it up to date first.

.DEFAULT_GOAL := help
.PHONY: help demo down test lint licences audit bench environment environment-sdk-v2 .env
.DELETE_ON_ERROR:

UV := $(if $(shell uv --version 2>/dev/null),uv,.uv/bin/uv)
RUN := $(UV) run --frozen --no-sync
PYTEST_BY_TWO := $(RUN) pytest -n 2 --dist loadgroup --no-loadscope-reorder
PYTHON_MISSING := Kennel needs Python 3.11: install python3.11 and python3.11-venv, or put python3.11 on the PATH.

export UV_PYTHON := 3.11
export UV_PYTHON_DOWNLOADS := never
# A person's own settings for other work would change what a test or the demo does.
unexport PYTHONHOME PYTHONPATH UV_PROJECT_ENVIRONMENT VIRTUAL_ENV
unexport $(filter-out KENNEL_HOME KENNEL_PHOTOS,$(filter AIRFLOW% AWS_% KENNEL_%,$(.VARIABLES)))

help: ## say what there is
	@sed -n 's/^\([a-z0-9. -]*\):.*## /\1\t/p' Makefile | expand --tabs=80

demo: environment ## train, deploy and ask a dog breed classifier on this machine
	@$(RUN) kennel demo

down: environment ## stop what the demo has left running
	@$(RUN) kennel down

test: environment ## all tests
	@$(PYTEST_BY_TWO) --ignore=tests/operations
	@$(RUN) pytest tests/operations

test-unit test-ml test-localaws test-clients test-dags test-e2e test-security: test-%: environment ## the tests of one layer
	@$(PYTEST_BY_TWO) tests/$*

# They have the machine to themselves: they count seconds, and calls that fail.
test-operations: environment ## those that kill, throttle and backfill; the longest
	@$(RUN) pytest tests/operations

lint: environment ## ruff, mypy, and cfn-lint on the CloudFormation template
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@$(RUN) cfn-lint infra/foundation.yaml

licences: environment ## the licences of all that is locked, into docs/licences.md
	@$(RUN) python -m supply.licences

audit: environment ## whether a known vulnerability is in what is locked; needs the network, and says so without it
	@$(RUN) python -m supply.audit

bench: environment ## how fast, dear and good all of it is, into docs/performance.md; an hour
	@$(RUN) python -m benchmarks

bench-%: environment ## one of its parts, bench-localaws say; fails when a goal is missed
	@$(RUN) python -m benchmarks.$*

environment-sdk-v2: environment ## the SageMaker SDK v2 in an environment of its own, for tests/clients
	@$(RUN) python tests/clients/sdk_v2.py

environment: $(filter .uv/bin/uv,$(UV)) ## .venv as uv.lock has it
	@$(UV) python find $(UV_PYTHON) >/dev/null 2>&1 || { echo "$(PYTHON_MISSING)" >&2; exit 1; }
	@$(UV) sync --frozen --quiet --check 2>/dev/null || $(UV) sync --frozen

.uv/bin/uv:
	@for python in python3.11 python3; do \
		$$python -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && break; \
		python=; \
	done; \
	[ -n "$$python" ] || { echo "$(PYTHON_MISSING)" >&2; exit 1; }; \
	$$python -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement uv.txt

# What there is stays: the database knows only the passwords it was made with. They stand in URLs and on command
# lines, so they are base64 without its two signs.
.env: ## passwords and keys for docker compose, and the local AWS as where it works
	@key() { head -c 32 /dev/urandom | base64 | tr '+/' 'az'; }; \
	umask 077; \
	new=$$([ -e $@ ] || echo yes); \
	[ -z "$$new" ] || \
		echo '# Passwords and keys, made here; nobody else has them. AIRFLOW_ADMIN_PASSWORD is the one to log in with.' >$@; \
	for name in AIRFLOW_ADMIN_PASSWORD AIRFLOW_TRIGGER_PASSWORD AIRFLOW_VIEWER_PASSWORD AIRFLOW_FERNET_KEY \
		AIRFLOW_JWT_SECRET AIRFLOW_SECRET_KEY POSTGRES_PASSWORD REDIS_PASSWORD; do \
		grep -q "^$$name=" $@ || echo "$$name=$$(key)" >>$@; \
	done; \
	[ -z "$$new" ] || { \
		echo; \
		echo '# The local AWS. To work on AWS, replace all that follows by KENNEL_ACCOUNT_ID and AWS_DEFAULT_REGION of'; \
		echo '# your own and, unless the machine is an EC2 instance with a role, AWS_ACCESS_KEY_ID and'; \
		echo '# AWS_SECRET_ACCESS_KEY of somebody who may assume the role kennel-dogs-airflow.'; \
		echo COMPOSE_PROFILES=local; \
		echo KENNEL_ACCOUNT_ID=000000000000; \
		echo AWS_DEFAULT_REGION=us-east-1; \
		echo AWS_ENDPOINT_URL=http://172.30.66.10:4566; \
		echo KENNEL_ALLOWED_HOSTS=172.30.66.10:4566; \
		echo KENNEL_BACKBONE=efficientnet_lite0; \
		echo KENNEL_POLL_SECONDS=1; \
	} >>$@
