# 办事 Banshi. `make help` lists the targets; `make run` and `make test` need nothing before them.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# The stamp's name holds the lock's content: a changed lock installs again, a touched one does not.
LOCK_SUM := $(shell cksum requirements.lock | cut -d' ' -f1)
STAMP := $(VENV)/.installed-$(LOCK_SUM)
PYTHON ?=
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run web test check bench bench-search drills lock openapi screens clean

help: ## 显示本说明 / show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## 启动整个系统 / run the whole system (Ctrl-C stops it)
	@$(BIN)/python run.py build-web --or-go-on
	@exec $(BIN)/python run.py serve

web: $(STAMP) ## 构建网页 / build the pages
	@$(BIN)/python run.py build-web

# The tests start a hundred processes: each is sooner there when what is compiled is kept, whatever the shell says.
test: export PYTHONDONTWRITEBYTECODE =
test: $(STAMP) ## 运行全部测试 / run all tests
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(PYTEST_ARGS)

check: $(STAMP) ## 静态检查 / static gate: ruff, mypy, import-linter, web lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.claims
	@$(BIN)/python run.py build-web --check

bench: $(STAMP) ## 运行全部基准测试 / run all benchmarks
	@$(BIN)/python -m tests.bench

bench-search: $(STAMP) ## 搜索的命中率与延迟 / hit rates and latency of search
	@$(BIN)/python -m tests.bench.bench_search

drills: $(STAMP) ## 长时间故障演练 / long fault drills
	@$(BIN)/python -m pytest -m drill -n 2 --dist loadgroup --no-loadscope-reorder tests/drills tests/api tests/chat tests/conformance $(PYTEST_ARGS)

lock: $(STAMP) ## 重新生成 Python 的锁文件 / write the Python lock files anew (needs uv)
	@uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url --no-header \
		-p 3.11 -o requirements.lock
	@uv pip compile requirements-node.in --universal --generate-hashes --no-emit-index-url --no-header \
		-p 3.11 -o requirements-node.lock

openapi: $(STAMP) ## 重新生成 docs/openapi.json / write docs/openapi.json anew
	@$(BIN)/python -m backend.commands.openapi docs/openapi.json

screens: $(STAMP) ## 重新生成页面图片 / draw the pictures of the pages anew (needs Chromium)
	@$(BIN)/python run.py screens

clean: ## 删除虚拟环境、缓存与 var/ / remove the virtual environment, caches and var/
	rm -rf $(VENV) var web/node_modules web/*/dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache bench-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock
	@set -e; \
	python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		for candidate in python3.13 python3.12 python3.11 python3; do \
			if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
				&& "$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; \
			then python="$$candidate"; break; fi; \
		done; \
	fi; \
	if [ -z "$$python" ]; then \
		echo "banshi: needs Python 3.11 or newer with venv (Debian, Ubuntu: apt-get install python3 python3-venv)" >&2; \
		exit 1; \
	fi; \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -c 'import pip' >/dev/null 2>&1; then \
		echo "创建虚拟环境 / making $(VENV) with $$($$python --version)"; \
		"$$python" -m venv --clear $(VENV); \
	fi; \
	echo "安装依赖 / installing what requirements.lock names (once; a few minutes)"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements.lock; \
	rm -f $(VENV)/.installed-*; \
	touch $@
