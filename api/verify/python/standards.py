"""Formats of others that receipts use: strict base64 and hex, C2SP notes, checkpoints and proofs,
Bitcoin's and Solana's transactions."""
import base64, re
from primitives import H, Reader, ed25519, need

H2 = lambda data: H(H(data))


# --- Strict readers
def b64(text, size=None):
    need(re.fullmatch("[A-Za-z0-9+/]*={0,2}", text) and len(text) % 4 == 0, "not base64")
    data = base64.b64decode(text)
    need(base64.b64encode(data).decode() == text and size in (None, len(data)), "not base64")
    return data


def unhex(text, size=None):
    text = text.removeprefix("0x")
    need(re.fullmatch("([0-9a-fA-F]{2})*", text) and size in (None, len(text) // 2), "not hex")
    return bytes.fromhex(text)


def number(text):
    need(re.fullmatch("0|[1-9][0-9]{0,19}", text) and int(text) < 2**64, "not a number")
    return int(text)


class Key:
    def __init__(self, vkey):
        self.name, key_id, data = vkey.split("+", 2)
        self.id, data = bytes.fromhex(key_id), b64(data, 33)
        self.kind, self.public = data[0], data[1:]
        need(self.kind in (1, 4) and H(self.name.encode(), b"\n", data)[:4] == self.id, "no key")


class Checkpoint:
    def __init__(self, note):
        need(len(note.encode()) <= 2**20 and not re.search("[\0-\x09\x0b-\x1f]", note), "no note")
        text, blank, lines = note.rpartition("\n\n")
        self.text, lines = (text + "\n").encode(), lines.split("\n")
        need(blank and lines.pop() == "" and 1 <= len(lines) <= 64, "no note")
        found = [re.fullmatch(r"— ([^\s+]+) ([^ ]+)", line) for line in lines]
        need(all(found), "no note")
        self.lines = [(line[1], b64(line[2])) for line in found]
        need(all(len(data) > 4 for _, data in self.lines), "no note")
        parts = text.split("\n")
        need(len(parts) >= 3 and all(parts), "no checkpoint")
        self.origin, self.size, self.root = parts[0], number(parts[1]), b64(parts[2], 32)
        self.origin_hash, self.hash = H(self.origin.encode()), H(self.text)

    def signed_by(self, key):
        mine = [data[4:] for name, data in self.lines if (name, data[:4]) == (key.name, key.id)]
        for data in mine:
            if key.kind == 4:
                need(len(data) == 72 and data[0] < 128, "no cosignature")
                time = b"cosignature/v1\ntime %d\n" % int.from_bytes(data[:8], "big")
                ed25519(key.public, time + self.text, data[8:])
            else:
                ed25519(key.public, self.text, data)
        return bool(mine)

    def check(self, keys):
        """Whether a trusted key of this log signed; if any log is trusted, one must have."""
        logs = [key for key in keys if key.kind == 1]
        signed = [self.signed_by(key) for key in logs if key.name == self.origin]
        need(any(signed) or not logs, "not signed by a log that is trusted")
        return any(signed)


def tlog_proof(text):
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    need(blank and lines.pop(0) == "c2sp.org/tlog-proof@v1" and lines, "no tlog-proof")
    if lines[0].startswith("extra "):
        b64(lines.pop(0)[6:])
    need(lines and lines[0].startswith("index ") and len(lines) <= 65, "no tlog-proof")
    return number(lines[0][6:]), [b64(line, 32) for line in lines[1:]], Checkpoint(note)


def output_scripts(raw):
    """The scripts of a Bitcoin transaction in the encoding without witness."""
    reader, scripts = Reader(raw), []
    reader.take(4)
    inputs = reader.compact_size()
    need(inputs > 0, "a transaction with witness")
    for _ in range(inputs):
        reader.take(36), reader.take(reader.compact_size()), reader.take(4)
    for _ in range(reader.compact_size()):
        reader.take(8), scripts.append(reader.take(reader.compact_size()))
    reader.take(4)
    need(not reader.data, "bytes after the transaction")
    return scripts


def in_block(node, branch, position, headers):
    """Folds the Merkle branch; checks the headers' work and that they build on one another."""
    need(position < 2**len(branch), "the position is outside the block")
    for level, sibling in enumerate(branch):
        right = position >> level & 1
        need(not right or sibling != node, "the branch repeats a node")
        node = H2(sibling + node if right else node + sibling)
    need(0 < len(headers) <= 2016 and headers[0][36:68] == node, "not in the block")
    for at, header in enumerate(headers):
        bits, exponent = int.from_bytes(header[72:75], "little"), header[75]
        need(3 <= exponent <= 32 and 0 < bits < 2**23, "no target")
        need(int.from_bytes(H2(header), "little") <= bits << 8 * (exponent - 3), "no proof of work")
        need(at == 0 or header[4:36] == H2(headers[at - 1]), "the headers do not hang together")


def solana_transaction(raw):
    """Signatures, accounts, the signed message, and each instruction's program and data."""
    reader, instructions = Reader(raw), []
    signatures = [reader.take(64) for _ in range(reader.short())]
    message = reader.data
    need(message and message[0] <= 0x80, "an unknown version")
    versioned = message[0] == 0x80 and reader.take(1)
    required = reader.take(3)[0]
    accounts = [reader.take(32) for _ in range(reader.short())]
    reader.take(32)
    for _ in range(reader.short()):
        program = reader.take(1)[0]
        reader.take(reader.short())
        data = reader.take(reader.short())
        if program < len(accounts):
            instructions.append((accounts[program], data))
    for _ in range(reader.short() if versioned else 0):
        reader.take(32), reader.take(reader.short()), reader.take(reader.short())
    need(not reader.data and 0 < len(signatures) == required <= len(accounts), "no transaction")
    return signatures, accounts, message, instructions
