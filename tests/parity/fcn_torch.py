"""The four heads on VGG in plain PyTorch: the definition clfcn is compared with.

Module names give the state_dict that clfcn reads and writes; the arithmetic is that of the
public FCN script whose parameter names these are.
"""

import torch
from torch import nn
import torch.nn.functional as F

VGG = {
    "vgg11": [[64], [128], [256, 256], [512, 512], [512, 512]],
    "vgg13": [[64, 64], [128, 128], [256, 256], [512, 512], [512, 512]],
    "vgg16": [[64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3],
    "vgg19": [[64, 64], [128, 128], [256] * 4, [512] * 4, [512] * 4],
}
ARCHS = ("fcn32s", "fcn16s", "fcn8s", "fcns")


class VGGFeatures(nn.Module):
    """torchvision's `features` without batch norm; gives the outputs of the five poolings."""

    def __init__(self, backbone):
        super().__init__()
        layers, channels = [], 3
        for stage in VGG[backbone]:
            for out in stage:
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
                channels = out
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)

    def forward(self, x):
        pooled = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                pooled.append(x)
        return pooled


class FCN(nn.Module):
    def __init__(self, arch, backbone, classes):
        super().__init__()
        self.arch = arch
        self.pretrained_net = VGGFeatures(backbone)
        widths = [512, 512, 256, 128, 64, 32]
        for i in range(1, 6):
            setattr(self, f"deconv{i}", nn.ConvTranspose2d(
                widths[i - 1], widths[i], 3, stride=2, padding=1, output_padding=1))
            setattr(self, f"bn{i}", nn.BatchNorm2d(widths[i]))
        self.classifier = nn.Conv2d(32, classes, 1)

    def forward(self, x):
        x1, x2, x3, x4, x5 = self.pretrained_net(x)
        # What is added before the norm of stage i, and what after it.
        before = {"fcn16s": [x4], "fcn8s": [x4, x3]}.get(self.arch, [])
        after = {"fcns": [x4, x3, x2, x1]}.get(self.arch, [])
        s = x5
        for i in range(1, 6):
            s = F.relu(getattr(self, f"deconv{i}")(s))
            if i <= len(before):
                s = s + before[i - 1]
            s = getattr(self, f"bn{i}")(s)
            if i <= len(after):
                s = s + after[i - 1]
        return self.classifier(s)


def init_(model, seed):
    """Initialise as clfcn does: PyTorch's defaults, with torchvision's rule for the backbone."""
    torch.manual_seed(seed)
    for m in model.pretrained_net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.normal_(m.weight, 0, (2 / (m.out_channels * 9)) ** 0.5)
            nn.init.zeros_(m.bias)
    for i in range(1, 6):
        m = getattr(model, f"deconv{i}")
        bound = 1 / (m.out_channels * 9) ** 0.5
        nn.init.uniform_(m.weight, -bound, bound)
        nn.init.uniform_(m.bias, -bound, bound)
    nn.init.uniform_(model.classifier.weight, -(32 ** -0.5), 32 ** -0.5)
    nn.init.uniform_(model.classifier.bias, -(32 ** -0.5), 32 ** -0.5)
    return model


def loss_of(kind, logits, labels, ignore=255, weights=None, gamma=2.0):
    """The loss over the labelled pixels of labels [N][H][W]; weights: a number a class."""
    classes = logits.shape[1]
    w = torch.ones(classes) if weights is None else torch.tensor(weights)
    w = w.to(logits.dtype)
    if kind == "ce":
        return F.cross_entropy(logits, labels, weight=w, ignore_index=ignore)
    valid = labels != ignore
    known = torch.where(valid, labels, torch.zeros_like(labels))
    onehot = F.one_hot(known, classes).permute(0, 3, 1, 2).to(logits.dtype)
    if kind == "bce":
        each = F.binary_cross_entropy_with_logits(logits, onehot, weight=w[:, None, None],
                                                  reduction="none")
        return (each * valid[:, None]).sum() / (valid.sum() * classes)
    if kind == "dice":
        p, t = logits.softmax(1) * valid[:, None], onehot * valid[:, None]
        overlap, size = (p * t).sum((0, 2, 3)), (p + t).sum((0, 2, 3))
        return 1 - (w * (2 * overlap + 1) / (size + 1)).sum() / w.sum()
    entropy = F.cross_entropy(logits, known, reduction="none")  # focal
    return (w[known] * (1 - (-entropy).exp()) ** gamma * entropy * valid).sum() / valid.sum()


def optimizer_of(kind, model, lr, momentum=0.7, weight_decay=0.0):
    params = [p for p in model.parameters() if p.requires_grad]
    if kind == "sgd":
        return torch.optim.SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay)
    cls = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    return cls(params, lr=lr, weight_decay=weight_decay)
