"""snow-ha: from a single sNow! server to a highly available cluster of them."""

__version__ = "0.1.0"
