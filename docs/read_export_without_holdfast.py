"""List the records of an export, with nothing but Python: export.md as a program.

    python read_export_without_holdfast.py FOLDER                  every record: address, version, size, type, content
    python read_export_without_holdfast.py FOLDER ADDRESS > file   the bytes of one

Old versions, which are in the export too, are passed over. Digests by SHA-256 are checked; of those by BLAKE3, which
Python does not have, only the size is.
"""

import base64
import hashlib
import json
import shutil
import sys
from pathlib import Path


def head(folder):
    found = json.loads((folder / "holdfast-export.json").read_text(encoding="utf-8"))
    if found["format"] != "holdfast-export" or found["number"] != 1:
        sys.exit("this program reads exports of format 1")
    if not found.get("complete"):
        sys.exit("this export was interrupted: it is not complete")
    for name, expected in found["manifests"].items():
        with open(folder / name, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                sys.exit(f"{name} is not the one that was written")
    return found


def records(folder):
    with open(folder / "records.jsonl", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if not record.get("past"):
                yield record


def address(record):
    first, slash, rest = record["key"].partition("/")
    return f"{record['scope']}/{first.replace('%', '%25').replace(':', '%3A')}{slash}{rest}"


def content(folder, record):
    """The stored bytes as an open file; for an integer its digits."""
    if "number" in record:
        return str(record["number"]).encode()
    if "text" in record:
        return record["text"].encode()
    if "base64" in record:
        return base64.b64decode(record["base64"])
    return folder / record["file"]


def check(record, stored):
    algorithm, _, digest = record.get("digest", "").partition(":")
    size = stored.stat().st_size if isinstance(stored, Path) else len(stored)
    wrong = "number" not in record and size != record["size"]
    if algorithm == "sha256":
        data = stored.read_bytes() if isinstance(stored, Path) else stored  # such are never large
        wrong = wrong or hashlib.sha256(data).hexdigest() != digest
    if wrong:
        sys.exit(f"the bytes of {address(record)} are not those that were put")


def main(folder, wanted=None):
    head(folder)
    for record in records(folder):
        where, stored = address(record), content(folder, record)
        if wanted is None:
            check(record, stored)
            shown = stored.relative_to(folder) if isinstance(stored, Path) else repr(stored)
            kind = record.get("serializer", record["content_type"])
            print(where, record["version"], record["size"], kind, shown, sep="\t")
        elif where == wanted:
            check(record, stored)
            if isinstance(stored, Path):
                with open(stored, "rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
            else:
                sys.stdout.buffer.write(stored)
            return
    if wanted is not None:
        sys.exit(f"no record {wanted}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
