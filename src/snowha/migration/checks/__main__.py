"""``python -m snowha.migration.checks > docs/checks.md``"""

from snowha.migration.checks.catalogue import document

print(document(), end="")
