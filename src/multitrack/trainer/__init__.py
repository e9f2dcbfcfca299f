"""The reference Trainer: Hugging Face's callback contract on torch and accelerate."""
