# leadscore: `make help` says what there is.

EXTENSION   = leadscore
MODULE_big  = leadscore

# Where this file is; elsewhere than here in a build outside of the source tree
# (make -f .../Makefile).
root   := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
within  = $(patsubst $(root)/%,%,$(wildcard $(addprefix $(root)/,$(1))))

EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(root)/leadscore.control)

# The install script, in the order in which its parts need each other.
SQL_PARTS = \
	src/init/leadscore.sql \
	src/definitions/lead_tables.sql \
	src/definitions/lead_rule.sql \
	src/tables/score_writer.sql \
	src/tables/top_scores.sql \
	src/counting/recount.sql \
	src/model/rule_history.sql \
	src/capture/capture.sql \
	src/model/model.sql \
	src/model/attach_source.sql \
	src/ddl/ddl.sql \
	src/api/score.sql \
	src/api/what_if.sql \
	src/api/forecast.sql \
	src/api/top_contacts.sql \
	src/api/set_stage.sql \
	src/api/identity.sql \
	src/background/delivery.sql \
	src/definitions/daily_tables.sql \
	src/definitions/job_table.sql \
	src/tables/pending_table.sql \
	src/capture/purge.sql \
	src/background/launcher.sql \
	src/capture/replication.sql \
	src/capture/restore.sql \
	src/model/extension_schema.sql \
	src/model/definition_view.sql \
	src/api/views.sql \
	src/definitions/model_access.sql

INSTALL_SCRIPT_SQL = $(EXTENSION)--$(EXTVERSION).sql

