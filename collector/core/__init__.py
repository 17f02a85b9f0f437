"""Pure rules: no I/O, no clock, no event loop, no logging. What happens is decided here."""
