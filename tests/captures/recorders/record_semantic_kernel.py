"""Semantic Kernel: a chat with a plugin's function, content in log records."""

import asyncio
import logging
import os
import sys
from pathlib import Path

os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE"] = "true"

import openai
import semantic_kernel
from export import Recorder
from opentelemetry.sdk._logs import LoggingHandler
from provider import start
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import (
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
)
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import kernel_function

recorder = Recorder()
handler = LoggingHandler(logger_provider=recorder.logger_provider)
handler.addFilter(logging.Filter("semantic_kernel"))
logging.getLogger().addHandler(handler)
logging.getLogger().setLevel(logging.INFO)


class Weather:
    """A plugin."""

    @kernel_function(name="get_weather", description="Get the weather for a city")
    def get_weather(self, city: str) -> str:
        """Always the same."""
        return '{"temp_c": 14}'


async def main() -> None:
    """One chat with a tool, one agent, one failure."""
    address = start()
    client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="made-up", max_retries=0)
    service = OpenAIChatCompletion(ai_model_id="gpt-4o-mini", async_client=client)
    kernel = Kernel()
    kernel.add_service(service)
    kernel.add_plugin(Weather(), "Weather")
    history = ChatHistory()
    history.add_system_message("You are a helpful weather assistant.")
    history.add_user_message("What is the weather in Paris? 🌧")
    settings = OpenAIChatPromptExecutionSettings(
        temperature=0.2, function_choice_behavior=FunctionChoiceBehavior.Auto()
    )
    await service.get_chat_message_content(history, settings, kernel=kernel)
    agent = ChatCompletionAgent(service=service, name="weather_agent", instructions="Be terse.")
    await agent.get_response("What is the weather in Paris? 🌧")


asyncio.run(main())
name = f"semantic_kernel-semantic-kernel-{semantic_kernel.__version__}"
recorder.write(Path(sys.argv[1]), name)
