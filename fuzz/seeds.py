"""Makes the fuzzers' seeds from the frozen vectors: seeds.py FOLDER writes FOLDER/seeds/<target>/*."""
import json, pathlib, shutil, struct, sys, base64

root = pathlib.Path(__file__).parent.parent
vectors = sorted((root / "api/verify/vectors/v1").glob("*-*.json"))
seeds = pathlib.Path(sys.argv[1]) / "seeds"
shutil.rmtree(seeds, ignore_errors=True)


def put(target, name, data):
    file = seeds / target / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data if isinstance(data, bytes) else data.encode())


for target in ("receipt", "note", "proof", "tile", "ots"):
    (seeds / target).mkdir(parents=True)
for vector in vectors:
    put("receipt", vector.stem, vector.read_bytes())
    try:
        receipt = json.loads(vector.read_text())
        proof, leaf = receipt["proof"], base64.b64decode(receipt["record"]["leaf"])
        note = proof.partition("\n\n")[2].encode()
    except (ValueError, KeyError, TypeError):
        continue
    put("proof", vector.stem, proof)
    put("proof", vector.stem + "-note", note)
    put("note", vector.stem, note)
    put("tile", vector.stem + "-leaf", leaf)
    hashes = bytes(32) * 8
    put("tile", vector.stem, struct.pack(">HH", len(note), len(hashes)) + note + hashes
        + struct.pack(">H", len(leaf)) + leaf)
for case in json.loads((root / "api/verify/vectors/v1/cases.json").read_text()):
    for number, key in enumerate(case["keys"]):
        put("note", f"key-{case['file']}-{number}", key)
        put("note", f"policy-{case['file']}-{number}", f"log {key}\nquorum none\nanchor eip155:1\nanchors 1\n")
    put("note", f"headers-{case['file']}", "\n".join(case["headers"]))
magic = b"\0OpenTimestamps\0\0Proof\0\xbf\x89\xe2\xe8\x84\xe8\x92\x94\1"
block = b"\0\x05\x88\x96\x0d\x73\xd7\x19\x01"
put("ots", "block", magic + b"\x08" + bytes(32) + b"\xf0\x02ab\xf1\x01c\x08\x08" + block + b"\x01\x07")
put("ots", "fork", magic + b"\x08" + bytes(32) + b"\xff\x08" + block + b"\x01\x07\xf2\x08" + block + b"\x02\x80\x01")
put("ots", "pending", magic + b"\x08" + bytes(32) + b"\0\x83\xdf\xe3\x0d\x2e\xf9\x0c\x8e\x02\x01x")
