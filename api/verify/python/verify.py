#!/usr/bin/env python3
"""Verifies a Roadstead receipt; written from docs/RECEIPT-FORMAT.md alone, with the standard library.

Usage: verify.py RECEIPT [--key VKEY]... [--headers FILE]
Prints one JSON object. Exit codes: 0 accepted, 1 refused, 2 usage, 3 incomplete (no key was given).
"""
import argparse, json, re, sys
from primitives import H, Reader, Refused, base58, consistency, ed25519, inclusion, keccak, need, rlp, trie
from standards import (H2, Checkpoint, Key, b64, in_block, output_scripts, solana_transaction, tlog_proof,
                       unhex)

U64 = lambda value: value.to_bytes(8, "big")
MEMO = ("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")


def members(value, optional=(), /, **types):
    """Checks that an object has these members, of these types, and no others."""
    need(type(value) is dict and set(value) <= set(types), "not an object with the right members")
    for name, kind in types.items():
        if name not in value or value[name] is None and name in ("checkpoint", "completeness"):
            need(name in optional, f"{name} is missing")
        elif kind is list:
            need(type(value[name]) is list and all(type(item) is str for item in value[name]), name)
        else:
            need(type(value[name]) is kind or kind is iter and type(value[name]) is list, name)
            need(kind is not int or 0 <= value[name] < 2**64, name)
    return value


def open_record(record):
    """The leaf's hash and the fields that are shown."""
    reader = Reader(b64(members(record, leaf=str, fields=iter)["leaf"]))
    leaf, held, names = reader.data, {}, []
    need(reader.take(15) == b"roadstead.leaf\x01", "no leaf")
    for _ in range(reader.take(1)[0]):
        names.append(reader.take(reader.take(1)[0]))
        held[names[-1].decode("latin1")] = reader.take(32)
        need(re.fullmatch(b"[a-z0-9_.-]{1,64}", names[-1]), "no leaf")
    need(names and names == sorted(set(names)) and not reader.data, "no leaf")
    shown = {}
    for field in record["fields"]:
        members(field, name=str, value=str, salt=str)
        name, value, salt = field["name"], field["value"], field["salt"]
        need(name in held and name not in shown, "no such field, or shown twice")
        data = b"roadstead.field/v1" + unhex(salt, 32) + bytes([len(name)]) + name.encode()
        need(H(data, value.encode()) == held[name], f"the field {name} is not what was logged")
        shown[name] = value
    return H(b"\0", leaf), shown


# --- Anchors
def bitcoin(anchored, transaction, branch, position, headers, height, **_):
    raw = unhex(transaction)
    need(len(raw) != 64 and len(branch) <= 32, "no transaction")
    scripts = output_scripts(raw)
    payload = b"RSTD\x01" + U64(anchored.size) + anchored.hash + anchored.origin_hash
    need(b"\x6a\x4c\x4d" + payload in scripts, "another checkpoint")
    headers = [unhex(header, 80) for header in headers]
    in_block(H2(raw), [unhex(item, 32) for item in branch], position, headers)
    return "proved_given_header", [H2(header)[::-1].hex() for header in headers]


def evm(anchored, index, proof, header, contract, log, **_):
    raw = unhex(header)
    fields = rlp(raw)
    need(type(fields) is list and len(fields) > 11 and len(proof) <= 64, "no header")
    need(type(fields[5]) is bytes and len(fields[5]) == 32, "no receipts root")
    for item in (fields[8], fields[11]):
        need(type(item) is bytes and len(item) <= 8 and item[:1] != b"\0", "no header")
    key = U64(index).lstrip(b"\0")
    key = key if len(key) == 1 and index < 128 else bytes([128 + len(key)]) + key
    receipt = trie(fields[5], key, [unhex(node) for node in proof])
    receipt = rlp(receipt[1:] if receipt and receipt[0] < 0x80 else receipt)
    need(type(receipt) is list and len(receipt) == 4 and receipt[0] == b"\1", "the transaction failed")
    need(type(receipt[3]) is list and log < len(receipt[3]), "no such event")
    topics = [keccak(b"Anchored(address,bytes32,uint64,bytes32)"), anchored.origin_hash]
    event = receipt[3][log]
    need(type(event) is list and len(event) == 3 and type(event[1]) is list and len(event[1]) == 4, "no event")
    sender = event[1].pop(1)
    need(type(sender) is bytes and len(sender) == 32 and sender[:12] == bytes(12), "no sender")
    topics.append(bytes(24) + U64(anchored.size))
    need(event == [unhex(contract, 20), topics, anchored.hash], "another event")
    return "proved_given_header", [keccak(raw).hex()]


