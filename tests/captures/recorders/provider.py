"""A loopback model provider for recordings: OpenAI's chat, streams and embeddings, Anthropic's
messages, always with the same conversation and usage. Standard library alone, since it runs in
the throwaway environments that instrumentors are installed into.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "It is 14 °C and raining in Paris."
OPENAI_USAGE = {
    "prompt_tokens": 42,
    "completion_tokens": 17,
    "total_tokens": 59,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
}
ANTHROPIC_USAGE = {
    "input_tokens": 31,
    "cache_creation_input_tokens": 12,
    "cache_read_input_tokens": 20,
    "output_tokens": 17,
}
CALL = {"name": "get_weather", "arguments": '{"city": "Paris"}'}


class Handler(BaseHTTPRequestHandler):
    """Answers by path; asks for the tool first where the request has tools and no result yet."""

    protocol_version = "HTTP/1.1"
    answered = 0

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def do_POST(self) -> None:
        """Answer one request."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        Handler.answered += 1
        if body.get("model") == "bad-model":
            message = {"message": "The model `bad-model` does not exist", "type": "invalid"}
            self._send(404, json.dumps({"error": message}))
        elif self.path.endswith("/embeddings"):
            inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [
                {"object": "embedding", "index": i, "embedding": [0.1, 0.2, 0.3, 0.4]}
                for i in range(len(inputs))
            ]
            usage = {"prompt_tokens": 6, "total_tokens": 6}
            self._send(200, json.dumps({"object": "list", "data": data, "model": body["model"],
                                        "usage": usage}))  # fmt: skip
        elif self.path.endswith("/messages"):
            self._send(200, json.dumps(self._anthropic(body)))
        elif body.get("stream"):
            self._stream(body)
        else:
            self._send(200, json.dumps(self._openai(body)))

    def _wants_tool(self, body: dict[str, Any]) -> bool:
        messages = body.get("messages", [])
        return bool(body.get("tools")) and not any(m.get("role") == "tool" for m in messages)

    def _openai(self, body: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": ANSWER}
        if self._wants_tool(body):
            call = {"id": "call_Paris000", "type": "function", "function": CALL}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        reason = "tool_calls" if self._wants_tool(body) else "stop"
        return {
            "id": f"chatcmpl-Rec{Handler.answered:04d}",
            "object": "chat.completion",
            "created": 1700000000,
            "model": f"{body.get('model')}-2024-07-18",
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": OPENAI_USAGE,
        }

    def _anthropic(self, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"msg_Rec{Handler.answered:04d}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": [{"type": "text", "text": ANSWER}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": ANTHROPIC_USAGE,
        }

    def _stream(self, body: dict[str, Any]) -> None:
        whole = self._openai(body)
        head = {key: whole[key] for key in ("id", "created", "model")}
        head["object"] = "chat.completion.chunk"
        choice = whole["choices"][0]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if calls := choice["message"].get("tool_calls"):
            deltas.append({"tool_calls": [{"index": 0, **calls[0]}]})
        else:
            deltas += [{"content": ANSWER[:6]}, {"content": ANSWER[6:]}]
        events = [{**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}]}
                  for d in deltas]  # fmt: skip
        last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        events.append({**head, "choices": [last]})
        events.append({**head, "choices": [], "usage": OPENAI_USAGE})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"]
        self._send(200, "".join(lines), "text/event-stream")

    def _send(self, status: int, text: str, kind: str = "application/json") -> None:
        value = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(value)))
        self.end_headers()
        self.wfile.write(value)


def start() -> str:
    """Serve in a thread; the address to call."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
