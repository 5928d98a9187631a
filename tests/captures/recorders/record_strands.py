"""Strands Agents with its default telemetry: content as one span event a message."""

import sys
from importlib.metadata import version
from pathlib import Path

from export import Recorder
from provider import start
from strands import Agent, tool
from strands.models.openai import OpenAIModel

recorder = Recorder()


@tool
def get_weather(city: str) -> str:
    """Get the weather for a city."""
    return '{"temp_c": 14, "sky": "rain"}'


client = {"base_url": f"{start()}/v1", "api_key": "made-up"}
model = OpenAIModel(client_args=client, model_id="gpt-4o-mini")
agent = Agent(model=model, tools=[get_weather], name="weather_agent", callback_handler=None,
              system_prompt="You are a helpful weather assistant.",
              trace_attributes={"session.id": "sess-7", "user.id": "user-42"})  # fmt: skip
agent("What is the weather in Paris? 🌧")
recorder.write(Path(sys.argv[1]), f"strands_events-strands-agents-{version('strands-agents')}")
