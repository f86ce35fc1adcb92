"""``python -m snowha.migration.checks > docs/checks.md``"""

from snowha.migration.checks.explained import document

print(document(), end="")
