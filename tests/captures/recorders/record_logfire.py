"""Logfire's OpenAI and Anthropic instrumentation: chat, tool round trip, stream, embeddings."""

import contextlib
import sys
from pathlib import Path

import anthropic
import logfire
import openai
from export import Recorder
from provider import start

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}}  # fmt: skip
SYSTEM = {"role": "system", "content": "You are a helpful weather assistant."}
USER = {"role": "user", "content": "What is the weather in Paris? 🌧"}

recorder = Recorder(install=False)
logfire.configure(
    send_to_logfire=False,
    console=False,
    service_name="recorder",
    service_version="1.2.3",
    additional_span_processors=[recorder.span_processor],
)
address = start()
client = openai.OpenAI(base_url=f"{address}/v1", api_key="made-up", max_retries=0)
claude = anthropic.Anthropic(base_url=address, api_key="made-up", max_retries=0)
logfire.instrument_openai(client)
logfire.instrument_anthropic(claude)

client.chat.completions.create(model="gpt-4o-mini", messages=[SYSTEM, USER], temperature=0.2)
with logfire.span("POST /chat"):
    asked = client.chat.completions.create(model="gpt-4o-mini", messages=[SYSTEM, USER],
                                           tools=[TOOL])  # fmt: skip
    call = asked.choices[0].message
    result = {"role": "tool", "tool_call_id": "call_Paris000", "content": '{"temp_c": 14}'}
    client.chat.completions.create(model="gpt-4o-mini", messages=[SYSTEM, USER, call, result],
                                   tools=[TOOL])  # fmt: skip
for _ in client.chat.completions.create(model="gpt-4o-mini", messages=[USER], stream=True,
                                            stream_options={"include_usage": True}):  # fmt: skip
    pass
with logfire.span("POST /stream"):
    for _ in client.chat.completions.create(model="gpt-4o-mini", messages=[USER], stream=True):
        pass
client.embeddings.create(model="text-embedding-3-small", input=["hello"])
claude.messages.create(model="claude-sonnet-4-5", max_tokens=100, system=SYSTEM["content"],
                       messages=[USER])  # fmt: skip
with contextlib.suppress(openai.NotFoundError):
    client.chat.completions.create(model="bad-model", messages=[USER])
logfire.force_flush()
recorder.write(Path(sys.argv[1]), f"logfire-logfire-{logfire.__version__}")
