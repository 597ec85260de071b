#!/bin/sh
# The library as others meet it: from C++, from old and new C, by dlopen, and with symbols of their own.  Prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${SLUICE_BUILD:-build}
work=$(mktemp -d) || exit 1
number=0
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

result() { # STATUS NAME
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; fi
}

quietly() { # COMMAND...: its words are shown where it fails
    "$@" >"$work/words" 2>&1 || { sed 's/^/# /' "$work/words"; return 1; }
}

header_as_c() {
    echo '#include <sluice/sluice.h>' >"$work/header.c"
    for std in c99 c11 c17; do
        quietly cc -std=$std -Wall -Wextra -Wpedantic -Werror -Wstrict-prototypes -Iinclude -fsyntax-only \
            "$work/header.c" || return 1
    done
}

# A program in C++ with functions of its own that are named as the library's inner ones.
cxx_program() {
    cat >"$work/user.cc" <<'END'
#include <sluice/sluice.h>
#include <cstdio>
#include <cstring>

extern "C" int err_set() { return 7; }
extern "C" int wire_encode() { return 7; }

int main()
{
    sluice_options opt = {};
    struct sluice_info info = {};
    sluice_error err = {};
    char body[] = "x";

    opt.id = "No Id";
    if (sluice_open(&opt, &err) != nullptr || err.code != SLUICE_EINVAL || std::strlen(err.text) == 0)
        return 1;
    opt.id = "c1";
    opt.endpoint = "tcp://127.0.0.1:1";
    struct sluice *s = sluice_open(&opt, &err);
    if (s == nullptr || sluice_push(s, body, 1, nullptr, 0, &err) != SLUICE_OK)
        return 2;
    if (sluice_close(&s, 0, &info) != SLUICE_EAGAIN || info.unanswered != 1 || s != nullptr)
        return 3;
    return err_set() + wire_encode() == 14 ? 0 : 4;
}
END
    for std in c++11 c++20; do
        quietly c++ -std=$std -Wall -Wextra -Wpedantic -Werror -Iinclude -c -o "$work/user.o" "$work/user.cc" ||
            return 1
    done
}

cxx_runs_with() { # LIBRARY AND WHAT IT NEEDS
    quietly c++ -o "$work/user" "$work/user.o" "$@" && quietly env LD_LIBRARY_PATH="$build" "$work/user"
}

dlopen_program() {
    cat >"$work/load.c" <<'END'
#include <dlfcn.h>
#include <sluice/sluice.h>
#include <stdio.h>

/* Twice: what is unloaded must have left no thread behind, or the process dies here. */
int main(int argc, char **argv)
{
    for (int i = 0; i < 2 && argc > 1; i++) {
        struct sluice_options opt = {.id = "c1", .endpoint = "tcp://127.0.0.1:1"};
        struct sluice *s;
        void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        struct sluice *(*open)(const struct sluice_options *, struct sluice_error *);
        int (*close)(struct sluice **, int, struct sluice_info *);

        if (lib == NULL)
            return fprintf(stderr, "%s\n", dlerror()), 1;
        *(void **)&open = dlsym(lib, "sluice_open");
        *(void **)&close = dlsym(lib, "sluice_close");
        if (open == NULL || close == NULL || (s = open(&opt, NULL)) == NULL || close(&s, 0, NULL) != 0)
            return 2;
        dlclose(lib);
    }
    return 0;
}
END
    quietly cc -std=c17 -Iinclude -o "$work/load" "$work/load.c" && quietly "$work/load" "$build/libsluice.so"
}

# What the header declares is exported, and nothing else.
exports() {
    sed -n 's/^[a-z].*[ *]\(sluice_[a-z_]*\)(.*/\1/p' include/sluice/sluice.h | sort -u >"$work/declared"
    nm -D --defined-only "$build/libsluice.so" | awk '{ print $3 }' | sort -u >"$work/shared"
    nm -g --defined-only "$build/libsluice.a" | awk 'NF == 3 { print $3 }' | sort -u >"$work/static"
    [ -s "$work/declared" ] && quietly diff "$work/declared" "$work/shared" &&
        quietly diff "$work/declared" "$work/static"
}

echo 1..6
header_as_c
result $? "the header compiles as C99, C11 and C17 without a warning"
cxx_program
result $? "the header compiles as C++11 and C++20 without a warning"
cxx_runs_with "$build/libsluice.a" -lzmq -lmsgpackc -lpthread
result $? "a C++ program with names like the library's inner ones works with the archive"
cxx_runs_with -L"$build" -lsluice
result $? "a C++ program with names like the library's inner ones works with the shared library"
dlopen_program
result $? "the shared library is loaded, used and unloaded twice"
exports
result $? "what the header declares is exported, and nothing else"
