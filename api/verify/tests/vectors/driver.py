"""Asks the Python verifier, whose folder is the argument, one question a line."""
import json, sys

sys.path.insert(0, sys.argv[1])
import verify

for line in sys.stdin:
    case = json.loads(line)
    keys = [verify.Key(key) for key in case["keys"]]
    answer = verify.verify(case["receipt"], keys, verify.trusted_blocks((case["headers"] or "").split("\n")))
    print(json.dumps([answer["verdict"], answer["anchors"]]))
