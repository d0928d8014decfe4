# outboxd: one Makefile, read from top to bottom. `make help` lists the targets.
#   make demo | make check     the two commands of a newcomer; both install what they need (packaging/deps.sh)
#   make                       build/outboxd, from what packaging/deps.sh build installs; make install puts it in its place

VERSION := 0.1.0
O ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
PG_CONFIG ?= pg_config

# ---- flags -----------------------------------------------------------------------------------------------
try = $(shell echo 'int main(void){return 0;}' | $(CC) -Werror $(1) -x c -o /dev/null - 2>/dev/null && echo '$(1)')

LIBS     := rdkafka libpq yaml-0.1 libmicrohttpd jansson libsystemd
# outboxd's own allocator, of the daemon alone: five small blocks an event are a quarter less work than with glibc's
ALLOCATOR := jemalloc
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wformat=2 -Wvla -Wimplicit-fallthrough -Wno-overlength-strings
HARDEN   := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fno-strict-overflow \
            -fno-strict-aliasing -fno-delete-null-pointer-checks -fPIE
HARDEN   += $(call try,-fstack-clash-protection) $(call try,-fcf-protection=full) \
            $(call try,-fstrict-flex-arrays=3) $(call try,-ftrivial-auto-var-init=zero)
LINKHARD := -pie -Wl,-z,noexecstack,-z,relro,-z,now,-z,nodlopen,--as-needed
OPT      ?= -O2 -g
SANITIZE ?=
ifneq ($(SANITIZE),)
HARDEN   := -fPIE -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined
LINKHARD := -pie -fsanitize=$(SANITIZE)
ALLOCATOR :=
endif
CPPFLAGS += -D_GNU_SOURCE -DOUTBOXD_VERSION='"$(VERSION)"' -Isrc -Iinclude -I$(O)/gen \
            $(shell pkg-config --cflags $(LIBS) 2>/dev/null)
CFLAGS   += -std=c17 $(OPT) $(WARNINGS) -Werror=format-security -Werror=implicit-function-declaration \
            -Werror=incompatible-pointer-types -Werror=int-conversion -Werror=unused-result
LDLIBS   += $(shell pkg-config --libs $(LIBS) 2>/dev/null) -pthread
ifneq ($(WERROR),)
CFLAGS   += -Werror
endif

# V=1 shows whole commands
Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $(1)' $(subst $(O)/,,$@))

# ---- the daemon --------------------------------------------------------------------------------------------
ROOMS := base event config postgres kafka http relay command
SRC   := $(sort $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.c)))
GEN   := $(O)/gen/schema_sql.c
OBJ   := $(SRC:%.c=$(O)/obj/%.o) $(O)/obj/gen/schema_sql.o
ALLOBJ = $(OBJ) $(O)/obj/src/main.o

.DEFAULT_GOAL := all
.PHONY: all
all: $(O)/outboxd

$(O)/outboxd: $(ALLOBJ)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -o $@ $^ $(if $(ALLOCATOR),$$(pkg-config --libs $(ALLOCATOR))) $(LDLIBS)

$(O)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HARDEN) -MMD -MP -c -o $@ $<

$(O)/obj/gen/%.o: $(O)/gen/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HARDEN) -c -o $@ $<

