"""The network: addresses that keep their secrets, and the one client that asks for them."""
