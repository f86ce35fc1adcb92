"""What makes a server or a cluster as it must be: packages, mounts, network, Corosync, Pacemaker, proofs."""
