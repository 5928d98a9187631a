"""Google ADK 1: an agent with a tool, its model called through LiteLLM."""

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path

from export import Recorder
from google.adk.agents import Agent
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types

recorder = Recorder()
USAGE = types.GenerateContentResponseUsageMetadata(
    prompt_token_count=42, cached_content_token_count=8, candidates_token_count=17,
    thoughts_token_count=5, total_token_count=64,
)  # fmt: skip


def get_weather(city: str) -> dict[str, object]:
    """Get the weather for a city."""
    return {"temp_c": 14, "sky": "rain"}


class Model(BaseLlm):
    """Answers like a model would; asks for the tool first."""

    async def generate_content_async(self, request, stream=False):
        """One answer."""
        part = types.Part(text="It is 14 °C and raining in Paris.")
        if not any(p.function_response for c in request.contents for p in c.parts):
            call = types.FunctionCall(
                id="call_Paris000", name="get_weather", args={"city": "Paris"}
            )
            part = types.Part(function_call=call)
        yield LlmResponse(content=types.Content(role="model", parts=[part]), usage_metadata=USAGE,
                          finish_reason=types.FinishReason.STOP)  # fmt: skip


async def main() -> None:
    """One question."""
    agent = Agent(name="weather_agent", model=Model(model="gemini-2.5-flash"), tools=[get_weather],
                  instruction="You are a helpful weather assistant.")  # fmt: skip
    runner = InMemoryRunner(agent, app_name="app")
    await runner.session_service.create_session(app_name="app", user_id="user-42",
                                                session_id="sess-7")  # fmt: skip
    asked = types.Content(role="user", parts=[types.Part(text="What is the weather in Paris? 🌧")])
    async for _ in runner.run_async(user_id="user-42", session_id="sess-7", new_message=asked):
        pass


asyncio.run(main())
recorder.write(Path(sys.argv[1]), f"google_adk1-google-adk-{version('google-adk')}")
