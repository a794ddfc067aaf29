# The targets that people and CI use; `make` alone lists them.

GO       ?= go
SUDO     := $(if $(filter 0,$(shell id -u)),,sudo)
FUZZTIME ?= 20s
SOAK     ?= 10m

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## the programs, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/ ./cmd/...

show: build ## build, then show the live table of this machine
	$(SUDO) bin/conntrack -L

demo: build ## two firewalls, one dies, no connection notices (root, ten seconds; ARGS='-theirs 1')
	$(GO) run $(if $(SUDO),-exec $(SUDO)) ./interop/demo $(ARGS)

test: tools check ## all tests, against the real kernel when root
	$(GO) test -timeout 20m ./...
	$(GO) test -tags alone -run Resized ./snapshot

check: ## formatting, vet, and the same for other processors
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	GOARCH=386 $(GO) vet ./flow ./filter ./conntrack ./internal/... ./cmd/...

tools: ## install what the tests need, when root
	@packaging/tools

race: ## the tests of the concurrent packages under the race detector (the engine of the guard has no goroutine)
	$(GO) test -race ./conntrack ./snapshot ./filter ./flow $$($(GO) list ./internal/... | grep -v '/internal/guard$$')

soak: ## conntrackd under load with nodes that die, for a while (root; SOAK=10m)
	SPOOR_SOAK=$(SOAK) $(GO) test -count 1 -timeout 0 -v -run 'TestConntrackd(Soak|BadLine)' ./interop

fuzz: ## every fuzz test for a while (FUZZTIME=20s each)
	@$(GO) list -f '{{.Dir}}' ./... | while read -r dir; do \
		grep -ho '^func Fuzz[A-Za-z0-9]*' "$$dir"/*_test.go 2>/dev/null | cut -d' ' -f2 | while read -r name; do \
			echo "$$name"; $(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x "$$dir" || exit 1; done || exit 1; done

bench: build ## measure against the C programs and the kernel's floor (root, half an hour)
	$(GO) run ./interop/bench -entries 1000000 -runs 5 -o docs/performance.md
	$(GO) run ./interop/syncbench -runs 3 -o docs/performance.md

generate: ## man pages, completions, recorded outputs and the BPF object, from their sources
	snapshot/bpf/build
	$(GO) test ./internal/cli ./internal/compat/conntrackcli ./internal/compat/nfctcli ./internal/render ./internal/metrics -update

install: build ## programs, man page and completions below PREFIX (/usr/local)
	packaging/install $(PREFIX)

.PHONY: help build show demo test check tools race fuzz soak bench generate install
.DEFAULT_GOAL := help
