"""What is needed of images, from a source or from what is known already, before the deadline."""

from webhook.gather.gatherer import Caches, Gatherer
from webhook.gather.source import (
    Document,
    Gathered,
    ImageRequest,
    Images,
    ImageSource,
    Unread,
)

__all__ = [
    "Caches",
    "Document",
    "Gathered",
    "Gatherer",
    "ImageRequest",
    "ImageSource",
    "Images",
    "Unread",
]
