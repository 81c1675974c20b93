"""Reads a mail with Python's own parser and prints it as JSON: an implementation that is not ours."""

import email
import email.policy
import json
import sys

message = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
headers = {name.lower(): str(value) for name, value in message.items()}
print(json.dumps({"headers": headers, "body": message.get_body(("plain",)).get_content()}))
