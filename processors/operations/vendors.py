"""Providers by the names that senders give them, and by their models.

Frameworks write their own name where the provider's belongs, or none: the model then tells who
answered. A model that several providers serve tells nothing.
"""

PROVIDERS = {
    "vertex_ai": "gcp.vertex_ai", "vertexai": "gcp.vertex_ai", "gemini": "gcp.gemini",
    "google": "gcp.gen_ai", "google_genai": "gcp.gen_ai", "google-generativeai": "gcp.gemini",
    "az.ai.openai": "azure.ai.openai", "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai", "az.ai.inference": "azure.ai.inference",
    "azure-openai": "azure.ai.openai", "xai": "x_ai", "aws": "aws.bedrock",
    "bedrock": "aws.bedrock", "bedrock_converse": "aws.bedrock", "amazon-bedrock": "aws.bedrock",
    "aws_bedrock": "aws.bedrock", "mistralai": "mistral_ai", "mistral": "mistral_ai",
    "mistral-ai": "mistral_ai", "moonshot": "moonshot_ai", "watsonx": "ibm.watsonx.ai",
    "together_ai": "together", "togetherai": "together", "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks", "google_vertexai": "gcp.vertex_ai",
    "google-vertex": "gcp.vertex_ai", "azure_ai": "azure.ai.inference", "open_ai": "openai",
}  # fmt: skip
"""The conventions' provider by the names of older conventions and of other dialects."""

FRAMEWORKS = frozenset(
    {
        "strands-agents", "gcp.vertex.agent", "microsoft.agent_framework", "langchain",
        "langgraph", "llamaindex", "llama_index", "haystack", "spring_ai", "semantic_kernel",
        "crewai", "autogen", "smolagents", "pydantic_ai", "litellm", "langfuse", "openlit",
    }
)  # fmt: skip
"""Names that some emitters write in the provider's place."""

_MODELS = (
    ("gpt-", "openai"), ("chatgpt-", "openai"), ("o1", "openai"), ("o3", "openai"),
    ("o4-", "openai"), ("text-embedding-", "openai"), ("davinci", "openai"),
    ("claude-", "anthropic"), ("gemini-", "gcp.gemini"), ("grok-", "x_ai"),
    ("mistral-", "mistral_ai"), ("ministral-", "mistral_ai"), ("codestral-", "mistral_ai"),
    ("command-", "cohere"), ("deepseek-", "deepseek"), ("sonar", "perplexity"),
    ("kimi-", "moonshot_ai"), ("anthropic.", "aws.bedrock"), ("amazon.", "aws.bedrock"),
    ("meta.", "aws.bedrock"), ("us.", "aws.bedrock"), ("eu.", "aws.bedrock"),
    ("apac.", "aws.bedrock"), ("global.", "aws.bedrock"),
)  # fmt: skip
_KNOWN = frozenset(PROVIDERS.values()) | {
    "openai", "anthropic", "cohere", "deepseek", "groq", "perplexity", "ollama", "openrouter",
    "together", "fireworks", "cerebras", "huggingface", "replicate",
}  # fmt: skip


def fold_provider(name: str) -> str:
    """The provider's name in the conventions' current vocabulary."""
    name = name.lower()
    folded = PROVIDERS.get(name)
    if folded is None and "." in name:  # an SDK's interface: openai.chat, anthropic.messages
        head = name.partition(".")[0]
        folded = PROVIDERS.get(head, head if head in _KNOWN else None)
        folded = None if name in _KNOWN else folded
    return folded or name


def provider_of_model(model: str) -> str:
    """The provider whom the model's name tells, or ''."""
    model = model.lower()
    head, slash, _ = model.partition("/")
    if slash:  # openai/gpt-4o
        folded = fold_provider(head)
        return folded if folded in _KNOWN else ""
    return next((provider for prefix, provider in _MODELS if model.startswith(prefix)), "")
