"""What must hold on a site before and after: looked up on every server at once, judged by pure functions.

``gather`` asks, ``facts`` is what was answered, the rules turn facts into findings, ``catalogue`` says of each finding why
it matters and what to do, and ``docs/checks.md`` is made from it.
"""
