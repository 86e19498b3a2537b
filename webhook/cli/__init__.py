"""The command line: one file a command. Each reads its arguments, makes one call and prints."""
