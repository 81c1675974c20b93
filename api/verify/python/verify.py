#!/usr/bin/env python3
"""Verifies a Roadstead receipt; written from docs/RECEIPT-FORMAT.md alone. Uses what requirements.txt names.
Usage: verify.py RECEIPT [--key VKEY]... [--headers FILE]; prints one JSON object.
Exit codes: 0 accepted, 1 refused, 2 usage, 3 incomplete (no key was given)."""
import argparse, base64, hashlib, json, re, sys, typing
import bitcoin.core, eth_utils, nacl.signing, pydantic, rlp, solders.transaction, trie

H = lambda *parts: hashlib.sha256(b"".join(parts)).digest()

def need(condition, why):
    if not condition:
        raise ValueError(why)

def unbase64(text, size=None):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text and size in (None, len(data)), "not base64")
    return data

def unhex(text):
    data = bytes.fromhex(text.removeprefix("0x"))
    need(data.hex() == text.removeprefix("0x").lower(), "not hex")
    return data

# An object of the receipt calls a function: its members are the arguments, of their types and no others.
members = pydantic.validate_call(config={"strict": True})
Hex, Base64 = (typing.Annotated[bytes, pydantic.BeforeValidator(read)] for read in (unhex, unbase64))
Hash = typing.Annotated[bytes, pydantic.BeforeValidator(lambda text: unbase64(text, 32))]
Hashes, Hexes, Number = list[Hash], list[Hex], typing.Annotated[int, pydantic.Field(ge=0, lt=2**64)]

class Key:
    def __init__(self, vkey):
        self.name, key_id, data = vkey.split("+", 2)
        self.id, data = (self.name, bytes.fromhex(key_id)), unbase64(data, 33)
        self.is_log, self.public = data[0] == 1, nacl.signing.VerifyKey(data[1:])
        need(data[0] in (1, 4) and H(self.name.encode(), b"\n", data)[:4] == self.id[1], "no key")

class Checkpoint:
    def __init__(self, note):
        form = "((.+)\n(0|[1-9][0-9]*)\n(.+)\n(?:.+\n)*)\n((?:— [^\\s+]+ [^ \n]+\n){1,64})"
        text, self.origin, size, root, lines = re.fullmatch(form, note).groups()
        need(len(note.encode()) <= 2**20 and not re.search("[\0-\x09\x0b-\x1f]", note), "no note")
        self.text, self.size, self.root = text.encode(), int(size), unbase64(root, 32)
        self.origin_hash, self.hash = H(self.origin.encode()), H(self.text)
        self.lines = [(name, unbase64(data)) for name, data in re.findall("— (.+) (.+)\n", lines)]
        need(self.size < 2**64 and all(len(data) > 4 for _, data in self.lines), "no checkpoint")

    def signers(self, keys):
        """The keys that signed; none falsely, and a log's is one of them, if any log is trusted."""
        lines = [(key, data[4:]) for name, data in self.lines for key in keys if key.id == (name, data[:4])]
        for key, data in lines:
            need(key.is_log or data[0] < 128, "no time of a cosignature")
            time = b"" if key.is_log else b"cosignature/v1\ntime %d\n" % int.from_bytes(data[:8])
            key.public.verify(time + self.text, data if key.is_log else data[8:])
        signed = [key for key, _ in lines if key.name == self.origin or not key.is_log]
        need(any(key.is_log for key in signed) or not any(key.is_log for key in keys), "not signed by a log")
        return signed

def climb(place, size, path, known, whole):
    """RFC 6962 section 2.1, from the root down: the roots of the trees of `place + 1` and of `size` leaves.
    The path begins at the leaf `place`, or at the `whole` tree that ends there. Its start may be known."""
    if size == 1 or whole and place == size - 1:
        [root] = [*known, *path]
        return [root, root]
    half, (*path, sibling) = 1 << (size - 1).bit_length() - 1, path
    if place < half:
        older, newer = climb(place, half, path, known, whole)
        return [older, H(b"\1", newer, sibling)]
    roots = climb(place - half, size - half, path, [] if whole else known, whole)
    return [H(b"\1", sibling, root) for root in roots]

def in_log(tree, index, leaf, path):
    need(index < tree.size and climb(index, tree.size, path, [leaf], False)[1] == tree.root, "not in the log")

