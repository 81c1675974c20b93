#!/usr/bin/env python3
"""Puts a bank's repayments into the audit log and fetches a receipt for each; standard library only.

    ROADSTEAD_URL=http://127.0.0.1:8080 ROADSTEAD_KEY=rsk_… python3 integrator.py REPAYMENTS.csv RECEIPTS/

REPAYMENTS.csv has the columns id,loan,borrower,amount,currency,booked_on,payer. Run it as often as you
like: a repayment is recorded once, by its id. Exit code 0 when there is a receipt for each.
"""
import csv
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

URL = os.environ.get("ROADSTEAD_URL", "http://127.0.0.1:8080")
BATCH = 1_000
PATIENCE_SECONDS = 120


class Refused(Exception):
    """The server said no, and why; sending the same again will not help."""


def call(method: str, path: str, body: object = None) -> bytes:
    """One request; sent again while nobody answers or the server says that it is its own fault."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, method=method)
    request.add_header("Authorization", f"Bearer {os.environ['ROADSTEAD_KEY']}")
    request.add_header("Content-Type", "application/json")
    for attempt in range(6):
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            problem = error.read().decode()
            if error.code < 500:
                raise Refused(problem) from error
        except OSError:
            pass
        # Nothing is known of the outcome. The same request again is safe: ids make it happen once.
        time.sleep(0.2 * 2**attempt)
    raise SystemExit(f"{URL} does not answer")


def to_record(row: dict[str, str]) -> dict[str, object]:
    """A repayment as the log takes it: what is personal apart from what is not."""
    return {
        "id": row["id"],
        "kind": "loan.repayment",
        "stream": row["loan"],
        "subject": row["borrower"],
        "fields": {name: row[name] for name in ("amount", "currency", "booked_on")},
        "personal": {"payer": row["payer"]},
    }


def append(rows: list[dict[str, str]]) -> int:
    """Writes the repayments; the number of those that were refused."""
    refused = 0
    for start in range(0, len(rows), BATCH):
        records = [to_record(row) for row in rows[start : start + BATCH]]
        answer = json.loads(call("POST", "/v1/audit/records", {"records": records}))
        for result in answer["results"]:
            if result["status"] == "refused":
                print(f"{result['id']}: {result['code']}: {result['detail']}", file=sys.stderr)
                refused += 1
    return refused


def receipt(id: str) -> bytes:
    """The receipt, as soon as a signed checkpoint covers the record."""
    path = f"/v1/audit/records/{urllib.parse.quote(id, safe='')}"
    end = time.monotonic() + PATIENCE_SECONDS
    while json.loads(call("GET", path))["checkpoint"] is None:
        if time.monotonic() > end:
            raise SystemExit(f"{id} is in no checkpoint after {PATIENCE_SECONDS} seconds")
        time.sleep(0.2)
    return call("GET", path + "/receipt")


def main() -> int:
    file, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    refused = append(rows)
    written = 0
    for row in rows:
        try:
            text = receipt(row["id"])
        except Refused as problem:
            print(f"{row['id']}: {problem}", file=sys.stderr)
            continue
        (folder / f"{urllib.parse.quote(row['id'], safe='')}.json").write_bytes(text)
        written += 1
    print(json.dumps({"repayments": len(rows), "refused": refused, "receipts": written}))
    return 0 if written == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
