"""One disk image copied, verified and resumed.

Standard library only and Python 3.9 or later, because this package travels as one file (``bundle.pack``) to the server that
owns the disk. It therefore has its own errors and imports nothing from the other packages. Linux only.
"""
