"""``python -m snowha.checks > docs/checks.md``"""

from snowha.checks.explained import document

print(document(), end="")
