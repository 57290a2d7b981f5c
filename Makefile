# Builds fast_ingest against the PostgreSQL of PG_CONFIG. `make help` lists the
# targets. The scripts in test/dev/ run it and test it without installing it.

EXTENSION = fast_ingest
MODULE_big = fast_ingest
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" fast_ingest.control)

OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c src/*/*.c src/*/*/*.c)) src/http/pages/pages_files.o
DATA_built = sql/fast_ingest--$(EXTVERSION).sql
DATA = $(filter-out $(DATA_built),$(wildcard sql/fast_ingest--*.sql))
DOCS = README.md LICENSE
DOC_PAGES = $(if $(DOCS),$(wildcard doc/*.md))
DOC_IMAGES = $(if $(DOCS),$(wildcard doc/images/*.png))

PG_CPPFLAGS = -I$(srcdir)/src
# PostgreSQL's callbacks have parameters not every one of them needs
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter $(if $(WERROR),-Werror) -MMD -MP
SHLIB_LINK = -lmicrohttpd -lgnutls -lcurl -lroaring -lz -lzstd
# It knows the version of the library; the SQL objects may have another one
src/db/extension_version.o: CPPFLAGS += -DFI_VERSION='"$(EXTVERSION)"'
# Its loops are written to be vectorized, as those over PostgreSQL's checksums are
src/rollup/sets/roaring_check.o: CFLAGS += $(CFLAGS_VECTORIZE)
# It holds what is made of web/
src/http/pages/pages_files.o: ASFLAGS += -Wa,-Itmp_build/web

# The install test creates the extension, the others use it
REGRESS = install $(filter-out install fast_ingest%,$(basename $(notdir $(wildcard sql/*.sql))))
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(wildcard test/isolation/specs/*.spec))
# Disabled because the tests need a server with shared_preload_libraries =
# 'fast_ingest', which typical installcheck users do not have: `make test` starts one
NO_INSTALLCHECK = 1

# Bitcode would need the clang that PostgreSQL was built with
override with_llvm = no

EXTRA_CLEAN = $(OBJS:.o=.d) tmp_build tmp_check tmp_deb tmp_dist tmp_install

PG_CONFIG ?= pg_config
export PG_CONFIG WERROR REGRESS ISOLATION

PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifneq ($(PGXS),)
include $(PGXS)
# A folder of our own, in which the links between README.md and doc/ hold. PGXS installs the
# files of DOCS, and without their folders.
docmoduledir := extension/fast_ingest
pages_dir = $(DESTDIR)$(docdir)/$(docmoduledir)
.PHONY: install-pages uninstall-pages
install: install-pages
install-pages: installdirs
	$(if $(DOC_PAGES),$(MKDIR_P) '$(pages_dir)/doc' && $(INSTALL_DATA) $(addprefix $(srcdir)/,$(DOC_PAGES)) '$(pages_dir)/doc/')
	$(if $(DOC_IMAGES),$(MKDIR_P) '$(pages_dir)/doc/images' && $(INSTALL_DATA) $(addprefix $(srcdir)/,$(DOC_IMAGES)) '$(pages_dir)/doc/images/')
uninstall: uninstall-pages
uninstall-pages:
	rm -rf '$(pages_dir)'
else
all install clean:
	@echo "PostgreSQL's files for extensions are missing (PG_CONFIG = $(PG_CONFIG)): see test/dev/packages.sh" >&2
	@exit 1
endif

-include $(OBJS:.o=.d)
src/db/extension_version.o: fast_ingest.control

# What the listener serves. Of the files of each page the .etag is made last. PGXS declares all files
# intermediate: one that is missing would be made only where something else of it changes.
PAGES = $(patsubst web/%,tmp_build/web/%.etag,$(wildcard web/*.html web/*.json))
all: $(PAGES)
src/http/pages/pages_files.o: $(PAGES)
$(PAGES): tmp_build/web/%.etag: web/% $(wildcard web/*.p[lm] web/*.css web/*.js web/*/*.js)
	@mkdir -p $(@D)
	perl web/bundle.pl $(@D) $<

