"""opencti_pycti - the same bundles through pycti's splitter and through ours: the same messages, in the same order.

    opencti_pycti.py SPLIT DATA [SEED]

SPLIT is the program opencti_split, DATA the folder of the shared test data.  Prints TAP.  What pycti makes of a bundle is
its messages as its connectors send them; a bundle at which it raises must be refused.
"""
import base64
import json
import os
import random
import subprocess
import sys

from pycti.utils.opencti_stix2_splitter import OpenCTIStix2Splitter, supported_types

APPLICANT = "88ec0c6a-13ce-5e39-b486-354fe4a7084f"
EXTENSION = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"
CASES = 2000


class Splitter:
    """Ours, kept running."""

    def __init__(self, program, *args):
        self.process = subprocess.Popen([program, "--applicant", APPLICANT, *args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def split(self, text, options):
        """(messages, incompatible), or the words with which it was refused."""
        for part in (json.dumps(options) if options else "", text):
            part = part if isinstance(part, bytes) else part.encode("utf-8")
            self.process.stdin.write(b"%d\n" % len(part) + part)
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode("utf-8").rstrip("\n")
        if not answer.startswith("ok "):
            return answer
        count, incompatible, _ = (int(x) for x in answer.split()[1:])
        return [self.process.stdout.readline() for _ in range(count)], incompatible

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0, "opencti_split failed"


def complete(text):
    """Where source, target or what was sighted is missing altogether, pycti raises a KeyError; ours takes it as null."""
    bundle = json.loads(text)
    for item in bundle.get("objects", []):
        if item.get("type") == "relationship":
            item.setdefault("source_ref", None)
            item.setdefault("target_ref", None)
        if item.get("type") == "sighting":
            item.setdefault("sighting_of_ref", None)
            if item.get("where_sighted_refs") is None:
                item["where_sighted_refs"] = []
    return json.dumps(bundle)


def theirs(text, options):
    """(messages, incompatible) as pycti has them; None where it raises or finds nothing."""
    splitter = OpenCTIStix2Splitter()
    try:
        _, incompatible, bundles = splitter.split_bundle_with_expectations(
            complete(text), True, options.get("event_version"), options.get("cleanup_inconsistent_bundle", False))
    except Exception as error:  # whatever it raises, a connector could not send the bundle
        return repr(error)
    if not bundles:
        return "nothing to import"
    messages = []
    for sequence, bundle in enumerate(bundles, start=1):
        message = {
            "bundle_type": "QUEUE_BUNDLE",
            "applicant_id": options.get("applicant_id", APPLICANT),
            "action_sequence": sequence,
            "entities_types": options.get("entities_types", []),
            "content": json.loads(bundle),
            "update": options.get("update", False),
            "draft_id": options.get("draft_id"),
        }
        if options.get("work_id") is not None:
            message["work_id"] = options["work_id"]
        messages.append(message)
    return messages, len(incompatible)


def opened(line):
    """A message of ours, with its content read, and the order of its keys checked."""
    message = json.loads(line)
    keys = ["bundle_type", "applicant_id", "action_sequence", "entities_types", "content", "update", "draft_id", "work_id"]
    assert list(message) == keys[:len(message)], f"keys {list(message)}"
    message["content"] = json.loads(base64.b64decode(message["content"], validate=True))
    return message


def difference(text, ours, reference):
    """What is different, or None."""
    if isinstance(reference, str) and isinstance(ours, str):
        return None
    for side, other in ((ours, reference), (reference, ours)):
        if isinstance(side, str):
            return f"{side}; {'pycti' if side is ours else 'ours'} made {len(other[0])} messages"
    if ours[1] != reference[1]:
        return f"{ours[1]} incompatible, pycti {reference[1]}"
    if len(ours[0]) != len(reference[0]):
        return f"{len(ours[0])} messages, pycti {len(reference[0])}"
    has_id = "id" in json.loads(text)
    for number, (line, expected) in enumerate(zip(ours[0], reference[0]), start=1):
        message = opened(line)
        if not has_id:  # pycti takes a random one
            expected["content"]["id"] = message["content"]["id"]
        # As text, so that 1 and 1.0, true and 1 are not the same, and the order of keys is none.
        if json.dumps(message, sort_keys=True) != json.dumps(expected, sort_keys=True):
            return f"message {number} is {json.dumps(message)}\n# pycti {json.dumps(expected)}"
    return None


# --- Bundles ----------------------------------------------------------------------------------------------------------


def kev_bundles(path):
    """A bundle for each of the newest vulnerabilities, as a connector of ours or theirs makes them."""
    with open(path, encoding="utf-8") as file:
        entries = json.load(file)["vulnerabilities"]
    author = {"type": "identity", "id": "identity--cisa", "name": "CISA", "spec_version": "2.1"}
    marking = {"type": "marking-definition", "id": "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"}
    for entry in entries:
        cve = entry["cveID"]
        vulnerability = {
            "type": "vulnerability", "id": "vulnerability--" + cve, "name": cve, "description": entry["shortDescription"],
            "created_by_ref": author["id"], "object_marking_refs": [marking["id"]],
            "external_references": [{"source_name": "cve", "external_id": cve}] +
            [{"source_name": "CISA", "url": url.strip()} for url in entry.get("notes", "").split(";")] * 2,
            "x_opencti_cisa_kev": True}
        software = {"type": "software", "id": "software--" + entry["product"], "name": entry["product"],
                    "vendor": entry["vendorProject"]}
        link = {"type": "relationship", "id": "relationship--" + cve, "relationship_type": "has",
                "source_ref": software["id"], "target_ref": vulnerability["id"], "created_by_ref": author["id"],
                "object_marking_refs": [marking["id"]]}
        report = {"type": "report", "id": "report--" + cve, "name": cve,
                  "object_refs": [link["id"], vulnerability["id"], software["id"]]}
        yield json.dumps({"type": "bundle", "id": "bundle--" + cve, "objects": [
            report, link, vulnerability, software, author, marking]})


class Maker:
    """Bundles with whatever may be in them, from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, share):
        return self.random.random() < share

    def value(self, depth=0):
        r = self.random
        kind = r.randrange(9 if depth < 4 else 6)
        if kind == 0:
            return r.choice([0, -1, 12345678901234567890123, 2 ** 63, 1.5, -2.5e-7, 1e300])
        if kind == 1:
            return r.choice([True, False, None])
        if kind < 6:
            return r.choice(["", "text", "\u00e9\u20ac\U0001f600", "quote \" slash \\ \n\t\x01", "a" * r.randrange(200)])
        if kind == 6:
            return [self.value(depth + 1) for _ in range(r.randrange(4))]
        if kind == 7:
            return {r.choice("abcdefgh") * r.randrange(1, 4): self.value(depth + 1) for _ in range(r.randrange(4))}
        deep = "x"
        for _ in range(r.randrange(1, 120)):
            deep = [deep] if self.chance(0.5) else {"d": deep}
        return deep

    def an_id(self, types):
        r = self.random
        if self.chance(0.06):
            return r.choice(["internal", "", "--", "no-dashes", "--x", "\u00e9--1", "identity--", "report", "a"])
        return f"{r.choice(types)}--{r.randrange(self.span)}"

    def a_ref(self):
        if self.chance(0.85):
            return self.random.choice(self.ids)
        return self.an_id(self.types + ["unknown-type", "x-mitre-tactic"])

    def references(self):
        r = self.random
        choice = [{"source_name": "a", "external_id": "1"}, {"source_name": "a", "external_id": 1}, {"url": "http://x/"},
                  {"source_name": "a"}, {"external_id": "1"}, {}, {"url": None, "source_name": "a", "external_id": "1"},
                  {"url": "http://y/", "source_name": "b"}, {"url": "http://y/", "source_name": "c"}, {"url": ""},
                  {"url": "\u00e9"}, {"url": 1}, {"url": 1.0}, {"url": False}, {"source_name": "", "external_id": ""},
                  {"url": "http://z/", "x": self.value()}]
        n = r.choice([0, 1, 2, 3, 8, 40])
        return [r.choice(choice) if self.chance(0.7) else {"url": f"http://{r.randrange(20)}/"} for _ in range(n)]

    def phases(self):
        r = self.random
        names = ["one", "two", None, 3, "\u00e9"]
        return [{k: r.choice(names) for k in ("kill_chain_name", "phase_name") if self.chance(0.9)}
                for _ in range(r.choice([0, 1, 2, 5, 30]))]

    def item(self, number):
        r = self.random
        kind = r.choice(self.types)
        # Types and ids need not go together.
        item = {"type": kind if self.chance(0.95) else r.choice(["relationship", "sighting", "odd"]),
                "id": self.ids[number]}
        if self.chance(0.1):
            item["x_opencti_id"] = r.choice([self.ids[number], "alias-%d" % r.randrange(5), "", None,
                                             r.choice(self.ids), 5])
        if self.chance(0.1):
            item["extensions"] = r.choice([{}, None, {"other": {"id": "x"}}, {EXTENSION: {}}, {EXTENSION: None}, {
                EXTENSION: {"id": r.choice(["alias-%d" % r.randrange(5), r.choice(self.ids), "", None])}}])
        if self.chance(0.05):
            item["nb_deps"] = self.value()
        if item["type"] == "relationship":
            item["source_ref"] = self.a_ref() if self.chance(0.97) else None
            item["target_ref"] = self.a_ref()
            if self.chance(0.03):
                del item[r.choice(["source_ref", "target_ref"])]
        if item["type"] == "sighting":
            item["sighting_of_ref"] = self.a_ref() if self.chance(0.97) else None
            item["where_sighted_refs"] = [self.a_ref() for _ in range(r.randrange(3))]
            if self.chance(0.03):
                del item[r.choice(["sighting_of_ref", "where_sighted_refs"])]
        for key in ("created_by_ref", "x_ref", "_ref", "src_ref"):
            if self.chance(self.density):
                item[key] = self.a_ref() if self.chance(0.95) else None
        for key in ("object_refs", "object_marking_refs", "_refs", "x_refs"):
            if self.chance(self.density):
                n = r.choice([0, 1, 2, 3, 5, 70 if self.chance(0.05) else 1])
                item[key] = [self.a_ref() for _ in range(n)] if self.chance(0.97) else None
        if self.chance(0.3):
            item["external_references"] = self.references() if self.chance(0.95) else None
        if self.chance(0.2):
            item["kill_chain_phases"] = self.phases() if self.chance(0.95) else None
        for _ in range(r.randrange(3)):
            item[r.choice(["name", "description", "x_value", "spec_version", "refs", "ref", "a_refs_", "\u00e9"])] = self.value()
        members = list(item.items())
        if self.chance(0.5):
            r.shuffle(members)
        return dict(members)

    def odd(self, bundle):
        """Something that pycti raises at when it gets there.  Ours looks at all objects, also those that others replace."""
        r = self.random
        item = r.choice(bundle["objects"])
        choice = r.randrange(6)
        if choice == 0:
            del item["id"]
        elif choice == 1:
            del item["type"]
        elif choice == 2:
            item["bad_refs"] = r.choice([[1], [None], [["a"]], [{}], 5, True])
        elif choice == 3:
            item["bad_ref"] = r.choice([["a"], {"a": 1}])
        elif choice == 4:
            bundle["objects"].append(r.choice([1, "text", None, [], True]))
        else:
            item["external_references"] = r.choice([[1], ["a"], 5, [None]])

    def bundle(self):
        r = self.random
        n = r.choice([0, 1, 1, 2, 2, 3, 3, 4, 5, 8, 13, 30])
        self.span = r.choice([2, 5, 1000])
        self.density = r.choice([0.1, 0.3, 0.7])
        self.types = r.choice([["identity"], ["report", "malware", "relationship", "sighting"], supported_types + ["x-other"],
                               ["relationship"], ["malware", "x-mitre-tactic"]])
        # Ids of which some are given twice.
        self.ids = [self.an_id(self.types) for _ in range(max(n, 1))]
        objects = [self.item(i) for i in range(n)]
        bundle = {"type": "bundle", "id": "bundle--%d" % r.randrange(100), "spec_version": "2.0", "x_other": self.value(),
                  "objects": objects}
        if self.chance(0.1):
            del bundle["id"]
        odd = n > 0 and self.chance(0.05)
        if odd:
            self.odd(bundle)
        layout = r.choice([{"ensure_ascii": True}, {"ensure_ascii": False}, {"indent": 2}, {"separators": (",", ":")}])
        text = json.dumps(bundle, **layout)
        return self.escape(text) if self.chance(0.2) else text, self.options(), odd

    def escape(self, text):
        """Some characters inside strings as escapes: the same JSON."""
        out, inside, escaped = [], False, False
        for c in text:
            if inside and not escaped and c in "-_rdts" and self.chance(0.1):
                out.append("\\u%04x" % ord(c))
                continue
            out.append(c)
            if escaped:
                escaped = False
            elif inside and c == "\\":
                escaped = True
            elif c == '"':
                inside = not inside
        return "".join(out)

    def options(self):
        r = self.random
        options = {}
        if self.chance(0.5):
            options["work_id"] = r.choice(["work_x_2026", "w\u00e9", "\"", None])
        if self.chance(0.3):
            options["update"] = r.choice([True, False])
        if self.chance(0.3):
            options["entities_types"] = r.choice([[], ["Report"], ["a", "b", "\u00e9"]])
        if self.chance(0.3):
            options["draft_id"] = r.choice(["draft", "", None])
        if self.chance(0.2):
            options["applicant_id"] = "somebody"
        if self.chance(0.3):
            options["event_version"] = r.choice(["1", "", 4, None])
        if self.chance(0.5):
            options["cleanup_inconsistent_bundle"] = r.choice([True, False])
        return options


def compare_all(splitter, bundles):
    """How many were the same, and messages in all; the first difference."""
    same = messages = refused = 0
    for number, (text, options, odd) in enumerate(bundles):
        ours = splitter.split(text, options)
        if odd:
            found = None if isinstance(ours, str) else "it was taken"
        else:
            found = difference(text, ours, theirs(text, options))
        if found is not None:
            return same, messages, refused, f"bundle {number}, options {json.dumps(options)}: {found}\n# {text[:4000]}"
        same += 1
        refused += isinstance(ours, str)
        messages += 0 if isinstance(ours, str) else len(ours[0])
    return same, messages, refused, None


def main():
    program, data = sys.argv[1], sys.argv[2]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else int.from_bytes(os.urandom(4), "little")
    splitter = Splitter(program)
    maker = Maker(seed)
    attack, kev = os.path.join(data, "ics-attack.json"), os.path.join(data, "known_exploited_vulnerabilities.json")
    number = 0
    tests = [("ATT&CK for industrial control systems gives the messages of pycti", attack,
              lambda: [(open(attack, encoding="utf-8").read(), o, False) for o in ({}, {"cleanup_inconsistent_bundle": True})]),
             ("bundles of the KEV catalogue give the messages of pycti", kev,
              lambda: [(text, {"work_id": "work"}, False) for text in kev_bundles(kev)]),
             (f"{CASES} generated bundles give the messages of pycti (seed {seed})", None,
              lambda: (maker.bundle() for _ in range(CASES)))]
    print(f"1..{len(tests)}", flush=True)
    failed = False
    for name, path, bundles in tests:
        number += 1
        if path is not None and not os.access(path, os.R_OK):
            print(f"no {path}: set SLUICE_SHARED to the folder that has data/\nok {number} # SKIP {name}", flush=True)
            continue
        same, messages, refused, found = compare_all(splitter, bundles())
        print(f"# {same} bundles ({refused} refused by both), {messages} messages")
        print(f"ok {number} - {name}" if found is None else f"# {found}\nnot ok {number} - {name}", flush=True)
        failed = failed or found is not None
    splitter.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
