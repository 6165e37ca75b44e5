"""Make tiny real things for tests: tokenizers, Llamas and Korean text, written by the libraries themselves."""

from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path

ENGLISH_MODULES = ("textwrap", "json", "argparse", "logging", "random", "statistics")
KOREAN_LINES = (
    "오늘은 날씨가 맑아서 강가를 따라 한 시간쯤 걸었습니다.",
    "도서관은 매주 월요일에 쉬고 나머지 날에는 저녁 아홉 시까지 문을 엽니다.",
    "할머니께서 담그신 김치는 해마다 맛이 조금씩 달라집니다.",
    "새로 생긴 빵집의 식빵이 부드럽고 고소해서 금세 다 팔렸다고 합니다.",
    "연구진은 겨울 철새의 이동 경로를 열두 해 동안 기록해 왔다.",
    "버스가 늦게 오는 바람에 약속 시간보다 십 분 늦었어요.",
    "이 영화 정말 재밌다ㅋㅋㅋ 두 번 봐도 안 질려요.",
    "시장은 공원을 넓히는 계획을 주민들에게 설명하고 의견을 들었다.",
)


def english_lines() -> list[str]:
    """Return lines of the standard library's documentation strings."""
    lines = []
    for name in ENGLISH_MODULES:
        module = __import__(name)
        for _, member in sorted(inspect.getmembers(module)):
            doc = inspect.getdoc(member) if inspect.isclass(member) or inspect.isfunction(member) else None
            lines += [line for line in textwrap.dedent(doc or "").splitlines() if line.strip()]
    return lines


def korean_documents(count: int) -> list[str]:
    """Return ``count`` different short Korean documents."""
    return [
        " ".join(KOREAN_LINES[(i * step + step) % len(KOREAN_LINES)] for step in range(1, 4)) + f" {i + 1}번째 이야기."
        for i in range(count)
    ]


def make_spm_base(folder: Path, *, vocabulary: int = 600) -> Path:
    """Write a SentencePiece-BPE base with byte fallback, as Llama-2 has, with tokenizer.json and -1e9 space pieces."""
    import sentencepiece as spm
    from sentencepiece import sentencepiece_model_pb2 as pb2
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "text.txt"
    text.write_text("\n".join(english_lines()), encoding="utf-8")
    spm.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "tokenizer"), vocab_size=vocabulary, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2, num_threads=1,
    )  # fmt: skip
    text.unlink()
    (folder / "tokenizer.vocab").unlink()
    proto = pb2.ModelProto()
    proto.ParseFromString((folder / "tokenizer.model").read_bytes())
    for piece in proto.pieces:  # Llama-2 and Mistral give their space-only pieces this score
        if piece.type == 1 and set(piece.piece) == {"▁"}:
            piece.score = -1e9
    (folder / "tokenizer.model").write_bytes(proto.SerializeToString())
    vocab = {piece.piece: i for i, piece in enumerate(proto.pieces)}
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == 1}
    pairs = [
        (-scores[piece], vocab[piece[:cut]], vocab[piece[cut:]], piece[:cut], piece[cut:])
        for piece in scores for cut in range(1, len(piece)) if piece[:cut] in scores and piece[cut:] in scores
    ]  # fmt: skip
    merges = [(left, right) for *_, left, right in sorted(pairs)]
    fast = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    fast.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    fast.save(str(folder / "tokenizer.json"))
    _write_tokenizer_config(folder, bos="<s>", eos="</s>", unk="<unk>")
    return folder


def make_byte_base(folder: Path, *, vocabulary: int = 600) -> Path:
    """Write a byte-level BPE base, as Llama-3 and GPT-2 have, with two special tokens after the vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    folder.mkdir(parents=True, exist_ok=True)
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    fast.train_from_iterator(english_lines(), trainer)
    specials = ["<|begin_of_text|>", "<|end_of_text|>"]
    fast.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    fast.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", fast.token_to_id("<|begin_of_text|>"))]
    )
    fast.save(str(folder / "tokenizer.json"))
    _write_tokenizer_config(folder, bos=specials[0], eos=specials[1], unk=None)
    return folder


def _write_tokenizer_config(folder: Path, *, bos: str, eos: str, unk: str | None) -> None:
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos, "unk_token": unk,
              "clean_up_tokenization_spaces": False, "model_max_length": 512}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def make_llama(folder: Path, *, rows: int, tied: bool = False, layers: int = 4, seed: int = 0) -> Path:
    """Write a random Llama with d 32, 4 heads over 2 key-value heads, fp32, beside whatever is in ``folder``."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=rows, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def token_count(folder: Path) -> int:
    """Return the number of ids of a tokenizer folder, added tokens included."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size(with_added_tokens=True)
