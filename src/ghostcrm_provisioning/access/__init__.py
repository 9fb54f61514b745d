"""Who may do what: scopes, tokens, admin accounts and their sessions."""
