"""Traces: a span for each run of a task, each model call and each tool. The only module that knows OpenTelemetry.

It is loaded when an exporter is asked for, and not before. The names are those of OpenTelemetry's semantic conventions
for generative AI (the repository semantic-conventions-genai), version `CONVENTIONS`: not stable yet and in no package,
so they are spelt out here and nowhere else. What was said is no part of a span, be it in a message, an argument, a
result or the words of an error, and neither is an e-mail.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from agent.events import emit
from agent.records import Reply
from agent.settings import Exporter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

CONVENTIONS = "0.1.0"
SERVICE = "llm-devops-engine"
CLOSE_S = 3.0  # for the last spans to be sent: a collector that is gone must not hold up the end
MAX_WORD_CHARS = 64  # of what a provider calls its calls and its reasons

CHAT, EXECUTE_TOOL, INVOKE_AGENT = "chat", "execute_tool", "invoke_agent"  # operations: a span is named after one
AGENT_NAME = "gen_ai.agent.name"
CONVERSATION_ID = "gen_ai.conversation.id"
ERROR_TYPE = "error.type"
FINISH_REASONS = "gen_ai.response.finish_reasons"
OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
USAGE_CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"

Value = str | int | list[str]

MISSING = "traces are asked for by OTEL_…, but OpenTelemetry is not installed: install the extra `otel` (see README)"

_tracer: Any = None  # OpenTelemetry's; None while nothing is exported
_task: ContextVar[str] = ContextVar("task")  # whose trace a span without a parent belongs to


@contextmanager
def exporting(to: "Exporter | SpanExporter") -> Iterator[None]:
    """Spans are made and sent while this is open."""
    global _tracer
    if to == "none" or not is_installed():
        if to != "none":
            emit("traces.off", reason=MISSING)
        yield
        return
    outer, provider = _tracer, _provider(to)
    _tracer = provider.get_tracer("agent", schema_url=f"https://opentelemetry.io/schemas/gen-ai/{CONVENTIONS}")
    try:
        yield
    finally:
        _tracer = outer
        closing = threading.Thread(target=provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)


def is_installed() -> bool:
    """Whether the extra is there; the bare interface comes with FastAPI and does nothing."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


@contextmanager
def task_run(task_id: str, attempt: int) -> Iterator[None]:
    """Around one run of a task. All runs of it, in whatever process, are one trace, and that has the task's id."""
    attributes: dict[str, Value] = {AGENT_NAME: SERVICE, CONVERSATION_ID: task_id, "task.attempt": attempt}
    reset = _task.set(task_id)
    try:
        with _span(INVOKE_AGENT, SERVICE, attributes):
            yield
    finally:
        _task.reset(reset)


@contextmanager
def model_call(name: str, *, provider: str) -> Iterator[None]:
    """Around one turn of a model, with all its retries; `answered` completes it."""
    with _span(CHAT, _model(name), {PROVIDER_NAME: provider, REQUEST_MODEL: _model(name)}, kind="CLIENT"):
        yield


@contextmanager
def tool_call(name: str, call_id: str) -> Iterator[None]:
    """Around one call of a tool."""
    known_as = call_id.partition("__thought__")[0][:MAX_WORD_CHARS]  # behind it Gemini carries its reasoning
    with _span(EXECUTE_TOOL, name, {TOOL_NAME: name, TOOL_CALL_ID: known_as, TOOL_TYPE: "function"}):
        yield


def answered(reply: Reply, *, provider: str) -> None:
    """Who answered the model call that is open here, and what it took."""
    usage = reply.usage
    note(
        {
            PROVIDER_NAME: provider,
            RESPONSE_MODEL: _model(reply.model),
            FINISH_REASONS: [reply.finish_reason[:MAX_WORD_CHARS]],
            USAGE_INPUT_TOKENS: usage.prompt_tokens,
            USAGE_CACHED_TOKENS: usage.cached_tokens,
            USAGE_OUTPUT_TOKENS: usage.completion_tokens,
            "task.failed_calls": usage.failed_calls,
        }
    )


def note(attributes: Mapping[str, Value]) -> None:
    """Adds to the span that is open here."""
    if _tracer:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(attributes)


@contextmanager
def _span(operation: str, subject: str, attributes: Mapping[str, Value], *, kind: str = "INTERNAL") -> Iterator[None]:
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind, StatusCode

    with _tracer.start_as_current_span(
        f"{operation} {subject}",
        kind=SpanKind[kind],
        attributes={OPERATION_NAME: operation, **attributes},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Exception as error:
            span.set_attribute(ERROR_TYPE, type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


def _provider(to: "Exporter | SpanExporter") -> "TracerProvider":
    """Reads OpenTelemetry's own variables: where to send, how many, as whom."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class TaskIds(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            task_id = _task.get("")
            return int(task_id, 16) if task_id else super().generate_trace_id()

    named = Resource.create({SERVICE_NAME: SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named, id_generator=TaskIds(), shutdown_on_exit=False)
    known = {"otlp": OTLPSpanExporter, "console": ConsoleSpanExporter}
    provider.add_span_processor(BatchSpanProcessor(known[to]() if isinstance(to, str) else to))
    return provider


def _model(name: str) -> str:
    return name.partition("/")[2] or name
