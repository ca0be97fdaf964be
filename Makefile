# Two commands do everything: `make run` and `make test`.

PYTHON ?= python3
PORT ?= 8080
VENV := .venv
BIN := $(VENV)/bin
DEMO := data/indexes/python-docs/CURRENT
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test lint check-types check-imports unit audit lock clean

run: $(DEMO)  ## Serve the demo index on 127.0.0.1:$(PORT)
	$(BIN)/onepass serve --port $(PORT)

test: lint check-types check-imports unit  ## Everything that needs nothing but Python, make and a C compiler

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

check-types: $(VENV)/dev.stamp
	$(BIN)/mypy

check-imports: $(VENV)/dev.stamp
	$(BIN)/lint-imports

unit: $(VENV)/dev.stamp
	$(BIN)/python -m pytest

audit: $(VENV)/audit.stamp  ## Known vulnerabilities of what is locked; needs PyPI's vulnerability service, and fails without it
	$(VENV)/audit/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/service.lock

$(VENV)/audit.stamp: $(VENV)/service.stamp
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip --disable-pip-version-check install --quiet pip-audit
	touch $@

lock:  ## Pin every dependency anew, with hashes (needs uv)
	uv pip compile pyproject.toml --extra build $(LOCK) -o requirements/service.lock
	uv pip compile pyproject.toml --extra build --extra dev -c requirements/service.lock $(LOCK) -o requirements/dev.lock
	for extra in otel gpu; do uv pip compile pyproject.toml --extra $$extra -c requirements/service.lock -c requirements/dev.lock \
	  $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements/service.lock) $(LOCK) -o requirements/$$extra.lock; done

LOCK := --upgrade --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet

clean:  ## Remove the environment and the demo index
	rm -rf $(VENV) data/indexes/python-docs

$(DEMO): $(VENV)/service.stamp service/models/encoders/dense.onnx service/models/encoders/sparse.onnx \
		service/tokenization/sanitize.py service/retrieval/manifest.py
	$(BIN)/onepass index build stdlib --name python-docs

$(VENV)/service.stamp: requirements/service.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements/service.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --no-index -e .
	touch $@

$(VENV)/dev.stamp: requirements/dev.lock $(VENV)/service.stamp
	$(PIP) install --quiet --require-hashes -r requirements/dev.lock
	touch $@
