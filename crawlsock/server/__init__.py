"""The Twisted side of the socket: bytes become messages, messages reach their handlers, replies find their way back."""
