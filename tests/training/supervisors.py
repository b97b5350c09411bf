"""Small representations for tests: what they look at is known, and they take no time."""

from types import SimpleNamespace

import torch


class Content(torch.nn.Module):
    """Means of the picture's quarters, and the sound, zero where there is none."""

    config = SimpleNamespace(speech_width=16)

    def forward(self, images, speech=None, audible=None):
        found = torch.nn.functional.adaptive_avg_pool2d(images.flatten(0, 1), 2).flatten(1)
        if speech is not None:
            found = torch.cat([found, speech.flatten(0, 1)], 1)
        return torch.nn.functional.normalize(found, dim=1).unflatten(0, images.shape[:2])


class Emotion(torch.nn.Module):
    """Seven stripes, one an emotion, each with a vector of three colors."""

    temperature = 0.5

    def encode(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images, (7, 1)).flatten(1)

    def weigh(self, feature):
        return feature.unflatten(1, (3, 7)).transpose(1, 2)


class PixelDistance(torch.nn.Module):
    """Mean difference of two pictures."""

    def forward(self, images, real):
        return (images - real).abs().mean((1, 2, 3))
