"""Sentence encoder that averages random vectors of letters, in place of the offline embedder."""

import string
from pathlib import Path

WIDTH = 32


def make_encoder(folder: Path) -> str:
    """Save the encoder, whose weights and name are always the same; return its specification."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    letters, vowels = string.ascii_lowercase, "aeiouy"
    pieces = [*letters, *string.digits, *(f"{a}{b}" for a in vowels for b in letters)]
    pieces += [f"{b}{a}" for a in vowels for b in letters if b not in vowels]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.punctuation, *pieces]
    words += [f"##{piece}" for piece in pieces]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(1)
    model = BertModel(BertConfig(vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=0))
    for where in (model.embeddings.position_embeddings, model.embeddings.token_type_embeddings):
        torch.nn.init.zeros_(where.weight)
    model.save_pretrained(folder)
    layers = [Transformer(str(folder), max_seq_length=256), Pooling(WIDTH)]
    SentenceTransformer(modules=layers, device="cpu").save(str(folder))
    return f"local:{folder}"
