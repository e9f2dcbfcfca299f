"""Models of transformers in our Trainer, where they are saved and answer in ways of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from multitrack.trainer import Trainer

transformers = pytest.importorskip("transformers", reason="transformers is not installed")


def make_vit(layers: int = 2) -> Any:
    torch.manual_seed(0)
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=8,
            patch_size=4,
            num_channels=1,
            hidden_size=16,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=3,
        )
    )


def make_llama() -> Any:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=20,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
    )


def make_t5() -> Any:
    torch.manual_seed(0)
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=20,
            d_model=16,
            d_kv=8,
            d_ff=16,
            num_layers=1,
            num_heads=2,
            decoder_start_token_id=0,
        )
    )


def make_adapted(*names: str) -> Any:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    model = make_llama()
    for name in names:
        config = peft.LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.1)
        if name == names[0]:
            model = peft.get_peft_model(model, config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    return model


def images() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(24, 1, 8, 8, generator=generator)
    return [{"pixel_values": one, "labels": number % 3} for number, one in enumerate(pixels)]


def texts() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, 20, (24, 6), generator=generator)
    return [{"input_ids": row, "labels": row} for row in tokens]


@pytest.mark.parametrize(
    ("make_model", "data"),
    [
        (make_vit, images()),
        (lambda: make_adapted("default"), texts()),
        (lambda: make_adapted("mine", "default"), texts()),
    ],
    ids=["older-names", "adapter", "adapters"],
)
def test_checkpoints_that_are_not_the_models_own_weights_are_read(
    make_model: Callable[[], Any], data: Any, make_trainer: Callable[..., Trainer]
) -> None:
    def make() -> Trainer:
        return make_trainer(
            model=make_model(),
            train=data,
            evaluation=data[:4],
            save_strategy="steps",
            save_steps=3,
            eval_strategy="steps",
            eval_steps=3,
            load_best_model_at_end=True,
            learning_rate=0.02,
        )

    whole, resumed = make(), make()
    whole.train()
    resumed.train(resume_from_checkpoint=str(whole.output_dir / "checkpoint-3"))
    after = resumed.model.state_dict()
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, after[name]), name
    steps = [row["step"] for row in whole.state.log_history if "eval_loss" in row]
    assert steps == [3, 6]
    assert whole.evaluate()["eval_loss"] == whole.state.best_metric


def test_checkpoints_of_another_model_are_refused(make_trainer: Callable[..., Trainer]) -> None:
    trained = make_trainer(model=make_vit(), train=images(), save_strategy="epoch")
    trained.train()
    deeper = make_trainer(model=make_vit(layers=3), train=images())
    with pytest.raises(ValueError, match="do not fit the model: it lacks vit"):
        deeper.train(resume_from_checkpoint=True)
    bare = make_trainer(model=make_adapted("default"), train=texts())
    with pytest.raises(ValueError, match=r"there is no adapter_model\.safetensors in it"):
        bare.train(resume_from_checkpoint=True)


def test_a_cache_is_no_prediction(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(
        model=make_t5(), train=texts(), evaluation=texts(), use_cache=True, max_steps=1
    )
    logits, encoded = trainer.predict(texts()).predictions
    assert (logits.shape, encoded.shape) == ((24, 6, 20), (24, 6, 16))


def test_the_tokenizer_of_a_collator_is_saved(
    make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="?")
    collator = transformers.DataCollatorWithPadding(tokenizer)
    make_trainer(data_collator=collator).save_model(tmp_path / "saved")
    assert (tmp_path / "saved" / "tokenizer.json").is_file()
