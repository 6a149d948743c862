# Every target sets up what it needs. `make help` lists them.
export CGO_ENABLED := 0
GO        ?= go
BIN       := bin/mendel
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X main.version=$(VERSION)
GOLANGCI  := 2.15.0
TRIALS    ?= 24

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## set up, then improve a real training recipe: no key, no GPU, under ten minutes
	@scripts/setup demo
	@$(MAKE) --no-print-directory build
	@scripts/demo $(TRIALS)

.PHONY: test
test: ## set up, then run every test
	@scripts/setup test
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/mendel
	$(GO) test -timeout 15m ./...

.PHONY: check
check: ## format, vet, lint, race tests, tidy
	@scripts/setup test
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt -w these:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	@scripts/lint $(GOLANGCI)
	@# -short leaves out what happens in other processes, where nothing is watched for races: make test runs it.
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m ./...
	$(GO) mod tidy -diff
	@scripts/licences --check

.PHONY: build
build: ## build bin/mendel
	@echo "building $(BIN) (the first build takes a minute or two)"
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/mendel

.PHONY: bench
bench: build ## measure what the README quotes; prints ratios of one run
	@scripts/setup test
	$(GO) run ./bench/overhead -mendel $(abspath $(BIN))
	$(GO) run ./bench/history
	$(GO) run ./bench/swarm
	$(GO) run ./bench/keeprules

.PHONY: fuzz
fuzz: ## fuzz every parser for a while each (FUZZTIME=30s)
	@scripts/fuzz $(or $(FUZZTIME),30s)

.PHONY: e2e
e2e: build ## the long end-to-end tests: whole runs, kills, hostile recipes
	@scripts/setup full
	MENDEL_E2E=1 $(GO) test -count=1 -timeout 40m ./cmd/mendel ./internal/measure/runner ./tasks/...

.PHONY: golden
golden: ## rewrite golden files after an intended change; read the diff
	$(GO) test ./internal/lineage/record ./internal/propose/prompt ./internal/task ./internal/view/... ./cmd/mendel -update
