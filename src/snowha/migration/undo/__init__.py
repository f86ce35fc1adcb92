"""The way back, step by step, down to the single server with its domains on logical volumes."""
