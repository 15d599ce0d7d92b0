"""Environments: uv called with care, a build beside the target that is compared and swapped in, a look into any."""
