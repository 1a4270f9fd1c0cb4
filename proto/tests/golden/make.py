#!/usr/bin/env python3
"""Second implementation of disclosures and commitments, for the golden files.

Usage: make.py KIND...   reads KIND.json (the record in its strict form) beside this file and writes
KIND.disclosures.jsonl and KIND.root. Salts are derived from kind and field, so that a second run
gives the same bytes; real salts are random.
"""

import base64
import hashlib
import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent


def strict(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def salt(kind, field):
    digest = hashlib.sha256(f"golden/{kind}/{field}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


def root(leaves):
    """RFC 9162 section 2.1.1, by its definition."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:])).digest()


for kind in sys.argv[1:]:
    record = json.loads((FOLDER / f"{kind}.json").read_text())
    lines = [strict([salt(kind, field), field, value]) for field, value in record.items()]
    (FOLDER / f"{kind}.disclosures.jsonl").write_text("\n".join(lines) + "\n")
    (FOLDER / f"{kind}.root").write_text(root([line.encode() for line in lines]).hex() + "\n")
