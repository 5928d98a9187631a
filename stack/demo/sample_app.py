"""A sample application: the stock OpenTelemetry SDK and the GenAI semantic conventions.

Run it against any OTLP/HTTP endpoint::

    python -m stack.demo.sample_app --endpoint http://127.0.0.1:4318 --count 300 --rate 8

It knows nothing of Streamgauge: what it does is what an application's instrumentation does.
"""

import argparse
import json
import random
import time
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from stack.demo.conversations import DOCS, SHOP, SUPPORT, Conversation, Turn, conversations

MODELS = {
    SUPPORT: ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    DOCS: ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
    SHOP: ("gcp.gemini", "gemini-2.5-flash", "gemini-2.5-flash"),
}
NS_PER_S = 1_000_000_000
SENT_PREFIX = "done: "


@dataclass(slots=True)
class Timeline:
    """Simulated time within one conversation, ending about now (ns since 1970)."""

    now_ns: int

    def spend(self, seconds: float) -> int:
        """Move on by that long and return the new time."""
        self.now_ns += int(seconds * NS_PER_S)
        return self.now_ns


def _message(role: str, *parts: dict[str, object]) -> dict[str, object]:
    return {"role": role, "parts": list(parts)}


def _text(content: str) -> dict[str, object]:
    return {"type": "text", "content": content}


def _tokens(*texts: str) -> int:
    return sum(len(text) for text in texts) // 4 + 3


