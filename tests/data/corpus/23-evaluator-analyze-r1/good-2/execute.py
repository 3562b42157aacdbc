"""Summarise data.xlsx as JSON on stdout."""
import json

import pandas as pd


def build_summary(path: str) -> dict:
    frame = pd.read_excel(path)
    frame["revenue"] = frame["units"] * frame["price"]
    frame["date"] = pd.to_datetime(frame["date"])
    best = frame.groupby("product")["revenue"].sum().nlargest(3)
    daily = frame.groupby(["region", "date"])["revenue"].sum().reset_index()
    trend = {}
    for region, part in daily.groupby("region"):
        series = part.set_index("date")["revenue"].sort_index()
        trend[region] = float(series.rolling("7D").mean().iloc[-1])
    return {
        "row_count": len(frame),
        "regions": int(frame["region"].nunique()),
        "top_products": [{"product": p, "revenue": float(v)} for p, v in best.items()],
        "rolling_7d_revenue_by_region": trend,
    }


if __name__ == "__main__":
    print(json.dumps(build_summary("data.xlsx"), indent=2))
