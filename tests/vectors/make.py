#!/usr/bin/python3
"""Make the vectors of the protocol: frames to take, frames to refuse, and a worked exchange.

    tests/vectors/make.py           writes them, index.tsv, and the exchange in docs/protocol.md
    tests/vectors/make.py --check   says what differs from that, and exits 1 if anything does

The frames are made by python3-msgpack or by hand, never by our codec, so that agreeing means something.
Columns of index.tsv, separated by tabs ("-" where there is nothing):

    file      frame 1
    side      who sends it: connector or gateway
    expected  the type of the message, or the code of the error it deserves
    field     the field that is to blame for the error
    body      the file of frame 2
    message   what it says, as JSON (bytes in hex), or what is wrong with it
"""

import json
import math
import os
import struct
import sys

import msgpack

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(HERE, "..", "..", "docs", "protocol.md")
BEGIN, END = "<!-- exchange: made by tests/vectors/make.py -->\n", "<!-- exchange: end -->\n"

C, G = "connector", "gateway"
MAX = 2**63 - 1
TEN_YEARS_MS = 315360000000
PERIOD_MAX_MS = 10**15
RUN = bytes(range(0x10, 0x20))
EPOCH = 1767225600000000 * 1024 + 517  # 2026-01-01T00:00:00Z in microseconds, times 1024, plus ten bits
HOLDS = ["queue", "budget", "share", "broker_alarm", "broker_down", "telemetry_stale", "spool_full", "memory",
         "paused", "draining"]
ERRORS = ["malformed", "version", "type", "field", "unknown_id", "hello_first", "epoch", "gap", "credit",
          "state_stale", "state_size", "busy", "no_run", "undelivered", "schedule"]

files = {}  # path below HERE: bytes
index = []  # rows of index.tsv


def pack(pairs):
    """A map with its pairs in order; keys may repeat."""
    p = msgpack.Packer()
    return p.pack_map_pairs(list(pairs))


def message(kind, **fields):
    return [("type", kind)] + list(fields.items())


def as_json(pairs):
    return json.dumps({k: v.hex() if isinstance(v, bytes) else v for k, v in pairs})


def add(path, side, frame, expected, field="-", text="-", body=None):
    assert path not in files, path
    files[path] = frame
    body_path = "-"
    if body is not None:
        body_path = path[:-len(".bin")] + ".body"
        files[body_path] = body
    index.append((path, side, expected, field, body_path, text))


def valid(name, side, pairs, frame=None):
    add(f"valid/{name}.bin", side, pack(pairs) if frame is None else frame, pairs[0][1], text=as_json(pairs))


def refused(name, side, frame, code, field, text):
    add(f"refused/{name}.bin", side, frame if isinstance(frame, bytes) else pack(frame), code, field, text)


def but(pairs, **changed):
    """The pairs with some values replaced, or added at the end."""
    out = [(k, changed.pop(k, v)) for k, v in pairs]
    return out + list(changed.items())


# --- One of each message, with all its fields and with the required ones ---------------------------------------------

