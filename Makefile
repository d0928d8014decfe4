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

LIBS     := rdkafka libpq yaml-0.1 libmicrohttpd jansson libsystemd libcrypto
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
all: $(O)/outboxd $(O)/liboutbox.so $(O)/liboutbox.a

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

# ---- liboutbox: src/client and the two files of src/base that it uses; everything that outbox.h does not name is hidden -----
# -fexceptions: a C++ exception, or pthread_cancel, that passes through the library finds its clean-up
SOVERSION  := 0
CLIENT_SRC := $(sort $(wildcard src/client/*.c))
CLIENT_OBJ := $(patsubst %.c,$(O)/obj/client/%.o,$(CLIENT_SRC) src/base/backoff.c src/base/clock.c)
CLIENTLIBS  = $(shell pkg-config --libs libpq jansson 2>/dev/null)

$(O)/obj/client/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HARDEN) -fPIC -fvisibility=hidden -fexceptions -MMD -MP -c -o $@ $<

$(O)/liboutbox.so.$(SOVERSION): $(CLIENT_OBJ) src/client/liboutbox.map
	$(call say,LINK)
	$(Q)$(CC) -shared $(filter-out -pie,$(LINKHARD)) -Wl,-soname,$(@F),--version-script=src/client/liboutbox.map,-z,defs \
		-o $@ $(CLIENT_OBJ) $(CLIENTLIBS)

$(O)/liboutbox.so: $(O)/liboutbox.so.$(SOVERSION)
	$(Q)ln -sf $(<F) $@

# one object, so that the names that the library keeps to itself stay its own in a static program too; without groups, of which
# a program that has one of the same name throws ours away, with what exceptions are found by
$(O)/liboutbox.a: $(CLIENT_OBJ)
	$(call say,AR)
	$(Q)$(LD) -r --force-group-allocation -o $(O)/obj/client/liboutbox.o $^
	$(Q)objcopy --localize-hidden $(O)/obj/client/liboutbox.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(O)/obj/client/liboutbox.o

# ---- tests: one Criterion binary a suite; tests/support is linked into each -------------------------------------
SUITES      := unit integration e2e examples
support_OBJ := $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard tests/support/*.c)))
suite_obj    = $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard tests/$(1)/*.c)))
TESTLIBS    += $(shell pkg-config --libs criterion libcurl 2>/dev/null)

define suite_rule
$(O)/tests/$(1): $$(call suite_obj,$(1)) $$(support_OBJ) $$(OBJ)
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$$(Q)$$(CC) $$(LINKHARD) -o $$@ $$^ $$(LDLIBS) $$(TESTLIBS)
endef
$(foreach suite,$(SUITES),$(eval $(call suite_rule,$(suite))))
$(O)/tests/unit: | $(O)/tests/simulator/simulate
$(O)/tests/integration: $(O)/liboutbox.a | $(O)/liboutbox.so
$(O)/tests/examples: $(O)/obj/tests/e2e/support_suite.o # one Postgres and one Kafka for this suite too
$(O)/tests/examples: $(O)/obj/examples/story/domain/write_story.o # the domain alone, on a store that the tests make

# Criterion makes functions without prototypes; lists of long SQL texts are concatenated on purpose
$(O)/obj/tests/%.o: CFLAGS += -Wno-missing-prototypes -Wno-pedantic -Wno-string-concatenation
$(O)/obj/tests/%.o: CPPFLAGS += -Itests -Iexamples

# the time of day as a test wants it, for the relay alone
$(O)/tests/e2e: | $(O)/tests/wallclock.so
$(O)/tests/wallclock.so: tests/support/programs/wallclock.c
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-missing-prototypes -fPIC -shared -o $@ $<

# the fault kit: a proxy before Kafka and Postgres, and a shim over the calls of librdkafka and libpq (tests/fault/README.md)
FAULT_KIT := fault/fproxy fault/crashpoint.so
$(O)/tests/e2e $(O)/tests/examples: | $(FAULT_KIT:%=$(O)/tests/%)
$(O)/tests/fault/fproxy: $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard tests/fault/fproxy*.c src/base/*.c)))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -o $@ $^ $(LDLIBS)

$(O)/tests/fault/crashpoint.so: $(patsubst %.c,$(O)/obj/fault/%.o,$(sort $(wildcard tests/fault/crashpoint*.c)))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -shared -Wl,-z,relro,-z,now -o $@ $^

$(O)/obj/fault/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<

.PHONY: check check-now check-unit check-integration check-e2e check-examples
check:                    ## installs what tests need, builds, runs unit, integration, e2e and examples' tests on real servers
	packaging/deps.sh test
	$(MAKE) check-now
check-now: $(O)/outboxd $(SUITES:%=$(O)/tests/%) examples
	O=$(O) tests/run.sh $(SUITES)
check-unit check-integration check-e2e check-examples: check-%: $(O)/outboxd $(O)/tests/% examples
	O=$(O) tests/run.sh $*

.PHONY: check-asan check-asan-now
check-asan:               ## unit and integration tests under ASan and UBSan: a leak or a report fails
	packaging/deps.sh test lint
	$(MAKE) check-asan-now O=build/asan SANITIZE=address,undefined OPT='-O1 -g'
check-asan-now: $(O)/outboxd $(O)/tests/unit $(O)/tests/integration examples
	O=$(O) tests/run.sh unit integration

# GCC_BUILD=build in a clean clone: what was compiled without a warning is what is tested afterwards
GCC_BUILD ?= build/lint-gcc
.PHONY: lint lint-now
lint:                     ## format, clang-tidy, includes, headers alone; gcc and clang without a warning
	packaging/deps.sh test lint
	$(MAKE) lint-now
lint-now: PROGRAMS = $(SUITES) simulator/simulate hostile chaos/chaos crashpoints/crashpoints $(BENCHES:%=bench/%) $(FAULT_KIT)
lint-now:
	$(MAKE) O=$(GCC_BUILD) CC=gcc WERROR=1 all examples $(PROGRAMS:%=$(GCC_BUILD)/tests/%)
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
	$(MAKE) $(O)/outboxd $(O)/tests/integration $(O)/tests/e2e $(O)/tests/simulator/simulate
	+O=$(O) tests/mutants/run.sh

# ---- fuzzing: a program for each target; the unit suite feeds their corpora to the same functions -----------------
FUZZ     := $(patsubst tests/fuzz/corpus/%/,%,$(sort $(wildcard tests/fuzz/corpus/*/)))
fuzz_OBJ := $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard tests/fuzz/*.c)))
$(O)/tests/unit: $(fuzz_OBJ)

$(O)/fuzz/%: $(O)/obj/tests/fuzz/%.o $(O)/obj/tests/fuzz/support.o $(OBJ)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -fsanitize=fuzzer -Wl,--defsym=LLVMFuzzerTestOneInput=fuzz_$* -o $@ $^ $(LDLIBS)

.PHONY: fuzz fuzz-now fuzz-programs
fuzz:                     ## every parser under libFuzzer, ASan and UBSan, for SECONDS=60 each; TARGET=config is one alone
	packaging/deps.sh fuzz
	$(MAKE) fuzz-now
fuzz-now:
	$(MAKE) fuzz-programs O=build/fuzz CC=clang SANITIZE=fuzzer-no-link,address,undefined OPT='-O1 -g'
	FUZZ_SECONDS=$(SECONDS) tests/fuzz/run.sh $(or $(TARGET),$(FUZZ))
fuzz-programs: $(patsubst %,$(O)/fuzz/%,$(or $(TARGET),$(FUZZ)))

# ---- examples and the demo -----------------------------------------------------------------------------------------
# a directory with a main.c is a program, of all its files and of liboutbox; NAME_LIBS are further packages of pkg-config.
# What is in its domain/ knows neither Postgres nor the outbox: it is compiled without the way to their headers.
EXAMPLES    := $(patsubst examples/%/main.c,%,$(sort $(wildcard examples/*/main.c)))
signup_LIBS := libcrypt
welcome_LIBS := rdkafka libcurl
contract_LIBS := libcurl
DEMO        := mock_broker create_topic tail check
.PHONY: examples demo demo-now
examples: $(foreach name,$(EXAMPLES),$(O)/examples/$(name)/$(name)) $(DEMO:%=$(O)/examples/demo/%)

