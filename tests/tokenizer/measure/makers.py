"""Make tokenizers of the types that cannot be extended, but can be measured."""

from __future__ import annotations

import io
from pathlib import Path

from tests import pico


def make_unigram_model(path: Path) -> Path:
    """Write a SentencePiece-Unigram model without byte fallback, as T5 has, with its default normalisation."""
    import sentencepiece as spm

    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(pico.english_lines() + pico.korean_documents(50)), model_writer=model, vocab_size=600,
        model_type="unigram", minloglevel=2, num_threads=1,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())
    return path


def make_unigram_json(path: Path, model: Path) -> Path:
    """Write the tokenizer.json of a SentencePiece-Unigram model, as XLM-R has, with truncation as files often have."""
    import sentencepiece as spm
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

    processor = spm.SentencePieceProcessor(model_file=str(model))
    pieces = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())]
    fast = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    fast.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    fast.enable_truncation(8)
    path.parent.mkdir(parents=True, exist_ok=True)
    fast.save(str(path))
    return path


def make_word_piece(path: Path) -> Path:
    """Write a WordPiece tokenizer that knows three Korean pieces, as BERT has, and takes words at white space."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    vocabulary = {token: i for i, token in enumerate(("[UNK]", "[CLS]", "학교", "##에", "갔다"))}
    fast = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("[UNK]", "[CLS]")])
    path.parent.mkdir(parents=True, exist_ok=True)
    fast.save(str(path))
    return path