OBJS       = $(patsubst %.c,%.o,$(call within,src/*/*.c))
# scripts from version to version: the first is that from 0.6.0
DATA       = $(call within,src/upgrade/$(EXTENSION)--*.sql)
DATA_built = $(INSTALL_SCRIPT_SQL)

# -MMD writes a .d beside each .o, read below: a changed header rebuilds what includes it.
PG_CPPFLAGS = -I$(root)/src -MMD -MP -DLEADSCORE_VERSION='"$(EXTVERSION)"'
# without it exp2() is one of an old version of the library, with a wrapper
SHLIB_LINK += -lm
ifdef STRICT
PG_CFLAGS += -Wall -Wextra -Wno-unused-parameter -Werror
endif
# A variable that is read before it is set then holds a pattern, not what happens to be right.
ifdef ASSERTS
PATTERN    = -ftrivial-auto-var-init=pattern
PG_CFLAGS += -DUSE_ASSERT_CHECKING $(shell $(CC) $(PATTERN) -E -x c /dev/null >/dev/null 2>&1 && echo $(PATTERN))
endif

# Tests are found, not listed.  LEADSCORE_LONG adds the long ones.
ifndef REGRESS
REGRESS := $(patsubst sql/%.sql,%,$(call within,sql/*.sql))
endif
ifndef ISOLATION
ISOLATION := $(patsubst test/isolation/specs/%.spec,%,$(call within,test/isolation/specs/*.spec))
endif
ifndef PROVE_TESTS
PROVE_TESTS := $(call within,test/t/*.pl $(if $(LEADSCORE_LONG),test/t/long/*.pl))
endif
ifneq ($(strip $(PROVE_TESTS)),)
TAP_TESTS = 1
endif
PGTAP_TESTS := $(call within,test/pgtap/*.sql)
UNIT_TESTS  := $(patsubst %.c,%,$(call within,test/unit/*.c))

# pg_regress and isolation tester start instances of their own: no server has
# to run, and the library is preloaded in them.
TEST_INSTANCE  = --load-extension=$(EXTENSION) --temp-config=$(srcdir)/test/regress.conf --no-locale --encoding=UTF8 \
	--launcher=$(srcdir)/test/bin/in-old-words
REGRESS_OPTS   = $(TEST_INSTANCE) --temp-instance=$(CURDIR)/tmp_check_regress
ISOLATION_OPTS = $(TEST_INSTANCE) --temp-instance=$(CURDIR)/tmp_check_iso --inputdir=$(srcdir)/test/isolation

EXTRA_CLEAN = $(OBJS:.o=.d) $(UNIT_TESTS) $(EXTENSION)--*.sql \
	results log regression.diffs regression.out \
	output_iso tmp_check tmp_check_iso tmp_check_regress tmp_check_pgtap

# Bitcode for the JIT is not worth needing clang; `make with_llvm=yes` makes it.
ifneq ($(origin with_llvm),command line)
override with_llvm := no
endif

.DEFAULT_GOAL := all

PG_CONFIG ?= pg_config
PGXS      := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
PG_HEADER := $(wildcard $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h)
PG_MAJOR  := $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
SUPPORTED  = 15 16 17 18 19

# said before anything is compiled, and before anything is installed
ifneq ($(and $(PG_MAJOR),$(filter-out clean help demo test test-long bench bench-instructions,$(or $(MAKECMDGOALS),all))),)
ifeq ($(filter $(PG_MAJOR),$(SUPPORTED)),)
$(error leadscore supports PostgreSQL 15 to 19, and $(PG_CONFIG) is of version $(PG_MAJOR): name another server by PG_CONFIG=...)
endif
endif

ifneq ($(and $(PGXS),$(PG_HEADER)),)
include $(PGXS)
PG_PROVE_FLAGS += -I $(abspath $(srcdir))/test/perl
else
.PHONY: all install uninstall installcheck strict layercheck pgtapcheck clean
all install uninstall installcheck strict layercheck pgtapcheck clean:
	@echo "leadscore needs pg_config: apt-get install postgresql-server-dev-15 (or PG_CONFIG=...), or run make demo / make test" >&2
	@exit 1
endif

-include $(OBJS:.o=.d)

# they hold the version
$(OBJS): leadscore.control

# in a build outside of the source tree
$(OBJS) $(UNIT_TESTS): | directories
.PHONY: directories
directories:
	@mkdir -p $(sort $(dir $(OBJS) $(UNIT_TESTS)))

$(INSTALL_SCRIPT_SQL): $(SQL_PARTS) leadscore.control Makefile
	cat $(addprefix $(root)/,$(SQL_PARTS)) > $@

ifneq ($(and $(PGXS),$(PG_HEADER)),)
.PHONY: strict pgtapcheck layercheck
layercheck: all
	$(root)/test/bin/layercheck '$(CURDIR)'

strict:
	$(MAKE) clean
	$(MAKE) all STRICT=1

pgtapcheck:
	$(if $(PGTAP_TESTS),PG_CONFIG='$(PG_CONFIG)' $(root)/test/bin/pgtap-check '$(CURDIR)/tmp_check_pgtap' $(addprefix $(root)/,$(PGTAP_TESTS)))
endif

# Plain C, no PostgreSQL: cmocka against src/base/decay.c, under the sanitizers.
UNIT_CFLAGS = -std=c99 -g -O1 -Wall -Wextra -Wno-unused-parameter -Werror -I$(root)/src -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: unitcheck
unitcheck: $(UNIT_TESTS)
	$(if $(UNIT_TESTS),CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=detect_leaks=0 prove $(PROVE_FLAGS) --exec '' $(UNIT_TESTS))

$(UNIT_TESTS): %: %.c src/base/decay.c src/base/decay.h
	$(CC) $(UNIT_CFLAGS) -o $@ $(filter %.c,$^) -lcmocka -lm

# Everything below installs what it needs.
.PHONY: test test-long demo help
test:
	@$(root)/test/bin/run-tests

test-long:
	@LEADSCORE_LONG=1 $(root)/test/bin/run-tests

demo:
	@$(root)/test/bin/demo

.PHONY: bench bench-instructions
bench:
	@$(root)/test/bin/bench times

bench-instructions:
	@$(root)/test/bin/bench instructions

help:
	@echo "make, make install     build, and install into the server of PG_CONFIG ($(PG_CONFIG))"
	@echo "make installcheck      regress, isolation and TAP tests of what is installed, in instances of"
	@echo "                       their own (not as root); also: make pgtapcheck, make unitcheck"
	@echo "make strict            build afresh with -Wall -Wextra -Werror"
	@echo "make layercheck        the rules of the source tree, src/README.md: folders use each other one way"
	@echo "make demo              a demonstration on a throw-away server"
	@echo "make test              install what is missing, build, install, run every suite"
	@echo "make test-long         the same with the long tests"
	@echo "make bench             times beside plpgsql triggers, a nightly UPDATE and pg_ivm, on a throw-away server: a table,"
	@echo "                       CSV and plots in bench-results; LEADSCORE_SCALE=1 in full (three quarters of an hour)"
	@echo "make bench-instructions    instructions of an INSERT, counted by callgrind"
	@echo ""
	@echo "make test SUITES='layers regress isolation tap pgtap unit headers versions'     some suites only"
	@echo "          REGRESS=name | ISOLATION=name | PROVE_TESTS=test/t/x.pl   some tests of their suite only"
	@echo "          PROVE_FLAGS=-j1   ASSERTS=1 (build with assertions, and with a pattern in what is not"
	@echo "          initialized)   KEEP=1 (leave the build directory)"
	@echo "          VERSIONS='17'   for the suite versions (a part of make test-long; root only)"
	@echo "test/bin/on-version NN              regress and isolation with PostgreSQL NN in a chroot; other"
	@echo "                                    suites, pg_upgrade from 15, commands: see its usage"
	@echo "test/bin/dev-cluster start DIR      a scratch server to work with"
