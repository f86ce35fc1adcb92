package main;
# One program under three names: the block script (block-snow), the resource agent (domain) and snow-lease.
use strict;

$ENV{PATH} = '/usr/sbin:/usr/bin:/sbin:/bin' unless $ENV{SNOW_TEST_PATH};
$| = 1;
{ package Snow::Common; our $RUN = $ENV{SNOW_RUN} // '/run/snow-lease' }    # before a part is compiled that needs nothing else of it
my ($called) = $0 =~ m{([^/]+)\z};
exit Snow::Agent::main(@ARGV) if $called eq 'domain';
if ($called eq 'block-snow') {
    my $code = eval { Snow::Block::main(@ARGV) };
    exit $code if defined $code;
    print STDERR $@;
    exit 1;
}
exit Snow::Cli::main(@ARGV);
