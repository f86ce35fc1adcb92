package main;
# One program under three names: the block script (block-snow), the resource agent (domain) and snow-lease.
use strict;

$ENV{PATH} = '/usr/sbin:/usr/bin:/sbin:/bin' unless $ENV{SNOW_TEST_PATH};
$| = 1;
compile('Snow::Common');    # with what the others read of it without a call
my ($called) = $0 =~ m{([^/]+)\z};
exit Snow::Agent::main(@ARGV) if $called eq 'domain';
if ($called eq 'block-snow') {
    my $code = eval { Snow::Block::main(@ARGV) };
    exit $code if defined $code;
    print STDERR $@;
    exit 1;
}
exit Snow::Cli::main(@ARGV);