define example_rule
$(O)/examples/$(1)/$(1): $$(patsubst %.c,$$(O)/obj/%.o,$$(sort $$(wildcard examples/$(1)/*.c examples/$(1)/domain/*.c))) \
                         $$(O)/liboutbox.a
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$$(Q)$$(CC) $$(LINKHARD) -o $$@ $$^ $$(shell pkg-config --libs libpq jansson $$($(1)_LIBS)) -pthread
endef
$(foreach name,$(EXAMPLES),$(eval $(call example_rule,$(name))))

$(patsubst %.c,$(O)/obj/%.o,$(wildcard examples/*/domain/*.c)): CPPFLAGS := -D_GNU_SOURCE

$(O)/examples/demo/tail $(O)/examples/demo/check: $(O)/obj/examples/demo/consumer.o
$(O)/examples/demo/%: $(O)/obj/examples/demo/%.o
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

# ---- chaos -------------------------------------------------------------------------------------------------------------
.PHONY: chaos chaos-now
chaos:                    ## all faults mixed from a SEED= for SECONDS=300, judged in rounds; DELIVERY=both, FAULTS='Kafka*'
	packaging/deps.sh test
	$(MAKE) chaos-now
chaos-now: $(O)/outboxd $(O)/tests/chaos/chaos
	O=$(O) CHAOS_SECONDS=$(SECONDS) SEED=$(SEED) DELIVERY=$(DELIVERY) FAULTS='$(FAULTS)' tests/chaos/chaos.sh

$(O)/tests/chaos/chaos: $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard tests/chaos/*.c))) $(support_OBJ) $(OBJ) \
                        | $(FAULT_KIT:%=$(O)/tests/%)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -o $@ $^ $(LDLIBS) $(TESTLIBS)

# ---- crash points: the relay killed before and after each function that it calls of librdkafka and libpq ----------------------------
.PHONY: crashpoints crashpoints-now
crashpoints:              ## kill -9 before and after each call of librdkafka and libpq, KILLS=20 each; SEED= DELIVERY=both FUNCTIONS='PQ*'
	packaging/deps.sh test
	$(MAKE) crashpoints-now
crashpoints-now: $(O)/outboxd $(O)/tests/crashpoints/crashpoints
	O=$(O) KILLS=$(KILLS) SEED=$(SEED) DELIVERY=$(DELIVERY) FUNCTIONS='$(FUNCTIONS)' \
		tests/run.sh --timeout 86400 $(O)/tests/crashpoints/crashpoints

LIVES := relay_story relay_story_judge relay_beside relay_lives
$(O)/tests/crashpoints/crashpoints: $(O)/obj/tests/crashpoints/crashpoints.o $(LIVES:%=$(O)/obj/tests/e2e/%.o) $(support_OBJ) $(OBJ) \
                                    | $(FAULT_KIT:%=$(O)/tests/%)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -o $@ $^ $(LDLIBS) $(TESTLIBS)

# ---- the simulator: src/relay as it is, in a world where time, Postgres, Kafka and every fault come from a seed ---------------
# what stays of src/postgres are the files that read answers; the rest, Kafka, clocks and log are tests/simulator's
simulator_OBJ := $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard tests/simulator/*.c)) \
                   $(filter-out src/base/clock.c src/base/log%.c,$(wildcard src/base/*.c)) $(wildcard src/event/*.c) \
                   $(wildcard src/relay/*.c) $(patsubst %,src/postgres/%.c,aside backlog cells conceal failure journal journal_rows reader row tick waiting) src/http/snapshot.c)
.PHONY: simulate simulate-now
simulate:                 ## a million simulated worlds; build/tests/simulator/simulate SEED shows what happens in one
	packaging/deps.sh build
	$(MAKE) simulate-now
simulate-now: $(O)/tests/simulator/simulate
	$< --seeds 1000000

$(O)/tests/simulator/simulate: $(simulator_OBJ)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINKHARD) -o $@ $^ $(LDLIBS)

# ---- install -----------------------------------------------------------------------------------------------------------
PREFIX ?= /usr/local
.PHONY: install install-lib clean help
install: $(O)/outboxd install-lib     ## DESTDIR and PREFIX (/usr/local): daemon, library, manual pages, systemd unit
	install -D -m 755 $(O)/outboxd $(DESTDIR)$(PREFIX)/bin/outboxd
	install -D -m 644 docs/man/outboxd.8 $(DESTDIR)$(PREFIX)/share/man/man8/outboxd.8
	install -D -m 644 docs/man/outboxd.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5/outboxd.yaml.5
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/outboxd README.md config.yaml.example
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/outboxd/docs docs/*.md
	sed -i -f packaging/installed-links.sed $(DESTDIR)$(PREFIX)/share/doc/outboxd/README.md \
		$(DESTDIR)$(PREFIX)/share/doc/outboxd/docs/*.md
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,/usr/bin/outboxd,$(PREFIX)/bin/outboxd,' packaging/outboxd.service \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/outboxd.service

# a page for each function: it points to the page that describes it, outbox(3) itself before a bare colon
ALSO = run:begin run:commit run:rollback run:optional run:connection run:query run:fail run:fail_result emit:emit_many \
       emit:text inbox_accept:inbox_prune :version
install-lib: $(O)/liboutbox.so $(O)/liboutbox.a     ## the library alone, with its manual: then ldconfig, below /usr/local
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include include/outbox.h
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib $(O)/liboutbox.so.$(SOVERSION) $(O)/liboutbox.a
	ln -sf liboutbox.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/liboutbox.so
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed 's,@PREFIX@,$(PREFIX),; s,@VERSION@,$(VERSION),' packaging/outbox.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/outbox.pc
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man3 docs/man/*.3
	for also in $(ALSO); do page=$${also%%:*}; echo ".so man3/outbox$${page:+_$$page}.3" \
		> $(DESTDIR)$(PREFIX)/share/man/man3/outbox_$${also##*:}.3 || exit; done

clean:                    ## removes build/
	rm -rf build

help:                     ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

.SECONDARY:
-include $(wildcard $(O)/obj/client/src/*/*.d $(O)/obj/fault/tests/*/*.d $(O)/obj/src/*.d $(O)/obj/src/*/*.d $(O)/obj/tests/*/*.d \
	$(O)/obj/examples/*/*.d $(O)/obj/examples/*/domain/*.d)
