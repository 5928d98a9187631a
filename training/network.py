"""The network in torch: the MiniLM encoder and one small head over what it pools.

Only training uses torch; ``graph`` writes the same computation as ONNX.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertModel

HIDDEN = 384
POOLED = 3 * HIDDEN  # mean, maximum and first token of the last layer
HEAD = 128


class Network(nn.Module):
    """Token ids to logits.

    The word table is frozen (half of the weights, and they hold already), and on request the
    embeddings and the lowest ``frozen`` layers: a quarter less time for each two of them.
    """

    def __init__(self, base: Path, outputs: int, features: int = 0, frozen: int = 0) -> None:
        super().__init__()
        self.encoder = BertModel.from_pretrained(
            base, add_pooling_layer=False, attn_implementation="sdpa"
        )
        for part in self.encoder.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0  # one epoch: nothing is seen twice
        self.encoder.embeddings.word_embeddings.weight.requires_grad = False
        if frozen:
            for part in (self.encoder.embeddings, *self.encoder.encoder.layer[:frozen]):
                part.requires_grad_(False)
        # Without dropout inside attention the fused kernel is used.
        for layer in self.encoder.encoder.layer:
            layer.attention.self.dropout.p = 0.0
        self.first = nn.Linear(POOLED + features, HEAD)
        self.last = nn.Linear(HEAD, outputs)

    def forward(
        self, ids: Tensor, mask: Tensor, types: Tensor, features: Tensor | None = None
    ) -> Tensor:
        """ids, mask, types [N, L], features [N, F] -> logits [N, outputs]."""
        hidden = self.encoder(
            input_ids=ids, attention_mask=mask, token_type_ids=types
        ).last_hidden_state
        valid = mask.unsqueeze(2).to(hidden.dtype)
        mean = (hidden * valid).sum(1) / valid.sum(1)
        highest = (hidden - 1e4 * (1 - valid)).max(1).values
        pooled = [mean, highest, hidden[:, 0]]
        if features is not None:
            pooled.append(features)
        inner = torch.relu(self.first(torch.cat(pooled, dim=1)))
        return self.last(nn.functional.dropout(inner, 0.1, self.training))

    def groups(self, rate: float) -> list[dict[str, object]]:
        """Parameters for the optimiser: the new head learns ten times as fast."""
        head = [*self.first.parameters(), *self.last.parameters()]
        rest = [p for p in self.encoder.parameters() if p.requires_grad]
        return [{"params": rest, "lr": rate}, {"params": head, "lr": 10 * rate}]