$(DATA_built): sql/fast_ingest.sql fast_ingest.control
	cp $< $@

# The private installation that the cluster of `make run` and the tests use. Files that are
# the same are left alone: a server may be about to load them.
.PHONY: tmp-install
tmp-install: all
	@test/dev/tmp_install.sh
	@$(MAKE) -s install DESTDIR='$(CURDIR)/tmp_install' INSTALL='install -C'

# Test programs, none of which needs a server. UNIT_SRCS_<name> and FUZZ_SRCS_<name> are
# the files of src/ that each needs.
UNIT_SRCS_ring_test = src/shared/types/ring.c
UNIT_SRCS_address_test = src/base/address.c
UNIT_SRCS_token_bucket_test = src/shared/types/token_bucket.c
UNIT_SRCS_sha256_test = src/base/sha256.c
UNIT_SRCS_timestamp_test = src/event/timestamp.c
UNIT_SRCS_head_check_test = src/http/server/head_check.c src/http/server/request_target.c
UNIT_SRCS_request_target_test = src/http/server/request_target.c
UNIT_SRCS_conditions_test = src/http/pages/conditions.c
UNIT_SRCS_json_line_test = src/event/json_line.c
UNIT_SRCS_compress_body_test = src/stream/wire/compress_body.c
UNIT_SRCS_event_line_test = src/stream/sink/event_line.c src/event/json_line.c \
	src/stream/stream_columns.c
UNIT_SRCS_kafka_answer_test = src/stream/sink/kafka_answer.c src/stream/wire/wire_message.c
UNIT_SRCS_webhook_signature_test = src/stream/sink/webhook_signature.c
UNIT_SRCS_minute_times_test = src/rollup/sets/minute_times.c
UNIT_SRCS_clickhouse_answer_test = src/stream/clickhouse/clickhouse_answer.c src/stream/wire/wire_message.c
FUZZ_SRCS_event_fuzz = src/event/parse.c src/event/event_fields.c src/event/json_escape.c \
	src/event/timestamp.c src/event/validate.c
FUZZ_SRCS_roaring_check_fuzz = src/rollup/sets/roaring_check.c
FUZZ_SRCS_minute_times_fuzz = src/rollup/sets/minute_times.c
FUZZ_SRCS_decompress_fuzz = src/http/server/decompress.c
FUZZ_SRCS_head_check_fuzz = src/http/server/head_check.c src/http/server/request_target.c
FUZZ_SRCS_conditions_fuzz = src/http/pages/conditions.c
FUZZ_SRCS_ring_fuzz = src/shared/types/ring.c
FUZZ_SRCS_query_fuzz = src/http/answer/query_parameters.c src/query/parameters/request_parameters.c \
	src/query/parameters/parameter_table.c src/query/parameters/parameter_values.c \
	src/query/parameters/value_list.c src/query/answers/page.c src/event/timestamp.c
FUZZ_SRCS_kafka_answer_fuzz = src/stream/sink/kafka_answer.c src/stream/wire/wire_message.c
FUZZ_SRCS_clickhouse_answer_fuzz = src/stream/clickhouse/clickhouse_answer.c src/stream/wire/wire_message.c
# What includes postgres_fe.h rather than postgres.h: these unit programs, and all fuzz
# programs but those
UNIT_FRONTEND = minute_times_test sha256_test json_line_test kafka_answer_test webhook_signature_test
FUZZ_SERVER_CODE = ring_fuzz query_fuzz

