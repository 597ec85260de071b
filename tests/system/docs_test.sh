#!/bin/sh
# Documents: does every relative link lead to a file, and where it names a place in it, to a heading?  Prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
number=0
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

result() { # STATUS NAME
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        sed 's/^/# /' "$work/faults"
    fi
}

# What is not code: blocks between ``` go.
prose() { awk '/^ *```/ { code = !code; next } !code' "$1"; }

# The places of a file, as the usual renderers name its headings: lower case, no punctuation, blanks as hyphens.
places() { prose "$1" | sed -n 's/^##* *//p' | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'; }

# "FILE TO" for each link in a document.
links() { prose "$1" | grep -o '](\([^)]*\))' | sed "s|^](\(.*\))\$|$1 \1|"; }

follow() { # DOCUMENT LINK
    case $2 in *://* | mailto:*) return ;; esac
    file=${2%%#*} place=
    case $2 in *'#'*) place=${2#*#} ;; esac
    [ -z "$file" ] && file=$1 || file=$(dirname "$1")/$file
    [ -e "$file" ] || { echo "$1: $2 leads nowhere"; return; }
    [ -z "$place" ] || places "$file" | grep -qxe "$place" || echo "$1: $2: no such heading"
}

documents='README.md ARCHITECTURE.md docs/*.md bench/README.md'
# shellcheck disable=SC2086
for d in $documents; do links "$d"; done >"$work/links"
while read -r document link; do follow "$document" "$link"; done <"$work/links" >"$work/faults"

echo 1..3
# A list that came out empty would prove nothing.
[ "$(wc -l <"$work/links")" -ge 30 ] && [ ! -s "$work/faults" ]
result $? "every relative link of the documents leads somewhere ($(wc -l <"$work/links") links)"

# Pages that sources and messages send people to.
git ls-files '*.[ch]' '*.sh' '*.cfg' packaging Makefile 2>/dev/null | xargs grep -ohE 'docs/[a-z-]+\.md' | sort -u >"$work/named"
while read -r page; do [ -e "$page" ] || echo "$page is named, and is not there"; done <"$work/named" >"$work/faults"
[ -s "$work/named" ] && [ ! -s "$work/faults" ]
result $? 'every page that the sources name is there'

for d in docs/*.md; do grep -q "${d##*/}" README.md docs/*.md ARCHITECTURE.md -l --exclude="${d##*/}" || echo "$d is linked from nowhere"; done \
    >"$work/faults"
[ ! -s "$work/faults" ]
result $? 'every page is linked from another'
