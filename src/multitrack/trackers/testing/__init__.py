"""The conformance suite that every adapter passes, ours and third parties'."""