UNIT_PROGRAMS = $(patsubst test/unit/%.c,tmp_build/unit/%,$(wildcard test/unit/*_test.c))
FUZZ_PROGRAMS = $(patsubst test/fuzz/%.c,tmp_build/fuzz/%,$(wildcard test/fuzz/*_fuzz.c))
FUZZ_CC = clang
FUZZ_CFLAGS = -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
# PostgreSQL's headers were configured for gcc
FUZZ_CFLAGS += -Wall -Wextra -Wno-unused-parameter -Wno-ignored-attributes
PROGRAM_CPPFLAGS = -Isrc -I'$(includedir_server)' -D_GNU_SOURCE
PROGRAM_LIBS = -L'$(pkglibdir)' -L'$(libdir)' -lpgcommon -lpgport -lroaring -lz -lzstd -lcrypto -lm -lpthread

.PHONY: unit-programs fuzz-programs
unit-programs: $(UNIT_PROGRAMS)
fuzz-programs: $(FUZZ_PROGRAMS)

.SECONDEXPANSION:
tmp_build/unit/%: test/unit/%.c test/assert.c $$(UNIT_SRCS_$$*) $(wildcard src/*.[ch] src/*/*.[ch] src/*/*/*.[ch])
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(CFLAGS)) $(if $(filter $*,$(UNIT_FRONTEND)),-DFRONTEND) $(PROGRAM_CPPFLAGS) -o $@ $< test/assert.c $(UNIT_SRCS_$*) $(PROGRAM_LIBS)

tmp_build/fuzz/%: test/fuzz/%.c test/assert.c $$(FUZZ_SRCS_$$*) $(wildcard src/*.h src/*/*.h src/*/*/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) $(if $(filter $*,$(FUZZ_SERVER_CODE)),,-DFRONTEND) $(PROGRAM_CPPFLAGS) -o $@ $< test/assert.c $(FUZZ_SRCS_$*) $(PROGRAM_LIBS)

.PHONY: run stop reset psql logs demo demo-live demo-log demo-shop demo-streams
run demo-log demo-shop demo-streams:
	@test/dev/$(subst -,_,$@).sh
demo:
	@test/dev/demo_log.sh
	@test/dev/demo_shop.sh
demo-live:
	@FI_SECONDS='$(SECONDS)' test/dev/demo_live.sh
stop reset psql logs:
	@test/dev/cluster.sh $@

.PHONY: health ready test-event test-metrics load-test
health ready test-event test-metrics:
	@test/dev/try.sh $@
load-test:
	@FI_SECONDS='$(SECONDS)' FI_CONNECTIONS='$(CONNECTIONS)' test/dev/try.sh $@
.PHONY: docker-build docker-up docker-down docker-logs
docker-build docker-up docker-down docker-logs:
	@docker/compose.sh $(@:docker-%=%)

# For between two edits. PGXS has a recipe for check, too, which only says that there is no
# such thing: it runs after ours, in a shell that says nothing.
.PHONY: check quick-test
check: quick-test
check: private SHELL = true
quick-test:
	@TESTS= test/dev/test.sh check

# TESTS names single TAP or unit programs
.PHONY: test test-regress test-isolation test-tap test-unit test-fuzz test-valgrind torture fuzz bench
test:
	@test/dev/test.sh
test-regress test-isolation test-tap test-unit test-fuzz:
	@TESTS='$(TESTS)' test/dev/test.sh $(@:test-%=%)
torture:
	@TESTS='$(TESTS)' test/dev/test.sh torture
fuzz:
	@FUZZ_SECONDS='$(or $(SECONDS),300)' test/dev/test.sh fuzz
# The same with the server under valgrind
test-valgrind:
	@VALGRIND=yes TESTS='$(TESTS)' test/dev/test.sh $(if $(TESTS),tap,regress isolation tap)
bench:
	@test/dev/bench.sh
# What the tests of streams and of the dashboard take from npm. `make test` does it by itself.
.PHONY: stream-packages dashboard-packages
stream-packages dashboard-packages:
	@test/dev/packages.sh test
	@test/dev/npm_packages.sh $(@:-packages=)
# The pictures in README.md and doc/, of the cluster of `make run` with what `make demo` posts
.PHONY: screenshots
screenshots:
	@test/dev/screenshots.sh
