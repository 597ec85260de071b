# The map of the build.  `make help` lists the targets.
#
# What the code needs is set here; CFLAGS, CPPFLAGS, LDFLAGS and LDLIBS belong to whoever calls make.
# Everything that is built lies below $(B); after any target, git is clean.

VERSION := 0.1
SOVERSION := 0

B       ?= build
CFLAGS  ?= -O2 -g
ifeq ($(origin CXX),default)
CXX     := c++
endif
PREFIX  ?= /usr/local
FUZZ_SECONDS ?= 30
JOBS    ?= $(shell nproc 2>/dev/null || echo 1)

STD  := -std=c17 -D_GNU_SOURCE
WARN := -Wall -Wextra -Wformat=2 -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wvla -Walloca \
        -Wnull-dereference -Wimplicit-fallthrough $(if $(WERROR),-Werror)

# The include path is the layering: a folder that is not named here cannot be included.  What a path cannot
# say (the edges of the gateway do not know each other) is checked by `make layers`.
INC_common     := -Icommon
INC_core       := -Icommon -Igateway/core
INC_gateway    := -Icommon -Igateway
INC_connectors := -Iinclude -Icommon
INC_tests      := -Iinclude -Icommon -Igateway -Iconnectors -Itests
INC_bench      := -Iinclude -Icommon -Igateway -Itests
includes = $(INC_$(if $(filter gateway/core/%,$1),core,$(firstword $(subst /, ,$1))))

# What a program may link; each program says which of them it does.  LIB_msgpack comes from the probe below.
LIB_zmq      := -lzmq
LIB_rabbitmq := -lrabbitmq
LIB_config   := -lconfig
LIB_sqlite3  := -lsqlite3
LIB_curl     := -lcurl
LIB_jansson  := -ljansson
LIB_crypto   := -lcrypto
LIB_math     := -lm
LIB_cmocka   := -lcmocka
# Not libraries: what a test may make fail on demand, through its own __wrap_ functions.
LIB_no_memory  := -Wl,--wrap=calloc -Wl,--wrap=reallocarray
LIB_no_heap    := -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=strndup
LIB_no_eventfd := -Wl,--wrap=eventfd
LIB_stop_seen  := -Wl,--wrap=eventfd_write
LIB_resolver   := -Wl,--wrap=getaddrinfo
LIB_sluice    = $(B)/libsluice.a -lzmq $(LIB_msgpack)

# Hardening flags are tried once per compiler (packaging/probe) and remembered.  Targets that compile nothing here
# do without, so that they also work where there is no compiler yet.
PROBED := $(B)/probed-$(subst /,_,$(subst $() ,_,$(CC))).mk
NO_PROBE := help clean deps test demo asan tsan fuzz layers sources
ifneq ($(filter-out $(NO_PROBE),$(or $(MAKECMDGOALS),all)),)
include $(PROBED)
endif
$(PROBED): packaging/probe
	@packaging/probe '$(CC)' $@

# HARDEN=0 is for sanitizers, which bring their own checks.  _FORTIFY_SOURCE warns without optimisation.
ifneq ($(HARDEN),0)
HARDEN_CFLAGS  = $(PROBED_CFLAGS) $(if $(filter-out -O0,$(filter -O%,$(CFLAGS))),$(PROBED_FORTIFY))
HARDEN_LDFLAGS = $(PROBED_LDFLAGS)
endif
COMPILE = $(CC) $(STD) $(WARN) $(HARDEN_CFLAGS) $(call includes,$<) -MMD -MP $(CPPFLAGS) $(CFLAGS)

# One short line for each step; V=1 shows the commands.
Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-4s %s\n' $1 $2)

# --- How a program is listed ------------------------------------------------------------------------------------------
# $(call program,NAME BELOW $(B),SOURCES,LIBRARIES).  For the tests the first source, named as the program, goes without
# saying, and so does cmocka.
objects = $(patsubst %.c,$(B)/obj/%.o,$1)
define program_
SOURCES += $2
$$(B)/$1: $$(call objects,$2) $$(if $$(filter sluice,$3),$$(B)/libsluice.a)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(HARDEN_LDFLAGS) $$(PROBED_PIE) $$(LDFLAGS) -o $$@ \
	    $$(call objects,$2) $$(foreach l,$3,$$(LIB_$$l)) -lpthread $$(LDLIBS)
endef
program   = $(eval $(call program_,$(strip $1),$(strip $2),$(strip $3)))
connector = $(eval CONNECTORS += $(B)/connectors/$(strip $1))$(call program,connectors/$(strip $1),$2,$3)
unit      = $(eval UNIT += $(B)/tests/unit/$(strip $1))$(call program,tests/unit/$(strip $1),tests/unit/$(strip $1).c $2,cmocka $3)
sim       = $(eval SIM += $(B)/tests/sim/$(strip $1))$(call program,tests/sim/$(strip $1),tests/sim/$(strip $1).c $2,cmocka $3)
system    = $(eval SYSTEM += $(B)/tests/system/$(strip $1))$(call program,tests/system/$(strip $1),tests/system/$(strip $1).c $2,cmocka $3)
tool      = $(eval TOOLS += $(B)/tests/system/$(strip $1))$(call program,tests/system/$(strip $1),tests/system/$(strip $1).c $2,$3)
bench     = $(eval BENCHES += $(B)/bench/$(strip $1))$(call program,bench/$(strip $1),bench/$(strip $1).c $2,$3)
fuzz      = $(eval FUZZ += $(strip $1))$(call program,tests/fuzz/$(strip $1),tests/fuzz/$(strip $1).c $2,$3)
SOURCES :=

