"""Sources: each turns its world into drafts and hands them to the recorder."""
