"""Schedules, annual rates and day counts from calculators that are not ours.

- `amortization`: level instalments rounded to the cent, line by line, the rest in the last one;
- `numpy-financial`: the level of a balloon, present values, internal rates of return;
- `pyxirr`: XIRR on dates;
- `QuantLib`: day counts.

Prints JSON; the same every time.  Usage: generate.py > golden.json
"""

import calendar
import json
import random
from datetime import date, timedelta

import numpy_financial as npf
import pyxirr
import QuantLib as ql
from amortization.enums import PaymentFrequency
from amortization.schedule import amortization_schedule

random.seed(20240229)
FREQUENCIES = {
    "month": (PaymentFrequency.MONTHLY, {"unit": "monthly", "every": 1}, "30E/360"),
    "quarter": (PaymentFrequency.QUARTERLY, {"unit": "monthly", "every": 3}, "30E/360"),
    "week": (PaymentFrequency.WEEKLY, {"unit": "weekly", "every": 1}, "ACT/ACT-ICMA"),
    "fortnight": (PaymentFrequency.BIWEEKLY, {"unit": "weekly", "every": 2}, "ACT/ACT-ICMA"),
}


def add_months(day, months):
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))


def due(start, name, number):
    unit = FREQUENCIES[name][1]
    if unit["unit"] == "monthly":
        return add_months(start, unit["every"] * number)
    return start + timedelta(days=7 * unit["every"] * number)


def base(name):
    start = date(2015, 1, 1) + timedelta(days=random.randrange(3650))
    # Months of 30E/360 are equal only when no due date is clamped.
    start = start.replace(day=min(start.day, 28))
    principal = random.randrange(50_000, 50_000_000)
    return {
        "start": start.isoformat(),
        "principal": str(principal),
        "rate": f"{random.randrange(1, 3600) / 10_000 + random.randrange(1, 10) / 100_000:.5f}",
        "instalments": random.randrange(1, 61),
        "frequency": FREQUENCIES[name][1],
        "day_count": FREQUENCIES[name][2],
        "upfront": str(random.randrange(0, principal // 50)),
    }


def rates(case, name, flows):
    start = date.fromisoformat(case["start"])
    advance = int(case["principal"]) - int(case["upfront"])
    dates = [start] + [due(start, name, k) for k in range(1, len(flows) + 1)]
    values = [-advance] + flows
    period = npf.irr(values)
    per_year = FREQUENCIES[name][0].value
    case["xirr"] = f"{pyxirr.xirr(dates, values):.7f}"
    case["reg_z"] = f"{period * per_year:.7f}"
    case["aprc"] = f"{(1 + period) ** per_year - 1:.7f}"


def annuity(name):
    case = base(name)
    frequency = FREQUENCIES[name][0]
    rows = list(
        amortization_schedule(
            int(case["principal"]) / 100, float(case["rate"]), case["instalments"], frequency
        )
    )
    cents = lambda value: round(value * 100)
    case["kind"] = "annuity"
    case["interest"] = [cents(row.interest) for row in rows]
    case["last"] = cents(rows[-1].amount)
    if case["instalments"] > 1:
        case["level"] = cents(rows[0].amount)
    rates(case, name, [cents(row.amount) for row in rows])
    return case


def balloon(name):
    case = base(name)
    case["instalments"] += 1
    case["kind"] = "balloon"
    case["residual"] = f"{random.randrange(1, 90) / 100:.2f}"
    principal = int(case["principal"])
    residual = round(principal * float(case["residual"]))
    case["residual_minor"] = residual
    period = float(case["rate"]) / FREQUENCIES[name][0].value
    case["level"] = round(float(npf.pmt(period, case["instalments"], -principal, residual)))
    case["first_interest"] = round(principal * period)
    return case


def day_counts():
    counters = {
        "30/360-US": ql.Thirty360(ql.Thirty360.USA),
        "30E/360": ql.Thirty360(ql.Thirty360.European),
        "ACT/360": ql.Actual360(),
        "ACT/365F": ql.Actual365Fixed(),
        "ACT/ACT-ISDA": ql.ActualActual(ql.ActualActual.ISDA),
    }
    rows = []
    for _ in range(600):
        start = date(1999, 1, 1) + timedelta(days=random.randrange(12_000))
        if random.random() < 0.3:
            start = start.replace(day=calendar.monthrange(start.year, start.month)[1])
        end = start + timedelta(days=random.randrange(1, 1500))
        if random.random() < 0.3:
            end = end.replace(day=calendar.monthrange(end.year, end.month)[1])
        if end <= start:
            continue
        to_ql = lambda day: ql.Date(day.day, day.month, day.year)
        years = {
            name: f"{counter.yearFraction(to_ql(start), to_ql(end)):.12f}"
            for name, counter in counters.items()
        }
        rows.append({"start": start.isoformat(), "end": end.isoformat(), "years": years})
    return rows


names = list(FREQUENCIES)
cases = [annuity(names[k % 4]) for k in range(420)] + [balloon(names[k % 4]) for k in range(180)]
lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
counts = ",\n".join(json.dumps(row, separators=(",", ":")) for row in day_counts())
print('{"schedules":[\n' + lines + '\n],"day_counts":[\n' + counts + "\n]}")