# --- What is built from what: one name a line where a list grows ------------------------------------------------------
# Parts that are linked by more than one program.
WIRE_SRC := \
    common/scan.c \
    common/wire.c \
    common/wire_decode.c \
    common/wire_encode.c \
    common/wire_fault.c

# The library of connectors, libsluice, with what it uses of common/.
SESSION_SRC := \
    connectors/client/session.c \
    connectors/client/session_in.c \
    connectors/client/session_queue.c \
    connectors/client/session_run.c \
    connectors/client/session_state.c
CLIENT_SRC := \
    $(SESSION_SRC) \
    connectors/client/bundle.c \
    connectors/client/desk.c \
    connectors/client/link.c \
    connectors/client/push.c \
    connectors/client/runs.c \
    connectors/client/schedule.c \
    connectors/client/sluice.c \
    connectors/client/words.c \
    connectors/client/worker.c \
    common/clock.c \
    common/duration.c \
    common/duration_read.c \
    common/err.c \
    common/text.c \
    $(WIRE_SRC)

# The daemon.
GAUGE_SRC := \
    gateway/core/gauge.c \
    gateway/core/gauge_check.c \
    gateway/core/gauge_doubt.c \
    gateway/core/gauge_open.c \
    gateway/core/gauge_pace.c \
    gateway/core/gauge_view.c \
    gateway/core/ledger.c
CORE_SRC := \
    gateway/core/check.c \
    gateway/core/check_gates.c \
    gateway/core/check_schedule.c \
    gateway/core/check_spool.c \
    gateway/core/commit.c \
    gateway/core/core.c \
    gateway/core/credit.c \
    gateway/core/custody.c \
    gateway/core/decide.c \
    gateway/core/drain.c \
    gateway/core/due.c \
    gateway/core/forming.c \
    gateway/core/gate.c \
    $(GAUGE_SRC) \
    gateway/core/posting.c \
    gateway/core/queues.c \
    gateway/core/run.c \
    gateway/core/schedule.c \
    gateway/core/session.c \
    gateway/core/slots.c \
    gateway/core/spooling.c \
    gateway/core/status.c \
    gateway/core/table.c \
    gateway/core/verdict.c
BROKER_SRC := \
    gateway/broker/backoff.c \
    gateway/broker/bundle.c \
    gateway/broker/dial.c \
    gateway/broker/link.c \
    gateway/broker/outbox.c \
    gateway/broker/publisher.c \
    gateway/broker/send.c \
    gateway/broker/session.c \
    gateway/broker/target.c \
    gateway/broker/verify.c \
    gateway/broker/watchdog.c \
    gateway/broker/window.c
TELEMETRY_SRC := \
    gateway/broker/figures.c \
    gateway/broker/http.c \
    gateway/broker/lives.c \
    gateway/broker/manage.c \
    gateway/broker/prom.c \
    gateway/broker/round.c \
    gateway/broker/rows.c \
    gateway/broker/scrape.c \
    gateway/broker/telemetry.c \
    gateway/broker/wanted.c
SETTINGS_SRC := \
    gateway/settings.c \
    gateway/settings_check.c \
    gateway/settings_env.c \
    gateway/settings_hosts.c \
    gateway/settings_print.c \
    gateway/settings_read.c \
    gateway/settings_scan.c \
    gateway/settings_secret.c \
    gateway/settings_table.c \
    gateway/settings_value.c \
    gateway/suggest.c
STATE_SRC := \
    gateway/store/state.c \
    gateway/store/state_db.c \
    gateway/store/state_db_rows.c \
    gateway/store/state_file.c
SPOOL_SRC := \
    gateway/store/crc32c.c \
    gateway/store/disk.c \
    gateway/store/disk_real.c \
    gateway/store/posset.c \
    gateway/store/spool.c \
    gateway/store/spool_batch.c \
    gateway/store/spool_bytes.c \
    gateway/store/spool_clean.c \
    gateway/store/spool_folder.c \
    gateway/store/spool_log.c \
    gateway/store/spool_record.c \
    gateway/store/spool_recover.c \
    gateway/store/spool_scan.c \
    gateway/store/spool_segment.c \
    gateway/store/spool_slice.c \
    gateway/store/spool_stream.c
SPOOL_USES := gateway/crash.c common/clock.c common/err.c common/log.c common/mailbox.c common/text.c common/thread.c
ADMIN_SRC := \
    gateway/admin/answer.c \
    gateway/admin/operators.c \
    gateway/admin/request.c \
    gateway/admin/socket.c
