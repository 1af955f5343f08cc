"""The only door to git: one bare store that only the router writes, and disposable workspaces that borrow from it."""
