"""API keys and tokens by the form that their providers give them."""

import re

PROVIDERS: tuple[tuple[str, str], ...] = (
    # Models and their tools
    ("OpenAI, Anthropic, OpenRouter, DeepSeek, Langfuse", r"sk-[A-Za-z0-9_\-]{20,}"),
    ("Google API", r"AIza[0-9A-Za-z_\-]{35}"),
    ("Hugging Face", r"(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    ("Groq", r"gsk_[A-Za-z0-9]{30,}"),
    ("xAI, Perplexity, NVIDIA, Tavily", r"(?:xai|pplx|nvapi|tvly)-[A-Za-z0-9_\-]{24,}"),
    ("Replicate, Fireworks, Pinecone", r"(?:r8|fw|pcsk)_[A-Za-z0-9_]{24,}"),
    ("LangSmith", r"lsv2_(?:pt|sk)_[0-9a-f]{32}(?:_[0-9a-f]{10})?"),
    # Clouds
    ("AWS access key id", r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}(?![0-9A-Za-z])"),
    ("AWS Bedrock API key", r"ABSK[A-Za-z0-9+/]{100,}={0,2}|bedrock-api-key-[A-Za-z0-9+/=]{40,}"),
    ("Google OAuth", r"ya29\.[A-Za-z0-9_\-]{20,}|GOCSPX-[A-Za-z0-9_\-]{20,}"),
    ("Azure AD client secret", r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}"),
    ("Azure resource key", r"[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{26}"
                           r"|[A-Za-z0-9/+]{76}AzCa[A-Z0-9]{6}"),
    ("Azure signature", r"sig=[A-Za-z0-9%]{40,64}(?:%3D|=)"),
    ("DigitalOcean, Databricks", r"do[opr]_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}(?:-[0-9])?"),
    ("Cloudflare, Heroku, Fly", r"(?:v1\.0-[0-9a-f]{24}|HRKU-|fo1_)[A-Za-z0-9_\-]{30,}"),
    # Code and packages
    ("GitHub", r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}"),
    ("GitLab", r"gl(?:pat|dt|rt|ptt|cbt|oas|ft|soat|imt)-[A-Za-z0-9_\-.]{20,}"),
    ("npm, PyPI, RubyGems", r"npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{50,}|rubygems_[0-9a-f]{48}"),
    ("Docker, Atlassian", r"dckr_(?:pat|oat)_[A-Za-z0-9_\-]{20,}|ATATT3[A-Za-z0-9_\-=]{100,}"),
    ("HashiCorp", r"hv[sbr]\.[A-Za-z0-9_\-]{20,}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-=]{60,}"),
    ("Grafana, Sentry, New Relic", r"gl(?:sa|c)_[A-Za-z0-9+/_=]{30,}|sntrys_[A-Za-z0-9+/_=]{40,}"
                                   r"|NRAK-[A-Z0-9]{27}"),
    # Messages and money
    ("Slack", r"xox[abcdeoprs]-[A-Za-z0-9\-%]{10,}|xapp-[0-9]-[A-Za-z0-9\-]{20,}"
              r"|T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,26}"),
    ("Stripe", r"[srp]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{24,}"),
    ("Twilio", r"(?:SK|AC)[0-9a-f]{32}(?![0-9a-f])"),
    ("SendGrid, Mailgun", r"SG\.[A-Za-z0-9_\-]{20,24}\.[A-Za-z0-9_\-]{40,50}"
                          r"|key-[0-9a-f]{32}(?![0-9a-f])"),
    ("Mailchimp", r"[0-9a-f]{32}-us[0-9]{1,2}(?![0-9a-z])"),
    ("Shopify, Square", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sq0[a-z]{3}-[A-Za-z0-9_\-]{22,43}"),
    ("Discord", r"[MNO][A-Za-z0-9]{23,25}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,38}"),
    ("Notion, Linear, Figma", r"(?:ntn|lin_api|figd)_[A-Za-z0-9_\-]{36,}"),
    ("Supabase, Postman, age", r"sb[ps]_[A-Za-z0-9_]{36,}|PMAK-[0-9a-f]{24}-[0-9a-f]{34}"
                               r"|AGE-SECRET-KEY-1[0-9A-Z]{58}"),
)  # fmt: skip
"""Whose, and the form: at least 20 characters of :data:`RUN`'s, after no letter or digit."""

API_KEY = re.compile("(?<![A-Za-z0-9])(?:" + "|".join(form for _, form in PROVIDERS) + ")")
RUN = re.compile(r"[A-Za-z0-9_\-+/=.~%]{20,}+")
"""Long words: every key is (in) one, and ordinary texts have few."""
