"""A domain's disks copied from logical volumes to image files, while the domain is off or while it runs."""
