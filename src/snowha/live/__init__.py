"""The site as it is: its description and its hosts together, and what the servers say of the cluster and the domains."""