OPENCTI_SRC := \
    gateway/formats/base64.c \
    gateway/formats/budget.c \
    gateway/formats/content.c \
    gateway/formats/edges.c \
    gateway/formats/embedded.c \
    gateway/formats/envelope.c \
    gateway/formats/index.c \
    gateway/formats/json.c \
    gateway/formats/jsontext.c \
    gateway/formats/names.c \
    gateway/formats/opencti.c \
    gateway/formats/options.c \
    gateway/formats/siphash.c \
    gateway/formats/sort.c \
    gateway/formats/split.c \
    gateway/formats/types.c
GATEWAY_SRC := \
    $(CORE_SRC) \
    $(BROKER_SRC) \
    $(TELEMETRY_SRC) \
    gateway/broker/counts.c \
    $(SETTINGS_SRC) \
    $(STATE_SRC) \
    gateway/store/journal.c \
    $(SPOOL_SRC) \
    $(ADMIN_SRC) \
    gateway/bodies.c \
    gateway/crash.c \
    gateway/dead.c \
    gateway/letters.c \
    gateway/spooled.c \
    gateway/doors/router.c \
    gateway/effects.c \
    gateway/files.c \
    $(OPENCTI_SRC) \
    gateway/formats/former.c \
    gateway/formed.c \
    gateway/gauged.c \
    gateway/loop.c \
    gateway/loop_open.c \
    gateway/main.c \
    gateway/measures.c \
    gateway/plan.c \
    gateway/schedules.c \
    gateway/states.c \
    gateway/targets.c \
    common/clock.c \
    common/duration.c \
    common/duration_read.c \
    common/err.c \
    common/log.c \
    common/mailbox.c \
    common/size.c \
    common/text.c \
    common/thread.c \
    $(WIRE_SRC)
GATEWAY := $(B)/sluiced
$(call program,sluiced,$(GATEWAY_SRC),zmq rabbitmq msgpack config sqlite3 jansson curl)
# The same, and it dies where a test wants it to.
TOOLS += $(B)/tests/sluiced-crash
$(call program,tests/sluiced-crash,$(filter-out gateway/crash.c,$(GATEWAY_SRC)) tests/system/crash.c,zmq rabbitmq msgpack config sqlite3 jansson curl)

# What operators run.
REPLAY_SRC := gateway/ctl/replay.c gateway/core/decide.c common/err.c common/text.c $(WIRE_SRC)
REPLAY := $(B)/sluice-replay
$(call program,sluice-replay,gateway/ctl/main.c $(REPLAY_SRC),jansson msgpack)

# Connectors: $(call connector,NAME,SOURCES,LIBRARIES)
KIT_SRC := \
    connectors/kit/exits.c \
    connectors/kit/outlet.c \
    connectors/kit/progress.c \
    connectors/kit/setup.c \
    connectors/kit/setup_file.c \
    connectors/kit/stop.c \
    connectors/kit/turns.c \
    common/clock.c \
    common/duration.c \
    common/duration_read.c \
    common/err.c \
    common/size.c \
    common/text.c
KEV_SRC := \
    connectors/cisa-kev/cursor.c \
    connectors/cisa-kev/feed.c \
    connectors/cisa-kev/fetch.c \
    connectors/cisa-kev/id.c \
    connectors/cisa-kev/run.c \
    connectors/cisa-kev/sample.c \
    connectors/cisa-kev/stix.c \
    $(KIT_SRC)
$(B)/obj/connectors/cisa-kev/sample.o: connectors/cisa-kev/sample.json
$(call connector,cisa-kev,connectors/cisa-kev/main.c $(KEV_SRC),sluice config curl jansson crypto)
FILE_SRC := \
    connectors/stix-file/body.c \
    connectors/stix-file/pace.c \
    connectors/stix-file/paths.c \
    connectors/stix-file/run.c \
    $(KIT_SRC)
$(call connector,stix-file,connectors/stix-file/main.c $(FILE_SRC),sluice config)

# Tests, offline: $(call unit,NAME,MORE SOURCES,LIBRARIES)
$(call unit,bundle_test,gateway/broker/bundle.c common/err.c common/text.c,no_memory)
$(call unit,scan_test,common/scan.c)
$(call unit,duration_test,common/duration.c common/duration_read.c common/err.c common/text.c)
$(call unit,dial_test,gateway/broker/dial.c common/clock.c common/err.c common/text.c,resolver)
$(call unit,err_test,common/err.c common/text.c)
$(call unit,formed_test,gateway/formed.c gateway/bodies.c common/clock.c common/err.c common/log.c common/mailbox.c common/text.c common/thread.c)
$(call unit,former_test,gateway/formats/former.c common/err.c common/mailbox.c common/text.c common/thread.c,no_memory no_eventfd stop_seen)
$(call unit,journal_test,gateway/store/journal.c common/clock.c common/err.c common/log.c common/mailbox.c common/text.c common/thread.c $(WIRE_SRC),jansson msgpack)
$(call unit,log_test,common/log.c common/err.c common/text.c,jansson no_memory)
$(call unit,mailbox_test,common/mailbox.c common/err.c,no_memory no_eventfd)
$(call unit,sort_test,gateway/formats/sort.c)
$(call unit,opencti_test,tests/heap_double.c $(OPENCTI_SRC) common/err.c common/text.c,no_heap jansson)
$(call unit,operators_test,$(ADMIN_SRC) gateway/dead.c gateway/suggest.c $(CORE_SRC) common/clock.c common/err.c common/log.c common/text.c \
    $(WIRE_SRC),jansson msgpack)
