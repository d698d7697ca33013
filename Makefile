# one-telemetry: compiled KVM monitoring probes for OpenNebula.
# Yours: CC CFLAGS CPPFLAGS LDFLAGS DESTDIR PREFIX BUILD SANITIZE V WERROR.  `make help` lists the targets.

VERSION  := 0.1.0
PREFIX   ?= /usr/local
MANDIR   ?= $(PREFIX)/share/man
DATADIR  ?= $(PREFIX)/share/one-telemetry
BINDIR   ?= $(PREFIX)/bin
SBINDIR  ?= $(PREFIX)/sbin
UNITDIR  ?= $(PREFIX)/lib/systemd/system
DOCDIR   ?= $(PREFIX)/share/doc/one-telemetry
REMOTES  ?= /var/lib/one/remotes
PYTHON   ?= python3
CLANG    ?= clang
SANITIZE ?=
WERROR   ?= $(if $(CI),1,)
V        ?=

# A sanitized build has a tree of its own, so that both can stand side by side.
comma    := ,
BUILD    ?= build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
Q        := $(if $(V),,@)
say       = $(if $(V),,@printf '  %-5s %s\n' $(1) $(patsubst $(CURDIR)/%,%,$(2)))

# --- flags: the user's first, ours added -----------------------------------------------------------------------
HOST_PKGS := libvirt glib-2.0 gthread-2.0 libxml-2.0 zlib
PKG_CFLAGS := $(shell pkg-config --cflags $(HOST_PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(HOST_PKGS) 2>/dev/null) -ldl
CMOCKA_LIBS := -lcmocka
SQLITE_LIBS := $(shell pkg-config --libs sqlite3 2>/dev/null)
CURL_LIBS := $(shell pkg-config --libs libcurl 2>/dev/null)
SERVE_LIBS := $(shell pkg-config --libs libmicrohttpd sqlite3 2>/dev/null)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wcast-qual \
        -Wformat=2 -Wundef -Wvla -Wdouble-promotion -Wimplicit-fallthrough -Wnull-dereference $(if $(WERROR),-Werror)
HARDEN := -fstack-protector-strong $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2) -fPIE
ifeq ($(shell uname -m),x86_64)
HARDEN += -fstack-clash-protection -fcf-protection
endif
CFLAGS  ?= -O2 -g
OURS     = -std=gnu11 -D_GNU_SOURCE -Isrc -isystem third_party/cjson $(PKG_CFLAGS) $(WARN) $(HARDEN) \
           -DONE_TELEMETRY_VERSION='"$(VERSION)"' \
           -DGLIB_VERSION_MIN_REQUIRED=GLIB_VERSION_2_56 -DGLIB_VERSION_MAX_ALLOWED=GLIB_VERSION_2_56 \
           $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
LINK     = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(if $(SANITIZE),-fsanitize=$(SANITIZE))

# Before main the loader looks up 18,000 symbols, each in one library after another: ours in the order they are linked,
# then the fifty that libvirt brings along, among them two at the very end that a third of the symbols are in. In front
# they take a quarter off the loader's work (docs/cost.md). Nothing more is loaded for it; `make FOUND_LATE=` goes without.
FOUND_LATE ?= $(shell ldd "$$(pkg-config --variable=libdir libvirt)/libvirt.so" 2>/dev/null | \
                sed -nE 's;.* => (/.*/lib(crypto|stdc\+\+)\.so[.0-9]*) .*;\1;p')
LIBVIRT_FIRST = $(if $(SANITIZE),,-Wl,--push-state,--no-as-needed -lvirt -lc $(FOUND_LATE) -Wl,--pop-state)

