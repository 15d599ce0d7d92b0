"""Fit a line on whatever torch computes on: the smallest training there is."""

import torch

print("torch", torch.__version__)
device = "cuda" if torch.cuda.is_available() else "cpu"
x = torch.linspace(-1, 1, 1024, device=device).unsqueeze(1)
model = torch.nn.Linear(1, 1).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
for _ in range(50):
    loss = torch.nn.functional.mse_loss(model(x), 3 * x + 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
name = torch.cuda.get_device_name() if device == "cuda" else "the CPU"
print(f"loss {loss.item():.6f} on {name}")
