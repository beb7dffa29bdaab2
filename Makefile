# Keyturn. "make help" lists what there is to make. Needs Go, Python 3.10 or
# newer and make; everything else is installed into .venv and Go's caches.

# The functions' processor: arm64 or amd64.
ARCH     ?= arm64
PYTHON   ?= python3
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Parameters of the stack that "make deploy" sets, and what else it sends, such
# as PARAMETERS='OktaOrgUrl=https://example.okta.com' DEPLOY_FLAGS=--no-confirm-changeset
PARAMETERS   ?=
DEPLOY_FLAGS ?=
# The policy that "make check-policy" checks.
POLICY       ?= policy/policy.json
# The org that "make contract" compares; CREDENTIAL=file, ROTATE=1, YES=1.
ORG          ?=
ARCHITECTURE  = $(if $(filter amd64,$(ARCH)),x86_64,$(ARCH))

# Where a pinned tool is, built: "go tool" itself would end with 0 when a signal
# ends the tool.
TOOL      := go tool -modfile=tools/go.mod -n
TEST_TOOL := go tool -modfile=../tools/go.mod -n
SAM       := SAM_CLI_TELEMETRY=0 .venv/bin/sam
STEPS     := $(notdir $(wildcard functions/*))
# Tests of the root module, then those of test/, on the deployed local stack;
# then every case of the fault matrix, which the race detector makes ten times
# slower, without it; then what all of them asked of Okta and AWS.
# JUnit and JSON files are for CI; the closing lines say how many tests ran.
TEST_LOGS ?= build/test
# What the tests saw of Okta and AWS, for test/audit.
RECORDS    = $(CURDIR)/build/records
# How long "make fuzz" runs each target; which targets or mutants: a regular expression.
FUZZTIME  ?= 10s
ONLY      ?=
GOTESTSUM_FLAGS := --format pkgname --hide-summary=skipped

.DEFAULT_GOAL := help
.PHONY: help setup build test lint fmt check-policy demo plot dev deploy bench load contract fuzz mutants clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed ## install the Python tools into .venv (the others do it by themselves)

.venv/.installed: tools/requirements.txt tools/requirements-axe.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; name one with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r tools/requirements.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tools/requirements-axe.txt
	@touch $@

build: ## build all functions for Lambda into build/ (ARCH=arm64 or amd64)
	@rm -rf build/bin && mkdir -p build/bin
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -tags lambda.norpc -trimpath -buildvcs=false \
		-ldflags="-s -w -X keyturn/internal/wiring.Version=$(VERSION)" -o build/bin/ ./functions/...
	@for step in $(STEPS); do mkdir -p build/$$step && mv build/bin/$$step build/$$step/bootstrap; done
	@go run ./cmd/check-policy -schedule build/schedule.json
	@rmdir build/bin && ls -l build/*/bootstrap | awk '{printf "  %-42s %5.1f MB\n", $$NF, $$5 / 1e6}'

test: setup ## run everything that is tested, with the race detector; faults once more without it, all of them
	@rm -rf $(RECORDS) && mkdir -p $(TEST_LOGS) $(RECORDS)
	KEYTURN_RECORDS=$(RECORDS) "$$($(TOOL) gotestsum)" $(GOTESTSUM_FLAGS) --jsonfile $(TEST_LOGS)/unit.json -- -race -count=1 ./...
	KEYTURN_BROWSER=$$(tools/browser) && export KEYTURN_BROWSER && cd test && \
		KEYTURN_RECORDS=$(RECORDS) "$$($(TEST_TOOL) gotestsum)" $(GOTESTSUM_FLAGS) --jsonfile ../$(TEST_LOGS)/e2e.json -- -race -count=1 -timeout 20m ./...
	cd test && KEYTURN_RECORDS=$(RECORDS) \
		"$$($(TEST_TOOL) gotestsum)" $(GOTESTSUM_FLAGS) --jsonfile ../$(TEST_LOGS)/faults.json -- -count=1 ./faults/...
	cd test && KEYTURN_RECORDS=$(RECORDS) \
		"$$($(TEST_TOOL) gotestsum)" $(GOTESTSUM_FLAGS) --jsonfile ../$(TEST_LOGS)/audit.json -- -tags audit -count=1 ./audit/...

fuzz: ## look for inputs that break a parser: every fuzz target for FUZZTIME, 10s by default; ONLY=...
	cd test && go run ./fuzz -time $(FUZZTIME) -only '$(ONLY)'

mutants: setup ## break the product on purpose and see a test fail, for each invariant; ONLY=...
	cd test && go run ./mutants -only '$(ONLY)'

lint: setup ## gofmt, golangci-lint, govulncheck, sam validate, cfn-lint, the state machines
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || \
		{ echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; }
	"$$($(TOOL) golangci-lint)" run ./...
	cd test && "$$($(TEST_TOOL) golangci-lint)" run ./...
	tools/govulncheck
	$(SAM) validate --lint
	.venv/bin/cfn-lint template.yaml
	.venv/bin/python tools/lint_asl.py statemachine/*.asl.json

fmt: ## format the Go code
	gofmt -w $$(git ls-files '*.go')

check-policy: ## check what discovery is to do: policy/policy.json, or POLICY=...
	@go build -o build/check-policy ./cmd/check-policy && build/check-policy "$(POLICY)"

demo: setup ## rotate five keys on this machine: local AWS, simulated Okta org
	@go build -o build/demo ./cmd/demo && exec build/demo

plot: setup ## the demo, and draw its sign-ins: docs/zero-downtime.svg
	@go build -o build/demo ./cmd/demo && exec build/demo -plot docs/zero-downtime.svg

dev: setup ## the same stack, to click through with a browser; Ctrl-C ends it
	@go build -o build/dev ./cmd/dev && exec build/dev

deploy: setup build ## sam deploy to your AWS account; PARAMETERS='Name=value ...'
	$(SAM) deploy --config-env default $(DEPLOY_FLAGS) --parameter-overrides Architecture=$(ARCHITECTURE) $(PARAMETERS)

contract: ## compare an Okta org with the simulated one: ORG=https://example.okta.com; see docs/okta-contract.md
	@cd test && go build -o ../build/contract ./contract/cmd/contract && exec ../build/contract -org "$(ORG)" \
		$(if $(CREDENTIAL),-credential "$(abspath $(CREDENTIAL))") $(if $(ROTATE),-rotate-throw-away-app) $(if $(YES),-yes)

bench: setup ## measure discovery, functions and rotations; writes docs/benchmarks.md
	go run ./cmd/bench

load: setup ## 500 rotations that wait, 200 approvals in a minute, on the local stack; writes docs/load.md
	go -C test build -o ../build/load ./load && exec build/load $(if $(NOTE),-note "$(NOTE)")

clean: ## remove what was built; .venv stays
	rm -rf build .aws-sam
