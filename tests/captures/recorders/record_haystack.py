"""Haystack: a retrieval pipeline with a chat generator, and an agent with a tool."""

import os
import sys
from pathlib import Path

os.environ["HAYSTACK_CONTENT_TRACING_ENABLED"] = "true"
os.environ["OPENAI_API_KEY"] = "made-up"

import haystack
from export import Recorder
from haystack import Document, Pipeline, tracing
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators import OpenAIGenerator
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tools import Tool
from haystack.tracing import OpenTelemetryTracer
from opentelemetry import trace
from provider import start

recorder = Recorder()
tracing.tracer.is_content_tracing_enabled = True
tracing.enable_tracing(OpenTelemetryTracer(trace.get_tracer("haystack")))
base = f"{start()}/v1"

store = InMemoryDocumentStore()
store.write_documents([Document(id="doc-1", content="Paris is rainy in November.")])
pipeline = Pipeline()
pipeline.add_component("retriever", InMemoryBM25Retriever(store))
template = [ChatMessage.from_system("You are a helpful weather assistant."),
            ChatMessage.from_user("{{question}} {{documents[0].content}}")]  # fmt: skip
pipeline.add_component("builder", ChatPromptBuilder(template, required_variables="*"))
warm = {"temperature": 0.2}
generator = OpenAIChatGenerator(model="gpt-4o-mini", api_base_url=base, generation_kwargs=warm)
pipeline.add_component("llm", generator)
pipeline.connect("retriever.documents", "builder.documents")
pipeline.connect("builder.prompt", "llm.messages")
question = "What is the weather in Paris? 🌧"
pipeline.run({"retriever": {"query": question}, "builder": {"question": question}})

single = Pipeline()
single.add_component("embedder", OpenAITextEmbedder(api_base_url=base,
                                                    model="text-embedding-3-small"))  # fmt: skip
single.add_component("generator", OpenAIGenerator(model="gpt-4o-mini", api_base_url=base))
single.run({"embedder": {"text": "hello"}, "generator": {"prompt": question}})

schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
tool = Tool(name="get_weather", description="Get the weather for a city", parameters=schema,
            function=lambda city: '{"temp_c": 14}')  # fmt: skip
agent = Agent(chat_generator=OpenAIChatGenerator(model="gpt-4o-mini", api_base_url=base),
              tools=[tool], system_prompt="You are a helpful weather assistant.")  # fmt: skip
agent.run(messages=[ChatMessage.from_user(question)])
recorder.write(Path(sys.argv[1]), f"haystack-haystack-ai-{haystack.__version__}")
