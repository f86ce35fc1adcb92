"""What is wrong with a running cluster: the findings of ``status``, and the rules that make them."""
