# The map of the build.  `make help` lists the targets.
STD := -std=c17 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wconversion
CFLAGS ?= -O2 -g
B ?= build
INC_common     := -Icommon
INC_include    :=
INC_gateway    := -Icommon -Igateway
INC_core       := -Icommon -Igateway/core
INC_connectors := -Iinclude -Icommon
INC_bench      := -Iinclude -Icommon -Igateway
INC_tests      := -Iinclude -Icommon -Igateway -Itests

all: ;
.PHONY: all