$(call unit,send_test,tests/parts_double.c gateway/broker/send.c gateway/broker/watchdog.c gateway/broker/window.c common/clock.c \
    common/err.c common/text.c common/thread.c,rabbitmq no_heap)
$(call unit,replay_test,$(REPLAY_SRC) gateway/store/journal.c common/clock.c common/log.c common/mailbox.c common/thread.c,jansson msgpack)
$(call unit,size_test,common/size.c common/err.c common/text.c)
$(call unit,telemetry_test,tests/unit/tiny_http.c $(TELEMETRY_SRC) gateway/broker/backoff.c common/clock.c common/err.c common/log.c common/mailbox.c \
    common/text.c common/thread.c,curl jansson)
$(call unit,text_test,common/text.c)
$(call unit,vectors_test,tests/vectors.c common/text.c $(WIRE_SRC),msgpack)
$(call unit,watchdog_test,gateway/broker/watchdog.c common/clock.c common/err.c common/text.c common/thread.c)
$(call unit,window_test,gateway/broker/window.c common/err.c common/text.c)
$(call unit,wire_test,common/text.c $(WIRE_SRC),msgpack)
CORE_WORLD := tests/unit/core_world.c $(CORE_SRC) common/err.c common/text.c $(WIRE_SRC)
$(call unit,core_session_test,$(CORE_WORLD),msgpack)
$(call unit,core_expect_test,$(CORE_WORLD),msgpack)
$(call unit,core_run_test,$(CORE_WORLD),msgpack)
$(call unit,core_opencti_test,$(CORE_WORLD),msgpack)
$(call unit,core_takeover_test,$(CORE_WORLD),msgpack)
$(call unit,core_custody_test,$(CORE_WORLD),msgpack)
$(call unit,decide_test,gateway/core/decide.c)
$(call unit,core_gate_test,$(CORE_WORLD),msgpack)
$(call unit,core_forming_test,$(CORE_WORLD),msgpack)
$(call unit,core_verdict_test,$(CORE_WORLD),msgpack)
$(call unit,core_posting_test,$(CORE_WORLD),msgpack)
$(call unit,core_spool_test,$(CORE_WORLD),msgpack)
$(call unit,core_drain_test,$(CORE_WORLD),msgpack)
$(call unit,core_credit_test,$(CORE_WORLD),msgpack)
$(call unit,core_memory_test,tests/heap_double.c $(CORE_WORLD),msgpack no_heap)
$(call unit,gauge_test,$(GAUGE_SRC) common/err.c common/text.c)
$(call unit,spooled_test,gateway/spooled.c gateway/bodies.c gateway/crash.c common/clock.c common/err.c common/log.c common/mailbox.c common/text.c common/thread.c)
$(call unit,dead_test,gateway/dead.c common/err.c)
$(call unit,bodies_test,tests/heap_double.c gateway/bodies.c common/err.c common/text.c,no_heap)
$(call unit,files_test,gateway/files.c common/clock.c common/err.c common/log.c common/text.c)
$(call unit,targets_test,gateway/targets.c common/err.c common/text.c)
$(call unit,router_test,gateway/doors/router.c common/clock.c common/err.c common/text.c,zmq)
$(call unit,plan_test,gateway/gauged.c gateway/plan.c gateway/targets.c $(SETTINGS_SRC) common/duration.c common/duration_read.c common/err.c common/size.c common/text.c,config)
$(call unit,commit_test,$(CORE_WORLD),msgpack)
$(call unit,settings_test,$(SETTINGS_SRC) common/duration.c common/duration_read.c common/err.c common/size.c common/text.c,config)
$(call unit,spool_test,tests/heap_double.c $(SPOOL_SRC) $(SPOOL_USES),no_heap)
$(call unit,state_test,$(STATE_SRC) common/clock.c common/err.c common/log.c common/mailbox.c common/text.c common/thread.c,sqlite3)
$(call unit,state_rows_test,$(STATE_SRC) common/clock.c common/err.c common/log.c common/mailbox.c common/text.c common/thread.c,sqlite3)
$(call unit,states_test,gateway/states.c $(STATE_SRC) common/clock.c common/err.c common/log.c common/mailbox.c common/text.c common/thread.c \
    $(WIRE_SRC),sqlite3 msgpack)