# name, side, message with all fields, names of those that may be left out
FULL = [
    ("hello", C, message("hello", v=1, id="feed-1", agent="example 1.0", epoch=EPOCH, attempt=1, fresh=True, seen=0,
                         want=0, head=0, run=RUN), "agent run"),
    ("ready", C, message("ready", want=3000000, head=70000, schedule="period", period_ms=3600000, threshold=500000000,
                         first_run="check", resume="schedule"), "threshold first_run resume"),
    ("bundle", C, message("bundle", want=3000000, head=70000, seq=7, size=70000, off=0, ctype="application/json",
                          format="opencti", options='{"work_id":"work_1"}'), "ctype format options"),
    ("done", C, message("done", run=RUN, outcome="failed", text="the source answered 503"), "text"),
    ("ping", C, message("ping", seen=6, want=3000000, head=70000, run=RUN), "run"),
    ("state-get", C, message("state", op="get"), ""),
    ("state-set", C, message("state", run=RUN, size=70000, off=65536, outcome="ok", op="set", version=3, after=7),
     "run outcome after"),
    ("health", C, message("health", text="the source is slow", status="degraded"), "text"),
    ("log", C, message("log", text="cursor reset to 2026-01-01", level="warn"), ""),
    ("bye", C, message("bye", text="done for today"), "text"),
    ("welcome", G, message("welcome", v=1, epoch=EPOCH, attempt=1, expect=1, credit=0, ping_ms=40000, chunk=65536,
                           max_bundle=536870912), ""),
    ("permit", G, message("permit", run=RUN, lease_ms=120000), ""),
    ("hold", G, message("hold", run=RUN, text="RabbitMQ is away", reasons=["broker_down", "memory"], next_ms=5000),
     "run next_ms text"),
    ("credit", G, message("credit", credit=500000000), ""),
    ("verdict", G, message("verdict", seq=7, text="no queue is bound to exchange feeds", verdict="nack",
                           reason="unroutable"), "reason text"),
    ("pong", G, message("pong", expect=8, credit=500000000), ""),
    ("state-is", G, message("state", size=70000, off=65536, op="is", version=3), ""),
    ("state-saved", G, message("state", op="saved", version=4), ""),
    ("stop", G, message("stop", text="another program took this id", reason="replaced"), "text"),
    ("error", G, message("error", epoch=EPOCH, seq=9, text="everything at once", version=3, expect=8, code="gap",
                         field="seq", versions=[1], fatal=False), "field expect epoch version versions seq"),
]
BASE = {name: pairs for name, _, pairs, _ in FULL}
SIDE = {name: side for name, side, _, _ in FULL}


def make_valid():
    for name, side, pairs, optional in FULL:
        valid(name, side, pairs)
        if optional:
            valid(f"{name}-least", side, [p for p in pairs if p[0] not in optional.split()])
    for word in ("ok", "stop"):
        valid(f"done-{word}", C, but(BASE["done"], outcome=word))
    least = message("ready", want=0, head=0)
    for word in ("terminate", "continuous"):
        valid(f"ready-{word}", C, least + [("schedule", word)])
    valid("ready-free", C, but(BASE["ready"], first_run="free"))
    valid("ready-drain", C, but(BASE["ready"], resume="drain"))
    for word in ("failed", "stop"):
        valid(f"state-set-{word}", C, but(BASE["state-set"], outcome=word))
    for label, out in (("run", "after"), ("after", "run outcome")):
        valid(f"state-set-{label}-alone", C, [p for p in BASE["state-set"] if p[0] not in out.split()])
    for word in ("ok", "failed"):
        valid(f"health-{word}", C, but(BASE["health"], status=word))
    for word in ("error", "info", "debug"):
        valid(f"log-{word}", C, but(BASE["log"], level=word))
    valid("verdict-ack", G, message("verdict", seq=7, verdict="ack"))
    for word in ("refused", "too_large", "target", "empty", "format"):
        valid(f"verdict-dead-{word}", G, but(BASE["verdict"], verdict="dead", reason=word))
    for word in ("shutdown", "superseded"):
        valid(f"stop-{word}", G, message("stop", reason=word))
    valid("hold-time", G, message("hold", reasons=[], next_ms=1200000))
    valid("hold-run-least", G, message("hold", run=RUN, reasons=[]))
    valid("hold-all", G, message("hold", reasons=HOLDS))
    for code in ERRORS:
        valid(f"error-{code}", G, message("error", text="why", code=code, fatal=code == "version"))
    valid("error-versions-most", G, but(BASE["error"], versions=list(range(1, 16))))
    valid("state-is-none", G, message("state", size=0, off=0, op="is", version=0))
    # limits
    valid("hello-largest", C, message("hello", v=1, id="a" + "-" * 63, agent="x" * 64, epoch=MAX, attempt=MAX,
                                      fresh=False, seen=MAX, want=MAX, head=MAX, run=b"\xff" * 16))
    valid("bundle-empty", C, but(BASE["bundle"], size=0, seq=1))  # decodes; the answer is a verdict
    valid("bundle-ctype-longest", C, but(BASE["bundle"], ctype="a/" + "b" * 126))
    valid("bundle-format-raw", C, but(BASE["bundle"], format="raw"))
    valid("bundle-options-least", C, but(BASE["bundle"], options="{}"))
    valid("bundle-options-longest", C, but(BASE["bundle"], options='{"a":"' + "x" * 8184 + '"}'))
    valid("ready-largest", C, but(BASE["ready"], period_ms=PERIOD_MAX_MS, threshold=MAX))
    valid("ready-smallest", C, but(BASE["ready"], period_ms=1, threshold=0))  # decodes; the answer is an error
    valid("state-set-after-largest", C, but(BASE["state-set"], after=MAX))
    valid("state-set-after-0", C, but(BASE["state-set"], after=0))
    valid("hold-longest", G, message("hold", reasons=[], next_ms=PERIOD_MAX_MS))
    valid("log-text-longest", C, message("log", text="x" * 1024, level="info"))
    valid("log-text-empty", C, message("log", text="", level="info"))
    valid("log-text-unicode", C, message("log", text="\ufeffgr\u00fc\u00df \u20ac \U0001f600 \U0010ffff", level="info"))
    valid("welcome-least", G, but(BASE["welcome"], ping_ms=1, chunk=1, max_bundle=1))
    valid("welcome-most", G, but(BASE["welcome"], expect=MAX, credit=MAX, ping_ms=TEN_YEARS_MS, max_bundle=MAX))
    # other spellings of the same: any order, any width
    ping = BASE["ping"]
    valid("ping-other-order", C, [ping[0]] + ping[:0:-1])
    valid("ping-type-last", C, message("ping", seen=6, want=0, head=0),
          pack(message("ping", seen=6, want=0, head=0)[1:] + [("type", "ping")]))
    wide = b"\xdf\0\0\0\4" + b"".join(
        b"\xdb\0\0\0\4" + key + value
        for key, value in ((b"type", b"\xda\0\4ping"), (b"seen", b"\xcf" + struct.pack(">Q", 6)),
                           (b"want", b"\xd3" + struct.pack(">q", 5)), (b"head", b"\xd0\5")))
    valid("ping-wide", C, message("ping", seen=6, want=5, head=5), wide)


