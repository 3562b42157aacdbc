"""Traces: what they tell of a task, and that nothing of them is there when nobody asked for them."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from agent import telemetry
from agent.errors import Permanent
from agent.llm.providers import trace_name
from tests.harness import SECRET, Evaluator, Journal, accept, assembled, evaluator, good_site, serving, settings, task
from tests.provider import calls, completion, fault, provider

PAGE_TEXT = "canary of the page"


@pytest.fixture
def grader() -> Iterator[Evaluator]:
    with evaluator() as running:
        yield running


@contextmanager
def exported() -> Iterator[list[ReadableSpan]]:
    """The spans that were made inside, once it is left."""
    memory, spans = InMemorySpanExporter(), list[ReadableSpan]()
    with telemetry.exporting(memory):
        yield spans
    spans += memory.get_finished_spans()


def test_a_task_is_one_trace_of_its_run_its_model_calls_and_its_tools(tmp_path: Path, grader: Evaluator) -> None:
    first = calls(("write_file", {"path": "index.html", "content": PAGE_TEXT}), ("no_tool", {}))
    made = json.loads(calls(*good_site()).body)["choices"][0]["message"]
    second = completion(made, "tool_calls", prompt_tokens_details={"cached_tokens": 60})
    with (
        exported() as spans,
        provider([fault(401, "no"), first, fault(401, "no"), second]) as llm,
        serving(settings(tmp_path, llm_base_url=llm.url, llm_fallback_models="openai/other")) as door,
    ):
        body = task(grader.url)
        task_id = door.send_task(body)["id"]
        assert door.finish(task_id)["stopped_by"] == "passed"
    run, *inner = sorted(spans, key=lambda span: span.start_time or 0)
    assert [span.name for span in (run, *inner)] == [
        "invoke_agent llm-devops-engine",
        "chat test",
        "chat test",  # one of these two reads the task
        "execute_tool write_file",
        "execute_tool no_tool",
        "chat test",
        "execute_tool write_file",
        "execute_tool write_file",
    ]
    assert run.parent is None
    assert {span.parent and span.parent.span_id for span in inner} == {run.context.span_id}
    assert {format(span.context.trace_id, "032x") for span in spans} == {task_id}
    assert {span.name for span in spans if span.kind == SpanKind.CLIENT} == {"chat test"}
    assert [span for span in spans if span.status.status_code == StatusCode.ERROR] == [inner[3]]
    assert dict(run.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "llm-devops-engine",
        "gen_ai.conversation.id": task_id,
        "task.attempt": 1,
        "task.round": 1,
        "task.stopped_by": "passed",
        "task.turns": 2,
    }
    assert dict(inner[4].attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test",
        "gen_ai.response.model": "other",
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.output_tokens": 10,
        "task.failed_calls": 1,
    }
    assert dict(inner[3].attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "no_tool",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.type": "function",
        "error.type": "ToolError",
    }
    told = " ".join(span.to_json() for span in spans)
    assert [word for word in (SECRET, "canary-model-key", body["email"], PAGE_TEXT, "ferries") if word in told] == []


def test_what_a_killed_process_bought_is_no_model_call_of_the_next_one(tmp_path: Path) -> None:
    async def build() -> None:
        async with assembled(settings(tmp_path, llm_base_url=llm.url)) as parts:
            accepted, journal = accept(parts, task("http://127.0.0.1:9/")), Journal()
            for attempt, until in enumerate(("finish", "commit"), 1):
                with telemetry.task_run(accepted.id, attempt):
                    await journal.run(parts, accepted, until=until)

    with exported() as spans, provider([calls(*good_site()[:1]), calls(*good_site())]) as llm:
        asyncio.run(build())
    runs = [span for span in spans if span.name.startswith("invoke_agent")]
    assert len({span.context.trace_id for span in spans}) == 1
    assert [span.name for span in spans].count("chat test") == 3, "two turns and a reading"
    assert {span.parent and span.parent.span_id for span in spans if span not in runs} == {runs[0].context.span_id}
    assert [(run.attributes or {}).get("task.stopped_by") for run in runs] == [None, "passed"]


def test_a_run_that_fails_says_so_and_not_in_whose_words() -> None:
    name = "gemini/gemini-2.5-flash"
    with exported() as spans, suppress(Permanent), telemetry.model_call(name, provider=trace_name(name)):
        raise Permanent("it said: " + PAGE_TEXT)
    (span,) = spans
    assert (span.name, span.status.status_code) == ("chat gemini-2.5-flash", StatusCode.ERROR)
    assert (span.attributes or {})["error.type"] == "Permanent"
    assert (span.attributes or {})["gen_ai.provider.name"] == "gcp.gemini"
    assert PAGE_TEXT not in span.to_json()


def test_a_call_is_known_by_its_id_without_the_reasoning_that_some_carry_in_it() -> None:
    with exported() as spans, telemetry.tool_call("run_check", "call_1__thought__" + "x" * 9_000):
        pass
    assert (spans[0].attributes or {})["gen_ai.tool.call.id"] == "call_1"


class Collector:
    """Takes spans as a collector does: OTLP over HTTP."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.services: list[str] = []


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    taken = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in sent.resource_spans:
                taken.services += [
                    a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
                ]
                taken.names += [span.name for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """A test's output is not a server's log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield taken
    server.shutdown()
    server.server_close()


def test_an_endpoint_is_all_that_traces_need(tmp_path: Path, grader: Evaluator, collector: Collector) -> None:
    with provider([fault(401, "no")]) as llm:
        configured = settings(tmp_path, llm_base_url=llm.url, otel_exporter_otlp_endpoint="set")
        with serving(configured) as door:
            door.finish(door.send_task(task(grader.url))["id"])
    assert sorted(collector.names) == ["chat test", "chat test", "invoke_agent llm-devops-engine"]
    assert set(collector.services) == {"llm-devops-engine"}
