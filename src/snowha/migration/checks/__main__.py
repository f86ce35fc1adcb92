"""``python -m snowha.migration.checks > docs/checks.md``"""

from snowha.migration.checks.document import document

print(document(), end="")