# --- Frames to refuse ------------------------------------------------------------------------------------------------

def refuse_frames():
    """B1, B2: what is no map, is cut, lies about its size, or is too deep or too large."""
    hello = pack(BASE["hello"])

    def bad(name, frame, text):
        refused(f"frame-{name}", C, frame, "malformed", "-", text)

    bad("empty", b"", "no bytes")
    bad("cut-1", hello[:1], "a hello cut after its first byte")
    bad("cut-half", hello[:len(hello) // 2], "a hello cut in half")
    bad("cut-last", hello[:-1], "a hello without its last byte")
    bad("trailing-byte", hello + b"\xc0", "a nil after the map")
    bad("trailing-map", hello + hello, "two maps")
    for name, frame in (("nil", b"\xc0"), ("number", b"\x01"), ("text", b"\xa5hello"), ("array", b"\x91\xc0"),
                        ("empty-array", b"\x90")):
        bad(name, frame, f"{name} instead of a map")
    for name, first in (("array32", 0xdd), ("map32", 0xdf), ("str32", 0xdb), ("bin32", 0xc6)):
        for size in (2**31, 2**32 - 1):
            bad(f"{name}-{size}", struct.pack(">BI", first, size), f"{name} that declares {size}")
            bad(f"{name}-{size}-inside", b"\x81\xa4type" + struct.pack(">BI", first, size) + b"\xc0" * 8,
                f"{name} that declares {size}, as a value")
    bad("ext32", struct.pack(">BIb", 0xc9, 2**32 - 1, 1), "ext32 that declares 4294967295")
    bad("ext", pack(but(BASE["ping"], seen=msgpack.ExtType(1, b"x"))), "an extension type")
    bad("timestamp", pack(but(BASE["ping"], seen=msgpack.Timestamp(1))), "a timestamp, which is an extension type")
    bad("c1", b"\x81\xa4type\xc1", "the byte 0xc1")
    bad("deep-5", b"\x81\xa4type" + b"\x91" * 4 + b"\xc0", "five containers inside each other")
    bad("deep-5-empty", b"\x81\xa4type" + b"\x91" * 3 + b"\x90", "five containers, the innermost empty")
    bad("deep-33", b"\x91" * 33 + b"\xc0", "33 arrays inside each other")
    bad("deep-10000", b"\x91" * 10000 + b"\xc0", "10000 arrays inside each other")
    bad("elements-257", b"\xdc\x01\x00" + b"\xc0" * 256, "257 elements")
    bad("elements-16000", b"\xdc\x3e\x80" + b"\xc0" * 16000, "16001 elements")
    largest = message("log", level="info", text="x" * 16355)
    assert len(pack(largest)) == 16384
    refused("frame-16384", C, largest, "field", "text", "16384 bytes, which is not too long for a frame")
    bad("16385", but(largest, text="x" * 16356), "16385 bytes")
    bad("key-number", [("type", "bye"), (1, "x")], "a key that is a number")
    bad("key-bin", [("type", "bye"), (b"text", "x")], "a key that is bytes")
    bad("key-nil", [("type", "bye"), (None, "x")], "a key that is nil")
    refused("frame-deep-4", C, b"\x81\xa4type" + b"\x91" * 2 + b"\x90", "field", "type",
            "four containers are allowed, but the type must be text")
    refused("frame-empty-map", C, b"\x80", "field", "type", "a map without a type")


def refuse_types():
    refused("type-missing", C, [("v", 1)], "field", "type", "no type")
    refused("type-number", C, [("type", 1)], "field", "type", "a number as type")
    refused("type-nil", C, [("type", None)], "field", "type", "nil as type")
    refused("type-unknown", C, message("subscribe"), "type", "type", "no such type")
    refused("type-empty", C, message(""), "type", "type", "an empty type")
    refused("type-upper", C, message("Bye"), "type", "type", "types are in lower case")
    refused("type-nul", C, message("bye\0"), "type", "type", "NUL after the type")
    refused("type-unknown-and-more", C, message("subscribe", x=1), "type", "type", "the type is judged first")
    refused("type-twice", C, message("bye") + message("bye"), "field", "type", "type twice")
    for name in ("welcome", "permit", "hold", "credit", "verdict", "pong", "stop", "error"):
        refused(f"type-{name}-from-connector", C, BASE[name], "type", "type", "only a gateway sends it")
    for name in ("hello", "ready", "bundle", "done", "ping", "health", "log", "bye"):
        refused(f"type-{name}-from-gateway", G, BASE[name], "type", "type", "only a connector sends it")
    for name in ("state-is", "state-saved", "state-get", "state-set"):
        other = C if SIDE[name] == G else G
        refused(f"{name}-from-{other}", other, BASE[name], "field", "op", f"not an op of a {other}")
    refused("state-op-missing", C, message("state"), "field", "op", "no op")
    refused("state-op-unknown", C, message("state", op="delete"), "field", "op", "no such op")
    refused("state-op-number", C, message("state", op=1), "field", "op", "a number as op")
    refused("state-get-version", C, but(BASE["state-get"], version=1), "field", "version", "get has no version")


def refuse_versions():
    """B11: the version is judged before the fields, which another version may have changed."""
    hello = BASE["hello"]
    for v in (0, 2, MAX, MAX + 1, 2**64 - 1):
        refused(f"version-{v}", C, but(hello, v=v), "version", "v", f"version {v}")
    refused("version-2-other-fields", C, message("hello", v=2, name="feed-1"), "version", "v",
            "version 2 with fields that version 1 does not have")
    refused("version-2-welcome", G, but(BASE["welcome"], v=2), "version", "v", "a welcome of version 2")
    refused("version-negative", C, but(hello, v=-1), "field", "v", "a negative version")
    refused("version-text", C, but(hello, v="1"), "field", "v", "the version as text")
    refused("version-float", C, but(hello, v=1.0), "field", "v", "the version as a float")
    refused("version-twice", C, hello + [("v", 1)], "field", "v", "v twice")


def refuse_each_field():
    """B3: each field of each message with a value of a wrong type, and each required one missing."""
    for name, side, pairs, optional in FULL:
        for key, value in pairs[1:]:
            if key in ("v", "op"):
                continue  # they decide which message it is: see above
            wrong = 1.0 if type(value) is int else None
            refused(f"{name}-{key}-wrong-type", side, but(pairs, **{key: wrong}), "field", key,
                    f"{name}: {key} is {'1.0, a float' if wrong else 'nil'}")
            if key not in optional.split():
                refused(f"{name}-{key}-missing", side, [p for p in pairs if p[0] != key], "field", key,
                        f"{name}: no {key}")
    refused("hello-v-missing", C, [p for p in BASE["hello"] if p[0] != "v"], "field", "v", "hello: no v")
    refused("welcome-v-missing", G, [p for p in BASE["welcome"] if p[0] != "v"], "field", "v", "welcome: no v")


def refuse_numbers():
    """B3: numbers out of range, and what is no whole number."""
    for label, value in (("minus-1", -1), ("minus-2-63", -2**63), ("2-63", 2**63), ("2-64-less-1", 2**64 - 1),
                         ("float", 6.0), ("nan", math.nan), ("inf", math.inf), ("minus-inf", -math.inf),
                         ("text", "6"), ("true", True), ("bin", b"\6"), ("array", [6]), ("map", {"n": 6})):
        refused(f"ping-seen-{label}", C, but(BASE["ping"], seen=value), "field", "seen", f"seen is {value!r}")
    float32 = b"\x84" + pack(message("ping", want=0, head=0))[1:] + b"\xa4seen\xca" + struct.pack(">f", 6.0)
    refused("ping-seen-float32", C, float32, "field", "seen", "seen is a float of 32 bits")
    for name, key, value in (("hello", "epoch", 0), ("hello", "attempt", 0), ("bundle", "seq", 0),
                             ("verdict", "seq", 0), ("welcome", "expect", 0), ("welcome", "ping_ms", 0),
                             ("welcome", "ping_ms", TEN_YEARS_MS + 1), ("welcome", "chunk", 0),
                             ("welcome", "chunk", 65537), ("welcome", "max_bundle", 0), ("permit", "lease_ms", 0),
                             ("permit", "lease_ms", TEN_YEARS_MS + 1), ("hold", "next_ms", PERIOD_MAX_MS + 1),
                             ("ready", "period_ms", 0), ("ready", "period_ms", PERIOD_MAX_MS + 1),
                             ("ready", "threshold", MAX + 1), ("ready", "threshold", -1),
                             ("state-set", "after", MAX + 1), ("state-set", "after", -1)):
        refused(f"{name}-{key}-{value}", SIDE[name], but(BASE[name], **{key: value}), "field", key, f"{key} is {value}")
    refused("hello-fresh-number", C, but(BASE["hello"], fresh=1), "field", "fresh", "1 is not true")


def refuse_keys():
    """B3: keys that are unknown, repeated, or of another message."""
    ping = BASE["ping"]
    refused("key-unknown", C, but(ping, colour="red"), "field", "colour", "no message has this key")
    refused("key-unknown-upper", C, but(ping, Seen=1), "field", "-", "a key that is not fit to be repeated")
    refused("key-unknown-32", C, but(ping, **{"x" * 32: 1}), "field", "x" * 32, "the longest key that is repeated")
    refused("key-unknown-long", C, but(ping, **{"x" * 33: 1}), "field", "-", "a key that is too long to be repeated")
    refused("key-unknown-bytes", C, pack(ping).replace(b"seen", b"se\xffn"), "field", "-", "a key that is not UTF-8")
    refused("key-empty", C, but(ping, **{"": 1}), "field", "-", "an empty key")
    refused("key-of-another", C, but(ping, credit=1), "field", "credit", "ping has no credit")
    refused("key-twice", C, ping + [("seen", 6)], "field", "seen", "seen twice, with the same value")
    refused("key-twice-differs", C, ping + [("want", 0)], "field", "want", "want twice, with another value")


BAD_UTF8 = (("byte-ff", b"\xff"), ("continuation", b"\x80"), ("overlong-2", b"\xc0\xaf"),
            ("overlong-3", b"\xe0\x80\xaf"), ("overlong-4", b"\xf0\x80\x80\xaf"), ("overlong-nul", b"\xc0\x80"),
            ("surrogate", b"\xed\xa0\x80"), ("above-10ffff", b"\xf4\x90\x80\x80"), ("cut", b"\xe2\x82"),
            ("nul", b"\0"))


def refuse_texts():
    """B4, B12: text that is not UTF-8, holds NUL, or is too long; ids that are no names."""
    log = BASE["log"]
    for label, bad in BAD_UTF8:
        frame = pack(but(log, text="@" * len(b"a" + bad))).replace(b"@" * len(b"a" + bad), b"a" + bad)
        refused(f"log-text-{label}", C, frame, "field", "text", "text: 'a', then " + bad.hex())
    refused("log-text-1025", C, but(log, text="x" * 1025), "field", "text", "text of 1025 bytes")
    refused("log-text-bin", C, but(log, text=b"abc"), "field", "text", "text as bytes")
    refused("hello-agent-65", C, but(BASE["hello"], agent="x" * 65), "field", "agent", "agent of 65 bytes")
    refused("hello-agent-nul", C, but(BASE["hello"], agent="x\0"), "field", "agent", "NUL in agent")
    refused("error-field-33", G, but(BASE["error"], field="x" * 33), "field", "field", "field of 33 bytes")
    for label, ctype in (("empty", ""), ("129", "x" * 129), ("crlf", "text/plain\r\nx: y"), ("nul", "a/b\0"),
                         ("unicode", "a/\u00fc"), ("del", "a/\x7f")):
        refused(f"bundle-ctype-{label}", C, but(BASE["bundle"], ctype=ctype), "field", "ctype", f"ctype: {label}")
    for label, name in (("empty", ""), ("unknown", "json"), ("upper", "RAW"), ("number", 1)):
        refused(f"bundle-format-{label}", C, but(BASE["bundle"], format=name), "field", "format", f"format: {label}")
    for label, options in (("empty", ""), ("8193", "x" * 8193), ("nul", "{\0}"), ("map", {"update": True})):
        refused(f"bundle-options-{label}", C, but(BASE["bundle"], options=options), "field", "options",
                f"options: {label}")
    for label, name in (("empty", ""), ("65", "a" * 65), ("15000", "a" * 15000), ("upper", "Feed"), ("dot-first", ".a"),
                        ("dash-first", "-a"), ("space", "a b"), ("slash", "a/b"), ("parent", "../../etc/passwd"),
                        ("device", "con:"), ("nul", "a\0b"), ("newline", "a\n"), ("bom", "\ufeffa"),
                        ("unicode", "f\u00e9ed"), ("escape", "a\x1b[31m")):
        refused(f"hello-id-{label}", C, but(BASE["hello"], id=name), "field", "id", f"id: {label}")
    for name in ("hello", "ping", "state-set", "permit", "hold"):
        refused(f"{name}-run-15", SIDE[name], but(BASE[name], run=b"x" * 15), "field", "run",
                f"{name}: run of 15 bytes")
    for label, run in (("15", b"x" * 15), ("17", b"x" * 17), ("empty", b""), ("text", "x" * 16)):
        refused(f"done-run-{label}", C, but(BASE["done"], run=run), "field", "run", f"run: {label}")


def refuse_halves():
    """What goes together: run and outcome, when a state ends a run; a schedule `period` and its period."""
    state_set = BASE["state-set"]
    for there, missing in (("run", "outcome"), ("outcome", "run")):
        refused(f"state-set-{there}-alone", C, [p for p in state_set if p[0] != missing], "field", missing,
                f"state set with {there}, and without {missing}")
    for key, value in (("after", 7), ("run", RUN), ("outcome", "ok")):
        for name in ("state-get", "state-is", "state-saved"):
            refused(f"{name}-{key}", SIDE[name], but(BASE[name], **{key: value}), "field", key, f"{name} has no {key}")
    refused("ready-run", C, but(BASE["ready"], run=RUN), "field", "run", "who is ready has no run")


def refuse_words():
    for name, key, word in (("done", "outcome", "good"), ("done", "outcome", "OK"), ("health", "status", "fine"),
                            ("ready", "schedule", "none"), ("ready", "schedule", "Period"),
                            ("ready", "first_run", "skip"), ("ready", "resume", "period"),
                            ("state-set", "outcome", "lost"), ("verdict", "reason", "superseded"),
                            ("stop", "reason", "schedule"), ("error", "code", "superseded"),
                            ("log", "level", "warning"), ("verdict", "verdict", "accept"),
                            ("verdict", "reason", "replaced"), ("verdict", "reason", "?"), ("stop", "reason", "empty"),
                            ("error", "code", "empty"), ("error", "code", "")):
        refused(f"{name}-{key}-word-{word.replace('?', 'question') or 'none'}", SIDE[name],
                but(BASE[name], **{key: word}), "field", key, f"{key} is '{word}'")
    for label, reasons in (("unknown", ["queue", "weather"]), ("twice", ["queue", "queue"]),
                           ("text", "queue"), ("number", [1]), ("nested", [["queue"]]), ("17", ["queue"] * 17)):
        refused(f"hold-reasons-{label}", G, but(BASE["hold"], reasons=reasons), "field", "reasons", f"reasons: {label}")
    for label, versions in (("empty", []), ("0", [0]), ("16", list(range(1, 17))), ("17", list(range(1, 18))),
                            ("negative", [-1]), ("2-63", [2**63]), ("float", [1.0]), ("number", 1), ("text", ["1"])):
        refused(f"error-versions-{label}", G, but(BASE["error"], versions=versions), "field", "versions",
                f"versions: {label}")


# --- The exchange ----------------------------------------------------------------------------------------------------

BODY = b'{"hello":"sluice!!"}'
WAIT_0 = {"want": 0, "head": 0}


def chunk(seq, body, off, size=8, **more):
    return C, "bundle", dict(WAIT_0, seq=seq, size=len(body), off=off, **more), body[off:off + size]


# Each: who, type, fields, frame 2, and a sentence for the document.
EXCHANGE = [
    (C, "hello", dict(v=1, id="feed-1", agent="example 1.0", epoch=EPOCH, attempt=1, fresh=True, seen=0, **WAIT_0),
     None, "A new process, nothing waiting yet."),
    (G, "welcome", dict(v=1, epoch=EPOCH, attempt=1, expect=1, credit=0, ping_ms=40000, chunk=8,
                        max_bundle=536870912), None,
     "Bundle 1 is next. Chunks are at most 8 bytes here, to keep this readable; 65536 is usual. No credit yet."),
    (C, "ping", dict(seen=0, want=20, head=20), None, "A bundle of 20 bytes came, and there is no credit: want."),
    (G, "pong", dict(expect=1, credit=0), None, "The answer to each ping."),
    (G, "credit", dict(credit=4096), None, "There is room. Four small bundles may be started: each costs 1024."),
    (*chunk(1, BODY, 0, ctype="application/json"), "The first chunk states the size; with it 1024 of 4096 are spent."),
    (*chunk(1, BODY, 8), "The second."),
    (*chunk(1, BODY, 16), "The last one: the bundle is complete."),
    (G, "verdict", dict(seq=1, verdict="ack"), None, "RabbitMQ has confirmed it: the connector may forget bundle 1."),
    (*chunk(2, b"nowhere", 0), "Bundle 2, in one chunk."),
    (*chunk(3, b"more", 0), "Bundle 3, without waiting."),
    (G, "verdict", dict(seq=2, text="no queue is bound to exchange feeds", verdict="nack", reason="unroutable"), None,
     "Bundle 2 is refused, and the connector's again. The ack for bundle 3 waits until this is known to have arrived."),
    (C, "ping", dict(seen=2, **WAIT_0), None, "So the connector says at once what it has seen."),
    (G, "pong", dict(expect=4, credit=4096), None, ""),
    (G, "verdict", dict(seq=3, verdict="ack"), None, "Now the ack for bundle 3 may come."),
    (C, "bye", {}, None, "Nothing is unanswered: the connector leaves."),
]
RECONNECT = [
    (C, "ping", dict(seen=3, **WAIT_0), None,
     "The socket has reconnected by itself, unnoticed: to the gateway this is a new connection."),
    (G, "error", dict(text="this connection was not welcomed: say hello", code="hello_first", fatal=False), None,
     "So the connector learns of it. Bundles 4 and 5 were on their way."),
    (C, "hello", dict(v=1, id="feed-1", agent="example 1.0", epoch=EPOCH, attempt=2, fresh=False, seen=3, want=9,
                      head=4), None,
     "The same epoch, the next attempt; both bundles count as waiting again."),
    (G, "welcome", dict(v=1, epoch=EPOCH, attempt=2, expect=5, credit=1024, ping_ms=40000, chunk=8,
                        max_bundle=536870912), None,
     "Bundle 4 had arrived: its verdict will come. Bundle 5 had not. Credit counts from zero again."),
    (*chunk(5, b"again", 0), "It is sent again, whole, with its own sequence."),
    (G, "verdict", dict(seq=5, verdict="ack"), None, "One ack for both: it answers for all up to 5."),
]

HOUR = dict(schedule="period", period_ms=3600000, threshold=500000000)
SCHEDULED = [
    (C, "ready", dict(**WAIT_0, **HOUR), None,
     "Welcomed, and no run is under way: the connector may be given one, an hour after the last, while less than 500 "
     "MB wait in its queue."),
    (G, "hold", dict(text="the queue feeds holds 512000000 bytes", reasons=["queue"]), None,
     "The hour is over, but the queue is full. Nobody can say when that ends; the permit will come by itself."),
    (G, "permit", dict(run=RUN, lease_ms=120000), None, "The queue has drained: run."),
    (C, "ping", dict(seen=5, want=7, head=7, run=RUN), None,
     "Bundle 6 is there. From the permit on each ping names the run, and each hello would."),
    (G, "pong", dict(expect=6, credit=2048), None, "The run is the current one: nothing more to say of it."),
    (*chunk(6, b"finding", 0), "There is credit: 1024 of 2048 were spent."),
    (C, "state", dict(run=RUN, size=14, off=0, outcome="ok", op="set", version=3, after=6), b'{"cursor":106}',
     "The end of the run in one message: the new cursor, to be kept when bundle 6 is in safe hands, and the run's end "
     "with it. Version 3 is replaced."),
    (G, "verdict", dict(seq=6, verdict="ack"), None, "Bundle 6 is."),
    (G, "state", dict(op="saved", version=4), None, "Cursor and end are on the gateway's disk, as one."),
    (G, "hold", dict(run=RUN, reasons=[], next_ms=3600000), None,
     "The end is recorded: no `done` is needed, and pings name the run no more. The next one is due in an hour."),
    (C, "ready", dict(**WAIT_0, **HOUR), None, "Idle again."),
    (G, "hold", dict(reasons=[], next_ms=3599998), None,
     "Each ready is answered. No reason is left but the time: the permit will come by itself."),
]


def hex_lines(data):
    return "".join("    " + data[i:i + 24].hex(" ") + "\n" for i in range(0, len(data), 24))


def make_exchange(name, steps):
    out = ""
    for n, (side, kind, fields, body, sentence) in enumerate(steps, 1):
        path = f"exchange/{name}-{n:02}-{kind}.bin"
        pairs = message(kind, **fields)
        add(path, side, pack(pairs), kind, text=as_json(pairs), body=body)
        arrow = "connector to gateway" if side == C else "gateway to connector"
        out += f"**{n}. {arrow}: {kind}** (`{path}`)  \n{sentence}\n\n    {as_json(pairs)}\n\n"
        out += hex_lines(files[path])
        if body is not None:
            out += "\nFrame 2:\n\n" + hex_lines(body)
        out += "\n"
    return out


def main():
    make_valid()
    for make in (refuse_frames, refuse_types, refuse_versions, refuse_each_field, refuse_numbers, refuse_keys,
                 refuse_texts, refuse_halves, refuse_words):
        make()
    text = "### First contact, three bundles, goodbye\n\n" + make_exchange("first", EXCHANGE)
    text += "### The connection was lost\n\n" + make_exchange("again", RECONNECT)
    text += "### A run\n\n" + make_exchange("run", SCHEDULED)
    files["index.tsv"] = "".join("\t".join(row) + "\n" for row in index).encode()

    with open(DOCUMENT, encoding="utf-8") as f:
        before, _, rest = f.read().partition(BEGIN)
    _, _, after = rest.partition(END)
    files[os.path.relpath(DOCUMENT, HERE)] = (before + BEGIN + "\n" + text + END + after).encode()
    return check() if sys.argv[1:] == ["--check"] else write()


def stored():
    """The files that are there, by the names that this script gives them."""
    found = {"index.tsv"}
    for folder in ("valid", "refused", "exchange"):
        found |= {f"{folder}/{name}" for name in os.listdir(os.path.join(HERE, folder))}
    return found


def check():
    def read(path):
        try:
            with open(os.path.join(HERE, path), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    bad = sorted(path for path, data in files.items() if read(path) != data)
    for path in bad + sorted(stored() - set(files)):
        print(f"{path} is not what tests/vectors/make.py makes: run it, and look at the difference")
    return 1 if bad or stored() - set(files) else 0


def write():
    for folder in ("valid", "refused", "exchange"):
        os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    for path in stored() - set(files):
        if os.path.exists(os.path.join(HERE, path)):
            os.unlink(os.path.join(HERE, path))
    for path, data in files.items():
        with open(os.path.join(HERE, path), "wb") as f:
            f.write(data)
    return 0


sys.exit(main())
