"""format_pycti - how long pycti takes to split bundles and to make the messages of its connectors of them.

    format_pycti.py BUNDLES ROUNDS

BUNDLES has, for each, its size in a line and its bytes.  Prints for each round: seconds of CPU, messages.
"""
import base64
import json
import sys
import time

from pycti.utils.opencti_stix2_splitter import OpenCTIStix2Splitter


def read(path):
    with open(path, "rb") as file:
        while line := file.readline():
            yield file.read(int(line)).decode("utf-8")


def split(text):
    messages = 0
    _, _, bundles = OpenCTIStix2Splitter().split_bundle_with_expectations(text, True, None, False)
    for sequence, bundle in enumerate(bundles, start=1):
        json.dumps({
            "bundle_type": "QUEUE_BUNDLE",
            "applicant_id": "bench",
            "action_sequence": sequence,
            "entities_types": [],
            "content": base64.b64encode(bundle.encode("utf-8")).decode("utf-8"),
            "update": False,
            "draft_id": None,
        })
        messages += 1
    return messages


def main():
    texts = list(read(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        since = time.process_time()
        messages = sum(split(text) for text in texts)
        print(time.process_time() - since, messages, flush=True)


main()
