"""Record once, deliver everywhere; knows nothing of torch and loads no client."""