# --- what there is ---------------------------------------------------------------------------------------------
DAEMON_SRC := src/serve/telemetryd.c
LIB_SRC    := $(filter-out $(DAEMON_SRC),$(wildcard src/*/*.c))
ASSETS     := $(sort $(filter-out %~,$(wildcard dashboard/* third_party/uplot/*)))
ASSETS_C   := $(BUILD)/assets.c
OTHERS_SRC := third_party/cjson/cJSON.c $(ASSETS_C) $(if $(findstring thread,$(SANITIZE)),tests/tsan/glib_locks.c)
PROBE_SRC  := $(wildcard probes/*.c)
HOOK_SRC   := $(wildcard hooks/*.c)
COMMAND_SRC := commands/one_telemetry.c
TEMPLATES  := $(wildcard hooks/templates/*.tmpl)
TOOL_SRC   := $(wildcard tools/*.c)
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
UNIT_HELP  := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c))
FUZZ_SRC   := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_HELP  := tests/fuzz/initialize.c
BENCH_SRC  := $(wildcard tests/bench/*.c)
CONF_PAGE  := share/man/one-telemetry.conf.5
DASHBOARD  := share/grafana/one-telemetry.json
SERVICES   := $(wildcard share/systemd/*)
MAN_SRC    := $(wildcard share/man/*.[158])
DOC_SRC    := $(wildcard docs/*.md)
PARTS      := $(wildcard share/install/*.sh)
C_FILES    := $(LIB_SRC) $(wildcard $(DAEMON_SRC)) $(PROBE_SRC) $(HOOK_SRC) $(COMMAND_SRC) $(TOOL_SRC) $(UNIT_SRC) $(UNIT_HELP) $(FUZZ_SRC) $(FUZZ_HELP) $(BENCH_SRC)
H_FILES    := $(wildcard src/*/*.h probes/*.h hooks/*.h tests/unit/*.h tests/fuzz/*.h)

LIB    := $(BUILD)/libonetelemetry.a
PROBES := $(PROBE_SRC:probes/%.c=$(BUILD)/probes/%)
# They take the place of OpenNebula's own on an operator's word alone (install.sh), so they lie elsewhere until then.
STEAD  := $(filter-out %/vm_monitor,$(PROBES))
HOOKS  := $(HOOK_SRC:hooks/%.c=$(BUILD)/hooks/%)
COMMAND := $(BUILD)/commands/one-telemetry
DAEMON := $(patsubst src/serve/%.c,$(BUILD)/serve/%,$(wildcard $(DAEMON_SRC)))
TOOLS  := $(TOOL_SRC:tools/%.c=$(BUILD)/tools/%)
UNITS  := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%)
BENCHS := $(BENCH_SRC:tests/bench/%.c=$(BUILD)/tests/bench/%)
FUZZ_BUILD := $(BUILD)/fuzz
FUZZERS := $(FUZZ_SRC:tests/fuzz/%.c=$(FUZZ_BUILD)/%)
obj     = $(1:%.c=$(BUILD)/obj/%.o)

.PHONY: all help deps check check-unit check-golden check-fuzz check-integration check-web golden lint format demo demo-stop \
        bench screenshots docs install uninstall dist deb clean programs
.SECONDARY:
.DELETE_ON_ERROR:

all: programs ## build the programs
programs: $(PROBES) $(HOOKS) $(COMMAND) $(DAEMON) $(TOOLS)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

deps: ## install what building, demo, tests and lint need (Debian 12, as root)
	sh tests/install-deps.sh

# --- compiling -------------------------------------------------------------------------------------------------
# A change of flags rebuilds: their text is a file that every object depends on. (FORCE is phony: else .SECONDARY has make
# believe that it was done already.)
.PHONY: FORCE
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CC) $(CPPFLAGS) $(OURS) $(CFLAGS))' | cmp -s - $@ || \
	 printf '%s\n' '$(subst ','\'',$(CC) $(CPPFLAGS) $(OURS) $(CFLAGS))' > $@
FORCE:

# The dashboard's files as C: made anew when one changes, comes or goes.
$(BUILD)/assets.list: FORCE
	@mkdir -p $(@D)
	@echo '$(ASSETS)' | cmp -s - $@ || echo '$(ASSETS)' > $@
$(ASSETS_C): tools/assets.sh $(BUILD)/assets.list $(ASSETS)
	$(call say,GEN,$@)
	$(Q)sh tools/assets.sh $(ASSETS) > $@.new && mv $@.new $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OURS) $(if $(filter third_party/%,$<),-w) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(call obj,$(LIB_SRC) $(OTHERS_SRC))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/probes/%: $(BUILD)/obj/probes/%.o $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK) $(LDFLAGS) -o $@ $^ $(FIRST) $(SQLITE_LIBS) $(PKG_LIBS) -lm
# Loads libvirt when it has something to ask, which is hardly ever. (AddressSanitizer would not find the XDR functions, which
# it calls for libvirt, where they are loaded later than itself.)
$(BUILD)/probes/%: FIRST = $(LIBVIRT_FIRST)
$(BUILD)/probes/vm_exec: FIRST = $(if $(SANITIZE),-Wl$(comma)--push-state$(comma)--no-as-needed -lvirt -Wl$(comma)--pop-state)

$(BUILD)/hooks/%: $(BUILD)/obj/hooks/%.o $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK) $(LDFLAGS) -o $@ $^ $(CURL_LIBS) $(PKG_LIBS) -lm

$(COMMAND): $(call obj,$(COMMAND_SRC)) $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK) $(LDFLAGS) -o $@ $^ $(CURL_LIBS) $(PKG_LIBS) -lm

$(BUILD)/serve/%: $(BUILD)/obj/src/serve/%.o $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK) $(LDFLAGS) -o $@ $^ $(SERVE_LIBS) $(CURL_LIBS) $(PKG_LIBS) -lm

$(BUILD)/tools/%: $(BUILD)/obj/tools/%.o $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK) $(LDFLAGS) -o $@ $^ $(SERVE_LIBS) $(CURL_LIBS) $(PKG_LIBS) -lm

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(call obj,$(UNIT_HELP)) $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK) $(LDFLAGS) -o $@ $^ $(CMOCKA_LIBS) $(SERVE_LIBS) $(CURL_LIBS) $(PKG_LIBS) -lm

$(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK) $(LDFLAGS) -o $@ $^ $(FIRST) $(SERVE_LIBS) $(CURL_LIBS) $(PKG_LIBS) -lm
$(BUILD)/tests/bench/libvirt_only: FIRST = $(LIBVIRT_FIRST)

# A fuzzer compiles the library anew, with clang's instrumentation.
$(FUZZ_BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(call say,FUZZ,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) -std=gnu11 -D_GNU_SOURCE -Isrc -isystem third_party/cjson $(PKG_CFLAGS) -DONE_TELEMETRY_VERSION='"$(VERSION)"' -O1 -g \
	   -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -MMD -MP -c -o $@ $<
$(FUZZ_BUILD)/libonetelemetry.a: $(OTHERS_SRC:%.c=$(FUZZ_BUILD)/obj/%.o) $(LIB_SRC:%.c=$(FUZZ_BUILD)/obj/%.o)
	@rm -f $@ && $(AR) rcs $@ $^
$(FUZZ_BUILD)/%: $(FUZZ_BUILD)/obj/tests/fuzz/%.o $(FUZZ_HELP:%.c=$(FUZZ_BUILD)/obj/%.o) $(FUZZ_BUILD)/libonetelemetry.a
	$(call say,LD,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(SERVE_LIBS) $(CURL_LIBS) $(PKG_LIBS) -lm

# --- tests -----------------------------------------------------------------------------------------------------
# Everything is tested in the sanitized build; the rig runs the plain one too.
ASAN := SANITIZE=address,undefined
# Its three builds take all cores, whether make was told so or not.
EVERY_CORE = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
check: ## every test: unit, golden, docs, fuzz, integration, web, lint; ends with "N passed, N failed"
	$(Q)$(MAKE) --no-print-directory $(EVERY_CORE) programs
	$(Q)$(MAKE) --no-print-directory $(EVERY_CORE) $(ASAN) test-programs
	$(Q)$(MAKE) --no-print-directory $(EVERY_CORE) fuzzers
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --asan build/address-undefined unit golden docs fuzz integration web lint

check-unit: ## unit and property tests alone
	$(Q)$(MAKE) --no-print-directory $(ASAN) test-programs
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --asan build/address-undefined unit
check-golden: ## golden tests alone
	$(Q)$(MAKE) --no-print-directory $(ASAN) test-programs
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --asan build/address-undefined golden
check-fuzz: fuzzers ## each fuzzer for some seconds (FUZZ_SECONDS)
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --asan build/address-undefined fuzz
check-integration: programs ## tests on real KVM guests (root)
	$(Q)$(MAKE) --no-print-directory $(ASAN) test-programs
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --asan build/address-undefined integration
check-web: programs ## tests of the dashboard in Chromium (root)
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --asan build/address-undefined web

.PHONY: test-programs fuzzers
test-programs: programs $(UNITS)
fuzzers: $(FUZZERS)

golden: ## write the golden outputs anew (read the difference before committing it)
	$(Q)$(MAKE) --no-print-directory $(ASAN) programs
	$(Q)$(PYTHON) tests/golden/golden.py --probe build/address-undefined/probes/vm_monitor --update

# --- looking ---------------------------------------------------------------------------------------------------
demo: programs ## real guests and an InfluxDB, what the probe says and the database then has (root)
	$(Q)$(PYTHON) tests/integration/demo.py --build $(BUILD)
demo-stop: ## stop what the demo started and remove what it left
	$(Q)$(PYTHON) tests/integration/demo.py --stop

bench: programs $(BENCHS) ## cost on up to 100 real guests beside what else watches VMs, curl and nginx, and of the dashboard (root; an hour)
	$(Q)$(PYTHON) tests/bench/cost.py --build $(BUILD); cost=$$?; \
	 $(PYTHON) tests/bench/forwarding.py --build $(BUILD); forward=$$?; \
	 $(PYTHON) tests/bench/endpoint.py --build $(BUILD); endpoint=$$?; \
	 $(PYTHON) tests/bench/dashboard.py --build $(BUILD) && exit $$((cost + forward + endpoint))

DIR ?= build/screenshots
screenshots: programs ## pictures of every view of the dashboard in Chromium, into DIR (build/screenshots)
	$(Q)$(PYTHON) tests/web/screenshots.py --build $(BUILD) --dir $(DIR)

lint: ## clang-format, clang-tidy, cppcheck, shellcheck, man pages, layering
	$(Q)sh tests/lint.sh $(C_FILES) $(H_FILES) -- $(OURS)
format: ## lay out the C files
	clang-format -i $(C_FILES) $(H_FILES)

docs: $(BUILD)/tools/describe $(PROBES) ## write what is generated: metrics, configuration and its man page, dashboard
	$(Q)$(BUILD)/tools/describe metrics > docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md
	$(Q)$(BUILD)/tools/describe config > share/telemetry.conf.new && mv share/telemetry.conf.new share/telemetry.conf
	$(Q)$(BUILD)/tools/describe man > $(CONF_PAGE).new && mv $(CONF_PAGE).new $(CONF_PAGE)
	$(Q)$(BUILD)/tools/describe api > docs/api.md.new && mv docs/api.md.new docs/api.md
	$(Q)$(BUILD)/tools/describe openapi > share/openapi.json.new && mv share/openapi.json.new share/openapi.json
	$(Q)$(PYTHON) tools/grafana.py > $(DASHBOARD).new && mv $(DASHBOARD).new $(DASHBOARD)

# --- installing ------------------------------------------------------------------------------------------------
# The probe goes into both trees that OpenNebula distributes (opennebula.md: qemu-probes.d is a second copy).
install: all ## into DESTDIR: probe, forwarder and state hook into the remotes tree, telemetryd, man pages, docs, dashboard, configuration
	for tree in kvm qemu; do \
	  install -d $(DESTDIR)$(REMOTES)/im/$$tree-probes.d/vm/monitor && \
	  install -m 755 $(BUILD)/probes/vm_monitor $(DESTDIR)$(REMOTES)/im/$$tree-probes.d/vm/monitor/telemetry && \
	  install -d $(DESTDIR)$(REMOTES)/etc/im/$$tree-probes.d || exit 1; \
	  [ -e $(DESTDIR)$(REMOTES)/etc/im/$$tree-probes.d/telemetry.conf ] || \
	  install -m 644 share/telemetry.conf $(DESTDIR)$(REMOTES)/etc/im/$$tree-probes.d/telemetry.conf || exit 1; done
	install -d $(DESTDIR)$(REMOTES)/hooks/telemetry $(DESTDIR)$(DATADIR)/grafana $(DESTDIR)$(DATADIR)/hooks $(DESTDIR)$(DOCDIR)
	install -m 644 $(DOC_SRC) $(DESTDIR)$(DOCDIR)/
	install -m 755 $(HOOKS) $(STEAD) $(DESTDIR)$(REMOTES)/hooks/telemetry/
	install -m 755 $(COMMAND) $(DESTDIR)$(REMOTES)/hooks/telemetry/one-telemetry
	install -d $(DESTDIR)$(BINDIR)
	install -m 755 $(COMMAND) $(DESTDIR)$(BINDIR)/one-telemetry
	install -m 644 $(TEMPLATES) $(DESTDIR)$(DATADIR)/hooks/
	install -m 644 share/grafana/one-telemetry.json $(DESTDIR)$(DATADIR)/grafana/one-telemetry.json
	install -m 644 share/openapi.json $(DESTDIR)$(DATADIR)/openapi.json
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(UNITDIR)
	install -m 755 $(BUILD)/serve/telemetryd $(DESTDIR)$(SBINDIR)/telemetryd
	for unit in $(SERVICES); do sed 's|/usr/local/sbin|$(SBINDIR)|' $$unit > $(DESTDIR)$(UNITDIR)/$${unit##*/} && \
	  chmod 644 $(DESTDIR)$(UNITDIR)/$${unit##*/} || exit 1; done
	for page in $(MAN_SRC); do s=$${page##*.}; install -d $(DESTDIR)$(MANDIR)/man$$s && \
	  install -m 644 $$page $(DESTDIR)$(MANDIR)/man$$s/ || exit 1; done
	install -d $(DESTDIR)$(DATADIR)/install $(DESTDIR)$(DATADIR)/systemd
	install -m 755 install.sh $(DESTDIR)$(DATADIR)/install.sh
	ln -sfr $(DESTDIR)$(DATADIR)/install.sh $(DESTDIR)$(SBINDIR)/one-telemetry-install
	install -m 644 $(PARTS) $(DESTDIR)$(DATADIR)/install/
	install -m 755 probes/chooser.sh $(DESTDIR)$(DATADIR)/install/chooser.sh
	install -m 644 share/telemetry.conf $(DESTDIR)$(DATADIR)/telemetry.conf
	install -m 644 $(SERVICES) $(DESTDIR)$(DATADIR)/systemd/
# A configuration that somebody has written in is not ours to throw away.
uninstall: ## take out what install put in; a configuration that was edited stays
	$(Q)for tree in kvm qemu; do rm -f $(DESTDIR)$(REMOTES)/im/$$tree-probes.d/vm/monitor/telemetry; \
	  conf=$(DESTDIR)$(REMOTES)/etc/im/$$tree-probes.d/telemetry.conf; \
	  if cmp -s share/telemetry.conf $$conf; then rm -f $$conf; \
	  elif [ -e $$conf ]; then echo "kept, as it is not the sample: $$conf"; fi; done
	rm -f $(DESTDIR)$(REMOTES)/hooks/telemetry/one-telemetry $(DESTDIR)$(BINDIR)/one-telemetry
	for hook in $(notdir $(HOOKS) $(STEAD)); do rm -f $(DESTDIR)$(REMOTES)/hooks/telemetry/$$hook; done
	for template in $(notdir $(TEMPLATES)); do rm -f $(DESTDIR)$(DATADIR)/hooks/$$template; done
	rm -f $(DESTDIR)$(DATADIR)/grafana/one-telemetry.json \
	   $(DESTDIR)$(DATADIR)/openapi.json $(DESTDIR)$(SBINDIR)/telemetryd \
	   $(addprefix $(DESTDIR)$(UNITDIR)/,$(notdir $(SERVICES)))
	rm -f $(DESTDIR)$(SBINDIR)/one-telemetry-install $(foreach file,install.sh telemetry.conf $(addprefix systemd/,$(notdir $(SERVICES))) \
	   $(addprefix install/,$(notdir $(PARTS)) chooser.sh),$(DESTDIR)$(DATADIR)/$(file))
	for page in $(MAN_SRC); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done
	for page in $(DOC_SRC); do rm -f $(DESTDIR)$(DOCDIR)/$${page##*/}; done
	for dir in $(REMOTES)/hooks/telemetry $(DATADIR)/grafana $(DATADIR)/hooks $(DATADIR)/install $(DATADIR)/systemd $(DATADIR) $(DOCDIR); do \
	  [ ! -d $(DESTDIR)$$dir ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$$dir || exit 1; done

dist: ## build/one-telemetry-VERSION.tar.gz from what is committed
	@mkdir -p build
	git archive --prefix=one-telemetry-$(VERSION)/ -o build/one-telemetry-$(VERSION).tar.gz HEAD
	@echo build/one-telemetry-$(VERSION).tar.gz

deb: ## Debian packages of the tree as it stands, for front-end and hosts, into build/deb
	$(Q)sh tools/deb.sh $(VERSION) $(BUILD)/deb

clean: ## remove build/
	rm -rf build $(filter-out / . ..,$(BUILD))

-include $(shell find $(BUILD) -path $(BUILD)/deb -prune -o -type f -name '*.d' -print 2>/dev/null)