$(call unit,client_session_test,$(SESSION_SRC) common/err.c common/text.c $(WIRE_SRC),msgpack)
$(call unit,client_run_test,$(SESSION_SRC) common/err.c common/text.c $(WIRE_SRC),msgpack)
$(call unit,client_schedule_test,tests/unit/client_gateway.c $(CLIENT_SRC),zmq msgpack)
$(call unit,client_push_test,tests/unit/client_gateway.c $(CLIENT_SRC),zmq msgpack)
$(call unit,client_handle_test,tests/unit/client_gateway.c $(CLIENT_SRC),zmq msgpack)
$(call unit,kev_http_test,tests/unit/sluice_double.c tests/unit/tiny_http.c $(KEV_SRC),config curl jansson crypto)
$(call unit,kev_test,tests/unit/sluice_double.c $(KEV_SRC),config curl jansson crypto)
$(call unit,opencti_doc_test,tests/opencti_doc.c connectors/kit/setup.c connectors/kit/setup_file.c common/duration.c \
    common/duration_read.c common/err.c common/text.c,sluice config zmq msgpack)
$(call unit,setup_test,connectors/kit/setup.c connectors/kit/setup_file.c common/duration.c common/duration_read.c common/err.c common/text.c,config)
$(call unit,stixfile_test,tests/unit/sluice_double.c $(FILE_SRC),config)

# Simulation, offline: $(call sim,NAME,MORE SOURCES,LIBRARIES)
$(call sim,spine_sim,tests/sim/heap.c tests/sim/spool_model.c tests/sim/world.c $(CORE_SRC) $(SESSION_SRC) common/err.c common/text.c $(WIRE_SRC),msgpack)
FLEET_SRC := \
    tests/sim/fleet.c \
    tests/sim/fleet_acts.c \
    tests/sim/fleet_gateway.c \
    tests/sim/fleet_net.c \
    tests/sim/fleet_program.c \
    tests/sim/fleet_rules.c \
    tests/sim/fleet_runs.c \
    tests/sim/fleet_trace.c \
    tests/sim/fleet_truth.c \
    tests/sim/heap.c \
    tests/sim/script.c
$(call sim,schedule_sim,$(FLEET_SRC) $(CORE_SRC) common/err.c common/text.c $(WIRE_SRC),msgpack)

ADMISSION_SRC := \
    tests/sim/admission_broker.c \
    tests/sim/admission_draw.c \
    tests/sim/admission_peer.c \
    tests/sim/admission_rules.c \
    tests/sim/admission_spool.c \
    tests/sim/admission_world.c \
    tests/sim/broker_model.c \
    tests/sim/heap.c \
    tests/sim/spool_model.c
$(call sim,admission_sim,$(ADMISSION_SRC) $(CORE_SRC) common/err.c common/text.c $(WIRE_SRC),msgpack)
$(call sim,spool_sim,tests/sim/disk.c $(SPOOL_SRC) $(SPOOL_USES))
$(call sim,gauge_sim,tests/sim/broker_model.c tests/sim/gauge_world.c $(GAUGE_SRC) common/err.c common/text.c)

# Tests against a private RabbitMQ: $(call system,NAME,MORE SOURCES,LIBRARIES)
WORLD_SRC := \
    tests/system/consumer.c \
    tests/system/late.c \
    tests/system/ledger.c \
    tests/system/load.c \
    tests/system/peer.c \
    tests/system/proxy.c \
    tests/system/sluiced.c \
    tests/system/stage.c \
    tests/system/world.c

WORLD_USES := common/clock.c common/err.c common/text.c $(WIRE_SRC)
WORLD_LIBS := sluice rabbitmq zmq msgpack
$(call system,harness_test,$(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS))
$(call system,forward_test,$(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS))
$(call system,badinput_test,tests/system/bad.c tests/vectors.c $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS))
$(call system,misuse_test,tests/system/bad.c $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS))
$(call system,faults_broker_test,$(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS))
$(call system,spool_test,tests/system/orders.c $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS) jansson)
$(call system,faults_connector_test,$(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS))
WORKER_SRC := tests/system/feed.c tests/system/stix.c tests/system/worker.c
$(call system,format_test,$(WORKER_SRC) $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS) jansson)
$(call system,format_faults_test,$(WORKER_SRC) $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS) jansson)
FLOOD_SRC := tests/system/flood.c tests/system/orders.c tests/system/taker.c tests/system/truth.c
$(call system,overrun_test,$(FLOOD_SRC) $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS) jansson)
$(call system,telemetry_faults_test,tests/unit/tiny_http.c $(FLOOD_SRC) $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS) jansson)
SCENE_SRC := tests/opencti_doc.c tests/system/orders.c tests/system/program.c tests/system/scene.c
$(call system,schedule_test,$(SCENE_SRC) $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS) jansson)
$(call system,schedule_words_test,$(SCENE_SRC) $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS) jansson)
$(call system,schedule_kills_test,tests/system/history.c tests/system/history_rules.c tests/system/scheduled_says.c \
    $(WORLD_SRC) $(WORLD_USES),$(WORLD_LIBS) jansson sqlite3)
# A program that it starts.
$(call program,tests/system/scheduled,tests/system/scheduled.c tests/system/scheduled_says.c tests/system/ledger.c \
    common/clock.c,sluice)
$(B)/tests/system/schedule_kills_test: $(B)/tests/system/scheduled

