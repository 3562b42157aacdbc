"""What the demo asks for: two rounds on one site, each check with the function that grades it."""

import base64
import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from agent.cli.demo import grading
from agent.cli.demo.evaluator import Site
from agent.cli.demo.grading import Grade
from agent.records import Json

TASK = "port-alder-ferries"
EMAIL = "harbour.master@port-alder.example"
SECTIONS = ["Summary", "Setup", "Usage", "How the code works", "License"]
CSV_NAME = "ferries.csv"
CSV = b"""route,month,sailings,passengers
North Quay,May,62,9120
North Quay,June,60,9845
North Quay,July,62,11230
Saltmarsh,May,31,2210
Saltmarsh,June,30,2475
Saltmarsh,July,31,3160
Lighthouse Point,May,45,5330
Lighthouse Point,June,52,6905
Lighthouse Point,July,62,8745
Gull Island,May,18,1290
Gull Island,June,24,2040
Gull Island,July,31,3415
"""


@dataclass(frozen=True)
class Ask:
    """One acceptance check: as it is sent, and how it is graded here."""

    check: str | Json
    grade: Callable[[Site], Grade]
    unrun: str | Json | None = None  # asked instead where no browser runs the page: reading decides it

    @property
    def text(self) -> str:
        return self.check if isinstance(self.check, str) else ", ".join(self.check.values())


@dataclass(frozen=True)
class Round:
    number: int
    brief: str
    asks: tuple[Ask, ...]
    attachments: Mapping[str, bytes] = field(default_factory=dict)

    def without_browser(self) -> "Round":
        return replace(self, asks=tuple(replace(ask, check=ask.unrun or ask.check) for ask in self.asks))

    def request(self, *, nonce: str) -> Json:
        """The body of the POST, without the secret and the address of the evaluator."""
        return {
            "email": EMAIL,
            "task": TASK,
            "round": self.number,
            "nonce": nonce,
            "brief": self.brief,
            "checks": [ask.check for ask in self.asks],
            "attachments": [{"name": name, "url": _data_uri(data)} for name, data in self.attachments.items()],
        }


def passengers_by_route() -> dict[str, int]:
    total: dict[str, int] = {}
    for row in csv.DictReader(io.StringIO(CSV.decode())):
        total[row["route"]] = total.get(row["route"], 0) + int(row["passengers"])
    return total


def _data_uri(data: bytes) -> str:
    return f"data:text/csv;base64,{base64.b64encode(data).decode()}"


TOTALS = passengers_by_route()

ROUNDS = (
    Round(
        number=1,
        brief=(
            "Publish a one-page site about the ferries of Port Alder. The attachment ferries.csv counts sailings and "
            'passengers by route and month. The title is exactly "Port Alder ferries". Show the number of all '
            "passengers as a raw number inside #total-passengers and the name of the route with the most passengers "
            "inside #busiest-route, both written into the HTML and computed again from ferries.csv in the browser. "
            "Put the looks into style.css."
        ),
        attachments={CSV_NAME: CSV},
        asks=(
            Ask({"js": 'document.title === "Port Alder ferries"'}, partial(grading.has_title, "Port Alder ferries")),
            Ask(
                {"js": f'document.querySelector("#total-passengers").textContent === "{sum(TOTALS.values())}"'},
                partial(grading.shows, "total-passengers", str(sum(TOTALS.values()))),
                unrun={"selector": "#total-passengers"},
            ),
            Ask(
                {"selector": "#busiest-route"},
                partial(grading.shows, "busiest-route", max(TOTALS, key=TOTALS.__getitem__)),
            ),
            Ask("ferries.csv matches the attachment", partial(grading.is_unchanged, CSV_NAME, CSV)),
            Ask("index.html links to style.css", partial(grading.links_stylesheet, "style.css")),
            Ask("README.md is clear and complete", partial(grading.readme_has_sections, SECTIONS)),
            Ask("Repo has an MIT license", grading.is_mit_licensed),
        ),
    ),
    Round(
        number=2,
        brief=(
            "Add a table #routes to the ferry page: one body row for each route with its passengers from May to July, "
            "written into the HTML. Publish the same numbers as routes.json, an object that maps the name of a route "
            "to its passengers, and say so in README.md."
        ),
        asks=(
            Ask({"selector": "table#routes"}, partial(grading.has_element, "routes", tag="table")),
            Ask(
                {"js": 'document.querySelectorAll("#routes tbody tr").length >= 4'},
                partial(grading.has_rows, "routes", list(TOTALS)),
            ),
            Ask("routes.json is valid JSON", partial(grading.is_json, "routes.json", TOTALS)),
            Ask('README.md mentions "routes.json"', partial(grading.readme_mentions, "routes.json")),
        ),
    ),
)
