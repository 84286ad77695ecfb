"""Text of a turn as its tokens come in."""

from __future__ import annotations

from exante.models.chat import Chat

_BROKEN = "\ufffd"
"""What decoding gives for a part of a character."""
_WIDEST = 16
"""Tokens after which a character that never completes is told as it is."""


class TextStream:
    """Tokens one by one to pieces that join to the text of all; a piece may be empty.

    Only the last few tokens are decoded again, so that the cost does not grow with the turn.
    """

    def __init__(self, chat: Chat) -> None:
        """`chat` decodes."""
        self.chat = chat
        self._ids: list[int] = []
        """The last piece that was told, and what came since."""
        self._told = 0
        """How many of them were told."""

    def add(self, token: int) -> str:
        """The text that this token adds; a part of a character is told with its last token."""
        self._ids.append(token)
        return self._rest(whole=len(self._ids) - self._told > _WIDEST)

    def end(self) -> str:
        """What is left of a character that never became whole."""
        return self._rest(whole=True)

    def _rest(self, *, whole: bool) -> str:
        before, now = self.chat.decode(self._ids[: self._told]), self.chat.decode(self._ids)
        if now.endswith(_BROKEN) and not whole:
            return ""
        piece = now[len(before) :]
        if piece:
            # A decoder may drop the space in front of all: the last piece stays there for it.
            self._ids = self._ids[self._told :]
        self._told = len(self._ids)
        return piece