# No Docker is needed: test/docker/test.sh says what is
.PHONY: test-docker
test-docker:
	@test/docker/test.sh

# A release archive, and a Debian package
.PHONY: dist deb
dist deb:
	@test/dev/$@.sh

# What is made from the API's description
.PHONY: api-files
api-files:
	perl test/api/generate.pl

C_FILES = $(wildcard src/*.[ch] src/*/*.[ch] src/*/*/*.[ch] test/*.c test/*/*.[ch])
.PHONY: format format-check
format:
	clang-format -i $(C_FILES)
format-check:
	clang-format --dry-run --Werror $(C_FILES)

# The order in which the folders of src/ may include each other
.PHONY: check-includes
check-includes:
	@perl test/dev/check_includes.pl

.PHONY: help
help:
	@echo 'make                  build the extension'
	@echo 'make install          install it into the PostgreSQL of PG_CONFIG'
	@echo 'make run              start a private cluster with it (FI_PORT=8080, FI_SSL_PORT=0); again: rebuild and restart'
	@echo 'make demo             post a website'\''s log and a made-up month of a shop to the running cluster'
	@echo 'make demo-log | demo-shop'
	@echo '                      only the log, 9,999 real events of 2015 | only the shop, 160,000 events until now'
	@echo 'make demo-live SECONDS=n'
	@echo '                      post what happens in the shop in the next n seconds (300)'
	@echo 'make demo-streams     send them on to a ClickHouse that is started for it, and ask both'
	@echo 'make psql | logs      a session in the running cluster | its log'
	@echo 'make health | ready   ask the running cluster whether it is well, and whether it takes events'
	@echo 'make test-event       post one event and show its row'
	@echo 'make test-metrics     ask for metrics by SQL and HTTP, and compare them with the raw rows'
	@echo 'make load-test SECONDS=n CONNECTIONS=n'
	@echo '                      post events for n seconds (10) over n connections (32): events/s, latency, books'
	@echo 'make stop | reset     stop the cluster | stop it and delete its data'
	@echo 'make docker-up        build an image and run it with docker compose, see docker/compose.yml'
	@echo 'make docker-build | docker-down | docker-logs'
	@echo '                      only build it | stop what docker-up started | its log'
	@echo 'make check            the unit and regression tests and a few of the others: a minute or two'
	@echo 'make test             run every test: ten to thirty minutes'
	@echo 'make test-regress | test-isolation | test-tap | test-unit | test-fuzz'
	@echo '                      one kind of tests (TESTS="test/http/protocol.pl": single TAP or unit tests)'
	@echo 'make stream-packages | dashboard-packages'
	@echo '                      what these tests take from npm; make test does it by itself'
	@echo 'make screenshots      pictures of the dashboard of the running cluster, in doc/images (after make demo)'
	@echo 'make test-docker      build the image and run it without Docker: as root, ten minutes'
	@echo 'make torture          faults, hostile clients and overload, longer: 20 minutes'
	@echo 'make test-valgrind    the tests with the server under valgrind (TESTS: single TAP tests)'
	@echo 'make fuzz SECONDS=n   fuzz for n seconds each'
	@echo 'make bench            measure (test/bench/run.sh says what can be set; ONLY=peers: beside'
	@echo '                      DuckDB and ClickHouse, which npm installs)'
	@echo 'make tmp-install      a private copy of PostgreSQL with the extension in tmp_install/'
	@echo 'make dist             a release archive of what is committed, in tmp_dist/'
	@echo 'make deb              a Debian package, in tmp_deb/'
	@echo 'make api-files        test/api/*, from the description of the API in web/openapi.json'
	@echo 'make format           clang-format the sources; format-check: only complain'
	@echo 'make check-includes   does every file include only what stands above its folder?'
	@echo 'make clean            delete what make built'
	@echo
	@echo 'PG_CONFIG=/path/to/pg_config chooses a PostgreSQL, WERROR=1 makes warnings errors.'
