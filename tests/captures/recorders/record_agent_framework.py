"""Microsoft Agent Framework with its default conventions (1.30): content in log records."""

import asyncio
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ["ENABLE_INSTRUMENTATION"] = os.environ["ENABLE_SENSITIVE_DATA"] = "true"

from agent_framework.observability import enable_instrumentation
from agent_framework.openai import OpenAIChatCompletionClient
from export import Recorder
from provider import start

recorder = Recorder()
enable_instrumentation(enable_sensitive_data=True)


def get_weather(city: str) -> str:
    """Get the weather for a city."""
    return '{"temp_c": 14}'


async def main() -> None:
    """One question."""
    client = OpenAIChatCompletionClient(model="gpt-4o-mini", base_url=f"{start()}/v1",
                                        api_key="made-up")  # fmt: skip
    agent = client.as_agent(name="weather_agent", tools=[get_weather],
                            instructions="You are a helpful weather assistant.")  # fmt: skip
    await agent.run("What is the weather in Paris? 🌧")


asyncio.run(main())
package = "agent-framework-core"
recorder.write(Path(sys.argv[1]), f"agent_framework_v1.30-{package}-{version(package)}")
