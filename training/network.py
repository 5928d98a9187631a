"""The network in torch: the MiniLM encoder and one small head over what it pools.

Only training uses torch; ``graph`` writes the same computation as ONNX. Parameters have the names
of the published BERT weights.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from training.shape import EPSILON, HEADS, HIDDEN, INNER, LAYERS, PLACES, SEGMENTS, WORDS, Weights

POOLED = 3 * HIDDEN  # mean, maximum and first token of the last layer
HEAD = 128


class _Embeddings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(WORDS, HIDDEN)
        self.position_embeddings = nn.Embedding(PLACES, HIDDEN)
        self.token_type_embeddings = nn.Embedding(SEGMENTS, HIDDEN)
        self.LayerNorm = nn.LayerNorm(HIDDEN, eps=EPSILON)

    def forward(self, ids: Tensor, types: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.word_embeddings(ids) + self.token_type_embeddings(types)
        return self.LayerNorm(x + self.position_embeddings(places))


def _module(**parts: nn.Module) -> nn.Module:
    """A container whose parts have the published names."""
    made = nn.Module()
    for name, part in parts.items():
        setattr(made, name, part)
    return made


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        own = _module(**{n: nn.Linear(HIDDEN, HIDDEN) for n in ("query", "key", "value")})
        out = _module(dense=nn.Linear(HIDDEN, HIDDEN), LayerNorm=nn.LayerNorm(HIDDEN, eps=EPSILON))
        self.attention = _module(self=own, output=out)
        self.intermediate = _module(dense=nn.Linear(HIDDEN, INNER))
        self.output = _module(
            dense=nn.Linear(INNER, HIDDEN), LayerNorm=nn.LayerNorm(HIDDEN, eps=EPSILON)
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x [N, L, H], bias [N, 1, 1, L] added to the attention scores."""
        own, out = self.attention.self, self.attention.output
        shape = (*x.shape[:2], HEADS, HIDDEN // HEADS)
        query, key, value = (
            part(x).view(shape).transpose(1, 2) for part in (own.query, own.key, own.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        mixed = mixed.transpose(1, 2).reshape(x.shape)
        x = out.LayerNorm(x + out.dense(mixed))
        inner = nn.functional.gelu(self.intermediate.dense(x))
        return self.output.LayerNorm(x + self.output.dense(inner))


class _Encoder(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.embeddings = _Embeddings()
        self.encoder = _module(layer=nn.ModuleList(_Layer() for _ in range(layers)))

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        x = self.embeddings(ids, types)
        bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
        for layer in self.encoder.layer:
            x = layer(x, bias)
        return x


class Network(nn.Module):
    """Token ids to logits.

    The word table is frozen (half of the weights, and they hold already), and on request the
    embeddings and the lowest ``frozen`` layers: a quarter less time for each two of them.
    """

    def __init__(
        self, base: Path, outputs: int, features: int = 0, frozen: int = 0, layers: int = LAYERS
    ) -> None:
        super().__init__()
        self.encoder = _Encoder(layers)
        self.first = nn.Linear(POOLED + features, HEAD)
        self.last = nn.Linear(HEAD, outputs)
        published = load_file(base / "model.safetensors")
        wanted = self.encoder.state_dict()
        self.encoder.load_state_dict({name: published[name].float() for name in wanted})
        self.encoder.embeddings.word_embeddings.weight.requires_grad = False
        if frozen:
            for part in (self.encoder.embeddings, *self.encoder.encoder.layer[:frozen]):
                part.requires_grad_(False)

    def forward(
        self, ids: Tensor, mask: Tensor, types: Tensor, features: Tensor | None = None
    ) -> Tensor:
        """ids, mask, types [N, L], features [N, F] -> logits [N, outputs]."""
        hidden = self.encoder(ids, mask, types)
        valid = mask.unsqueeze(2).to(hidden.dtype)
        mean = (hidden * valid).sum(1) / valid.sum(1)
        highest = (hidden - 1e4 * (1 - valid)).max(1).values
        pooled = [mean, highest, hidden[:, 0]]
        if features is not None:
            pooled.append(features)
        inner = torch.relu(self.first(torch.cat(pooled, dim=1)))
        # Each row is seen once, so only the head needs dropout.
        return self.last(nn.functional.dropout(inner, 0.1, self.training))

    def groups(self, rate: float, head_rate: float) -> list[dict[str, object]]:
        """Parameters for the optimiser: those of the encoder, then the new head's."""
        head = [*self.first.parameters(), *self.last.parameters()]
        rest = [p for p in self.encoder.parameters() if p.requires_grad]
        return [{"params": rest, "lr": rate}, {"params": head, "lr": head_rate}]


def weights(module: nn.Module) -> Weights:
    """Its parameters as arrays, by name."""
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
