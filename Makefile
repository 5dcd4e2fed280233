# Makefile - the front door: forwards to CMake and the scripts. `make help` lists the targets.
# SPDX-License-Identifier: Apache-2.0
.DEFAULT_GOAL := build
.PHONY: help e2e soak eval churn cover-store crash crash-states faults model deps deps-build build demo serve check check-full bench fmt lint install
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
export DATA SETS QUICK

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

deps: ## install what is missing from the distribution's packages
	@deploy/setup.sh all

deps-build:
	@deploy/setup.sh build

build: deps-build ## the release build, in build/
	@cmake --preset release --log-level=WARNING
	@cmake --build --preset release -j $(JOBS)

demo: build ## real images in over gRPC and found again; DATA=DIR takes a whole set
	@demo/run.sh

serve: build ## omend on its default addresses, in the foreground
	@exec build/bin/omend

check: deps ## everything that a change must pass, in some minutes
	@python3 tests/tools/run_tests.py check --jobs $(JOBS)

check-full: deps ## sanitizers, fuzzing (FUZZ_SECONDS a target), slow tests, the second compiler, make e2e
	@python3 tests/tools/run_tests.py full --jobs $(JOBS)

# A package that cannot be had only skips the checks that want it.
e2e: build ## what an operator does, with the real programs: CHECKS="access console.page" for some of them
	@deploy/setup.sh operate || echo "e2e: some packages are missing; their checks are skipped"
	@python3 tests/e2e/operate/run.py --build build $(CHECKS)

crash: build ## kill -9 omend under load, CYCLES times (200); SEED, SEAL_ROWS
	@build/bin/crash --omend build/bin/omend --cycles $(or $(CYCLES),200) \
		$(if $(SEED),--seed $(SEED)) $(if $(SEAL_ROWS),--seal-rows $(SEAL_ROWS))

crash-states: deps ## recovers STATES (100000) disks that power failures could leave; SEED
	@cmake --preset check --log-level=WARNING
	@cmake --build --preset check --target crash_states -j $(JOBS)
	@build-check/tests/fault/crash_states --syncs 12
	@build-check/tests/fault/crash_states --states $(or $(STATES),100000) --seed $(or $(SEED),1)

soak: build deps ## mixed load for MINUTES (30): memory, descriptors and threads must not grow; SEED
	@tests/soak/run.sh build --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

faults: deps ## every call of the disk and every allocation fails, once and for ever; SEED
	@cmake --preset check --log-level=WARNING
	@cmake --build --preset check --target faults -j $(JOBS)
	@build-check/tests/fault/faults --seed $(or $(SEED),1)

model: deps ## random operations on databases on disk, OPS of them (100000), against a model; SEED
	@cmake --preset check --log-level=WARNING
	@cmake --build --preset check --target model_disk_test -j $(JOBS)
	@build-check/bin/model_disk_test --ops $(or $(OPS),100000) --seed $(or $(SEED),1) --jobs $(JOBS)

cover-store: deps ## branch coverage of log, manifest, recovery and parsers; GROUPS=log for one of them
	@python3 tests/tools/cover.py $(GROUPS) --jobs $(JOBS) --missed

eval: build ## filtered, text and hybrid search against known answers; DATA=DIR for more sets
	@build/bin/eval $(or $(DATA),demo/data demo/films)

churn: build ## rounds of deleting and re-inserting; ROWS (200000), ROUNDS (10): recall, memory, disk
	@build/bin/churn --rows $(or $(ROWS),200000) --rounds $(or $(ROUNDS),10)

bench: deps build ## against other libraries; SETS=fashion-mnist QUICK=1 for a short run
	@tests/bench/run.sh

fmt: deps ## format the C sources
	@git ls-files '*.c' '*.h' | grep -v '^capi/include/omen.h$$' | xargs clang-format-14 -i

lint: deps ## house rules, then clang-tidy over the library
	@python3 tests/lint/lint.py
	@tests/lint/tidy.sh

install: build ## header, libraries, package files and programs under PREFIX
	@cmake --install build --prefix $(PREFIX)
