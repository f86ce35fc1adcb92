#!/usr/bin/perl
# Installed and kept alike on all servers by snow-ha. It needs perl-base only, which every Debian has, since Python starts too slowly
# for what runs while a domain is away.
