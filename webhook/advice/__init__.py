"""How an image could be smaller and harder to attack: what it is, what would carry it, and how.

Advice is a reading of facts, for people: nothing is judged by it.
"""

from webhook.advice.advise import Advice, advise

__all__ = ["Advice", "advise"]