# schema/NNN_name.sql, embedded: see src/postgres/schema.h for the table this makes
$(O)/gen/schema_sql.c: $(sort $(wildcard schema/*.sql)) packaging/embed-sql.sh
	@mkdir -p $(@D)
	packaging/embed-sql.sh schema/*.sql > $@.tmp && mv $@.tmp $@

# ---- tests: one Criterion binary a suite; tests/support is linked into each -------------------------------------
SUITES      := unit integration e2e
support_OBJ := $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard tests/support/*.c)))
signup_OBJ  := $(O)/obj/examples/signup/signup.o
suite_obj    = $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard tests/$(1)/*.c)))
TESTLIBS    += $(shell pkg-config --libs criterion libcurl 2>/dev/null)

define suite_rule
$(O)/tests/$(1): $$(call suite_obj,$(1)) $$(support_OBJ) $$(OBJ)
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$$(Q)$$(CC) $$(LINKHARD) -o $$@ $$^ $$(LDLIBS) $$(TESTLIBS)
endef
$(foreach suite,$(SUITES),$(eval $(call suite_rule,$(suite))))

# Criterion makes functions without prototypes; lists of long SQL texts are concatenated on purpose
$(O)/obj/tests/%.o: CFLAGS += -Wno-missing-prototypes -Wno-pedantic -Wno-string-concatenation
$(O)/obj/tests/%.o: CPPFLAGS += -Itests -Iexamples

# the time of day as a test wants it, for the relay alone
$(O)/tests/e2e: | $(O)/tests/wallclock.so
$(O)/tests/wallclock.so: tests/support/programs/wallclock.c
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-missing-prototypes -fPIC -shared -o $@ $<

.PHONY: check check-now check-unit check-integration check-e2e
check:                    ## installs what tests need, builds, runs unit, integration and e2e tests on real servers
	packaging/deps.sh test
	$(MAKE) check-now
check-now: $(O)/outboxd $(SUITES:%=$(O)/tests/%) examples
	O=$(O) tests/run.sh $(SUITES)
check-unit check-integration check-e2e: check-%: $(O)/outboxd $(O)/tests/% examples
	O=$(O) tests/run.sh $*

.PHONY: check-asan check-asan-now
check-asan:               ## unit and integration tests under ASan and UBSan: a leak or a report fails
	packaging/deps.sh test lint
	$(MAKE) check-asan-now O=build/asan SANITIZE=address,undefined OPT='-O1 -g'
check-asan-now: $(O)/outboxd $(O)/tests/unit $(O)/tests/integration examples
	O=$(O) tests/run.sh unit integration

.PHONY: lint lint-now
lint:                     ## format, clang-tidy, includes, headers alone; gcc and clang without a warning
	packaging/deps.sh test lint
	$(MAKE) lint-now
lint-now: PROGRAMS = $(SUITES) hostile soak/soak $(BENCHES:%=bench/%)
lint-now:
	$(MAKE) O=build/lint-gcc CC=gcc WERROR=1 OPT=-O1 all examples $(PROGRAMS:%=build/lint-gcc/tests/%)
	$(MAKE) O=build/lint-clang CC=clang WERROR=1 OPT=-O1 all examples $(PROGRAMS:%=build/lint-clang/tests/%)
	packaging/lint.sh $(CPPFLAGS)

# a hostile load by hand, against any migrated database
$(O)/tests/hostile: $(O)/obj/tests/support/programs/hostile.o $(support_OBJ) $(OBJ)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -o $@ $^ $(LDLIBS) $(TESTLIBS)

.PHONY: mutants
mutants:                  ## plants known mistakes into a copy of the source: the tests must find each
	packaging/deps.sh test
	$(MAKE) $(O)/tests/integration
	O=$(O) tests/mutants/run.sh

# ---- examples and the demo -----------------------------------------------------------------------------------------
EXAMPLES := signup/signup demo/mock_broker demo/create_topic demo/tail demo/check
.PHONY: examples demo demo-now
examples: $(EXAMPLES:%=$(O)/examples/%)

$(O)/examples/signup/signup: $(O)/obj/examples/signup/main.o $(signup_OBJ)
$(O)/examples/demo/mock_broker: $(O)/obj/examples/demo/mock_broker.o
$(O)/examples/demo/create_topic: $(O)/obj/examples/demo/create_topic.o
$(O)/examples/demo/tail: $(O)/obj/examples/demo/tail.o $(O)/obj/examples/demo/consumer.o
$(O)/examples/demo/check: $(O)/obj/examples/demo/check.o $(O)/obj/examples/demo/consumer.o
$(O)/examples/%:
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -o $@ $^ $(LDLIBS)

demo:                     ## sign-ups commit, their events arrive, the relay is killed; BROKER=kafka for the real one
	packaging/deps.sh $(if $(filter kafka,$(BROKER)),test,demo)
	$(MAKE) demo-now
demo-now: $(O)/outboxd examples
	O=$(O) BROKER=$(or $(BROKER),mock) examples/demo/demo.sh

# ---- benchmarks ------------------------------------------------------------------------------------------------------
BENCHES := $(patsubst tests/bench/%.c,%,$(wildcard tests/bench/bench_*.c))
.PHONY: bench bench-now bench-flat
bench:                    ## drain, latency, business, takeover; beside a bare producer: a table and build/bench.json
	packaging/deps.sh test
	$(MAKE) bench-now
bench-flat:               ## an hour: with 50 M events retained, a transaction open for 30 minutes, one of a million events
	packaging/deps.sh test
	$(MAKE) bench-now BENCH=flat
bench-now: $(O)/outboxd examples $(BENCHES:%=$(O)/tests/bench/%)
	O=$(O) tests/bench/bench.sh $(BENCH)

bench_OBJ := $(patsubst %.c,$(O)/obj/%.o,$(filter-out tests/bench/bench_%,$(sort $(wildcard tests/bench/*.c))))
$(O)/tests/bench/%: $(O)/obj/tests/bench/%.o $(bench_OBJ) $(support_OBJ) $(OBJ)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -o $@ $^ $(LDLIBS) $(TESTLIBS)

# ---- soak --------------------------------------------------------------------------------------------------------------
.PHONY: soak soak-now
soak:                     ## load, a leader, a standby and faults for SECONDS=300, judged every two minutes; SEED= repeats one
	packaging/deps.sh test
	$(MAKE) soak-now
soak-now: $(O)/outboxd $(O)/tests/soak/soak
	O=$(O) SOAK_SECONDS=$(SECONDS) SEED=$(SEED) tests/soak/soak.sh

$(O)/tests/soak/soak: $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard tests/soak/*.c))) $(support_OBJ) $(OBJ)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -o $@ $^ $(LDLIBS) $(TESTLIBS)

# ---- install -----------------------------------------------------------------------------------------------------------
PREFIX ?= /usr/local
.PHONY: install clean help
install: $(O)/outboxd     ## DESTDIR and PREFIX (/usr/local): binary, manual pages, documentation, systemd unit
	install -D -m 755 $(O)/outboxd $(DESTDIR)$(PREFIX)/bin/outboxd
	install -D -m 644 docs/man/outboxd.8 $(DESTDIR)$(PREFIX)/share/man/man8/outboxd.8
	install -D -m 644 docs/man/outboxd.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5/outboxd.yaml.5
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/outboxd README.md config.yaml.example
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/outboxd/docs docs/*.md
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,/usr/bin/outboxd,$(PREFIX)/bin/outboxd,' packaging/outboxd.service \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/outboxd.service

clean:                    ## removes build/
	rm -rf build

help:                     ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

.SECONDARY:
-include $(wildcard $(O)/obj/src/*.d $(O)/obj/src/*/*.d $(O)/obj/tests/*/*.d $(O)/obj/examples/*/*.d)
