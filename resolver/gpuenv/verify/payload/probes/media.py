"""Probes of torchvision, torchaudio and torchcodec."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

Parts = Iterator[tuple[Any, ...]]  # Any: tensors; torch is not installed where types are checked

JPEG = (
    "|JeWF01!$>Nk#wx0RR9200961|JwjV00;&K2L=TQ2L}fU2?z=d6b%du3k(?&6Au&}8Xq1V8XO!TBrYc)A}k{u94I#_EHE)NG&CP4IXyTsJT5ad"
    "GXKB;3kU!Z03ZPY5di<h03QGV0R;g80RaI400000000000RjUA1qKHQ2?`7U!~nGr00IF60|EpC1qB2I0004f0RjU61Q7)iAu&M)6H#FYB5@Qlf"
    "svsIBSNvk6;jdgBr{@if(Z&17Z@2DB_<~*DJnEIHa9pqIzvQ7Mn_0VN>fx-R##YAT4Q8oW@l(=YIAgTc6WGrdV_?8hKGoWijtF*m6n&7nVO=bq@"
    "|{(sHv*5v$VCgx45~w!o$SH#>dFX%F@%+)z;V8+1laa<K*S$=jiF`@$&QZ_4fDp`TGCb00;pA002J#@cQd3(JRtxwy&0}%PZ<S|Je"
)
"""A grey JPEG of two rows of four 8x8 blocks, each of one brightness. A block's mean is coded in steps of 8/8
(libjpeg's quality 75), so that every right inverse transform gives whole numbers without rounding."""
BRIGHTNESS = ((16, 60, 128, 201), (255, 90, 7, 170))


def torchvision(device: str) -> Parts:
    """Non-maximum suppression, pooling over regions, and a deformable convolution whose offsets are zero."""
    import torch
    from torchvision import ops

    # Groups of three boxes far apart: the second overlaps the first by 7/8, the third by 1/4.
    corner = torch.arange(64).repeat_interleave(3) * 100
    height = torch.tensor([8, 7, 2]).repeat(64)
    boxes = torch.stack([corner, corner * 0, corner + 8, height], dim=1).float().to(device)
    scores = torch.arange(192, 0, -1).float().to(device)
    kept = [number for number in range(192) if number % 3 != 1]
    yield "nms", ops.nms(boxes, scores, 0.5), kept

    image = ((torch.arange(2 * 16 * 16) * 37) % 101).reshape(1, 2, 16, 16)
    whole = torch.tensor([[0.0, 0.0, 0.0, 15.0, 15.0]], device=device)
    pooled = ops.roi_pool(image.float().to(device), whole, output_size=(4, 4))
    yield "roi_pool", pooled, image.reshape(1, 2, 4, 4, 4, 4).amax(dim=(3, 5))

    weight = (torch.arange(3 * 2 * 3 * 3) % 5 - 2).reshape(3, 2, 3, 3)
    offset = torch.zeros(1, 18, 14, 14, device=device)
    bent = ops.deform_conv2d(image.float().to(device), offset, weight.float().to(device))
    yield "deform_conv2d", bent, torch.nn.functional.conv2d(image.double(), weight.double())


def torchaudio(device: str) -> Parts:
    """The alignment of labels to frames: one path has the largest sum, and sums of whole numbers are not rounded."""
    import torch
    from torchaudio import functional

    path = [0, 1, 1, 2, 0, 2, 2, 3, 0, 0, 4, 1, 1, 0, 3, 0] * 4
    labels = [label for number, label in enumerate(path) if label and (not number or path[number - 1] != label)]
    scores = torch.full((1, len(path), 5), -10.0)
    for frame, label in enumerate(path):
        scores[0, frame, label] = -1.0 - frame % 3
    found, values = functional.forced_align(scores.to(device), torch.tensor([labels], device=device))
    yield "forced_align", found, [path]
    yield "its scores", values, [[-1.0 - frame % 3 for frame in range(len(path))]]


def torchcodec(device: str) -> Parts:
    """A JPEG decoded (on a GPU by nvJPEG): flat blocks, whose values no right decoder rounds."""
    from torchcodec.decoders import decode_jpeg

    image = decode_jpeg(base64.b85decode(JPEG), mode="GRAY", device=device)
    rows = [[value for value in row for _ in range(8)] for row in BRIGHTNESS]
    yield "decode_jpeg", image, [[line for line in rows for _ in range(8)]]
