"""What was found out already. A store may forget anything at any time; it never invents."""
