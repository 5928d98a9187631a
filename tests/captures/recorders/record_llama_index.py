"""LlamaIndex under OpenInference: chat, stream, a query engine over a vector index, an agent."""

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path

from export import Recorder
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI
from openinference.instrumentation import using_attributes
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from provider import start

recorder = Recorder()
LlamaIndexInstrumentor().instrument(tracer_provider=recorder.tracer_provider)
llm = OpenAI(model="gpt-4o-mini", api_base=f"{start()}/v1", api_key="made-up", temperature=0.2)
Settings.llm, Settings.embed_model = llm, MockEmbedding(embed_dim=4)
system = ChatMessage(role="system", content="You are a helpful weather assistant.")
user = ChatMessage(role="user", content="What is the weather in Paris? 🌧")


def get_weather(city: str) -> str:
    """Get the weather for a city."""
    return '{"temp_c": 14}'


async def run_agent() -> None:
    """One question to an agent with a tool."""
    agent = FunctionAgent(tools=[get_weather], llm=llm, system_prompt="Be terse.", streaming=False)
    await agent.run(user_msg="What is the weather in Paris? 🌧")


with using_attributes(session_id="sess-7", user_id="user-42", tags=["prod"]):
    llm.chat([system, user])
    for _ in llm.stream_chat([user]):
        pass
    index = VectorStoreIndex.from_documents([Document(text="Paris is rainy.", doc_id="doc-1")])
    index.as_query_engine().query("What is the weather in Paris? 🌧")
    asyncio.run(run_agent())
package = "openinference-instrumentation-llama-index"
recorder.write(Path(sys.argv[1]), f"openinference-{package}-{version(package)}")