class SampleApp:
    """One service: its resource, its tracer, its exporter."""

    def __init__(self, service: str, exporter: SpanExporter, version: str) -> None:
        self.provider_name, self.request_model, self.response_model = MODELS[service]
        self._provider = TracerProvider(
            resource=Resource.create(
                {
                    "service.name": service,
                    "service.version": version,
                    "deployment.environment.name": "demo",
                }
            )
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=400, max_export_batch_size=128)
        )
        self._tracer: Tracer = self._provider.get_tracer("sample-app", version)
        self.calls = 0

    def converse(self, talk: Conversation, rng: random.Random, number: int) -> None:
        """Send one conversation as one trace."""
        timeline = Timeline(time.time_ns() - 4 * NS_PER_S)
        common = {
            "gen_ai.conversation.id": f"{talk.service}-{number:05}",
            "user.id": f"user-{rng.randint(1, 40):03}",
        }
        root = self._tracer.start_span(
            "POST /chat",
            kind=SpanKind.SERVER,
            start_time=timeline.now_ns,
            attributes={"http.request.method": "POST", "url.path": "/chat"},
        )
        context = trace.set_span_in_context(root)
        if talk.documents:
            self._retrieve(talk, context, timeline, common)
        history: list[dict[str, object]] = []
        for turn in talk.turns:
            history.append(_message("user", _text(turn.user)))
            if talk.tool is not None:
                self._call_tool(talk, history, context, timeline, common, rng)
            self._chat(talk, turn, history, context, timeline, common, rng)
            history.append(_message("assistant", _text(turn.assistant)))
        root.end(end_time=timeline.spend(0.01))

    def _retrieve(
        self, talk: Conversation, context: Context, timeline: Timeline, common: dict[str, str]
    ) -> None:
        self.calls += 1
        span = self._tracer.start_span(
            "retrieval handbook",
            context=context,
            kind=SpanKind.CLIENT,
            start_time=timeline.now_ns,
            attributes={
                **common,
                "gen_ai.operation.name": "retrieval",
                "gen_ai.provider.name": self.provider_name,
                "gen_ai.data_source.id": "handbook",
                "gen_ai.retrieval.query.text": talk.turns[0].user,
                "gen_ai.retrieval.documents": json.dumps(
                    [
                        {"id": f"page-{i}", "score": round(0.9 - i / 10, 2), "content": text}
                        for i, text in enumerate(talk.documents)
                    ]
                ),
            },
        )
        span.end(end_time=timeline.spend(0.06))

    def _call_tool(
        self,
        talk: Conversation,
        history: list[dict[str, object]],
        context: Context,
        timeline: Timeline,
        common: dict[str, str],
        rng: random.Random,
    ) -> None:
        tool = talk.tool
        assert tool is not None  # noqa: S101 - the caller looked
        call = {
            "type": "tool_call",
            "id": f"call_{rng.randint(0, 1 << 30):x}",
            "name": tool.name,
            "arguments": json.loads(tool.arguments),
        }
        self._chat(talk, None, history, context, timeline, common, rng, call)
        history.append(_message("assistant", call))
        self.calls += 1
        span = self._tracer.start_span(
            f"execute_tool {tool.name}",
            context=context,
            start_time=timeline.now_ns,
            attributes={
                **common,
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": tool.name,
                "gen_ai.tool.call.id": str(call["id"]),
                "gen_ai.tool.call.arguments": tool.arguments,
                "gen_ai.tool.call.result": tool.result,
            },
        )
        span.end(end_time=timeline.spend(0.12))
        history.append(
            _message(
                "tool", {"type": "tool_call_response", "id": call["id"], "response": tool.result}
            )
        )

    def _chat(
        self,
        talk: Conversation,
        turn: Turn | None,
        history: list[dict[str, object]],
        context: Context,
        timeline: Timeline,
        common: dict[str, str],
        rng: random.Random,
        tool_call: dict[str, object] | None = None,
    ) -> None:
        failed = talk.error and turn is not None
        answer = tool_call if tool_call is not None else _text(turn.assistant if turn else "")
        reason = "tool_call" if tool_call is not None else "stop"
        self.calls += 1
        span = self._tracer.start_span(
            f"chat {self.request_model}",
            context=context,
            kind=SpanKind.CLIENT,
            start_time=timeline.now_ns,
            attributes={
                **common,
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": self.provider_name,
                "gen_ai.request.model": self.request_model,
                "gen_ai.request.temperature": 0.2,
                "gen_ai.request.max_tokens": 512,
                "gen_ai.system_instructions": json.dumps([_text(talk.system)]),
                "gen_ai.input.messages": json.dumps(history),
            },
        )
        if failed:
            span.set_attribute("error.type", "429")
            span.set_status(Status(StatusCode.ERROR, "rate limited"))
        else:
            span.set_attributes(
                {
                    "gen_ai.response.model": self.response_model,
                    "gen_ai.response.id": f"resp_{rng.randint(0, 1 << 40):x}",
                    "gen_ai.response.finish_reasons": [reason],
                    "gen_ai.response.time_to_first_chunk": round(rng.uniform(0.15, 0.5), 3),
                    "gen_ai.usage.input_tokens": _tokens(talk.system, json.dumps(history)),
                    "gen_ai.usage.output_tokens": _tokens(json.dumps(answer)),
                    "gen_ai.output.messages": json.dumps(
                        [{**_message("assistant", answer), "finish_reason": reason}]
                    ),
                }
            )
        span.end(end_time=timeline.spend(rng.uniform(0.5, 1.6)))

    def flush(self) -> None:
        """Send what is queued."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what is queued and stop."""
        self._provider.shutdown()


def main() -> None:
    """Command line of the sample application."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--endpoint", default="http://127.0.0.1:4318", help="OTLP/HTTP base URL")
    parser.add_argument("--api-key", default="", help="sent as a bearer token")
    parser.add_argument("--count", type=int, default=300, help="conversations")
    parser.add_argument("--rate", type=float, default=8.0, help="conversations a second")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    headers = {"Authorization": f"Bearer {options.api_key}"} if options.api_key else {}
    url = f"{options.endpoint}/v1/traces"
    apps = {
        name: SampleApp(name, OTLPSpanExporter(endpoint=url, headers=headers), "1.4.0")
        for name in MODELS
    }
    rng = random.Random(options.seed)  # noqa: S311 - repeatable traffic, not a secret
    started = time.monotonic()
    for number, talk in enumerate(conversations(options.count, options.seed)):
        apps[talk.service].converse(talk, rng, number)
        ahead = started + (number + 1) / options.rate - time.monotonic()
        time.sleep(max(0.0, ahead))
        if (number + 1) % 50 == 0:
            print(f"sent {number + 1} of {options.count} conversations", flush=True)
    for app in apps.values():
        app.close()
    calls = sum(app.calls for app in apps.values())
    print(f"{SENT_PREFIX}{calls} GenAI calls in {options.count} conversations", flush=True)


if __name__ == "__main__":
    main()
