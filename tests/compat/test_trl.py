"""multitrack in TRL's SFTTrainer: a language model of eleven words, and no hub."""

import pytest
from multitrack_notebook import read_notebook

from multitrack.compat.transformers import TrackingCallback
from multitrack.trackers.history import read_history

pytest.importorskip("trl")

from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

WORDS = ["<pad>", "<eos>", "<unk>", "the", "cat", "sat", "on", "a", "mat", "dog", "ran"]


def make_tokenizer():
    numbered = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(numbered, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def make_model():
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=32,
        )
    )


def test_supervised_fine_tuning(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTEBOOK_DIR", str(tmp_path / "notebook"))
    tracking = TrackingCallback(report_to="notebook")
    args = SFTConfig(
        output_dir=str(tmp_path / "out"),
        max_steps=4,
        logging_steps=2,
        max_length=16,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
    )
    trainer = SFTTrainer(
        make_model(),
        args=args,
        train_dataset=Dataset.from_dict({"text": ["the cat sat on a mat", "a dog ran"] * 8}),
        eval_dataset=Dataset.from_dict({"text": ["the dog sat"] * 4}),
        processing_class=make_tokenizer(),
        callbacks=[tracking],
    )
    trainer.train()
    trainer.evaluate()
    [report] = tracking.run.finish(timeout=60)
    assert report.delivered
    history = read_history(tracking.run.folder)
    assert list(history.series["train/loss"].steps) == [2, 4]
    assert list(history.series["train/mean_token_accuracy"].steps) == [2, 4]
    assert list(history.series["eval/loss"].steps) == [4]
    assert history.header.config["args"]["max_length"] == 16
    assert history.header.config["model"]["vocab_size"] == len(WORDS)
    assert history.status == "finished"
    lines = read_notebook(tmp_path / "notebook", tracking.run.id)
    metrics = [line for line in lines if line["kind"] == "metrics"]
    assert [line["step"] for line in metrics if "train/loss" in line["values"]] == [2, 4]
