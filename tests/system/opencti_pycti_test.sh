#!/bin/sh
# Bundles through pycti's own splitter and through ours: the same messages?  Prints TAP.
#
# pycti (PYCTI, else 6.8.10, whose rules these are) is installed once below the build folder; without Python's venv
# and pip, or without a network, there is nothing to compare with, and the test is skipped with what was missing.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${SLUICE_BUILD:-build}
version=${PYCTI:-6.8.10}
venv=$build/pycti-venv
log=$build/pycti-venv.log

usable() { # PYTHON
    "$1" -c "import importlib.metadata as m; assert m.version('pycti') == '$version'; import pycti.utils.opencti_stix2_splitter" \
        2>>"$log"
}

# The first Python that can make a venv with pip.
install() {
    for python in python3 /usr/bin/python3 /usr/local/bin/python3; do
        rm -rf "$venv"
        "$python" -m venv "$venv" && "$venv/bin/pip" --version && break
    done >>"$log" 2>&1
    timeout 300 "$venv/bin/pip" --disable-pip-version-check install "pycti==$version" >>"$log" 2>&1
}

mkdir -p "$build"
: >"$log"
usable "$venv/bin/python" || { install && usable "$venv/bin/python"; } || {
    echo "pycti $version is not to be had: $(grep . "$log" | tail -n 1)"
    echo '1..1'
    echo 'ok 1 # SKIP the messages of pycti'
    exit 0
}
exec "$venv/bin/python" tests/system/opencti_pycti.py "$build/tests/system/opencti_split" "${SLUICE_SHARED:-../shared}/data" "$@"
