"""Files that `codeswarm example` prints: to begin with, and to read."""
