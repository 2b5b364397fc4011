"""The ten questions: what whodid is asked over HTTP, and the plain form that every system's answer is brought into.

Plain forms: people are counts, medians are seconds, months are numbers such as 202503, and who has no value of a
property stands under the empty text.
"""

from decimal import Decimal
from urllib.parse import quote

FUNNEL = ["Visited Pricing Page", "Started Free Trial", "Completed Onboarding", "Purchased"]
DAY = 86_400_000
WEEK = 7 * DAY
WEEKS = 27
SOURCE = "Campaign Source"
EXPERIMENT = "Pricing Page Experiment"
# 2025-10-01, and the 30 days from 2025-09-01 on, in milliseconds.
SINCE = 1_759_276_800_000
USED_FROM, USED_TO = 1_756_684_800_000, 1_756_684_800_000 + 30 * DAY
USED, USED_LEAST, INDUSTRY = "Used Feature A", 3, "Healthcare"
ALL_OF = ["Used Feature A", "Used Feature B", "Exported Report"]
NONE_OF = "Cancelled"
PAGE = 50

TITLES = {
    "Q1": "funnel of four steps, with medians",
    "Q1c": "the same, counts only",
    "Q2": "the same within 7 days, counts only",
    "Q3": "Q1 by person property Campaign Source",
    "Q4": "months of the first Signed Up, Logged In in weeks 0 to 26 after it",
    "Q5": "revenue by month and by Campaign Source",
    "Q6": "Q1 by Pricing Page Experiment, people seen since 2025-10-01",
    "Q7": "one person's whole time line",
    "Q8": "Used Feature A 3 times in 30 days, Healthcare, never Cancelled: number and 50",
    "Q9": "number with three events and without a fourth",
}
# The events that a question names; of the others it should not matter how many there are. Q6 names all by "seen".
NAMED = {
    **dict.fromkeys(["Q1", "Q1c", "Q2", "Q3"], FUNNEL),
    "Q4": ["Signed Up", "Logged In"],
    "Q5": ["Purchased", "Billed", "Refunded", "Upgraded Plan"],
    "Q8": [USED, NONE_OF],
    "Q9": [*ALL_OF, NONE_OF],
}

_STEPS = [{"event": name} for name in FUNNEL]
_USED = {"did": USED, "at_least": USED_LEAST, "from": "2025-09-01", "to": "2025-09-30"}
_HEALTHY = {"all": [_USED, {"property": "Industry", "is": INDUSTRY}, {"not": {"did": NONE_OF}}]}
_SETS = {"all": [*({"did": name} for name in ALL_OF), {"not": {"did": NONE_OF}}]}

ASKED = {
    "Q1": ("funnel", {"steps": _STEPS}),
    "Q1c": ("funnel", {"steps": _STEPS, "times": False}),
    "Q2": ("funnel", {"steps": _STEPS, "times": False, "within": "7d"}),
    "Q3": ("funnel", {"steps": _STEPS, "by": f"person.{SOURCE}", "limit": 1000}),
    "Q4": (
        "cohort",
        {"start": {"event": "Signed Up"}, "return": {"event": "Logged In"}, "cohort": "month", "bucket": "week", "count": WEEKS},
    ),
    "Q5": ("revenue", {"unit": "month", "by": f"person.{SOURCE}", "limit": 1000}),
    "Q6": (
        "funnel",
        {"steps": _STEPS, "by": f"person.{EXPERIMENT}", "limit": 1000, "people": {"seen": {"from": "2025-10-01"}}},
    ),
    "Q8": ("people", {"people": _HEALTHY, "limit": PAGE}),
    "Q9": ("people", {"people": _SETS, "limit": 0}),
}


def timeline(name):
    """The path of one person's time line."""
    return f"/api/v1/people/{quote(name, safe='')}/events?limit=10000"


def _funnel(steps, medians=True):
    people = [step["people"] for step in steps]
    return [people, [step["seconds"]["median"] for step in steps[1:]]] if medians else [people]


def _by_value(segments):
    return {str(s["value"] or ""): _funnel(s["steps"]) for s in segments}


def _month(text):
    return int(text[:4]) * 100 + int(text[5:7])


def plain(question, answer):
    """The answer of whodid in its plain form; Q7 and Q8 have more to them, see `Whodid.answer`."""
    if question == "Q1":
        return _funnel(answer["steps"])
    if question in ("Q1c", "Q2"):
        return _funnel(answer["steps"], medians=False)
    if question in ("Q3", "Q6"):
        return _by_value(answer["segments"])
    if question == "Q4":
        rows = (r for r in answer["cohorts"] if r["size"])
        return {_month(r["cohort"]): [r["size"], [cell["people"] for cell in r["cells"]]] for r in rows}
    if question == "Q5":
        months = {_month(p["start"]): float(Decimal(p["total"])) for p in answer["series"]}
        segments = {str(s["value"] or ""): [float(Decimal(s["total"])), s["people"], s["paying"]] for s in answer["segments"]}
        return [months, segments]
    return answer["total"]


def same(a, b):
    """Whether two plain answers agree. Floats may differ in how they were rounded: half a thousandth, or a part in 10^9."""
    if isinstance(a, dict) and isinstance(b, dict):
        return all(same(a.get(key, 0), b.get(key, 0)) for key in {*a, *b})
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= max(5e-4, 1e-9 * abs(a)) if isinstance(a, float) or isinstance(b, float) else a == b
    return a == b
