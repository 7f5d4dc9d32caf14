"""Programs for developers, and code that several folders' programs share."""
