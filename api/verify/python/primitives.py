"""Textbook pieces that libraries have: Ed25519 (RFC 8032), Keccak-256, RLP and the Merkle-Patricia trie
(Ethereum Yellow Paper), Merkle proofs (RFC 9162), lengths in Bitcoin and Solana transactions, base58.
Here so that the verifier needs no package; nothing in this file is of Roadstead's own format."""
import hashlib

H = lambda *parts: hashlib.sha256(b"".join(parts)).digest()


class Refused(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Refused(why)


# --- Ed25519 (RFC 8032, section 6, with s below the order and no point of small order)
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = x[1] - x[0], d - c, d + c, x[1] + x[0]
    return e * f % P, g * h % P, f * g % P, e * h % P


def mul(n, point):
    result = (0, 1, 1, 0)
    while n:
        result, point, n = add(result, point) if n & 1 else result, add(point, point), n >> 1
    return result


def encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data):
    number = int.from_bytes(data, "little")
    y, sign = (number & ((1 << 255) - 1)) % P, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    need(x * x % P == square, "no point of the curve")
    x = P - x if x & 1 != sign else x
    return x % P, y, 1, x * y % P


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(key, message, signature):
    need(len(signature) == 64, "a signature of another length")
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    a = decode(key)
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    found = encode(add(mul(s, BASE), mul(L - k, a))) if s < L else b""
    small = any(encode(mul(8, p)) == encode((0, 1, 1, 0)) for p in (a, decode(r)))
    need(found == r and not small, "a signature is false")


# --- Keccak-256, RLP and the Merkle-Patricia trie
def keccak(data):
    rol = lambda v, n: (v << n | v >> (64 - n)) & (2**64 - 1) if n else v
    data += b"\x01" + bytes(-(len(data) + 1) % 136)
    data, lanes = data[:-1] + bytes([data[-1] | 0x80]), [[0] * 5 for _ in range(5)]
    for start in range(0, len(data), 136):
        for i in range(17):
            lanes[i % 5][i // 5] ^= int.from_bytes(data[start + 8 * i:start + 8 * i + 8], "little")
        r = 1
        for _ in range(24):
            c = [a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] for a in lanes]
            lanes = [[v ^ c[x - 1] ^ rol(c[(x + 1) % 5], 1) for v in lanes[x]] for x in range(5)]
            x, y, current = 1, 0, lanes[1][0]
            for t in range(24):
                x, y = y, (2 * x + 3 * y) % 5
                current, lanes[x][y] = lanes[x][y], rol(current, (t + 1) * (t + 2) // 2 % 64)
            lanes = [[lanes[x][y] ^ ~lanes[(x + 1) % 5][y] & lanes[(x + 2) % 5][y] for y in range(5)]
                     for x in range(5)]
            for j in range(7):
                r = (r << 1 ^ (r >> 7) * 0x71) % 256
                lanes[0][0] ^= (r >> 1 & 1) << ((1 << j) - 1)
    return b"".join(lanes[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


def rlp_split(data):
    need(data, "RLP is cut short")
    first, at = data[0], 1
    if first < 0x80:
        return data[:1], data[1:]
    length = first - (0xC0 if first >= 0xC0 else 0x80)
    if length > 55:
        width, at = length - 55, length - 54
        length = int.from_bytes(data[1:at], "big")
        need(len(data) >= at and data[1] != 0 and length > 55 and width <= 8, "RLP is not canonical")
    body, rest = data[at:at + length], data[at + length:]
    need(len(body) == length, "RLP is cut short")
    if first < 0xC0:
        need(length != 1 or body[0] >= 0x80, "RLP is not canonical")
        return body, rest
    items = []
    while body:
        item, body = rlp_split(body)
        items.append(item)
    return items, rest


def rlp(data):
    item, rest = rlp_split(data)
    need(not rest, "bytes after RLP")
    return item


def trie(root, key, nodes):
    path, want, nodes = [n for byte in key for n in (byte >> 4, byte & 15)], root, list(nodes)
    while True:
        node = want
        if isinstance(want, bytes):
            need(len(want) == 32 and nodes and keccak(nodes[0]) == want, "not in the trie")
            node = rlp(nodes.pop(0))
        need(isinstance(node, list) and len(node) in (2, 17), "no node of a trie")
        if len(node) == 17 and path:
            want, path = node[path[0]], path[1:]
            continue
        value = node[-1]
        if len(node) == 2:
            need(isinstance(node[0], bytes) and node[0] and node[0][0] < 0x40, "no path of a trie")
            part = [n for byte in node[0] for n in (byte >> 4, byte & 15)]
            flag, part = part[0], part[1:] if part[0] & 1 else part[2:]
            need(flag & 1 or node[0][0] & 15 == 0, "no path of a trie")
            need(path[:len(part)] == part, "not in the trie")
            path = path[len(part):]
            if flag < 2:
                need(part and path, "not in the trie")
                want = value
                continue
        need(not path and isinstance(value, bytes) and not nodes, "not in the trie")
        return value


# --- RFC 6962 and RFC 9162
def inclusion(index, size, leaf, path, root):
    need(index < size, "the index is outside the tree")
    node, last = index, size - 1
    for sibling in path:
        need(last, "the proof is too long")
        if node & 1 or node == last:
            leaf = H(b"\1", sibling, leaf)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            leaf = H(b"\1", leaf, sibling)
        node, last = node >> 1, last >> 1
    need(last == 0 and leaf == root, "the record is not in the log")


def consistency(size1, size2, root1, root2, path):
    need(0 < size1 <= size2, "the trees are in the wrong order")
    if size1 == size2:
        return need(root1 == root2 and not path, "the log was forked")
    path = ([root1] if size1 & (size1 - 1) == 0 else []) + path
    need(path, "the consistency proof is too short")
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        need(last, "the consistency proof is too long")
        if node & 1 or node == last:
            old, new = H(b"\1", sibling, old), H(b"\1", sibling, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = H(b"\1", new, sibling)
        node, last = node >> 1, last >> 1
    need(last == 0 and old == root1 and new == root2, "the log was forked")


# --- Lengths in transactions, and base58
class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        taken, self.data = self.data[:n], self.data[n:]
        need(len(taken) == n, "cut short")
        return taken

    def compact_size(self):
        first = self.take(1)[0]
        width, least = {255: (8, 2**32), 254: (4, 2**16), 253: (2, 253)}.get(first, (0, 0))
        value = int.from_bytes(self.take(width), "little") if width else first
        need(value >= least, "not the shortest form")
        return value

    def short(self):
        value = 0
        for shift in (0, 7, 14):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                need((byte or not shift) and value < 2**16, "not the shortest form")
                return value
        raise Refused("not the shortest form")


def base58(data):
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    value, text = int.from_bytes(data, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        text = alphabet[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text