@members
def open_field(held, /, *, name: str, value: str, salt: Hex):
    commitment = H(b"roadstead.field/v1", salt, bytes([len(name)]), name.encode(), value.encode())
    need(len(salt) == 32 and held.pop(name.encode(), None) == commitment, f"{name} is not what was logged")
    return name, value

@members
def open_record(*, leaf: Base64, fields: list[dict]):
    rest, held, last = leaf[16:], {}, b""
    while rest:
        name, value, rest = rest[1:rest[0] + 1], rest[rest[0] + 1:rest[0] + 33], rest[rest[0] + 33:]
        need(re.fullmatch(b"[a-z0-9_.-]{1,64}", name) and name > last and len(value) == 32, "no leaf")
        held[name], last = value, name
    need(held and leaf[:16] == b"roadstead.leaf\1" + bytes([len(held)]), "no leaf")
    return H(b"\0", leaf), dict(open_field(held, **field) for field in fields)

@members
def complete(leaf, shown, log, /, *, stream: str, events: Hashes, path: Hashes, map: dict, map_proof: Hashes):
    need(leaf in events and shown.get("stream", stream) == stream, "the record is not one of the events")
    key, head = H(b"roadstead.stream/v1", stream.encode()), bytes(32)
    for event in events:
        head = H(b"\4", head, event)
    node = H(b"\2", key, len(events).to_bytes(8), head)
    for depth, sibling in zip(reversed(range(len(path))), path):
        right = key[depth // 8] >> 7 - depth % 8 & 1
        node = H(b"\3", sibling, node) if right else H(b"\3", node, sibling)
    leaf, shown = open_record(**map)
    need(shown["kind"] == "log.map" and node == unbase64(shown["root"]), "not all and only the events")
    in_log(log, log.size - 1, leaf, map_proof)

# Anchors: each function answers the hashes of blocks, in the first of which it is proved to be.
@members
def in_bitcoin(tree, /, *, transaction: Hex, branch: Hexes, position: Number, headers: Hexes, height: Number):
    found = bitcoin.core.CTransaction.deserialize(transaction)
    need(found.serialize() == transaction and found.vin and not found.has_witness(), "no transaction")
    script = b"\x6a\x4c\x4dRSTD\1" + tree.size.to_bytes(8) + tree.hash + tree.origin_hash
    need(script in [output.scriptPubKey for output in found.vout], "another checkpoint")
    need(len(transaction) != 64 and len(branch) <= 32 and position < 2**len(branch), "no place in a block")
    node, blocks = H(H(transaction)), [H(H(header)) for header in headers]
    for level, sibling in enumerate(branch):
        right = position >> level & 1
        need(len(sibling) == 32 and not (right and sibling == node), "no branch of a block")
        node = H(H(sibling, node)) if right else H(H(node, sibling))
    need(headers[0][36:68] == node and len(headers) <= 2016, "not in the block")
    for header, block, parent in zip(headers, blocks, [headers[0][4:36], *blocks]):
        bits, exponent = int.from_bytes(header[72:75], "little"), header[75]
        need(len(header) == 80 and header[4:36] == parent, "the headers do not hang together")
        target = bits << 8 * (exponent - 3) if 0 < bits < 2**23 and 3 <= exponent <= 32 else -1
        need(int.from_bytes(block, "little") <= target, "no proof of work")
    return [block[::-1] for block in blocks]

@members
def in_evm(tree, /, *, tx: str, index: Number, proof: Hexes, header: Hex, contract: Hex, log: Number):
    fields, key = rlp.decode(header), rlp.encode(index)
    need(all(len(fields[at]) <= 8 and fields[at][:1] != b"\0" for at in (8, 11)), "no header")
    receipts = trie.HexaryTrie({eth_utils.keccak(node): node for node in proof}, fields[5])
    need([rlp.encode(node) for node in receipts.get_proof(key)] == proof and len(proof) < 65, "another proof")
    status, _, _, logs = rlp.decode(receipts[key][receipts[key][0] < 0x80:])
    address, [event, sender, origin, size], data = logs[log]
    need(status == b"\1" and len(sender) == 32 and sender[:12] == bytes(12), "no event of a sender")
    need(event == eth_utils.keccak(b"Anchored(address,bytes32,uint64,bytes32)"), "another event")
    wanted = [contract, tree.origin_hash, tree.size.to_bytes(32), tree.hash]
    need([address, origin, size, data] == wanted, "another checkpoint")
    return [eth_utils.keccak(header)]

@members
def in_solana(tree, /, *, signature: str, slot: Number, transaction: Hex):
    found = solders.transaction.VersionedTransaction.from_bytes(transaction)
    need(bytes(found) == transaction and repr(found.version()) in ("Legacy.Legacy", "0"), "no transaction")
    message, signers = found.message, found.message.header.num_required_signatures
    need(signers == len(found.signatures) and all(found.verify_with_results()), "not signed by all")
    memo = f"roadstead:1:{tree.origin_hash.hex()}:{tree.size}:{tree.hash.hex()}".encode()
    places = [call.program_id_index for call in message.instructions if call.data == memo]
    programs = {str(account) for at, account in enumerate(message.account_keys) if at in places}
    need(programs & MEMO and str(found.signatures[0]) == signature, "another checkpoint")
    return []

MEMO = {"MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"}
FAMILIES = {("bitcoin", "bip122"): in_bitcoin, ("evm", "eip155"): in_evm, ("solana", "solana"): in_solana}

@members
def anchor(tree, keys, known, /, *, evidence: dict, checkpoint: str | None = None, consistency: Hashes = []):
    later = Checkpoint(checkpoint) if checkpoint is not None else tree
    need(later.origin == tree.origin and later.size >= tree.size, "a checkpoint of another log")
    need(climb(tree.size - 1, later.size, consistency, [tree.root], True) == [tree.root, later.root], "fork")
    later.signers(keys)
    family, chain = evidence.pop("type"), evidence.pop("chain")
    blocks = FAMILIES[family, chain.split(":")[0]](later, **evidence)
    status = "proved_given_header" if blocks else "needs_node"
    return "proved" if any((chain, block) in known for block in blocks) else status

@members
def check(keys, trusted, /, *, format: typing.Literal["roadstead.receipt/v1"], record: dict, proof: str,
          anchors: list[dict] = [], completeness: dict | None = None):
    form = "c2sp[.]org/tlog-proof@v1\n(?:extra (.*)\n)?index (0|[1-9][0-9]*)\n((?:.+\n){0,64})\n([^\0]*)"
    extra, index, path, note = re.fullmatch(form, proof).groups(default="")
    path, extra = [unbase64(line, 32) for line in path.split("\n")[:-1]], unbase64(extra)
    (leaf, shown), tree = open_record(**record), Checkpoint(note)
    in_log(tree, int(index), leaf, path)
    signers = tree.signers(keys)
    if completeness is not None:
        complete(leaf, shown, tree, **completeness)
    return {"verdict": "accepted" if any(key.is_log for key in signers) else "incomplete", "fields": shown,
            "index": int(index), "size": tree.size, "signers": [key.name for key in signers],
            "anchors": [anchor(tree, keys, trusted, **one) for one in anchors]}

def verify(text, keys, trusted):
    once = lambda pairs: need(len(pairs) == len(dict(pairs)), "a member is given twice") or dict(pairs)
    try:
        return check(keys, trusted, **json.loads(text, object_pairs_hook=once))
    except Exception as error:  # Whatever goes wrong, nothing is proved.
        return {"verdict": "refused", "problem": f"{type(error).__name__}: {error}", "anchors": []}

def trusted_blocks(lines):
    """The chains and hashes of a headers file, in which a Bitcoin header may stand for its hash."""
    pairs = [(line.split()[0], unhex(line.split()[1])) for line in lines if line.strip() and line[0] != "#"]
    return {(chain, H(H(block))[::-1] if len(block) == 80 else block) for chain, block in pairs}

if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("receipt", type=argparse.FileType(encoding="utf-8"))
    options.add_argument("--key", action="append", default=[], type=Key)
    options.add_argument("--headers", default=(), type=argparse.FileType())
    given = options.parse_args()
    answer = verify(given.receipt.read(), given.key, trusted_blocks(given.headers))
    print(json.dumps(answer))
    sys.exit({"accepted": 0, "refused": 1, "incomplete": 3}[answer["verdict"]])
