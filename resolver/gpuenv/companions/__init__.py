"""Facts of packages with code for GPUs beside torch, read out of their libraries."""