PUB_SRC := \
    tests/system/desk.c \
    tests/system/late.c \
    tests/system/operator.c \
    tests/system/world.c \
    $(BROKER_SRC) \
    common/clock.c \
    common/err.c \
    common/log.c \
    common/mailbox.c \
    common/text.c \
    common/thread.c
$(call system,publisher_test,$(PUB_SRC),rabbitmq)
$(call system,publisher_faults_test,$(PUB_SRC),rabbitmq)
$(call system,counts_test,$(PUB_SRC) gateway/broker/counts.c,rabbitmq)
$(call system,publisher_parts_test,tests/parts_double.c tests/system/proxy.c $(PUB_SRC),rabbitmq no_heap)
$(call system,telemetry_test,$(PUB_SRC) $(TELEMETRY_SRC),rabbitmq curl jansson)

# Tests that are scripts; they print TAP.
SYSTEM_SCRIPTS := \
    tests/system/broker_test.sh \
    tests/system/client_abi_test.sh \
    tests/system/demo_test.sh \
    tests/system/docs_test.sh \
    tests/system/install_test.sh \
    tests/system/opencti_pycti_test.sh

# What scripts run: $(call tool,NAME,MORE SOURCES,LIBRARIES)
$(call tool,opencti_split,$(OPENCTI_SRC) common/err.c common/text.c)

# Fuzz targets: $(call fuzz,NAME,MORE SOURCES,LIBRARIES)
$(call fuzz,kev_fuzz,$(KEV_SRC:connectors/cisa-kev/run.c=) tests/unit/sluice_double.c,config curl jansson crypto)
$(call fuzz,opencti_fuzz,$(OPENCTI_SRC) common/err.c common/text.c,jansson)
$(call fuzz,settings_fuzz,$(SETTINGS_SRC) common/duration.c common/duration_read.c common/err.c common/size.c common/text.c,config)
$(call fuzz,telemetry_fuzz,gateway/broker/figures.c gateway/broker/http.c gateway/broker/prom.c gateway/broker/rows.c \
    common/clock.c common/err.c common/text.c,curl jansson)
$(call fuzz,wire_fuzz,common/text.c $(WIRE_SRC),msgpack)

# Benches, one question each: $(call bench,NAME,MORE SOURCES,LIBRARIES)
$(call bench,client,common/clock.c common/err.c common/text.c $(WIRE_SRC),sluice)
$(call bench,format,bench/report.c $(OPENCTI_SRC) common/err.c common/text.c,jansson math)
$(call bench,forward,bench/report.c bench/leg.c bench/bare.c bench/drain.c bench/rabbit.c tests/system/sluiced.c \
    tests/system/world.c common/clock.c common/err.c,sluice rabbitmq zmq math)
$(call bench,overshoot,bench/rabbit.c bench/report.c $(FLOOD_SRC) tests/system/load.c tests/system/ledger.c \
    tests/system/sluiced.c tests/system/world.c common/clock.c common/err.c common/text.c,cmocka sluice rabbitmq jansson math)
$(call bench,permit,bench/asker.c bench/crowd.c bench/echo.c bench/report.c tests/system/sluiced.c tests/system/world.c \
    common/clock.c common/err.c common/text.c $(WIRE_SRC),msgpack zmq math)
$(call bench,spool,bench/report.c $(SPOOL_SRC) $(SPOOL_USES),math)
$(call bench,turn,bench/report.c tests/system/world.c common/clock.c common/err.c common/text.c $(CORE_SRC) $(WIRE_SRC),msgpack math)
$(call bench,telemetry,tests/system/world.c $(TELEMETRY_SRC) gateway/broker/backoff.c common/clock.c common/err.c common/log.c common/mailbox.c \
    common/text.c common/thread.c,curl jansson rabbitmq)
$(call bench,wire,common/text.c $(WIRE_SRC),msgpack)

# --- The usual targets ------------------------------------------------------------------------------------------------
LIBRARY := $(B)/libsluice.a $(B)/libsluice.so

# With a recipe there is no word of nothing to be done.
all: $(GATEWAY) $(REPLAY) $(LIBRARY) $(CONNECTORS)
	@:
.DEFAULT_GOAL := all

