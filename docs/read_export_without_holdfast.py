"""List the records of an export, with nothing but Python: export.md as a program.

    python read_export_without_holdfast.py FOLDER                  every record: address, version, size, type, content
    python read_export_without_holdfast.py FOLDER ADDRESS > file   the bytes of one
    python read_export_without_holdfast.py FOLDER ADDRESS CONTENT > file   of an object, those of one of its contents

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
    if found["format"] != "holdfast-export" or found["number"] not in (1, 2):
        sys.exit("this program reads exports of the formats 1 and 2")
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


def check(where, record, stored):
    algorithm, _, digest = record.get("digest", "").partition(":")
    size = stored.stat().st_size if isinstance(stored, Path) else len(stored)
    wrong = "number" not in record and size != record["size"]
    if algorithm == "sha256":
        data = stored.read_bytes() if isinstance(stored, Path) else stored  # such are never large
        wrong = wrong or hashlib.sha256(data).hexdigest() != digest
    if wrong:
        sys.exit(f"the bytes of {where} are not those that were put")


def main(folder, wanted=None, name=None):
    head(folder)
    for record in records(folder):
        where, parts = address(record), {None: record}
        if record.get("serializer") == "holdfast.storable@v1":
            parts = {part["name"]: part for part in record.get("contents", [])}
        if wanted is None:
            shown = []
            for part in parts.values():
                stored = content(folder, part)
                check(where, part, stored)
                shown.append(str(stored.relative_to(folder)) if isinstance(stored, Path) else repr(stored))
            kind = record.get("serializer", record["content_type"])
            print(where, record["version"], record["size"], kind, *shown, sep="\t")
        elif where == wanted:
            if name not in parts:
                sys.exit(f"{where} has the contents {', '.join(map(str, parts))}: name one")
            stored = content(folder, parts[name])
            check(where, parts[name], stored)
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
