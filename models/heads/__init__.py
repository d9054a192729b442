"""Networks that turn a window's features into scored segments."""
