"""From a listening log to a `Split`: train, validation and test as integer codes."""
