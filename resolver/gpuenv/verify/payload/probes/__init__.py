"""What companions of torch are asked to compute: a few lines each, by whole numbers with one right answer.

``verify/probes.toml`` says which distribution has which. They import nothing before they are called.
"""