def solana(anchored, signature, slot, transaction, **_):
    signatures, accounts, message, instructions = solana_transaction(unhex(transaction))
    need(base58(signatures[0]) == signature, "the signature of another transaction")
    for account, one in zip(accounts, signatures):
        ed25519(account, message, one)
    memo = f"roadstead:1:{anchored.origin_hash.hex()}:{anchored.size}:{anchored.hash.hex()}"
    memos = [data for program, data in instructions if base58(program) in MEMO]
    need(memo.encode() in memos, "another checkpoint")
    return "needs_node", []


FAMILIES = {
    "bitcoin": (bitcoin, "bip122:", dict(
        type=str, chain=str, transaction=str, branch=list, position=int, headers=list, height=int)),
    "evm": (evm, "eip155:", dict(
        type=str, chain=str, tx=str, index=int, proof=list, header=str, contract=str, log=int)),
    "solana": (solana, "solana:", dict(type=str, chain=str, signature=str, slot=int, transaction=str)),
}


def check_anchor(anchor, proved, keys, blocks):
    members(anchor, ("checkpoint", "consistency"), checkpoint=str, consistency=list, evidence=dict)
    note, evidence = anchor.get("checkpoint"), anchor["evidence"]
    anchored = proved if note is None else Checkpoint(note)
    path = [b64(item, 32) for item in anchor.get("consistency", [])]
    need(anchored.origin == proved.origin, "a checkpoint of another log")
    consistency(proved.size, anchored.size, proved.root, anchored.root, path)
    anchored.check(keys)
    need(evidence.get("type") in list(FAMILIES), "an unknown chain")
    family, namespace, types = FAMILIES[evidence["type"]]
    need(members(evidence, **types)["chain"].startswith(namespace), "a chain of another family")
    status, found = family(anchored, **evidence)
    return "proved" if any((evidence["chain"], block) in blocks for block in found) else status


def check_completeness(proof, leaf, checkpoint):
    members(proof, stream=str, events=list, path=list, map=dict, map_proof=list)
    events, path = ([b64(item, 32) for item in proof[name]] for name in ("events", "path"))
    need(leaf in events and len(path) <= 256, "the record is not among the events")
    map_leaf, shown = open_record(proof["map"])
    need(shown.get("kind") == "log.map" and "root" in shown, "no record of a map")
    head, key = bytes(32), H(b"roadstead.stream/v1", proof["stream"].encode())
    for event in events:
        head = H(b"\4", head, event)
    node = H(b"\2", key, U64(len(events)), head)
    for depth, sibling in zip(range(len(path) - 1, -1, -1), path):
        right = key[depth // 8] >> 7 - depth % 8 & 1
        node = H(b"\3", sibling, node) if right else H(b"\3", node, sibling)
    need(node == b64(shown["root"], 32), "not all and only the events")
    map_proof = [b64(item, 32) for item in proof["map_proof"]]
    inclusion(checkpoint.size - 1, checkpoint.size, map_leaf, map_proof, checkpoint.root)


def verify(text, keys, blocks):
    def unique(pairs):
        need(len(pairs) == len(dict(pairs)), "a member is given twice")
        return dict(pairs)

    receipt = json.loads(text, object_pairs_hook=unique)
    members(receipt, ("anchors", "completeness"), format=str, record=dict, proof=str, anchors=iter,
            completeness=dict)
    need(receipt["format"] == "roadstead.receipt/v1", "an unknown format")
    leaf, shown = open_record(receipt["record"])
    index, path, checkpoint = tlog_proof(receipt["proof"])
    inclusion(index, checkpoint.size, leaf, path, checkpoint.root)
    signed = checkpoint.check(keys)
    witnesses = [key.name for key in keys if key.kind == 4 and checkpoint.signed_by(key)]
    if receipt.get("completeness") is not None:
        check_completeness(receipt["completeness"], leaf, checkpoint)
        need(shown.get("stream") in (None, receipt["completeness"]["stream"]), "of another stream")
    anchors = [check_anchor(anchor, checkpoint, keys, blocks) for anchor in receipt.get("anchors", [])]
    return {"verdict": "accepted" if signed else "incomplete", "index": index, "size": checkpoint.size,
            "fields": shown, "witnesses": witnesses, "anchors": anchors}


def trusted(lines):
    """The blocks of a headers file."""
    blocks = set()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            chain, block = line.split()
            raw = unhex(block)
            blocks.add((chain, (H2(raw)[::-1] if len(raw) == 80 else raw).hex()))
    return blocks


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("receipt")
    arguments.add_argument("--key", action="append", default=[], type=Key)
    arguments.add_argument("--headers")
    given = arguments.parse_args()
    text = open(given.receipt, encoding="utf-8").read()
    blocks = trusted(open(given.headers) if given.headers else ())
    try:
        answer = verify(text, given.key, blocks)
    except (Refused, ValueError, RecursionError) as error:
        answer = {"verdict": "refused", "problem": str(error)}
    print(json.dumps(answer))
    return {"accepted": 0, "refused": 1, "incomplete": 3}[answer["verdict"]]


if __name__ == "__main__":
    sys.exit(main())