$(B)/obj/%.o: %.c Makefile $(PROBED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -fPIE -c -o $@ $<

# The library's objects are their own: position independent, and nothing is seen outside that is not marked so.
$(B)/pic/%.o: %.c Makefile $(PROBED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -fPIC -fvisibility=hidden -c -o $@ $<

CLIENT_OBJ := $(CLIENT_SRC:%.c=$(B)/pic/%.o)

# An archive cannot hide what its members share, so they are joined first: a connector may have its own err_set.
$(B)/libsluice.a: $(CLIENT_OBJ)
	$(call say,AR,$@)
	$(Q)$(CC) -r -nostdlib -o $(B)/pic/libsluice.o $(CLIENT_OBJ)
	$(Q)objcopy --localize-hidden $(B)/pic/libsluice.o
	$(Q)rm -f $@
	$(Q)ar rcs $@ $(B)/pic/libsluice.o

$(B)/libsluice.so.$(SOVERSION): $(CLIENT_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(CFLAGS) $(HARDEN_LDFLAGS) $(LDFLAGS) -Wl,-soname,libsluice.so.$(SOVERSION) -o $@ \
	    $(CLIENT_OBJ) -lzmq $(LIB_msgpack) -lpthread $(LDLIBS)
$(B)/libsluice.so: $(B)/libsluice.so.$(SOVERSION)
	$(Q)ln -sf $(<F) $@

-include $(patsubst %.c,$(B)/obj/%.d,$(sort $(SOURCES))) $(CLIENT_OBJ:.o=.d)

# Programs find what was built through SLUICE_BUILD.
RUN_TESTS := SLUICE_BUILD='$(abspath $(B))' tests/run --log $(B)/log

check: $(UNIT) $(SIM)
	@$(RUN_TESTS) $^

# The long forms: many seeds, more kills, finer cuts.  An hour or two; each fault names its seed.
SOAK_SEEDS ?= 20000
SOAK := $(addprefix $(B)/tests/system/,spool_test faults_broker_test faults_connector_test schedule_kills_test)
soak: all tests
	@SEEDS=$(SOAK_SEEDS) $(RUN_TESTS) --limit 14400 $(SIM)
	@TEST_LONG=1 $(RUN_TESTS) --limit 14400 $(SOAK)

test:
	@packaging/deps
	@$(MAKE) --no-print-directory -j$(JOBS) all tests
	@$(MAKE) --no-print-directory test-run

tests: $(UNIT) $(SIM) $(SYSTEM) $(TOOLS)
	@:
test-run: all tests
	@$(RUN_TESTS) $(UNIT) $(SIM) $(SYSTEM) $(SYSTEM_SCRIPTS)

# By the environment, so that any name may be a FEED; PWD is where the user stands, also with `make -C`.
demo: export ONCE := $(ONCE)
demo: export FEED := $(FEED)
demo: export DEMO_FROM := $(PWD)
demo:
	@packaging/deps
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@SLUICE_BUILD='$(abspath $(B))' packaging/demo

deps:
	@packaging/deps

# All of them, or BENCH='NAME ...'.
BENCH_NOW := $(if $(BENCH),$(addprefix $(B)/bench/,$(notdir $(BENCH))),$(BENCHES))
bench: all $(filter $(BENCHES),$(BENCH_NOW))
	@$(if $(filter-out $(BENCHES),$(BENCH_NOW)),echo 'make: no bench of this name: $(notdir $(filter-out $(BENCHES),$(BENCH_NOW))); there are $(notdir $(BENCHES))' >&2; exit 2)
	@mkdir -p $(B)/bench
	@for b in $(BENCH_NOW); do echo "== $$b"; SLUICE_BUILD='$(abspath $(B))' $$b $(BENCH_ARGS) || exit 1; done

sim: $(SIM)
	@$(RUN_TESTS) $^

# --- The same truth, looked at harder ---------------------------------------------------------------------------------
# The simulation is many worlds from as many seeds (SEEDS): sanitizers see a part of them, the thread sanitizer, for
# which it has nothing but its time, a few.
asan:
	@SEEDS=$(or $(SEEDS),300) ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=1 \
	 UBSAN_OPTIONS=print_stacktrace=1 \
	 $(MAKE) --no-print-directory -j$(JOBS) B=build/asan HARDEN=0 LDFLAGS= \
	     CFLAGS='-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all' check

# libzmq is not instrumented: tests/tsan.supp says what that hides.
tsan:
	@SEEDS=$(or $(SEEDS),20) TSAN_OPTIONS='suppressions=$(CURDIR)/tests/tsan.supp halt_on_error=0 second_deadlock_stack=1' \
	 $(MAKE) --no-print-directory -j$(JOBS) B=build/tsan HARDEN=0 LDFLAGS= \
	     CFLAGS='-g -O1 -fno-omit-frame-pointer -fsanitize=thread' check

# A short run of every target from its kept corpus; what it finds stays in build/fuzz until it becomes a test.
fuzz:
	@$(MAKE) --no-print-directory -j$(JOBS) B=build/fuzz CC=clang HARDEN=0 LDFLAGS=-fsanitize=fuzzer \
	    CFLAGS='-g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' fuzz-run
fuzz-run: $(FUZZ:%=$(B)/tests/fuzz/%)
	@for f in $(FUZZ); do \
	    c=tests/fuzz/corpus/$${f%_fuzz}; n=$(B)/corpus/$$f; mkdir -p $$n; [ -d $$c ] || c=; \
	    echo "== $$f, $(FUZZ_SECONDS) s"; \
	    $(B)/tests/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	        -artifact_prefix=$(B)/$$f- $$n $$c || exit 1; \
	done

lint: tidy cppcheck format-check

ALL_SRC := $(sort $(SOURCES) $(CLIENT_SRC))
tidy: $(ALL_SRC:%.c=$(B)/lint/%.tidy)
HEADERS = $(shell find bench common connectors gateway include tests -name '*.h' | sort)
$(B)/lint/%.tidy: %.c .clang-tidy
	@mkdir -p $(@D)
	@echo "clang-tidy $<"
	@clang-tidy --quiet $< -- $(STD) $(call includes,$<) 2>$@.err || { cat $@.err; exit 1; }
	@rm -f $@.err; touch $@

cppcheck: $(ALL_SRC)
	@mkdir -p $(B)/lint/cppcheck
	$(Q)cppcheck --quiet --std=c11 --language=c --error-exitcode=1 --inline-suppr -j $(JOBS) \
	    --enable=warning,performance,portability --suppressions-list=tests/cppcheck.supp \
	    --cppcheck-build-dir=$(B)/lint/cppcheck -D_GNU_SOURCE -UNDEBUG \
	    $(sort $(INC_tests) $(INC_bench) -Igateway/core) $(ALL_SRC)

format-check:
	@tests/format $(ALL_SRC) $(HEADERS)

# No include points up, edges do not know each other, core knows nothing of the world.
layers:
	@tests/layers

# Each header compiles alone; the public one as C++ too.
headers: $(PROBED)
	@for h in $(HEADERS); do \
	    case $$h in gateway/core/*) i='$(INC_core)';; gateway/*) i='$(INC_gateway)';; connectors/*) i='$(INC_connectors)';; \
	        common/*) i='$(INC_common)';; include/*) i='-Iinclude';; *) i='$(INC_tests)';; esac; \
	    printf '#include "%s"\n' $$h | $(CC) $(STD) $(WARN) -Werror -I. $$i -fsyntax-only -x c - || { echo "make: $$h does not compile alone"; exit 1; }; \
	done
	@printf '#include <sluice/sluice.h>\n' | $(CXX) -Wall -Wextra -Werror -Iinclude -fsyntax-only -x c++ -
	@echo 'headers: each compiles alone'

# Every .c file is listed above: a forgotten one would not be built, tested or looked at.
sources:
	@for f in $$(git ls-files '*.c'); do \
	    case ' $(ALL_SRC) ' in *" $$f "*) ;; *) echo "Makefile: $$f is in no list" >&2; bad=1;; esac; \
	done; test -z "$$bad" && echo 'sources: every .c file is listed'

# --- Elsewhere --------------------------------------------------------------------------------------------------------
# Documents keep their tree, with all that they link to.  The loader is told of the library where that is its own.
DOCS := README.md ARCHITECTURE.md LICENSE $(wildcard docs/*.md) bench/README.md packaging/sluice.cfg \
    include/sluice/sluice.h tests/vectors/index.tsv $(wildcard tests/vectors/*/*.bin)
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/sluice
	install -m 755 $(GATEWAY) $(REPLAY) $(DESTDIR)$(PREFIX)/bin
	for c in $(CONNECTORS); do install -m 755 $$c $(DESTDIR)$(PREFIX)/bin/sluice-$${c##*/} || exit 1; done
	install -m 644 include/sluice/sluice.h $(DESTDIR)$(PREFIX)/include/sluice
	install -m 644 $(B)/libsluice.a $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(B)/libsluice.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib
	ln -sf libsluice.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libsluice.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@MSGPACK@|$(LIB_msgpack)|' packaging/sluice.pc.in \
	    >$(DESTDIR)$(PREFIX)/lib/pkgconfig/sluice.pc
	@echo '$(words $(DOCS)) files of documents, as in the checkout, into $(DESTDIR)$(PREFIX)/share/doc/sluice'
	@for f in $(DOCS); do install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/doc/sluice/$$f || exit 1; done
	@[ -n '$(DESTDIR)' ] || [ "$$(id -u)" -ne 0 ] || { echo ldconfig; PATH="$$PATH:/sbin:/usr/sbin" ldconfig; }

clean:
	rm -rf $(B)

help:
	@echo 'make              the gateway, sluice-replay, the library and the connectors, in $(B)'
	@echo 'make demo         feed, gateway and a private RabbitMQ, then the proof (ONCE=1 ends after it, FEED=file or URL)'
	@echo 'make test         everything, with private RabbitMQs, in about 20 minutes; installs what is missing'
	@echo 'make check        what runs offline: unit tests and the simulation, in about a minute'
	@echo 'make soak         the long forms of the simulation and of the faults, an hour or two (SOAK_SEEDS=$(SOAK_SEEDS))'
	@echo 'make asan tsan    check, under the sanitizers'
	@echo 'make fuzz         each fuzz target for FUZZ_SECONDS ($(FUZZ_SECONDS))'
	@echo 'make lint         clang-tidy, cppcheck, format'
	@echo 'make layers       no include points up;  headers: each compiles alone;  sources: each is listed'
	@echo "make bench        figures (BENCH='forward ...': these alone);  sim: the simulation alone"
	@echo 'make deps         install what is missing, and say why'
	@echo 'make install      DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)'
	@echo 'make clean'
	@echo
	@echo 'Yours to set: CC CFLAGS CPPFLAGS LDFLAGS LDLIBS B WERROR=1 V=1'

.PHONY: all asan bench check clean cppcheck demo deps format-check fuzz fuzz-run headers help install layers lint sim \
    soak sources test test-run tests tidy tsan
.DELETE_ON_ERROR:
