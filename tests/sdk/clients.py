"""segment-analytics-python and py-KISSmetrics as they are, with another host: python3 clients.py HOST KEY"""
import sys

import segment.analytics as analytics
from KISSmetrics import Client

host, key = sys.argv[1:3]
failed = []
analytics.write_key = key
analytics.host = "http://" + host
analytics.max_retries = 0
analytics.on_error = lambda error, items: failed.append(str(error))
analytics.identify("py-1", {"email": "py@example.com", "plan": {"name": "Pro"}})
analytics.track("py-1", "Order Completed", {"revenue": 12.5, "products": ["a", "b"]}, anonymous_id="py-anon")
analytics.page("py-1", "Docs", "Home", {"url": "http://x/"})
analytics.group("py-1", "acme", {"name": "Acme"})
analytics.alias("py-old", "py-1")
analytics.flush()
analytics.shutdown()

kissmetrics = Client(key, trk_host=host, trk_scheme="http")
for answer in (
    kissmetrics.record("km-1", "Signed Up", {"Plan Name": "Pro", "ok": True}),
    kissmetrics.set("km-1", {"gender": "x"}),
    kissmetrics.alias("km-anon", "km-1"),
):
    if answer.status != 200:
        failed.append(str(answer.status))
sys.exit("; ".join(failed) if failed else 0)
