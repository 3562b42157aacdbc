"""Prometheus figures, counted from the store on request: nothing to synchronise, nothing lost in a restart."""

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.records import State
from agent.store import NotificationState, Store, Totals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(store: Store) -> bytes:
    """The current figures in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(StoreCollector(store))
    return generate_latest(registry)


class StoreCollector(Collector):
    """A state without tasks is reported as 0, so that an alert can be written before the first failure."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        totals = self._store.totals()
        yield _by_state("agent_tasks", "Tasks by state.", get_args(State), totals.tasks)
        yield _by_state(
            "agent_notifications", "Notifications by state.", get_args(NotificationState), totals.notifications
        )
        yield from _spent(totals)


def _by_state(name: str, text: str, states: tuple[str, ...], counts: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state in states:
        family.add_metric([state], counts.get(state, 0))
    return family


def _spent(totals: Totals) -> Iterator[Metric]:
    usage = totals.usage
    yield CounterMetricFamily("agent_model_calls", "Model calls of all tasks.", value=usage.model_calls)
    tokens = CounterMetricFamily("agent_tokens", "Tokens of all tasks; cached ones are prompt too.", labels=["kind"])
    tokens.add_metric(["prompt"], usage.prompt_tokens)
    tokens.add_metric(["completion"], usage.completion_tokens)
    tokens.add_metric(["cached"], usage.cached_tokens)
    yield tokens
    yield CounterMetricFamily("agent_cost_usd", "Known cost of all tasks.", value=usage.cost_usd or 0.0)
    yield GaugeMetricFamily("agent_unpriced_tasks", "Tasks with a call of unknown price.", value=totals.unpriced_tasks)
