"""Verifies notes, roots and proofs of an audit log with Python's standard library and OpenSSL alone.

    python3 verify.py DIR     DIR/vkey, DIR/note-<size>, DIR/tile/entries/…, DIR/proofs.txt

Ends with 0 and a line per note, or with 1 and what is wrong.
"""

import base64
import hashlib
import os
import struct
import subprocess
import sys
import tempfile

SPKI = bytes.fromhex("302a300506032b6570032100")


def parse_vkey(vkey):
    name, key_id, key = vkey.strip().split("+", 2)
    raw = base64.b64decode(key, validate=True)
    if raw[0] != 1 or len(raw) != 33:
        raise ValueError("not an Ed25519 key")
    expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if expected.hex() != key_id:
        raise ValueError("the key id does not belong to the key")
    return name, expected, raw[1:]


def openssl_verify(public_key, text, signature):
    with tempfile.TemporaryDirectory() as folder:
        files = {"key.der": SPKI + public_key, "text": text, "signature": signature}
        for name, content in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin", "-in", "text"]
        done = subprocess.run(command + ["-sigfile", "signature"], cwd=folder, capture_output=True, check=False)
        return done.returncode == 0


def open_note(data, vkey):
    name, key_id, public_key = parse_vkey(vkey)
    split = data.rindex(b"\n\n")
    text, signatures = data[: split + 1], data[split + 2 :]
    for line in signatures.decode().splitlines():
        dash, signer, blob = line.split(" ")
        raw = base64.b64decode(blob, validate=True)
        if dash == "\u2014" and signer == name and raw[:4] == key_id:
            if not openssl_verify(public_key, text, raw[4:]):
                raise ValueError("the signature is wrong")
            origin, size, root, end = text.decode().split("\n")
            if end != "":
                raise ValueError("more than three lines")
            return origin, int(size), base64.b64decode(root, validate=True)
    raise ValueError("not signed by the key")


def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def split_at(n):
    return 1 << (n - 1).bit_length() - 1


def root_of(hashes):
    if len(hashes) == 1:
        return hashes[0]
    k = split_at(len(hashes))
    return node_hash(root_of(hashes[:k]), root_of(hashes[k:]))


def root_by_inclusion(leaf, index, size, proof):
    """RFC 6962, 2.1.1, from the root down."""
    if size == 1:
        if proof:
            raise ValueError("hashes are left over")
        return leaf
    k = split_at(size)
    if index < k:
        return node_hash(root_by_inclusion(leaf, index, k, proof[:-1]), proof[-1])
    return node_hash(proof[-1], root_by_inclusion(leaf, index - k, size - k, proof[:-1]))


def entries_path(index, width):
    digits = str(index).zfill(-(-len(str(index)) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    path = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"tile/entries/{path}" + ("" if width == 256 else f".p/{width}")


def entries(folder, size):
    found = []
    while len(found) < size:
        width = min(256, size - len(found))
        with open(os.path.join(folder, entries_path(len(found) // 256, width)), "rb") as file:
            data = file.read()
        at = 0
        for _ in range(width):
            (length,) = struct.unpack_from(">H", data, at)
            found.append(data[at + 2 : at + 2 + length])
            at += 2 + length
        if at != len(data):
            raise ValueError("bytes are left over behind the entries")
    return found


def main(folder):
    with open(os.path.join(folder, "vkey"), encoding="utf-8") as file:
        vkey = file.read()
    roots, leaves = {}, []
    for name in sorted((name for name in os.listdir(folder) if name.startswith("note-")), key=lambda name: int(name[5:])):
        with open(os.path.join(folder, name), "rb") as file:
            origin, size, root = open_note(file.read(), vkey)
        leaves = [leaf_hash(entry) for entry in entries(folder, size)]
        if root_of(leaves) != root:
            raise ValueError(f"the entries do not give the root that was signed at size {size}")
        roots[size] = root
        print(f"{origin} {size} {root.hex()}")
    with open(os.path.join(folder, "proofs.txt"), encoding="utf-8") as file:
        for line in file:
            kind, size, at, *hashes = line.split()
            proof = [base64.b64decode(one, validate=True) for one in hashes]
            if kind not in ("inclusion", "consistency"):
                raise ValueError(f"{kind} is no kind of proof")
            if kind == "inclusion" and root_by_inclusion(leaves[int(at)], int(at), int(size), proof) != roots[int(size)]:
                raise ValueError(f"leaf {at} is not shown to be in the tree of {size}")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (ValueError, OSError, IndexError, struct.error) as problem:
        sys.exit(f"{type(problem).__name__}: {problem}")
